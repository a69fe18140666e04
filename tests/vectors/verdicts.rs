//! The reference facilitator's verdicts on edited EIP-3009 and Solana payments, against what we find out without asking it.

use serde_json::{Value, json};
use tollgate::payment::{Presented, Refused};
use tollgate::x402::codec;

use crate::file::{NOW, cases, header, offer, read, terms, text, vector, without};
use crate::signing;

/// The reason that we give where it is not the reference's.
fn differs(case: &str) -> Option<&'static str> {
    Some(match case {
        // An echo of other terms than ours is not read any further: there is no offer that it could be a payment for.
        "accepted.network eip155:8453 but requirements eip155:84532" => "no_matching_payment_requirements",
        // Stricter on purpose: the simulated chain takes it and the token's contract would not.
        "signature v as 00/01 instead of 1b/1c" => "invalid_exact_evm_signature",
        // The amount is compared before the signature, which is the dearer check.
        "authorization.value changed to 10001 after signing" => {
            "invalid_exact_evm_payload_authorization_value_mismatch"
        }
        _ => return None,
    })
}

/// Reads the payment with one of the edits. The vector edits the requirements that a facilitator is shown: ours are the
/// offer, and a client that comes this far has echoed them.
fn judged(case: &str) -> Result<Presented, Refused> {
    let mut payment = vector("v2-eip3009-payment")["payment_payload"].clone();
    let mut ours = payment["accepted"].clone();
    let signature = text(&payment, "/payload/signature");
    let with_v = |v: &str| Value::from(format!("{}{v}", signature.strip_suffix("1b").unwrap()));
    let mut later = 0;
    let mut resigned = |name: &str, value: Value| {
        payment["payload"]["authorization"][name] = value;
        payment["payload"]["signature"] = signing::sign(&payment["payload"]["authorization"]).into();
    };
    match case {
        "unchanged" => {}
        "requirements.amount 10001 (payload signs 10000)" => ours["amount"] = "10001".into(),
        "requirements.payTo is another address" => ours["payTo"] = "0x402085c248EeA27D92E8b30b2C58ed07f9E20001".into(),
        "accepted.network eip155:8453 but requirements eip155:84532" => {}
        "extra.name USD Coin (wrong domain)" => ours["extra"]["name"] = "USD Coin".into(),
        "extra.name missing" => ours["extra"] = json!({"version": "2"}),
        "signature last byte flipped 1b<->1c" => payment["payload"]["signature"] = with_v("1c"),
        "signature v as 00/01 instead of 1b/1c" => payment["payload"]["signature"] = with_v("00"),
        "authorization.value changed to 10001 after signing" => {
            payment["payload"]["authorization"]["value"] = "10001".into();
        }
        "from in lower case" => {
            let from = text(&payment, "/payload/authorization/from").to_lowercase();
            payment["payload"]["authorization"]["from"] = from.into();
        }
        "clock +54 s (6 s left)" => later = 54,
        "clock +55 s (5 s left)" => later = 55,
        "validAfter = now+1, correctly signed" => resigned("validAfter", (NOW + 1).to_string().into()),
        "overpay: value 20000 correctly signed, required 10000" => resigned("value", "20000".into()),
        other => panic!("unknown case {other}"),
    }
    payment["accepted"] = ours.clone();
    if case.starts_with("accepted.network") {
        payment["accepted"]["network"] = "eip155:8453".into();
    }
    read(&header(&payment), &offer([terms(&ours, None)]), later)
}

