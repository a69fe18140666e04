//! The reader against the reference's own transaction is in `tests/vectors` and `sandbox`; here is what is no
//! transaction, and what only looks like a transfer.

use ed25519_dalek::SigningKey;
use proptest::prelude::*;

use super::*;

fn draft() -> Draft {
    let (fee_payer, mint, pay_to) = ([1; 32], [2; 32], [3; 32]);
    let (program, blockhash, memo) = (TOKEN, [7; 32], b"memo".to_vec());
    Draft { fee_payer, program, mint, decimals: 6, pay_to, amount: 10_000, blockhash, memo }
}

fn payer() -> SigningKey {
    SigningKey::from_bytes(&[4; 32])
}

#[test]
fn a_draft_is_read_back() {
    for program in [TOKEN, TOKEN_2022] {
        for memo in [vec![], vec![b'm'; 127], vec![b'm'; 128], vec![b'm'; 256]] {
            let draft = Draft { program, memo, ..draft() };
            let bytes = draft.sign(&payer()).unwrap();
            let transaction = Transaction::parse(&bytes).unwrap();
            assert!(transaction.is_signed_by_others());
            let message = &transaction.message;
            assert_eq!((message.fee_payer(), message.blockhash), (Some(&[1; 32]), &[7; 32]));
            assert_eq!(message.memos().collect::<Vec<_>>(), [&*draft.memo]);
            let transfer = message.transfer().unwrap();
            assert_eq!((transfer.mint, transfer.amount, transfer.compute_price), (&[2; 32], 10_000, 1));
            assert_eq!(transfer.authority, payer().verifying_key().as_bytes());
            assert_eq!(Some(*transfer.destination), associated_token_account(&[3; 32], &program, &[2; 32]));
            assert!(message.spends_of(transfer.authority) && !message.spends_of(&[1; 32]));
            assert_eq!(signed_bytes(&bytes), Some(transaction.bytes));
        }
    }
    assert!(Draft { memo: vec![0; 20_000], ..draft() }.sign(&payer()).is_none());
    let large = Draft { memo: vec![0; 1000], ..draft() }.sign(&payer()).unwrap();
    assert!(large.len() > 1232 && Transaction::parse(&large).is_none() && signed_bytes(&large).is_none());
}

#[test]
fn nothing_but_a_whole_transaction_is_one() {
    let whole = draft().sign(&payer()).unwrap();
    for length in 0..whole.len() {
        assert!(Transaction::parse(&whole[..length]).is_none(), "{length} bytes");
    }
    let with = |at: usize, bytes: &[u8]| [&whole[..at], bytes, &whole[at + 1..]].concat();
    let message = 1 + 2 * 64;
    for (what, bytes) in [
        ("a byte more", [&*whole, &[0]].concat()),
        ("a signature less", [&[1], &whole[65..]].concat()),
        ("no signature", [&[0], &whole[message..]].concat()),
        ("version 1", with(message, &[0x81])),
        ("nobody signs", with(message + 1, &[0])),
        ("more sign than there are", with(message + 1, &[9])),
        ("a length in a longer form", with(message + 4, &[0x88, 0])),
        ("a length beyond 16 bits", with(message + 4, &[0x88, 0x80, 4])),
        ("a length without an end", with(message + 4, &[0xff; 4])),
    ] {
        assert!(Transaction::parse(&bytes).is_none(), "{what}");
    }
}

#[test]
fn a_legacy_message_is_the_same_without_version_and_tables() {
    let bytes = draft().message(&[4; 32]).unwrap();
    let legacy = &bytes[1..bytes.len() - 1];
    assert_eq!(Message::parse(legacy), Message::parse(&bytes));
    assert!(Message::parse(&bytes).is_some() && Message::parse(&bytes[1..]).is_none());
}

#[test]
fn a_signature_is_of_this_message_by_this_account() {
    let whole = draft().sign(&payer()).unwrap();
    let signed = |bytes: &[u8]| Transaction::parse(bytes).unwrap().is_signed_by_others();
    let mut fee_payers = whole.clone();
    fee_payers[1..65].fill(0x5a);
    assert!(signed(&whole) && signed(&fee_payers), "the fee payer's slot is not looked at");
    for at in [65, 128, whole.len() - 2] {
        let mut changed = whole.clone();
        changed[at] ^= 1;
        assert!(!signed(&changed), "byte {at}");
    }
    let mut unsigned = whole;
    unsigned[65..129].fill(0);
    assert!(!signed(&unsigned));
}

/// A key of small order has signatures that are good for any message, by the letter of the equation.
#[test]
fn a_key_of_small_order_signs_nothing() {
    let mut identity = [0; 32];
    identity[0] = 1;
    let message = draft().message(&identity).unwrap();
    let signature = [identity, [0; 32]].concat();
    let bytes = [&[2], [0; 64].as_slice(), &signature, &message].concat();
    assert!(!Transaction::parse(&bytes).unwrap().is_signed_by_others());
}

#[test]
fn addresses_are_32_bytes_of_base58() {
    assert_eq!(pubkey(&base58(&TOKEN)), Some(TOKEN));
    assert_eq!(pubkey(&base58(&[0; 32])), Some([0; 32]));
    assert_eq!(pubkey(&base58(&[255; 32])), Some([255; 32]));
    for bad in ["", "0", "l", "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5D", &"1".repeat(33), &"2".repeat(100_000)] {
        assert_eq!(pubkey(bad), None, "{bad}");
    }
}

proptest! {
    #[test]
    fn parsing_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..1300)) {
        let _ = (Transaction::parse(&bytes), Message::parse(&bytes), signed_bytes(&bytes));
    }

    #[test]
    fn what_differs_in_a_byte_is_another_message_or_none(at in 129usize..450, flip in 1u8..) {
        let whole = draft().sign(&payer()).unwrap();
        let mut changed = whole.clone();
        let at = at.min(whole.len() - 1);
        changed[at] ^= flip;
        if let Some(transaction) = Transaction::parse(&changed) {
            prop_assert!(!transaction.is_signed_by_others());
            let _ = (transaction.message.transfer(), transaction.message.memos().count());
        }
    }
}
