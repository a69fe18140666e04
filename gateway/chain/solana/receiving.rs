//! What has succeeded, and whom it has paid.

use serde_json::{Value, json};

use super::tests::{
    SINCE, Server, balance, hinted, landed, paid, payment, seen, serve, signature, solana, sought_message, spent,
};
use crate::chain::{Chain as _, ChainError};
use crate::svm;

/// Anybody can have a message signed that pays somebody else, by a shop of their own at the same facilitator.
#[tokio::test]
async fn what_has_succeeded_has_paid_only_whom_it_gave_the_money() {
    let (before, none) = (|| json!([balance(11, 12, "5")]), || json!([]));
    let unclear = Err(ChainError::Unclear(signature(2)));
    for (balances, expected) in [
        ((none(), json!([balance(11, 12, "10000")])), Ok(paid(2, SINCE + 3))),
        ((before(), json!([balance(11, 12, "10006")])), Ok(paid(2, SINCE + 3))),
        ((before(), json!([balance(11, 12, "5"), balance(11, 12, "10000")])), Ok(paid(2, SINCE + 3))),
        ((before(), json!([balance(11, 12, "10004")])), unclear.clone()),
        ((before(), before()), Ok(spent(2))),
        ((before(), json!([balance(11, 12, "4")])), Ok(spent(2))),
        ((none(), none()), Ok(spent(2))),
        ((none(), json!([balance(11, 13, "10000")])), Ok(spent(2))),
        ((none(), json!([balance(10, 12, "10000")])), Ok(spent(2))),
        ((none(), json!([balance(11, 12, "-1")])), unclear.clone()),
        ((none(), json!([balance(11, 12, "1e9")])), unclear.clone()),
        ((Value::Null, json!([balance(11, 12, "10000")])), unclear.clone()),
        ((none(), Value::Null), unclear.clone()),
    ] {
        let text = format!("{balances:?}");
        let server = Server::at(SINCE + 5, &[landed(2, SINCE + 3, &payment()).with(balances)]);
        assert_eq!(seen(&server).await, expected, "{text}");
        assert_eq!(solana(&serve(&server).await).look_up(&hinted(2)).await, expected, "{text}");
    }
}

/// Servers need not keep balances for the wallets that most people have.
#[tokio::test]
async fn an_ordinary_transfer_says_itself_what_it_pays() {
    let draft = |mint, pay_to, amount| {
        let (mint, pay_to, memo) = ([mint; 32], [pay_to; 32], b"x".to_vec());
        let (fee_payer, program, blockhash) = ([1; 32], svm::TOKEN, [7; 32]);
        let draft = svm::Draft { fee_payer, program, mint, decimals: 6, pay_to, amount, blockhash, memo };
        draft.message(&[2; 32]).unwrap()
    };
    for (message, expected) in [
        (draft(11, 12, 10_000), Ok(paid(2, SINCE + 3))),
        (draft(11, 12, 9_999), Err(ChainError::Unclear(signature(2)))),
        (draft(11, 13, 10_000), Err(ChainError::Unclear(signature(2)))),
        (draft(10, 12, 10_000), Err(ChainError::Unclear(signature(2)))),
    ] {
        let unsaid = (Value::Null, Value::Null);
        let server = Server::at(SINCE + 5, &[landed(2, SINCE + 3, &message).with(unsaid)]);
        assert_eq!(solana(&serve(&server).await).look_up(&sought_message(message)).await, expected);
    }
}
