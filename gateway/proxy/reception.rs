//! Where clients' connections come in: counted, given their limits, and handed to the framework.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use pingora::apps::{HttpPersistentSettings, HttpServerApp as _, HttpServerOptions, ReusedHttpStream, ServerApp};
use pingora::listeners::tls::Acceptor;
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::v2::server::H2Options;
use pingora::protocols::l4::stream::Stream as TcpStream;
use pingora::protocols::{ALPN, GetSocketDigest as _, IO, Shutdown as _, Ssl as _, Stream};
use pingora::proxy::{HttpProxy, Session};
use pingora::server::ShutdownWatch;
use pingora::server::configuration::ServerConf;

use super::Gateway;
use super::beginning::Beginning;
use super::crowd::Crowd;
use super::guarded::Guarded;
use super::line::{Cut, Line};
use crate::config::ConnectionsConfig;

/// Requests at a time on a connection of HTTP/2.
const STREAMS_MAX: u32 = 100;
/// Requests that a client may give up before they were looked at, and those that we give up because of its errors,
/// before the connection is ended: a client that does nothing else makes work and waits for none of it.
const RESET_STREAMS_MAX: usize = 20;
const OWN_RESETS_MAX: usize = 256;
/// What is kept of one answer for a client that does not take it.
const SEND_BUFFER_BYTES: usize = 64 * 1024;

/// The public side, from the listeners on.
pub struct Reception {
    gateway: Gateway,
    /// For what the gateway does not do itself.
    proxy: Arc<HttpProxy<Gateway>>,
    entrances: Vec<Entrance>,
    crowd: Arc<Crowd>,
    /// Of the start: HTTP/2 is told once.
    head_bytes_max: u32,
}

/// A request of HTTP/1 of which the first bytes are here.
struct Request {
    stream: Stream,
    /// What requests before it on its connection have left; none if it is the first.
    earlier: Option<Option<HttpPersistentSettings>>,
    beginning: Beginning,
}

/// A public address.
pub struct Entrance {
    /// Where it listens.
    pub addr: SocketAddr,
    /// What shakes hands there, if it is secure.
    pub tls: Option<Acceptor>,
}

impl Reception {
    /// A gateway behind its entrances.
    pub fn new(gateway: Gateway, conf: &Arc<ServerConf>, entrances: Vec<Entrance>) -> Self {
        let head_bytes_max = gateway.live.load().connections.head_bytes_max;
        let mut proxy = HttpProxy::new(gateway.clone(), Arc::clone(conf));
        proxy.handle_init_modules();
        let mut options = HttpServerOptions::default();
        options.h2c = true;
        proxy.server_options = Some(options);
        proxy.h2_options = Some(h2_options(head_bytes_max));
        let crowd = Arc::new(Crowd::new(Arc::clone(&gateway.metrics)));
        Self { gateway, proxy: Arc::new(proxy), entrances, crowd, head_bytes_max }
    }

    /// The entrance of a connection to this address of ours.
    fn entrance(&self, stream: &TcpStream) -> Option<&Entrance> {
        if let [only] = self.entrances.as_slice() {
            return Some(only);
        }
        entrance(&self.entrances, local_addr(stream)?)
    }

    /// Serves a connection to its end.
    ///
    /// The framework would serve it, too; but it begins a request before there is one, so that every connection that
    /// rests would have the memory of a request under way.
    async fn serve<S: IO + 'static>(&self, stream: S, limits: ConnectionsConfig, shutdown: &ShutdownWatch) {
        let is_multiplexed = stream.selected_alpn_proto() == Some(ALPN::H2);
        let line = Arc::new(Line::new(limits, is_multiplexed, Instant::now()));
        let mut guarded = match Guarded::new(stream, line, Arc::clone(&self.gateway.metrics)) {
            Ok(guarded) => Box::new(guarded),
            Err(error) => return tracing::error!(%error, "a connection could not be guarded"),
        };
        // TLS has said which HTTP it is.
        let (mut is_undecided, mut over) = (guarded.get_ssl_digest().is_none(), shutdown.clone());
        let mut earlier = None;
        while is_multiplexed || hears_more(&mut guarded, &mut over).await {
            if is_multiplexed || (is_undecided && guarded.may_be_http2()) {
                return drop(self.proxy.process_new(guarded, shutdown).await);
            }
            is_undecided = false;
            // Looked up before: what is borrowed of the snapshot is not to be held as long as a request.
            let beginning = Beginning::of(guarded.heard(), &self.gateway.live.load().key_headers);
            let request = Request { stream: guarded, earlier, beginning };
            let reused = match beginning.pays {
                true => self.begin_apart(request, shutdown).await,
                false => begin(&self.gateway, &self.proxy, request, shutdown).await,
            };
            let Some((stream, settings)) = reused.map(ReusedHttpStream::consume) else { return };
            let Ok(same) = stream.into_any().downcast() else { return };
            (guarded, earlier) = (same, Some(settings));
        }
    }

    /// Begins a request where money moves.
    async fn begin_apart(&self, request: Request, shutdown: &ShutdownWatch) -> Option<ReusedHttpStream> {
        let (gateway, proxy, shutdown) = (self.gateway.clone(), Arc::clone(&self.proxy), shutdown.clone());
        let served = async move { begin(&gateway, &proxy, request, &shutdown).await };
        self.gateway.server.apart(served).await.flatten()
    }

    async fn serve_securely(
        &self,
        acceptor: &Acceptor,
        stream: TcpStream,
        limits: ConnectionsConfig,
        shutdown: &ShutdownWatch,
    ) {
        match tokio::time::timeout(limits.head_timeout, acceptor.tls_handshake(stream)).await {
            Ok(Ok(secure)) => self.serve(secure, limits, shutdown).await,
            Ok(Err(error)) => {
                tracing::debug!(%error, "a TLS handshake failed");
                self.gateway.metrics.connections.cut(Cut::BadHandshake.as_str());
            }
            Err(_) => self.gateway.metrics.connections.cut(Cut::SlowHandshake.as_str()),
        }
    }
}

