//! The message of a Solana transaction, as far as a look-up needs it.

use crate::svm;

/// The System Program's address, of zeros: `AdvanceNonceAccount` is one of its instructions.
const SYSTEM_PROGRAM: svm::Pubkey = [0; 32];

/// What is read of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Message {
    /// Who signs for the money: the second signer, as the first pays the fees, or the only one. In base58.
    pub(super) authority: String,
    /// What limits its life. In base58.
    pub(super) blockhash: String,
    /// Whether its life may have no limit: by a durable nonce in the blockhash's place.
    pub(super) is_durable: bool,
}

impl Message {
    /// Reads a message of the legacy format or version 0.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let message = svm::Message::parse(bytes)?;
        let authority = message.accounts.get(message.signers.checked_sub(1)?.min(1))?;
        let program = message.instructions.first().and_then(|first| message.program(first));
        Some(Self {
            authority: svm::base58(authority),
            blockhash: svm::base58(message.blockhash),
            // The nonce is advanced by the first instruction or not at all, and no payment begins with another one of
            // that program.
            is_durable: program == Some(&SYSTEM_PROGRAM),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::solana::tests::{base58, message};

    #[test]
    fn the_authority_is_the_signer_that_does_not_pay_the_fees() {
        let of = |signers, versioned| Message::parse(&message(signers, versioned, [9; 32])).unwrap();
        for versioned in [false, true] {
            assert_eq!(of(1, versioned).authority, base58(1));
            assert_eq!(of(2, versioned).authority, base58(2));
            assert_eq!(of(3, versioned).authority, base58(2));
            assert_eq!(of(2, versioned).blockhash, base58(7));
            assert!(!of(2, versioned).is_durable);
        }
        assert!(Message::parse(&message(2, true, SYSTEM_PROGRAM)).unwrap().is_durable);
    }

    #[test]
    fn what_is_no_message_is_none() {
        let whole = message(2, true, [9; 32]);
        for length in 0..whole.len() {
            assert_eq!(Message::parse(&whole[..length]), None, "{length} bytes");
        }
        assert_eq!(Message::parse(&message(0, true, [9; 32])), None, "nobody signs");
        assert_eq!(Message::parse(&[&[0x81], &whole[1..]].concat()), None, "version 1");
    }
}
