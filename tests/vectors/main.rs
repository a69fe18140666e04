//! The protocol's test vectors: messages, signatures and verdicts of the reference's packages. Each holds here, or a
//! table beside its test says in what it differs and why.
//!
//! A folder with `main.rs` is one test program, so that the vectors' topics can be files of their own.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "all of this is test code")]

mod accepted;
mod cdp;
mod challenge;
mod encoding;
mod file;
mod money;
mod payments;
mod routes;
mod signing;
mod verdicts;

/// The vectors that some test here reads.
const HELD: [&str; 13] = [
    "v2-challenge",
    "v2-challenge-variants",
    "v2-eip3009-payment",
    "v2-payment-response",
    "eip3009-facilitator-verdicts",
    "v1-eip3009-payment",
    "v2-permit2-payment",
    "v2-svm-payment",
    "accepted-matching",
    "money-parsing",
    "route-matching",
    "encoding",
    "cdp-jwt-eddsa",
];

#[test]
fn every_vector_of_the_file_has_its_place() {
    let ids: Vec<_> = file::vectors().iter().map(|vector| file::text(vector, "/id")).collect();
    assert_eq!(ids, HELD);
}