#[async_trait]
impl ServerApp for Reception {
    async fn process_new(self: &Arc<Self>, stream: Stream, shutdown: &ShutdownWatch) -> Option<Stream> {
        // All listeners are plain TCP.
        let stream = *stream.into_any().downcast::<TcpStream>().ok()?;
        let client = stream.get_socket_digest()?.peer_addr()?.as_inet()?.ip();
        let snapshot = self.gateway.live.load_full();
        let limits = ConnectionsConfig { head_bytes_max: self.head_bytes_max, ..snapshot.connections.clone() };
        // A proxy in front has the connections of many clients.
        let is_exempt = snapshot.trusted_proxies.contains(client);
        // Too many are closed without a word: to say one would cost what there is too little of.
        let _seat = self.crowd.admit(client, is_exempt, &limits)?;
        drop(snapshot);
        match &self.entrance(&stream)?.tls {
            None => self.serve(stream, limits, shutdown).await,
            Some(acceptor) => Box::pin(self.serve_securely(acceptor, stream, limits, shutdown)).await,
        }
        None
    }

    async fn cleanup(&self) {
        ServerApp::cleanup(&*self.proxy).await;
    }
}

/// Begins a request, and serves it to its end.
async fn begin(
    gateway: &Gateway,
    proxy: &Arc<HttpProxy<Gateway>>,
    request: Request,
    shutdown: &ShutdownWatch,
) -> Option<ReusedHttpStream> {
    if !request.beginning.is_plain {
        let mut session = ServerSession::new_http1(request.stream);
        keep_alive(&mut session, request.earlier);
        return proxy.process_new_http(session, shutdown).await;
    }
    let is_alone = request.beginning.is_alone;
    let mut session = Session::new_h1(request.stream);
    keep_alive(&mut session, request.earlier);
    // In a box, so that a connection that rests has no room for it.
    Box::pin(gateway.serve_plain(session, is_alone, shutdown)).await
}

/// Whether the connection is kept for another request. How long, the line decides.
fn keep_alive(session: &mut ServerSession, earlier: Option<Option<HttpPersistentSettings>>) {
    match earlier {
        None => session.set_keepalive(Some(60)),
        Some(settings) => settings.into_iter().for_each(|settings| settings.apply_to_session(session)),
    }
}

/// Waits for a connection's next request. False if none comes, or if none may come any more.
async fn hears_more<S: IO>(guarded: &mut Guarded<S>, over: &mut ShutdownWatch) -> bool {
    let heard = tokio::select! {
        biased;
        heard = guarded.hears_more() => heard,
        _ = over.wait_for(|over| *over) => return false,
    };
    if heard.is_err() {
        // Over TLS an end that is not said looks like somebody who cut off the rest.
        guarded.shutdown().await;
    }
    heard.unwrap_or(false)
}

fn h2_options(head_bytes_max: u32) -> H2Options {
    let mut options = H2Options::new();
    options
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(head_bytes_max)
        .max_pending_accept_reset_streams(RESET_STREAMS_MAX)
        .max_local_error_reset_streams(Some(OWN_RESETS_MAX))
        .max_send_buffer_size(SEND_BUFFER_BYTES);
    options
}

fn local_addr(stream: &TcpStream) -> Option<SocketAddr> {
    let digest = stream.get_socket_digest()?;
    let local = *digest.local_addr()?.as_inet()?;
    Some(SocketAddr::new(local.ip().to_canonical(), local.port()))
}

/// The configuration has no two that overlap, so at most one is it; a port of 0 was any.
fn entrance(entrances: &[Entrance], local: SocketAddr) -> Option<&Entrance> {
    let covers = |addr: SocketAddr| {
        let ip = addr.ip();
        ip.to_canonical() == local.ip() || (ip.is_unspecified() && (ip.is_ipv6() || local.is_ipv4()))
    };
    let at = |port: u16| move |entrance: &&Entrance| entrance.addr.port() == port && covers(entrance.addr);
    entrances.iter().find(at(local.port())).or_else(|| entrances.iter().find(at(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_that_of_the_listener_it_came_to() {
        let listening: Vec<SocketAddr> =
            ["127.0.0.1:1", "[::1]:1", "[::]:2", "0.0.0.0:3", "10.0.0.1:0"].map(|addr| addr.parse().unwrap()).to_vec();
        let entrances: Vec<_> = listening.iter().map(|addr| Entrance { addr: *addr, tls: None }).collect();
        for (local, expected) in [
            ("127.0.0.1:1", Some("127.0.0.1:1")),
            ("[::1]:1", Some("[::1]:1")),
            ("192.0.2.1:2", Some("[::]:2")),
            ("[2001:db8::1]:2", Some("[::]:2")),
            ("192.0.2.1:3", Some("0.0.0.0:3")),
            ("10.0.0.1:40000", Some("10.0.0.1:0")),
            ("[::1]:3", None),
            ("192.0.2.1:1", None),
        ] {
            let found = entrance(&entrances, local.parse().unwrap()).map(|entrance| entrance.addr);
            assert_eq!(found, expected.map(|addr| addr.parse().unwrap()), "{local}");
        }
    }
}
