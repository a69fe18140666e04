//! Payments on Solana: whose they are, what is refused at once, what is left to the facilitator, and what varies from
//! challenge to challenge.

use serde_json::{Value, json};

use super::testing::{
    FEE_PAYER, NOW, OTHER_FEE_PAYER, SOLANA_PAY_TO, SvmWallet, mint, offer, on_solana, quoted, read, read_at, reason,
    usdc_on_solana, v1, v2,
};
use super::{Challenge, Hints, PaymentId, Presented, QuoteMint, Shortfall, Unserved};
use crate::pricing::{FeePayers, Offer, OfferKey, OnSolana, PriceTable, Router, Terms, Unlisted};
use crate::svm::{self, Draft, TOKEN_2022};
use crate::x402::{Version, codec};

const UNSIGNED: &str = "payload_signature_invalid";
const OWN_MONEY: &str = "payload_transaction_fee_payer_transferring_funds";

fn selling(terms: Terms) -> Offer {
    offer(OfferKey::call("GET", "/weather"), [terms])
}

fn wallet() -> SvmWallet {
    SvmWallet::new(1)
}

/// What is said of a payload on the usual terms: who pays, or why it is refused.
fn judged(payload: Value) -> Result<Option<String>, String> {
    let offer = selling(usdc_on_solana(10_000));
    match read(&v2(&offer.terms[0], payload), &offer) {
        Ok(presented) => Ok(presented.payer.map(|payer| payer.to_string())),
        Err(refused) => Err(refused.reason.trim_start_matches("invalid_exact_svm_").to_owned()),
    }
}

fn draft() -> Draft {
    SvmWallet::draft(&usdc_on_solana(10_000), 1)
}

/// The usual message with some of its bytes (once there) replaced.
fn message_with(from: &[u8], to: &[u8]) -> Vec<u8> {
    let message = draft().message(&wallet().key()).unwrap();
    let places: Vec<_> = (0..message.len()).filter(|at| message[*at..].starts_with(from)).collect();
    let [at] = places[..] else { panic!("{from:?} is there {} times", places.len()) };
    [&message[..at], to, &message[at + from.len()..]].concat()
}

/// The instructions of [`draft`]: program, accounts, data.
const LIMIT: &[u8] = &[4, 0, 5, 2, 0x20, 0x4e, 0, 0];
const PRICE: &[u8] = &[4, 0, 9, 3, 1, 0, 0, 0, 0, 0, 0, 0];
const TRANSFER: &[u8] = &[7, 4, 2, 5, 3, 1, 10, 12, 0x10, 0x27, 0, 0, 0, 0, 0, 0, 6];
const MEMO: &[u8] = &[6, 0, 17, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1];

fn all_with(count: u8, instructions: &[&[u8]]) -> Vec<u8> {
    let from = [&[4], LIMIT, PRICE, TRANSFER, MEMO].concat();
    message_with(&from, &[&[count], instructions.concat().as_slice()].concat())
}

#[test]
fn who_signed_for_the_money_is_the_payer() {
    let payer = Ok(Some(wallet().address().to_string()));
    assert_eq!(judged(wallet().pay(&usdc_on_solana(10_000), 1)), payer);
    let message = Draft { program: TOKEN_2022, ..draft() }.message(&wallet().key()).unwrap();
    assert_eq!(judged(wallet().sign(&message)), payer);
    let message = draft().message(&wallet().key()).unwrap();
    assert_eq!(judged(wallet().sign(&message[1..message.len() - 1])), payer, "in the legacy format");
    let dear: &[u8] = &[4, 0, 9, 3, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0];
    for message in [
        all_with(3, &[LIMIT, PRICE, TRANSFER]),
        all_with(7, &[LIMIT, PRICE, TRANSFER, MEMO, MEMO, MEMO, MEMO]),
        // How much is too much is the facilitator's to say, who pays it.
        message_with(PRICE, dear),
        // A token with rules of its own has more accounts.
        message_with(&TRANSFER[..7], &[7, 5, 2, 5, 3, 1, 4, 10]),
    ] {
        assert_eq!(judged(wallet().sign(&message)), payer, "{message:?}");
    }
}

