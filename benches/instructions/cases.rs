//! What is asked.

use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use tollgate::clock::unix_seconds;
use tollgate::sandbox::DemoWallet;

use super::Result;
use super::gateway::PLAN;
use super::wire::{Answer, Wire, get};

pub(super) const ROUTES_FEW: u32 = 10;
pub(super) const ROUTES_MANY: u32 = 10_000;

pub(super) const OF_THE_GATEWAY: &[Case] = &[
    Case { name: "free", of: "pass-through", asks: Asks::Free, status: "200" },
    Case { name: "keyed", of: "pass-through with a key", asks: Asks::Keyed, status: "200" },
    Case { name: "unpaid", of: "constant 402", asks: Asks::Unpaid, status: "402" },
    Case { name: "forged key", of: "", asks: Asks::ForgedKey, status: "402" },
    Case { name: "wrong signature", of: "", asks: Asks::WrongSignature, status: "402" },
];

pub(super) const AMONG_MANY_ROUTES: &[Case] =
    &[Case { name: "free among 10,000 routes", of: "pass-through", asks: Asks::Free, status: "200" }];

pub(super) const OF_A_BARE_PROXY: &[Case] = &[
    Case { name: "pass-through", of: "", asks: Asks::Free, status: "200" },
    Case { name: "pass-through with a key", of: "", asks: Asks::Keyed, status: "200" },
    Case { name: "constant 402", of: "", asks: Asks::Unpaid, status: "402" },
];

/// How many payments with wrong signatures are sent in turn: what it takes to recover a key differs a little.
const PAYMENTS: usize = 64;

/// A kind of request.
#[derive(Debug)]
pub(super) struct Case {
    pub(super) name: &'static str,
    /// The case of a bare proxy that it is compared with.
    pub(super) of: &'static str,
    pub(super) asks: Asks,
    pub(super) status: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asks {
    /// A free route: forwarded.
    Free,
    /// A plan's route, with a key: the key's hash, its look-up, expiry, units and rate; forwarded.
    Keyed,
    /// A priced route without a payment: the challenge of both versions with a fresh quote.
    Unpaid,
    /// A key of the right form that no gateway with this secret can have made: the keyed check, and no look-up.
    ForgedKey,
    /// A payment that is good but for its signature: decoded, judged, hashed by EIP-712, its signer recovered, refused.
    WrongSignature,
}

/// The routes and plans of a gateway. The routes that are asked for stand among as many others.
pub(super) fn tables(routes: u32) -> String {
    let others = (3..routes).map(|number| {
        let form = ["fixed", "{id}"].get(usize::from(number % 2 == 0)).unwrap_or(&"");
        format!("[[routes]]\npath = \"/v1/group{}/item{number}/{form}\"\nfree = true\n", number % 100)
    });
    others.collect::<String>()
        + r#"
[[routes]]
path = "/v1/free"
free = true
[[routes]]
path = "/v1/paid"
price = "$0.01"
[[routes]]
path = "/v1/keyed"
units = 1
"# + PLAN
}

impl Asks {
    /// The requests that are sent in turn.
    pub(super) async fn requests(self, wire: &mut Wire, key: &str) -> Result<Vec<Vec<u8>>> {
        Ok(match self {
            Self::Free => vec![get("/v1/free", "")],
            Self::Keyed => vec![get("/v1/keyed", &format!("X-API-KEY: {key}"))],
            Self::Unpaid => vec![get("/v1/paid", "")],
            Self::ForgedKey => vec![get("/v1/keyed", &format!("X-API-KEY: {}", altered(key)))],
            Self::WrongSignature => {
                let challenge = wire.ask(&get("/v1/paid", "")).await?;
                let required = challenge.header("payment-required").ok_or("the route is not offered")?;
                (0..PAYMENTS).map(|_| wrongly_signed(required)).collect::<Result<_>>()?
            }
        })
    }

    /// Whether an answer is what it should be, beside its status.
    pub(super) fn is_answered_by(self, answer: &Answer<'_>) -> bool {
        match self {
            Self::Free | Self::Keyed => answer.body.len() == 200,
            Self::Unpaid => answer.header("payment-required").is_some(),
            Self::ForgedKey => says(answer, "invalid_api_key"),
            Self::WrongSignature => says(answer, "signature"),
        }
    }
}

fn says(answer: &Answer<'_>, word: &str) -> bool {
    str::from_utf8(answer.body).is_ok_and(|body| body.contains(word))
}

/// The same key with other characters in its middle.
fn altered(key: &str) -> String {
    let middle = key.len() / 2;
    let turned = key.char_indices().map(|(at, c)| match c {
        'a' if at >= middle => 'b',
        '0'..='8' if at >= middle => '9',
        _ if at == middle => 'a',
        _ => c,
    });
    turned.collect()
}

/// A payment whose nonce is another than the one that was signed.
fn wrongly_signed(required: &str) -> Result<Vec<u8>> {
    let payment = DemoWallet::random()?.pay(required.as_bytes(), unix_seconds(SystemTime::now()))?;
    let mut payment: Value = serde_json::from_slice(&STANDARD.decode(payment.header)?)?;
    let nonce = payment.pointer_mut("/payload/authorization/nonce").ok_or("the payment has no nonce")?;
    let text = nonce.as_str().unwrap_or_default();
    let (front, last) = text.split_at_checked(text.len().saturating_sub(1)).ok_or("the nonce is empty")?;
    *nonce = format!("{front}{}", if last == "0" { "1" } else { "0" }).into();
    Ok(get("/v1/paid", &format!("PAYMENT-SIGNATURE: {}", STANDARD.encode(payment.to_string()))))
}
