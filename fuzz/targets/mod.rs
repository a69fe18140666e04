//! Every decoder of bytes from outside, as a function of any bytes: it never panics, and what it takes has the
//! properties that money depends on.
//!
//! The fuzzer runs them (`fuzz/fuzz_targets`), and so does `cargo test` over the seeds and small changes of those
//! (`tests/fuzz.rs`).

mod chain;
mod config;
mod credential;
mod facilitator;
mod frames;
mod list;
mod market;
mod path;
mod payment;
mod sign_in;
mod token;
mod transaction;
mod word;

pub use chain::chain;
pub use config::config;
pub use credential::credential;
pub use facilitator::facilitator;
pub use frames::frames;
pub use list::list;
pub use market::read;
pub use path::path;
pub use payment::payment;
pub use sign_in::sign_in;
pub use token::token;
pub use transaction::transaction;
pub use word::word;

/// A target: it panics if something is wrong.
pub type Target = fn(&[u8]);

/// All of them, by the names of their corpora.
pub const ALL: [(&str, Target); 12] = [
    ("chain", chain),
    ("config", config),
    ("credential", credential),
    ("facilitator", facilitator),
    ("frames", frames),
    ("list", list),
    ("path", path),
    ("payment", payment),
    ("sign_in", sign_in),
    ("token", token),
    ("transaction", transaction),
    ("word", word),
];

/// The text of some bytes, if it is one.
fn text(data: &[u8]) -> Option<&str> {
    std::str::from_utf8(data).ok()
}

/// What stands before and behind the first line's end.
fn halves(data: &[u8]) -> (&[u8], &[u8]) {
    let mut halves = data.splitn(2, |&byte| byte == b'\n');
    (halves.next().unwrap_or_default(), halves.next().unwrap_or_default())
}
