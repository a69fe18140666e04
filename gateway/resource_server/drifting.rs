//! What facilitators said, told to whoever watches whether they begin to refuse.

use super::desk::Desk;
use crate::drift::{Call, Drift, Said, Seen};
use crate::facilitator::{FacilitatorError, SettleOutcome, Verdict};
use crate::payment::Presented;

/// No yes and no no.
const NO_VERDICT: &str = "no_verdict";
const TIMEOUT: &str = "timeout";
const UNREACHABLE: &str = "unreachable";

/// Notes a verdict, or that there was none.
pub(super) fn verdict(drift: &Drift, desk: &Desk, presented: &Presented, said: &Result<Verdict, FacilitatorError>) {
    let (payer, said) = match said {
        Ok(Verdict::Valid { payer }) => (payer.as_deref(), Said::Yes),
        Ok(Verdict::Refused(refusal)) => (refusal.payer.as_deref(), Said::No(&refusal.reason)),
        Err(FacilitatorError::Timeout(_)) => (None, Said::No(TIMEOUT)),
        Err(FacilitatorError::Unreachable(_)) => (None, Said::No(UNREACHABLE)),
        Err(FacilitatorError::Nonsense(_)) => (None, Said::No(NO_VERDICT)),
    };
    note(drift, desk, presented, Call::Verify, payer, said);
}

/// Notes that there was no verdict in time.
pub(super) fn late(drift: &Drift, desk: &Desk, presented: &Presented) {
    note(drift, desk, presented, Call::Verify, None, Said::No(TIMEOUT));
}

/// Notes what came of a settlement.
pub(super) fn outcome(drift: &Drift, desk: &Desk, presented: &Presented, outcome: &SettleOutcome) {
    let (payer, said) = match outcome {
        SettleOutcome::Settled(receipt) => (receipt.payer.as_deref(), Said::Yes),
        SettleOutcome::Refused(refusal) => (refusal.payer.as_deref(), Said::No(&refusal.reason)),
        SettleOutcome::NotSent(_) => (None, Said::No(UNREACHABLE)),
        SettleOutcome::Unknown(unclear) => (None, Said::No(word(&unclear.why).unwrap_or(NO_VERDICT))),
    };
    note(drift, desk, presented, Call::Settle, payer, said);
}

/// The reason that was given for an outcome that nobody knows, if it begins with one.
fn word(why: &str) -> Option<&str> {
    let word = why.split_once(' ').map_or(why, |(word, _)| word);
    word.contains('_').then_some(word)
}

fn note(drift: &Drift, desk: &Desk, presented: &Presented, call: Call, named: Option<&str>, said: Said<'_>) {
    // What is signed goes before what is said.
    let ours = presented.payer.as_ref().map(ToString::to_string);
    drift.note(&Seen {
        facilitator: desk.name(),
        call,
        offer: presented.offer.as_str(),
        payer: ours.as_deref().or(named),
        sealed: presented.sealed,
        said,
    });
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::super::fixture::{Shop, offer_of, route};
    use super::*;
    use crate::facilitator::{Refusal, Unclear};
    use crate::payment::testing::{Wallet, header, quoted};
    use crate::pricing::SettleTiming;

    fn refusal(reason: &str) -> Refusal {
        Refusal { reason: reason.to_owned(), message: None, payer: None, transaction: None }
    }

    #[tokio::test]
    async fn whatever_a_facilitator_says_is_counted() {
        let (shop, route) = (Shop::open().await, route("/weather", SettleTiming::After));
        for (nonce, said) in (1..).zip([
            Ok(Verdict::Refused(refusal("invalid_payload: with details"))),
            Ok(Verdict::Refused(refusal("unexpected_verify_error"))),
            Err(FacilitatorError::Unreachable("refused".to_owned())),
            Err(FacilitatorError::Timeout(std::time::Duration::from_secs(10))),
            Err(FacilitatorError::Nonsense("html".to_owned())),
        ]) {
            shop.facilitator.next_verdict(said);
            shop.admit(&route, &Method::GET, &shop.pay(offer_of(&route), nonce)).await.unwrap_err();
        }
        for (nonce, said) in (11..).zip([
            SettleOutcome::Refused(refusal("insufficient_funds")),
            SettleOutcome::NotSent("down".to_owned()),
            SettleOutcome::Unknown(Unclear::new("unexpected_settle_error (HTTP 200)")),
            SettleOutcome::Unknown(Unclear::new("it failed (HTTP 500)")),
        ]) {
            let verified = shop.verified(&route, &shop.pay(offer_of(&route), nonce)).await;
            shop.facilitator.next_outcome(said);
            let _ = shop.settle(verified).await.unwrap_err();
        }
        let counted = [
            "settle call:* /weather insufficient_funds",
            "settle call:* /weather no_verdict",
            "settle call:* /weather unexpected_settle_error",
            "settle call:* /weather unreachable",
            "verify call:* /weather invalid_payload",
            "verify call:* /weather no_verdict",
            "verify call:* /weather timeout",
            "verify call:* /weather unexpected_verify_error",
            "verify call:* /weather unreachable",
        ];
        assert_eq!(shop.market.drift.counted(), counted.map(|line| format!("one {line}")));
    }

    #[tokio::test]
    async fn a_payment_that_is_refused_again_and_again_is_of_one_payer() {
        let (shop, route) = (Shop::open().await, route("/weather", SettleTiming::After));
        for (wallets, raised) in [(1, 0), (3, 1)] {
            for number in 0..20 {
                shop.facilitator.next_verdict(Ok(Verdict::Refused(refusal("invalid_payload"))));
                let (wallet, nonce) = (Wallet::new(1 + number % wallets), 20 * wallets + number);
                let (offer, terms) = (offer_of(&route), &offer_of(&route).terms[0]);
                let payment = header(&quoted(terms, wallet.eip3009(terms, nonce), &shop.quote(offer, nonce)));
                shop.admit(&route, &Method::GET, &payment).await.unwrap_err();
            }
            assert_eq!(shop.market.drift.raised().len(), raised);
        }
    }
}
