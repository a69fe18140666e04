//! The message of a Solana transaction, as far as a look-up needs it.

/// The System Program's address, of zeros: `AdvanceNonceAccount` is one of its instructions.
const SYSTEM_PROGRAM: [u8; 32] = [0; 32];
/// The first byte of a message that says its version, here 0; a legacy message begins with its number of signers.
const VERSION_0: u8 = 0x80;

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
        let mut reader = Reader(bytes);
        let mut first = reader.byte()?;
        if first & VERSION_0 != 0 {
            first = (first == VERSION_0).then(|| reader.byte())??;
        }
        let _ = reader.array::<2>()?;
        let accounts: Vec<[u8; 32]> = (0..reader.length()?).map(|_| reader.array()).collect::<Option<_>>()?;
        let blockhash: [u8; 32] = reader.array()?;
        let instructions = reader.length()?;
        let program = if instructions == 0 { None } else { accounts.get(usize::from(reader.byte()?)) };
        let authority = accounts.get(usize::from(first.checked_sub(1)?.min(1)))?;
        Some(Self {
            authority: bs58::encode(authority).into_string(),
            blockhash: bs58::encode(blockhash).into_string(),
            // The nonce is advanced by the first instruction or not at all, and no payment begins with another one of
            // that program.
            is_durable: program == Some(&SYSTEM_PROGRAM),
        })
    }
}

/// Takes bytes off the front; none means that they are not there.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn byte(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (front, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*front)
    }

    /// A length in one to three groups of seven bits, the lowest first.
    fn length(&mut self) -> Option<usize> {
        let mut length = 0;
        for shift in [0, 7, 14] {
            let byte = self.byte()?;
            length |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(length);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

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
        for length in 0..whole.len() - 3 {
            assert_eq!(Message::parse(&whole[..length]), None, "{length} bytes");
        }
        assert_eq!(Message::parse(&message(0, true, [9; 32])), None, "nobody signs");
        assert_eq!(Message::parse(&[&[0x81], &whole[1..]].concat()), None, "version 1");
    }

    proptest! {
        #[test]
        fn parsing_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Message::parse(&bytes);
        }
    }
}
