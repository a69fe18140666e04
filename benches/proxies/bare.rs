//! The floor: Pingora with our listeners' settings and none of our code.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use pingora::http::ResponseHeader;
use pingora::listeners::ListenerConfig;
use pingora::prelude::HttpPeer;
use pingora::protocols::l4::stream::L4BufferSettings;
use pingora::proxy::{ProxyHttp, Session, http_proxy_service};
use pingora::server::configuration::ServerConf;
use pingora::server::{RunArgs, Server};

use super::Result;

/// As `gateway/app` has them.
const BUFFERS: (usize, usize) = (8 * 1024, 8 * 1024);

/// No proxy waits for an upstream without an end: those of `gateway/config`, and as many.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const READ_TIMEOUT: Duration = Duration::from_secs(60);
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// A proxy without hooks, or with the one that answers a constant.
struct Bare {
    upstream: SocketAddr,
    constant: Option<Constant>,
}

/// An answer of 402.
struct Constant {
    headers: Vec<(&'static str, String)>,
    body: Bytes,
}

#[async_trait]
impl ProxyHttp for Bare {
    type CTX = ();

    fn new_ctx(&self) {}

    async fn request_filter(&self, session: &mut Session, (): &mut ()) -> pingora::Result<bool> {
        let Some(Constant { headers, body }) = &self.constant else { return Ok(false) };
        let mut response = ResponseHeader::build(402, Some(headers.len()))?;
        for (name, value) in headers {
            response.insert_header(*name, value.as_str())?;
        }
        session.write_response_header(Box::new(response), false).await?;
        session.write_response_body(Some(body.clone()), true).await?;
        Ok(true)
    }

    async fn upstream_peer(&self, _: &mut Session, (): &mut ()) -> pingora::Result<Box<HttpPeer>> {
        let mut peer = HttpPeer::new(self.upstream, false, String::new());
        peer.options.connection_timeout = Some(CONNECT_TIMEOUT);
        peer.options.total_connection_timeout = Some(CONNECT_TIMEOUT * 2);
        peer.options.read_timeout = Some(READ_TIMEOUT);
        peer.options.write_timeout = Some(READ_TIMEOUT);
        peer.options.idle_timeout = Some(IDLE_TIMEOUT);
        Ok(Box::new(peer))
    }
}

/// [`serve`], by the arguments of this program.
pub(super) fn serve_as_told(arguments: &[&str]) -> Result<()> {
    let [passing, answering, upstream, header, body] = arguments else {
        return Err("the bare proxy is started by this benchmark only".into());
    };
    serve(passing.parse()?, answering.parse()?, upstream.parse()?, [header.parse()?, body.parse()?])
}

/// Serves until it is killed: what comes to `passing` goes to the upstream, what comes to `answering` is answered with
/// the status 402, one header of `header_bytes`, and `body_bytes`.
fn serve(
    passing: SocketAddr,
    answering: SocketAddr,
    upstream: SocketAddr,
    [header_bytes, body_bytes]: [usize; 2],
) -> Result<()> {
    let headers = vec![
        ("Content-Type", "application/json".to_owned()),
        ("Content-Length", body_bytes.to_string()),
        ("Cache-Control", "no-store".to_owned()),
        ("PAYMENT-REQUIRED", "e".repeat(header_bytes)),
    ];
    let constant = Constant { headers, body: "{".repeat(body_bytes).into() };
    let settings = ServerConf { threads: 1, ..ServerConf::default() };
    let mut server = Server::new_with_opt_and_conf(None, settings);
    server.bootstrap();
    for (addr, constant) in [(passing, None), (answering, Some(constant))] {
        let mut service = http_proxy_service(&Arc::clone(&server.configuration), Bare { upstream, constant });
        let (read, write) = BUFFERS;
        service.add_listener(ListenerConfig::tcp(addr.to_string()).l4_buffer(L4BufferSettings::new(read, write)));
        server.add_service(service);
    }
    server.run(RunArgs::default());
    Ok(())
}
