use std::sync::Arc;

use crate::clock::{iso_millis, unix_seconds};
use crate::payment::{Hints, QuoteMint};
use crate::resource_server::{Market, ResourceServer};

/// What an answer of the gateway is put together from: the prices and the time of this request.
pub(super) struct Wording<'a> {
    pub(super) market: &'a Market,
    pub(super) quotes: &'a QuoteMint,
    pub(super) hints: Arc<Hints>,
    /// Seconds of Unix time.
    pub(super) now: u64,
    /// The same for people.
    pub(super) timestamp: String,
}

impl<'a> Wording<'a> {
    pub(super) fn new(market: &'a Market, server: &'a ResourceServer) -> Self {
        let now = server.clock().now();
        Self {
            market,
            quotes: &server.quotes,
            hints: server.hints.load_full(),
            now: unix_seconds(now),
            timestamp: iso_millis(now),
        }
    }
}