#[test]
fn what_is_wrong_in_every_layout_is_refused_at_once() {
    let terms = usdc_on_solana(10_000);
    let refused = |reason: &str| Err(reason.to_owned());
    let paid = wallet().pay(&terms, 1)["transaction"].as_str().unwrap().to_owned();
    let changed = |at: usize, with: &[u8]| {
        let mut bytes = codec::decode_bytes(&paid).unwrap();
        bytes[at..at + with.len()].copy_from_slice(with);
        super::svm_wallet::payload(&bytes)
    };
    assert_eq!(judged(changed(65, &[0; 64])), refused(UNSIGNED), "nobody but the fee payer would sign");
    assert_eq!(judged(changed(70, &[0])), refused(UNSIGNED));
    assert_eq!(judged(SvmWallet::new(2).sign(&draft().message(&wallet().key()).unwrap())), refused(UNSIGNED));
    let foreign = on_solana(10_000, SOLANA_PAY_TO, None);
    for of_others in [wallet().pay(&foreign, 1), wallet().pay_by_program(&foreign, 1)] {
        assert_eq!(judged(of_others), refused("fee_payer_mismatch"));
    }
    let by_program = wallet().pay_by_program(&terms, 1)["transaction"].as_str().unwrap().to_owned();
    let mut bytes = codec::decode_bytes(&by_program).unwrap();
    bytes[66] ^= 1;
    assert_eq!(judged(super::svm_wallet::payload(&bytes)), refused(UNSIGNED));
    let of_fee_payer = [&TRANSFER[..5], &[0], &TRANSFER[6..]].concat();
    assert_eq!(judged(wallet().sign(&message_with(TRANSFER, &of_fee_payer))), refused(OWN_MONEY));
    // Its own money in any other layout, and the money of another of its accounts.
    let message = all_with(4, &[LIMIT, PRICE, MEMO, &of_fee_payer]);
    assert_eq!(judged(wallet().sign(&message)), refused(OWN_MONEY));
    let other = svm::pubkey(OTHER_FEE_PAYER).unwrap();
    assert_eq!(judged(wallet().sign(&message_with(&wallet().key(), &other))), refused(UNSIGNED));
    assert!(judged(json!({"transaction": "AgAA"})).unwrap_err().ends_with("could_not_be_decoded"));
}

#[test]
fn a_transfer_that_is_understood_has_to_be_the_one_that_is_owed() {
    let terms = usdc_on_solana(10_000);
    let with = |change: fn(&mut Draft)| {
        let mut draft = draft();
        change(&mut draft);
        judged(wallet().sign(&draft.message(&wallet().key()).unwrap())).unwrap_err()
    };
    assert_eq!(with(|draft| draft.amount = 9_999), "payload_amount_mismatch");
    assert_eq!(with(|draft| draft.amount = 10_001), "payload_amount_mismatch", "exact is exact");
    assert_eq!(with(|draft| draft.pay_to = [5; 32]), "payload_recipient_mismatch");
    assert_eq!(with(|draft| draft.mint = [5; 32]), "payload_mint_mismatch");
    // To the payer's own account; and to the right one of the other token program.
    let to_self = [&TRANSFER[..4], &[2], &TRANSFER[5..]].concat();
    assert_eq!(judged(wallet().sign(&message_with(TRANSFER, &to_self))).unwrap_err(), "payload_recipient_mismatch");
    let message = message_with(&svm::TOKEN, &TOKEN_2022);
    assert_eq!(judged(wallet().sign(&message)).unwrap_err(), "payload_recipient_mismatch");
    // Of somebody who has not signed.
    let of_other = [&TRANSFER[..5], &[2], &TRANSFER[6..]].concat();
    assert_eq!(judged(wallet().sign(&message_with(TRANSFER, &of_other))).unwrap_err(), UNSIGNED);
    let seller = SvmWallet::new(0x55);
    assert_eq!(seller.address().to_string(), SOLANA_PAY_TO);
    assert_eq!(judged(seller.pay(&terms, 1)).unwrap_err(), "invalid_payload", "who is paid is who pays");
}

