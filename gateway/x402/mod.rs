//! The x402 protocol as it stands on the wire: versions 2 and 1, their headers, and the facilitator's API.
//!
//! Only shapes and codecs. What a payment means, and whether it is good, is [`crate::payment`]'s.
//!
//! | direction | version 2 | version 1 |
//! |---|---|---|
//! | challenge | header `PAYMENT-REQUIRED` | the 402's JSON body |
//! | payment | header `PAYMENT-SIGNATURE` | header `X-PAYMENT` |
//! | receipt | header `PAYMENT-RESPONSE` | header `X-PAYMENT-RESPONSE` |

pub mod codec;
pub mod facilitator;
pub mod headers;
pub mod networks;
mod scheme;
pub mod v1;
pub mod v2;

pub use scheme::{Scheme, SchemeError};

/// The protocol version that a payment speaks; its receipt and the facilitator's calls speak the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Version {
    /// Networks by short names, challenge in the body.
    V1,
    /// CAIP-2 networks, challenge in a header.
    V2,
}

impl Version {
    /// `x402Version` on the wire.
    pub const fn number(self) -> u8 {
        match self {
            Self::V1 => 1,
            Self::V2 => 2,
        }
    }
}
