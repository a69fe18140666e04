//! What the gateway tells an upstream of a call, signed, so that the upstream can refuse whoever goes around the gateway.
//!
//! | claim | says |
//! |---|---|
//! | `iss`, `aud` | the gateway's public URL, and which upstream it is for |
//! | `iat`, `exp`, `jti` | when, until when, and an id that no other call has |
//! | `method`, `path` | the call as it is forwarded, the path with its query (as HTTP/2's `:path`): good for no other one |
//! | `route` | the pattern of the price table; absent where no route names the path |
//! | `access` | how it was opened: `free`, `trial`, `plan` or `paid`, with what belongs to it ([`Access`]) |
//!
//! A JWT (RFC 7519) signed by Ed25519 (RFC 8037). Everything in it is what the gateway knows, nothing is what the client
//! said of itself. Not for clients: they hold quotes and keys.

mod mint;

use serde::Serialize;

pub use mint::ContextMint;

/// What is said of one call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Claims<'a> {
    /// The gateway's public URL.
    #[serde(rename = "iss")]
    pub issuer: &'a str,
    /// The upstream that it is for.
    #[serde(rename = "aud")]
    pub audience: &'a str,
    /// Now, in seconds of Unix time.
    #[serde(rename = "iat")]
    pub issued_at: u64,
    /// The first second at which it is good no more.
    #[serde(rename = "exp")]
    pub expires_at: u64,
    /// What no other call has.
    #[serde(rename = "jti")]
    pub id: &'a str,
    /// The method that is forwarded.
    pub method: &'a str,
    /// The target that is forwarded: path and query.
    pub path: &'a str,
    /// The route's pattern.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<&'a str>,
    /// How it was opened.
    #[serde(flatten)]
    pub access: Access<'a>,
}

/// How a call was opened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "access", rename_all = "lowercase")]
pub enum Access<'a> {
    /// It costs nothing.
    Free,
    /// One of the calls that an address has free.
    Trial,
    /// Units of a plan are reserved.
    Plan {
        /// The plan's name.
        plan: &'a str,
        /// Who bought it. None if nobody paid.
        #[serde(skip_serializing_if = "Option::is_none")]
        payer: Option<&'a str>,
    },
    /// A payment was found good.
    Paid {
        /// Whether the money has moved; else it moves when the upstream has answered well.
        settled: bool,
        /// The payment's id in the gateway's books.
        payment_id: &'a str,
        /// Who pays, as far as anybody has said.
        #[serde(skip_serializing_if = "Option::is_none")]
        payer: Option<&'a str>,
        /// Where: a CAIP-2 id.
        network: &'a str,
        /// In what: the asset's address.
        asset: String,
        /// How much, in atomic units of the asset. A text, since other languages would make a float of it.
        amount: String,
    },
}
