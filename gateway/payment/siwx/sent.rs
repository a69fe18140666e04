use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use super::check::Form;
use super::message::Message;
use crate::payment::Refused;
use crate::x402::codec;

/// A proof as it was sent. Nothing of it is read yet.
#[derive(Clone, PartialEq, Eq)]
pub enum SignIn {
    /// The value of `SIGN-IN-WITH-X`.
    Header(String),
    /// What stands behind `SIWX` in `Authorization`.
    Authorization(String),
}

/// A message with its signature.
pub(super) struct Signed {
    pub(super) message: Message,
    pub(super) form: Form,
    /// The text that was signed; none if it is to be made of the message.
    pub(super) text: Option<String>,
    /// What kind of signature it is said to be.
    pub(super) kind: Option<Kind>,
    pub(super) signature: String,
}

/// The reference's `type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    Eip191,
    Ed25519,
}

#[derive(Deserialize)]
struct Payload {
    #[serde(flatten)]
    message: Message,
    #[serde(rename = "type")]
    kind: Kind,
    signature: String,
}

impl SignIn {
    /// The credential as it was sent. Two forms never have the same bytes: a header is base64 of JSON, and a token has a
    /// dot.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Header(text) | Self::Authorization(text) => text.as_bytes(),
        }
    }

    /// Whether it is a sign-in at this origin: if not, it is somebody else's business. Says nothing of its worth.
    pub fn is_for(&self, origin: &str) -> bool {
        Signed::read(self).is_ok_and(|signed| Some(signed.message.domain.as_str()) == super::check::host(origin))
    }
}

impl Signed {
    pub(super) fn read(sent: &SignIn) -> Result<Self, Refused> {
        let signed = match sent {
            SignIn::Header(value) => Self::read_header(value),
            SignIn::Authorization(value) => Self::read_token(value),
        }?;
        signed.message.check_lines()?;
        Ok(signed)
    }

    fn read_header(value: &str) -> Result<Self, Refused> {
        let wrong = |why: String| Refused::new("invalid_siwx_payload", why);
        let json =
            codec::decode(value.as_bytes()).map_err(|error| wrong(format!("the header SIGN-IN-WITH-X {error}")))?;
        let payload: Payload =
            serde_json::from_str(&json).map_err(|error| wrong(format!("the sign-in cannot be read: {error}")))?;
        let Payload { message, kind, signature } = payload;
        Ok(Self { message, form: Form::Header, text: None, kind: Some(kind), signature })
    }

    fn read_token(value: &str) -> Result<Self, Refused> {
        let wrong = || {
            Refused::new("invalid_siwx_payload", "the token is not base64 of an EIP-4361 message, a dot, a signature")
        };
        let (text, signature) = value.split_once('.').ok_or_else(wrong)?;
        let text = codec::decode(text.as_bytes()).map_err(|_| wrong())?;
        let message = Message::parse(&text).ok_or_else(wrong)?;
        Ok(Self { message, form: Form::Token, text: Some(text), kind: None, signature: signature.to_owned() })
    }

    /// The signature's bytes on EVM chains: hex, and in a token also base64 or the digits alone, as Python's wallets
    /// write them.
    pub(super) fn evm_signature(&self) -> Option<Vec<u8>> {
        match self.signature.strip_prefix("0x") {
            Some(digits) => alloy_primitives::hex::decode(digits).ok(),
            None => self.bare_signature().or_else(|| self.base64_signature()),
        }
    }

    /// The digits of a key's signature. Base64 of something else is not all digits of hex at that length.
    fn bare_signature(&self) -> Option<Vec<u8>> {
        let could_be = self.form == Form::Token && self.signature.len() == 2 * 65;
        could_be.then(|| alloy_primitives::hex::decode(&self.signature).ok()).flatten()
    }

    /// The signature's bytes on Solana: base58, and in a token also base64. Only 64 bytes are one.
    pub(super) fn solana_signature(&self) -> Option<[u8; 64]> {
        let base58 = || bs58::decode(&self.signature).into_vec().ok()?.try_into().ok();
        // Base58 takes time in the square of its length, and 64 bytes are never more than 88 of its digits.
        let short = self.signature.len() <= 88;
        let base64 = || self.base64_signature()?.try_into().ok();
        short.then(base58).flatten().or_else(base64)
    }

    fn base64_signature(&self) -> Option<Vec<u8>> {
        let in_token = self.form == Form::Token;
        let decode = |text: &str| codec::decode_bytes(text).or_else(|_| URL_SAFE_NO_PAD.decode(text)).ok();
        if in_token { decode(&self.signature) } else { None }
    }
}

impl std::fmt::Debug for SignIn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Header(_) => "SignIn::Header",
            Self::Authorization(_) => "SignIn::Authorization",
        })
    }
}