#[test]
fn what_is_not_understood_is_left_to_the_facilitator() {
    assert_eq!(judged(wallet().pay_by_program(&usdc_on_solana(10_000), 1)), Ok(None));
    let lookup = [&TRANSFER[..3], &[99], &TRANSFER[4..]].concat();
    let plain = [&[7, 4, 2, 5, 3, 1, 9, 3], &TRANSFER[8..16]].concat();
    let nonce: &[u8] = &[7, 0, 4, 4, 0, 0, 0];
    // Of an account that several people dispose of: the chain knows whether enough of them have signed.
    let several = [&[7, 5, 2, 5, 3, 2, 1], &TRANSFER[6..]].concat();
    for (what, message) in [
        ("two instructions", all_with(2, &[LIMIT, PRICE])),
        ("eight instructions", all_with(8, &[LIMIT, PRICE, TRANSFER, MEMO, MEMO, MEMO, MEMO, MEMO])),
        ("another order", all_with(4, &[PRICE, LIMIT, TRANSFER, MEMO])),
        ("no price", all_with(3, &[LIMIT, TRANSFER, MEMO])),
        ("a nonce first", all_with(5, &[nonce, LIMIT, PRICE, TRANSFER, MEMO])),
        ("a call behind the transfer", all_with(4, &[LIMIT, PRICE, TRANSFER, nonce])),
        ("an account of a lookup table", message_with(TRANSFER, &lookup)),
        ("a transfer without the token", message_with(TRANSFER, &plain)),
        ("an account of several people", message_with(TRANSFER, &several)),
    ] {
        assert_eq!(judged(wallet().sign(&message)), Ok(None), "{what}");
    }
}

fn quote(terms: &Terms) -> String {
    mint().quote(&selling(terms.clone()).key, &terms.digest, NOW, [1; 8])
}

fn asked(presented: &Presented) -> Value {
    serde_json::from_str(presented.request.payment_requirements.get()).unwrap()
}

/// A facilitator with several fee payers names a random one each time.
#[test]
fn a_payment_is_taken_with_any_fee_payer_that_the_facilitator_has_named() {
    let (first, now) = (on_solana(10_000, FEE_PAYER, None), selling(on_solana(10_000, OTHER_FEE_PAYER, None)));
    let paid = wallet().pay(&first, 1);
    for (message, later) in [(v2(&first, paid.clone()), 0), (quoted(&first, paid.clone(), &quote(&first)), 100_000)] {
        let presented = read_at(NOW + later, &message, &now).unwrap();
        assert_eq!(presented.late, None, "that is no change of the price");
        assert_eq!(asked(&presented), serde_json::to_value(first.requirements()).unwrap());
        assert_eq!(presented.payer, Some(wallet().address()));
    }
    // What the echo says counts: with the other's transaction it is nobody's.
    let mixed = quoted(&now.terms[0], paid, &quote(&now.terms[0]));
    assert_eq!(reason(&mixed, &now), "invalid_exact_svm_fee_payer_mismatch");
}

/// After a restart nothing is known but what the facilitator says now; the quote still is ours.
#[test]
fn a_fee_payer_of_a_quote_holds_for_the_quotes_time() {
    let unknown = svm::base58(&[8; 32]);
    let (first, now) = (on_solana(10_000, &unknown, None), selling(usdc_on_solana(10_000)));
    let message = quoted(&first, wallet().pay(&first, 1), &quote(&first));
    let presented = read_at(NOW + 300, &message, &now).unwrap();
    assert_eq!((presented.late.is_none(), &asked(&presented)["extra"]["feePayer"]), (true, &json!(unknown)));
    assert_eq!(read_at(NOW + 301, &message, &now).unwrap().late.unwrap().reason, "no_matching_payment_requirements");
    assert_eq!(reason(&v2(&first, wallet().pay(&first, 1)), &now), "no_matching_payment_requirements");
}

/// Version 1 echoes nothing: who pays the fees stands in the transaction only.
#[test]
fn version_one_may_have_any_of_the_fee_payers() {
    let offer = selling(on_solana(10_000, FEE_PAYER, Some("shop")));
    assert_eq!(offer.terms[0].v1_network, Some("solana"));
    for fee_payer in [FEE_PAYER, OTHER_FEE_PAYER] {
        let message = v1(&offer.terms[0], wallet().pay(&on_solana(10_000, fee_payer, None), 1));
        let presented = read(&message, &offer).unwrap();
        assert_eq!((presented.version, presented.network_name()), (Version::V1, "solana"));
        assert_eq!(presented.payer, Some(wallet().address()));
        assert_eq!(asked(&presented)["extra"], json!({"feePayer": fee_payer}), "without a memo");
    }
    let foreign = wallet().pay(&on_solana(10_000, SOLANA_PAY_TO, None), 1);
    assert_eq!(reason(&v1(&offer.terms[0], foreign), &offer), "invalid_exact_svm_fee_payer_mismatch");
    let unread = v1(&offer.terms[0], json!({"transaction": "AgAA"}));
    assert_eq!(reason(&unread, &offer), "invalid_exact_svm_payload_transaction_could_not_be_decoded");
}

