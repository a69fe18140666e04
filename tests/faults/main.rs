//! A panic at each await point of a priced request: the upstream does nothing that is not paid for, no money moves
//! without its row in the books, and what the panic left behind does not stand in the way of the same payment, the same
//! key, or anybody else.
//!
//! ```text
//! cargo test --features crash-points --test faults
//! ```
//! What a panic is to the client (a closed connection, a reset stream, an error) is no matter here.

// The lints are for code that money depends on; here a surprise is a failed test, whichever way it shows.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::string_slice)]

mod paying;
mod points;
mod spending;
mod stage;
mod streams;
#[allow(dead_code, reason = "the tests of the sockets use the rest")]
#[path = "../gateway/support/mod.rs"]
mod support;
mod unpaid;
