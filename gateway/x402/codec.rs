//! Base64 of JSON, as every x402 header carries it.

use std::sync::LazyLock;

use base64::Engine as _;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
use base64::engine::simd::Simd;
use base64::engine::{DecodePaddingMode, GeneralPurposeConfig};
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
use base64::{alphabet, engine::GeneralPurpose};
use http::HeaderValue;
use serde::Serialize;

use super::headers::PAYMENT_BYTES_MAX;

/// The standard alphabet; padding is always written, and not demanded, as in the reference decoder.
const PADDING: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_encode_padding(true).with_decode_padding_mode(DecodePaddingMode::Indifferent);

/// By the processor's vector instructions, if it has those that the crate knows.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
static BASE64: LazyLock<Simd> = LazyLock::new(|| Simd::standard(PADDING));
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
static BASE64: LazyLock<GeneralPurpose> = LazyLock::new(|| GeneralPurpose::new(&alphabet::STANDARD, PADDING));

/// Why a header value is not base64 of JSON.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// More than [`PAYMENT_BYTES_MAX`] bytes.
    #[error("is larger than {PAYMENT_BYTES_MAX} bytes")]
    TooLarge,
    /// Not the standard base64 alphabet, or wrong padding.
    #[error("is not standard base64")]
    NotBase64,
    /// The decoded bytes are not UTF-8.
    #[error("is not UTF-8 inside the base64")]
    NotUtf8,
}

/// The header value for a message.
pub fn encode<T: Serialize>(message: &T) -> String {
    // A value of our own types always has a JSON form: no map with odd keys, no failing serializer.
    encode_bytes(&serde_json::to_vec(message).unwrap_or_default())
}

/// The header value for a message that is JSON already.
pub fn encode_json(json: &str) -> HeaderValue {
    let mut base64 = vec![0; base64::encoded_len(json.len(), true).unwrap_or_default()];
    // There is room for all of it, and base64 has nothing that is no header's value.
    let length = BASE64.encode_slice(json, &mut base64).unwrap_or_default();
    base64.truncate(length);
    HeaderValue::try_from(base64).unwrap_or(HeaderValue::from_static(""))
}

/// Base64 of `bytes`, with padding.
pub fn encode_bytes(bytes: &[u8]) -> String {
    BASE64.encode(bytes)
}

/// The bytes behind a base64 text of any length, for example a Solana transaction.
///
/// # Errors
/// [`CodecError::NotBase64`].
pub fn decode_bytes(text: &str) -> Result<Vec<u8>, CodecError> {
    BASE64.decode(text).map_err(|_| CodecError::NotBase64)
}

/// The JSON text inside a payment header.
///
/// # Errors
/// [`CodecError`] if the value is too large, not base64, or not UTF-8; whether it is JSON is the caller's to see.
pub fn decode(header: &[u8]) -> Result<String, CodecError> {
    if header.len() > PAYMENT_BYTES_MAX {
        return Err(CodecError::TooLarge);
    }
    let bytes = BASE64.decode(header).map_err(|_| CodecError::NotBase64)?;
    String::from_utf8(bytes).map_err(|_| CodecError::NotUtf8)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn padding_is_written_and_not_demanded() {
        assert_eq!(encode(&serde_json::json!({})), "e30=");
        assert_eq!(encode_json("{}"), "e30=");
        assert_eq!(decode(b"e30="), Ok("{}".to_owned()));
        assert_eq!(decode(b"e30"), Ok("{}".to_owned()));
        for bad in ["e3 0=", "e30==", "_-8=", "e30=\n", "%"] {
            assert_eq!(decode(bad.as_bytes()), Err(CodecError::NotBase64), "{bad}");
        }
        assert_eq!(decode(&[b'A'; PAYMENT_BYTES_MAX + 1]), Err(CodecError::TooLarge));
        assert_eq!(decode(b"//8="), Err(CodecError::NotUtf8));
    }

    #[test]
    fn a_byte_of_another_alphabet_is_refused_wherever_it_stands() {
        let good = encode_bytes(&[b'x'; 150]);
        assert_eq!(good.len(), 200);
        for place in 0..good.len() {
            for byte in [b'-', b'_', b' ', b'\n', 0x80] {
                let mut bad = good.clone().into_bytes();
                bad[place] = byte;
                assert_eq!(decode(&bad), Err(CodecError::NotBase64), "{byte} at {place}");
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_encoded_decodes_to_itself(text in ".*") {
            prop_assert!(encode_json(&text) == *encode_bytes(text.as_bytes()));
            prop_assert_eq!(decode(encode_bytes(text.as_bytes()).as_bytes()), Ok(text));
        }

        #[test]
        fn decoding_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&bytes);
        }
    }
}
