//! Payments that are signed before the clock starts.

use std::sync::Arc;
use std::time::SystemTime;

use tollgate::clock::unix_seconds;
use tollgate::sandbox::DemoWallet;

use super::Result;
use super::wire::{Wire, get};

/// A request, ready to be sent.
pub(super) type Request = Arc<[u8]>;

/// Wallets, and the challenge that all of them answer: a quote is good for any number of payments on its terms.
#[derive(Debug)]
pub(super) struct Buyers {
    wallets: Vec<DemoWallet>,
    challenge: String,
    /// How many payments they have signed.
    pub(super) signed: usize,
    /// How many of those were for the paid route and have been sent.
    pub(super) sent: usize,
}

impl Buyers {
    pub(super) async fn of(wire: &mut Wire) -> Result<Self> {
        let answer = wire.ask(&get("/paid", "")).await?;
        let challenge = answer.header("payment-required").ok_or("the call is not offered")?.to_owned();
        let wallets = (0..16).map(|_| DemoWallet::random()).collect::<std::result::Result<_, _>>()?;
        Ok(Self { wallets, challenge, signed: 0, sent: 0 })
    }

    /// One list of paid calls for each connection, as even as can be; each payment is another one.
    pub(super) fn sign(&mut self, calls: usize, connections: usize) -> Result<Vec<Vec<Request>>> {
        let now = unix_seconds(SystemTime::now());
        let mut lists: Vec<_> = (0..connections).map(|_| Vec::new()).collect();
        for number in 0..calls {
            let wallet = self.wallets.get(self.signed % self.wallets.len().max(1)).ok_or("there is no wallet")?;
            let payment = wallet.pay(self.challenge.as_bytes(), now)?;
            let request = get("/paid", &format!("PAYMENT-SIGNATURE: {}", payment.header));
            lists.get_mut(number % connections).ok_or("there is no connection")?.push(request.into());
            self.signed += 1;
        }
        Ok(lists)
    }
}
