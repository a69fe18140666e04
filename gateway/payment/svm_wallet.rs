//! A Solana wallet for tests.

use ed25519_dalek::{Signer as _, SigningKey};
use serde_json::{Value, json};

use crate::money::Address;
use crate::pricing::{MEMO, Terms};
use crate::svm::{self, Draft, Pubkey, TOKEN};
use crate::x402::codec;

/// A key to pay with.
pub(crate) struct SvmWallet(SigningKey);

impl SvmWallet {
    pub(crate) fn new(key: u8) -> Self {
        Self(SigningKey::from_bytes(&[key; 32]))
    }

    pub(crate) fn address(&self) -> Address {
        Address::Text(svm::base58(&self.key()).into())
    }

    pub(crate) fn key(&self) -> Pubkey {
        self.0.verifying_key().to_bytes()
    }

    /// A payment on some terms before it is signed. Each number is another one, if the terms leave the memo open.
    pub(crate) fn draft(terms: &Terms, number: u8) -> Draft {
        let address = |text: &str| svm::pubkey(text).unwrap();
        let memo = terms.extra.get(MEMO).and_then(Value::as_str);
        Draft {
            fee_payer: address(terms.fee_payer().unwrap()),
            program: TOKEN,
            mint: address(&terms.asset.address.to_string()),
            decimals: 6,
            pay_to: address(&terms.pay_to.to_string()),
            amount: terms.amount.atomic().try_into().unwrap(),
            blockhash: [7; 32],
            memo: memo.map_or_else(|| vec![number; 17], |memo| memo.as_bytes().to_vec()),
        }
    }

    /// The payload of an ordinary wallet.
    pub(crate) fn pay(&self, terms: &Terms, number: u8) -> Value {
        payload(&Self::draft(terms, number).sign(&self.0).unwrap())
    }

    /// The payload of a wallet that is a program: only a facilitator can find out whose money it moves.
    pub(crate) fn pay_by_program(&self, terms: &Terms, number: u8) -> Value {
        payload(&Draft { program: [9; 32], ..Self::draft(terms, number) }.sign(&self.0).unwrap())
    }

    /// The payload of any message whose second signer this is.
    pub(crate) fn sign(&self, message: &[u8]) -> Value {
        payload(&[&[2], [0; 64].as_slice(), &self.0.sign(message).to_bytes(), message].concat())
    }
}

pub(crate) fn payload(transaction: &[u8]) -> Value {
    json!({"transaction": codec::encode_bytes(transaction)})
}
