use std::time::Duration;

/// `[connections]`: what clients may take of the gateway, and for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionsConfig {
    /// At a time, in all; 10,000 unless said otherwise.
    pub max: u32,
    /// Of one client address at a time, an IPv6 one's /64; 256 unless said otherwise.
    pub per_address: u32,
    /// The most bytes of a request's head; 32 KiB unless said otherwise.
    pub head_bytes_max: u32,
    /// From a request's first byte to the end of its head, and for a TLS handshake; 10 s unless said otherwise.
    pub head_timeout: Duration,
    /// The most bytes of a request's body, if there is a most; 100 MiB unless said otherwise.
    pub body_bytes_max: Option<u64>,
    /// From the end of a request's head to the end of its body; 5 minutes unless said otherwise.
    pub body_timeout: Duration,
    /// How long a client may take none of what is written to it; 60 s unless said otherwise.
    pub write_timeout: Duration,
    /// How long a connection may have no request; 60 s unless said otherwise.
    pub keep_alive: Duration,
}

impl Default for ConnectionsConfig {
    fn default() -> Self {
        Self {
            max: 10_000,
            per_address: 256,
            head_bytes_max: 32 * 1024,
            head_timeout: Duration::from_secs(10),
            body_bytes_max: Some(100 * 1024 * 1024),
            body_timeout: Duration::from_secs(300),
            write_timeout: Duration::from_secs(60),
            keep_alive: Duration::from_secs(60),
        }
    }
}