#[test]
fn version_one_is_offered_with_its_own_fee_payer_or_not_at_all() {
    let with = |fee_payer_v1| {
        let terms = on_solana(10_000, FEE_PAYER, None);
        let fee_payers = &FeePayers::default();
        terms.on_solana(OnSolana { fee_payer: FEE_PAYER, fee_payer_v1, fee_payers, memo: Some("shop") })
    };
    let own = with(Some(OTHER_FEE_PAYER));
    assert!(own.v1_head.contains(OTHER_FEE_PAYER) && !own.v1_head.contains(FEE_PAYER), "{}", own.v1_head);
    assert!(!own.v1_head.contains("memo") && own.v2_head.contains(FEE_PAYER));
    assert_eq!((with(None).v1_network, &*with(None).v1_head), (None, ""));
}

/// The entries of a challenge's `accepts`.
fn challenge(offer: &Offer, random: u8, hints: &Hints) -> Vec<Value> {
    let (router, unlisted) = (Router::default(), Unlisted::Deny);
    let (endpoints, public_url) = ("/x402".into(), "https://api.example.com".into());
    let table = &PriceTable { router, plans: Vec::new(), unlisted, endpoints, public_url };
    let (resource, shortfall) = ("https://api.example.com/weather", &Shortfall::MissingCredentials);
    let request = Unserved { resource, shortfall, plans: false, table, hints, now: NOW, timestamp: "" };
    let header = Challenge::of_offer(offer, request, &mint(), [random; 8]).header.unwrap();
    let required: Value = serde_json::from_str(&codec::decode(header.as_bytes()).unwrap()).unwrap();
    required["accepts"].as_array().unwrap().clone()
}

/// A payment as the reference's client makes it of a challenge's entry.
fn answer(accepted: &Value, terms: &Terms) -> Value {
    let memo = accepted["extra"]["memo"].as_str().unwrap().as_bytes().to_vec();
    let message = Draft { memo, ..SvmWallet::draft(terms, 1) }.message(&wallet().key()).unwrap();
    json!({"x402Version": 2, "accepted": accepted, "payload": wallet().sign(&message)})
}

#[test]
fn each_challenge_has_a_memo_of_its_own() {
    let offer = selling(on_solana(10_000, FEE_PAYER, Some("shop \"7\"")));
    let terms = &offer.terms[0];
    let (first, second) = (challenge(&offer, 1, &Hints::default()), challenge(&offer, 2, &Hints::default()));
    assert_eq!(first[0]["extra"]["memo"], "shop \"7\"/0101010101010101");
    assert_eq!(second[0]["extra"]["memo"], "shop \"7\"/0202020202020202");
    let ids = [&first, &second].map(|accepts| {
        let presented = read(&answer(&accepts[0], terms), &offer).unwrap();
        assert_eq!(asked(&presented)["extra"]["memo"], accepts[0]["extra"]["memo"]);
        assert!(presented.quote.is_some());
        presented.id
    });
    assert_ne!(ids[0], ids[1], "two like payments of one block are two");
}

