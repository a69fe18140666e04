//! hyper behind the gateway, as it reads a path: the real servers of other languages are in the end-to-end tests.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::thread;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use percent_encoding::percent_decode_str;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::paths::{Fate, ROUTES, shown, targets};
use crate::support::client::Wire;
use crate::support::facilitator::Facilitator;
use crate::support::gateway::Gateway;
use crate::support::server::Journal;
use crate::support::world::Setup;

const PREMIUM: &str = "PREMIUM-GOODS";
const FREE: &str = "FREE-GOODS";

/// A hyper server; it ends when this is dropped.
struct Upstream {
    addr: SocketAddr,
    _stop: oneshot::Sender<()>,
}

impl Upstream {
    /// `read` makes the path that is looked up of the one that was sent.
    fn start(read: fn(&str) -> String) -> Self {
        let (told, addr) = std::sync::mpsc::channel();
        let (stop, mut stopped) = oneshot::channel::<()>();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                told.send(listener.local_addr().unwrap()).unwrap();
                loop {
                    let (stream, _) = tokio::select! {
                        accepted = listener.accept() => accepted.unwrap(),
                        _ = &mut stopped => return,
                    };
                    let serve = service_fn(move |request| async move { Ok::<_, Infallible>(answer(&request, read)) });
                    tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), serve));
                }
            });
        });
        Self { addr: addr.recv().unwrap(), _stop: stop }
    }
}

fn answer(request: &Request<Incoming>, read: fn(&str) -> String) -> Response<String> {
    let path = read(request.uri().path());
    let below = |folder: &str| path == folder || path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'));
    let goods = if path == "/weather" || path == "/market" || below("/premium") {
        PREMIUM
    } else if path == "/free" || below("/public") {
        FREE
    } else {
        return Response::builder().status(404).body(String::new()).unwrap();
    };
    Response::new(goods.to_owned())
}

fn as_sent(path: &str) -> String {
    path.to_owned()
}

fn lenient(path: &str) -> String {
    let decoded = percent_decode_str(path).decode_utf8_lossy().to_lowercase();
    let path = decoded.split(['?', '#']).next().unwrap_or_default();
    path.split('/').map(str::trim).collect::<Vec<_>>().join("/").trim_end_matches('/').to_owned()
}

/// What is said to a GET, in a word: what was served, or else the status; 0 for none.
fn said(addr: SocketAddr, target: &[u8]) -> String {
    let mut wire = Wire::to(addr);
    wire.send([b"GET ", target, b" HTTP/1.1\r\nHost: api.example.com\r\n\r\n"].concat());
    let Some(answer) = wire.try_answer() else { return "0".to_owned() };
    match answer.text() {
        goods if goods == PREMIUM || goods == FREE => goods,
        _ => answer.status.to_string(),
    }
}

#[test]
fn hyper_gives_away_in_no_spelling_what_is_priced() {
    let readings: [fn(&str) -> String; 2] = [as_sent, lenient];
    for read in readings {
        let upstream = Upstream::start(read);
        let facilitator = Facilitator::start(&Journal::default());
        assert_eq!(said(upstream.addr, b"/weather"), PREMIUM);
        for unlisted in ["free", "deny"] {
            let server = format!("unlisted = \"{unlisted}\"");
            let setup = Setup { server: &server, routes: ROUTES, ..Setup::default() };
            let config = |addr, admin| setup.config(addr, admin, upstream.addr, &facilitator.url());
            let gateway = Gateway::start(&config);
            let mut stopped = 0;
            for (target, fate) in targets() {
                let (alone, through) = (said(upstream.addr, &target), said(gateway.addr, &target));
                let from = format!("{} where unlisted is {unlisted}", shown(&target));
                match fate {
                    Fate::Refused => assert!(["0", "400"].contains(&through.as_str()), "{from}: {through}"),
                    Fate::Priced(_) => assert_eq!(through, "402", "{from}"),
                    Fate::Unlisted(_) if unlisted == "deny" => assert_eq!(through, "404", "{from}"),
                    Fate::Free(form) | Fate::Unlisted(form) => {
                        assert_eq!(through, said(upstream.addr, form.as_bytes()), "{from}");
                        assert_ne!(through, PREMIUM, "{from}");
                    }
                }
                stopped += usize::from(alone == PREMIUM);
            }
            assert!(stopped > 20, "hyper itself would serve more than the names that are priced: {stopped}");
        }
    }
}
