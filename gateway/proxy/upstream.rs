//! An upstream and its addresses. Names are looked up in the background, never on the path of a request.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use http::{HeaderName, HeaderValue};
use pingora::upstreams::peer::HttpPeer;

use super::apart::Group;
use super::pool::Pool;
use crate::config::{Secret, UpstreamConfig};

/// How often a host name is looked up again.
const LOOKUP_EVERY: Duration = Duration::from_secs(30);

/// One API that is sold.
#[derive(Debug)]
pub struct Upstream {
    config: UpstreamConfig,
    /// What its `Host` is.
    pub(super) authority: HeaderValue,
    /// What it gets with every request, in place of what the client sent under these names.
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    addresses: ArcSwap<Vec<SocketAddr>>,
    /// Its connections that nobody uses, by group.
    pools: [Pool; 2],
    /// Which address is used; moved on when one cannot be reached.
    turn: AtomicUsize,
}

impl Upstream {
    /// An upstream whose name is looked up once now.
    pub async fn new(config: &UpstreamConfig) -> Self {
        let (host, port) = (&config.host, config.port);
        let usual = if config.tls { 443 } else { 80 };
        let host_text = if host.contains(':') { format!("[{host}]") } else { host.to_string() };
        let authority = if port == usual { host_text } else { format!("{host_text}:{port}") };
        let upstream = Self {
            config: config.clone(),
            authority: HeaderValue::try_from(authority).unwrap_or_else(|_| HeaderValue::from_static("upstream")),
            headers: config.headers.iter().map(|(name, secret)| (name.clone(), sensitive(secret))).collect(),
            addresses: ArcSwap::default(),
            pools: [(); 2].map(|()| Pool::new(config.idle_timeout)),
            turn: AtomicUsize::new(0),
        };
        upstream.look_up().await;
        upstream
    }

    /// What it was made from.
    pub fn config(&self) -> &UpstreamConfig {
        &self.config
    }

    /// Looks the name up again and again, as long as somebody uses the upstream.
    pub async fn keep_looking_up(this: std::sync::Weak<Self>) {
        loop {
            tokio::time::sleep(LOOKUP_EVERY).await;
            match this.upgrade() {
                Some(upstream) => upstream.look_up().await,
                None => return,
            }
        }
    }

    async fn look_up(&self) {
        let UpstreamConfig { host, port, .. } = &self.config;
        if let Ok(address) = host.parse::<IpAddr>() {
            self.addresses.store(Arc::new(vec![SocketAddr::new(address, *port)]));
            return;
        }
        match tokio::net::lookup_host((&**host, *port)).await {
            Ok(found) => self.addresses.store(Arc::new(found.collect())),
            // The last known addresses stay.
            Err(error) => tracing::warn!(%error, host = &**host, "an upstream's name cannot be looked up"),
        }
    }

    /// How many addresses there are to try.
    pub(super) fn len(&self) -> usize {
        self.addresses.load().len()
    }

    /// The next address is to be used from now on.
    pub(super) fn move_on(&self) {
        self.turn.fetch_add(1, Ordering::Relaxed);
    }

    /// The address that is used now. None if the name has none.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        let addresses = self.addresses.load();
        let turn = self.turn.load(Ordering::Relaxed).checked_rem(addresses.len())?;
        addresses.get(turn).copied()
    }

    /// The connections that are shared by a group.
    pub(super) fn pool(&self, group: Group) -> &Pool {
        let [requests, payments] = &self.pools;
        match group {
            Group::Requests => requests,
            Group::Payments => payments,
        }
    }

    pub(super) fn peer(&self, address: SocketAddr, group: Group) -> HttpPeer {
        // The server name is never empty for TLS: with an empty one the framework would check no certificate.
        let mut peer = HttpPeer::new(address, self.config.tls, self.config.host.to_string());
        peer.group_key = group.key();
        peer.options.connection_timeout = Some(self.config.connect_timeout);
        peer.options.total_connection_timeout = Some(self.config.connect_timeout.saturating_mul(2));
        peer.options.read_timeout = Some(self.config.read_timeout);
        peer.options.write_timeout = Some(self.config.read_timeout);
        peer.options.idle_timeout = Some(self.config.idle_timeout);
        peer
    }
}

/// A checked configuration has values that a header can carry.
fn sensitive(secret: &Secret) -> HeaderValue {
    let mut value = HeaderValue::try_from(secret.reveal()).unwrap_or_else(|_| HeaderValue::from_static(""));
    value.set_sensitive(true);
    value
}