#[test]
fn the_memo_is_the_one_of_the_challenge_and_stands_there_once() {
    let offer = selling(on_solana(10_000, FEE_PAYER, Some("shop")));
    let terms = &offer.terms[0];
    let accepted = challenge(&offer, 1, &Hints::default()).remove(0);
    let paid_with = |memo: &[u8], by_program: bool| {
        let mut draft = Draft { memo: memo.to_vec(), ..SvmWallet::draft(terms, 1) };
        if by_program {
            draft.program = [9; 32];
        }
        let payload = wallet().sign(&draft.message(&wallet().key()).unwrap());
        reason(&json!({"x402Version": 2, "accepted": accepted, "payload": payload}), &offer)
    };
    for by_program in [false, true] {
        assert_eq!(paid_with(b"shop/0101010101010101", by_program), "");
        for memo in [&b"shop/0202020202020202"[..], b"shop/", b"shop", b"", b"shop/01010101010101010"] {
            assert_eq!(paid_with(memo, by_program), "invalid_exact_svm_payload_memo_mismatch", "{memo:?}");
        }
    }
    let message = all_with(3, &[LIMIT, PRICE, TRANSFER]);
    let none = json!({"x402Version": 2, "accepted": accepted, "payload": wallet().sign(&message)});
    assert_eq!(reason(&none, &offer), "invalid_exact_svm_payload_memo_count");
    let message = all_with(5, &[LIMIT, PRICE, TRANSFER, MEMO, MEMO]);
    let two = json!({"x402Version": 2, "accepted": accepted, "payload": wallet().sign(&message)});
    assert_eq!(reason(&two, &offer), "invalid_exact_svm_payload_memo_count");
    // Another end than that of the quote, none at all, and another text.
    for (memo, why) in [
        ("shop/0202020202020202", "quote_mismatch"),
        ("shop/", "no_matching_payment_requirements"),
        ("shop", "no_matching_payment_requirements"),
        ("shop/010101010101010G", "no_matching_payment_requirements"),
        ("other/0101010101010101", "no_matching_payment_requirements"),
    ] {
        let mut echo = accepted.clone();
        echo["extra"]["memo"] = memo.into();
        assert_eq!(reason(&answer(&echo, terms), &offer), why, "{memo}");
    }
    let mut unquoted = accepted.clone();
    unquoted["extra"].as_object_mut().unwrap().remove("quote");
    unquoted["extra"]["memo"] = "shop/00000000000000ff".into();
    assert_eq!(reason(&answer(&unquoted, terms), &offer), "", "without a quote nobody knows which challenge it was");
}

#[test]
fn a_memo_of_a_quote_holds_after_the_setting_has_changed() {
    let old = selling(on_solana(10_000, FEE_PAYER, Some("shop")));
    let message = answer(&challenge(&old, 1, &Hints::default())[0], &old.terms[0]);
    for new in [usdc_on_solana(10_000), on_solana(10_000, FEE_PAYER, Some("other")), usdc_on_solana(20_000)] {
        let presented = read(&message, &selling(new)).unwrap();
        assert_eq!(asked(&presented)["extra"]["memo"], "shop/0101010101010101");
        assert_eq!(presented.amount(), old.terms[0].amount);
    }
}

#[test]
fn a_recent_block_is_named_and_is_no_part_of_the_terms() {
    let old = selling(on_solana(10_000, FEE_PAYER, Some("shop")));
    let block = svm::base58(&[7; 32]);
    let mut hints = Hints::default();
    hints.put(&old.terms[0].network, &block, 1000, NOW - 20);
    let accepted = challenge(&old, 1, &hints).remove(0);
    assert_eq!(accepted["extra"]["recentBlockhash"], json!(block));
    assert_eq!(accepted["extra"]["lastValidBlockHeight"], "1000", "a text, as the reference has it");
    let mut stale = Hints::default();
    stale.put(&old.terms[0].network, &block, 1000, NOW - 21);
    assert_eq!(challenge(&old, 1, &stale), challenge(&old, 1, &Hints::default()));
    let message = answer(&accepted, &old.terms[0]);
    for offer in [old, selling(usdc_on_solana(20_000))] {
        let presented = read(&message, &offer).unwrap();
        assert!(presented.quote.is_some() && presented.late.is_none());
        let extra = json!({"feePayer": FEE_PAYER, "memo": "shop/0101010101010101"});
        assert_eq!(asked(&presented)["extra"], extra, "the facilitator has blocks of its own");
    }
}

#[test]
fn the_id_is_that_of_the_message_whatever_the_terms() {
    let offer = selling(on_solana(10_000, OTHER_FEE_PAYER, None));
    let terms = on_solana(10_000, FEE_PAYER, None);
    let message = SvmWallet::draft(&terms, 1).message(&wallet().key()).unwrap();
    let id = PaymentId::svm(&terms.network, &message);
    assert_eq!(read(&v2(&terms, wallet().pay(&terms, 1)), &offer).unwrap().id, id);
    assert_eq!(read(&v1(&offer.terms[0], wallet().pay(&terms, 1)), &offer).unwrap().id, id);
    let other = QuoteMint::new(&[8; 32]).quote(&offer.key, &terms.digest, NOW, [1; 8]);
    assert_eq!(reason(&quoted(&terms, wallet().pay(&terms, 1), &other), &offer), "quote_mismatch");
}
