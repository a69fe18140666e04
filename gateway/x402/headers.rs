//! Names of the HTTP headers that x402 uses (transports-v2/http.md, transports-v1/http.md).

/// The v2 challenge, on a 402.
pub const PAYMENT_REQUIRED: &str = "PAYMENT-REQUIRED";
/// The same value again, for wallets that look for the `X-` form.
pub const X_PAYMENT_REQUIRED: &str = "X-PAYMENT-REQUIRED";
/// A v2 payment.
pub const PAYMENT_SIGNATURE: &str = "PAYMENT-SIGNATURE";
/// A v1 payment.
pub const X_PAYMENT: &str = "X-PAYMENT";
/// The v2 receipt.
pub const PAYMENT_RESPONSE: &str = "PAYMENT-RESPONSE";
/// The v1 receipt.
pub const X_PAYMENT_RESPONSE: &str = "X-PAYMENT-RESPONSE";
/// A wallet's sign-in (extension `sign-in-with-x`).
pub const SIGN_IN_WITH_X: &str = "SIGN-IN-WITH-X";

/// The longest payment header that is decoded, in bytes. The longest honest one (a smart wallet's signature with
/// echoed extensions) is a few KiB.
pub const PAYMENT_BYTES_MAX: usize = 16 * 1024;