#[test]
fn eip3009_verdicts_are_the_references_or_differ_by_name() {
    let unchanged = judged("unchanged").unwrap();
    let cases = cases("eip3009-facilitator-verdicts");
    assert_eq!(cases.len(), 14);
    for verdict in cases {
        let case = text(&verdict, "/case");
        let judged = judged(&case);
        let expected = differs(&case).or_else(|| verdict["invalidReason"].as_str());
        assert_eq!(judged.as_ref().err().map(|refused| &*refused.reason), expected, "{case}");
        if let Ok(presented) = judged {
            // The payer is shown in one spelling, whatever the client's; and it is one payment in all of them.
            let payer = presented.payer.unwrap().to_string();
            assert_eq!(payer.to_lowercase(), text(&verdict, "/payer").to_lowercase(), "{case}");
            assert_eq!(
                (payer, &presented.id),
                (unchanged.payer.as_ref().unwrap().to_string(), &unchanged.id),
                "{case}"
            );
        }
    }
}

/// Reads the Solana payment with one of the edits; the terms that it edits are ours, and the client has echoed them.
fn judged_on_solana(case: &str) -> Result<Presented, Refused> {
    let vector = vector("v2-svm-payment");
    let (mut payment, mut ours) = (vector["payment_payload"].clone(), vector["requirements"].clone());
    let transaction = codec::decode_bytes(&text(&payment, "/payload/transaction")).unwrap();
    let mut flip = |at: usize| {
        let mut bytes = transaction.clone();
        bytes[at] ^= 1;
        payment["payload"]["transaction"] = codec::encode_bytes(&bytes).into();
    };
    match case {
        "unchanged" => {}
        "requirements.amount 10001" => ours["amount"] = "10001".into(),
        "requirements.payTo = client wallet" => ours["payTo"] = vector["client"].clone(),
        "requirements.asset = devnet USDC mint" => {
            ours["asset"] = "4zMMC9srt5Ri5X14GAgXhaHii3GnPAEERYPJgZJDncDU".into();
        }
        "extra.memo differs" => ours["extra"]["memo"] = "inv-0002".into(),
        "extra.feePayer not managed" => ours["extra"]["feePayer"] = vector["client"].clone(),
        "one bit of the client signature flipped" => flip(1 + 64 + 5),
        "one bit of the transfer amount flipped (message no longer matches the signature)" => {
            let transfer = alloy_primitives::hex::decode("0c102700000000000006").unwrap();
            flip(transaction.windows(transfer.len()).position(|window| window == transfer).unwrap() + 1);
        }
        "extra.recentBlockhash removed from requirements" => ours["extra"] = without(&ours["extra"], "recentBlockhash"),
        other => panic!("unknown case {other}"),
    }
    payment["accepted"] = ours.clone();
    read(&header(&payment), &offer([terms(&ours, None)]), 0)
}

#[test]
fn solana_verdicts_are_the_references_or_differ_by_name() {
    let vector = vector("v2-svm-payment");
    let cases = vector["facilitator_verdicts"].as_array().unwrap();
    assert_eq!(cases.len(), 9);
    for verdict in cases {
        let case = text(verdict, "/case");
        let judged = judged_on_solana(&case);
        let expected = match &*case {
            // The facilitator knows its own keys. We know our terms, and the transaction has another fee payer.
            "extra.feePayer not managed" => Some("invalid_exact_svm_fee_payer_mismatch"),
            _ => verdict["invalidReason"].as_str(),
        };
        assert_eq!(judged.as_ref().err().map(|refused| &*refused.reason), expected, "{case}");
        if let Ok(presented) = judged {
            assert_eq!(presented.payer.unwrap().to_string(), text(verdict, "/payer"), "{case}");
        }
    }
}

/// On chain an authorization of `USD Coin` is no authorization of `USDC`: our terms decide which one is meant.
#[test]
fn an_echo_without_the_domain_is_not_our_offer() {
    let mut payment = vector("v2-eip3009-payment")["payment_payload"].clone();
    let ours = payment["accepted"].clone();
    payment["accepted"]["extra"] = without(&ours["extra"], "name");
    let refused = read(&header(&payment), &offer([terms(&ours, None)]), 0).unwrap_err();
    assert_eq!(refused.reason, "no_matching_payment_requirements");
}
