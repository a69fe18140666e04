//! TLS: the certificate is made on the spot.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::SystemTime;

use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use tempfile::TempDir;

use crate::flooded_log::{Leaves, flood, lines};
use crate::support::client::Wire;
use crate::support::gateway::{free_port, run_to_end};
use crate::support::multiplexed::{Multiplexed, request};
use crate::support::wait::PATIENCE;
use crate::support::world::{Setup, World};

/// A gateway with a secure listener beside the usual one.
struct Secure {
    world: World,
    addr: SocketAddr,
    certificate: CertifiedKey<KeyPair>,
    _folder: TempDir,
}

impl Secure {
    fn start() -> Self {
        Self::with(Setup::default().routes)
    }

    fn with(routes: &str) -> Self {
        let (folder, certificate) = (tempfile::tempdir().unwrap(), certificate());
        write(&folder, "cert.pem", &certificate.cert.pem());
        write(&folder, "key.pem", &certificate.signing_key.serialize_pem());
        let addr = free_port();
        let world = Setup { server: &server(addr, &folder), routes, ..Setup::default() }.start();
        Self { world, addr, certificate, _folder: folder }
    }

    /// What a client needs that trusts the certificate, and speaks these protocols.
    fn client(&self, protocols: &[&[u8]]) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.cert.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let mut config = builder.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        config
    }

    fn stream(&self) -> StreamOwned<ClientConnection, TcpStream> {
        let name = ServerName::try_from("localhost").unwrap();
        let connection = ClientConnection::new(Arc::new(self.client(&[b"http/1.1"])), name).unwrap();
        let stream = TcpStream::connect(self.addr).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        StreamOwned::new(connection, stream)
    }

    fn wire(&self) -> Wire<StreamOwned<ClientConnection, TcpStream>> {
        Wire::over(self.stream())
    }
}

fn certificate() -> CertifiedKey<KeyPair> {
    generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap()
}

fn write(folder: &TempDir, name: &str, text: &str) {
    std::fs::write(folder.path().join(name), text).unwrap();
}

fn server(addr: SocketAddr, folder: &TempDir) -> String {
    let path = folder.path().display();
    format!(
        "unlisted = \"deny\"\nlisten = [\"{{addr}}\", {{ addr = \"{addr}\", cert = \"{path}/cert.pem\", key = \
         \"{path}/key.pem\" }}]"
    )
}

#[test]
fn a_call_is_paid_over_tls() {
    let secure = Secure::start();
    let mut wire = secure.wire();
    let challenge = wire.get("/paid", &[]);
    assert_eq!(challenge.status, 402);
    let payment = secure.world.sign(&challenge);
    let answer = wire.get("/paid", &[("PAYMENT-SIGNATURE", &payment)]);
    assert_eq!((answer.status, answer.text().as_str()), (200, "from upstream"));
    assert_eq!(secure.world.upstream.last().head.all("x-forwarded-proto"), ["https"]);
    // What is paid on one listener is paid on the other.
    let answer = secure.world.pay("/paid", &payment);
    assert_eq!((answer.status, answer.header("idempotent-replayed")), (200, Some("true")));
    assert_eq!(secure.world.facilitator.settled().len(), 1);
}

#[test]
fn http_2_is_agreed_on_by_alpn() {
    let secure = Secure::start();
    let connection = Multiplexed::tls(secure.addr, secure.client(&[b"h2", b"http/1.1"]));
    let challenge = connection.ask(request("POST", "/paid", &[], b"an unpaid body")).unwrap();
    assert_eq!(challenge.status(), 402);
    let required = challenge.headers()["payment-required"].as_bytes();
    let now = tollgate::clock::unix_seconds(SystemTime::now());
    let payment = secure.world.wallet.pay(required, now).unwrap().header;
    let answer = connection.ask(request("POST", "/paid", &[("payment-signature", &payment)], b"a paid body")).unwrap();
    assert_eq!((answer.status(), answer.body.as_slice()), (200, b"from upstream".as_slice()));
    let heard = secure.world.upstream.last();
    assert_eq!(
        (heard.body.as_slice(), heard.head.all("x-forwarded-proto")),
        (b"a paid body".as_slice(), vec!["https"])
    );
    assert_eq!(secure.world.journal.all(), ["verify", "upstream", "settle"]);
}

#[test]
fn a_connection_that_rests_too_long_is_ended_as_tls_has_it() {
    let secure = Secure::with(&format!("[connections]\nkeep_alive = \"1s\"\n{}", Setup::default().routes));
    for request in ["", "GET /free HTTP/1.1\r\nHost: api.example.com\r\n\r\n"] {
        let (mut stream, mut all) = (secure.stream(), String::new());
        stream.write_all(request.as_bytes()).unwrap();
        stream.flush().unwrap();
        // An end that nobody has signed would be an error: anybody on the way may have cut off the rest.
        stream.read_to_string(&mut all).unwrap();
        assert_eq!(all.starts_with("HTTP/1.1 200"), !request.is_empty(), "{all}");
    }
}

#[test]
fn a_client_in_the_clear_gets_nothing_from_a_secure_listener() {
    let secure = Secure::start();
    let mut wire = Wire::to(secure.addr);
    wire.send("GET /free HTTP/1.1\r\nHost: api.example.com\r\n\r\n");
    assert!(wire.try_bytes().iter().all(|bytes| !bytes.starts_with(b"HTTP")));
    assert_eq!(secure.world.upstream.hits(), 0);
    assert_eq!(secure.world.get("/free", &[]).status, 200);
}

#[test]
fn a_certificate_that_cannot_be_used_is_named_before_anything_starts() {
    let (folder, good, other) = (tempfile::tempdir().unwrap(), certificate(), certificate());
    let (cert, key) = (good.cert.pem(), good.signing_key.serialize_pem());
    let nobody: SocketAddr = "127.0.0.1:1".parse().unwrap();
    for (cert, key, told) in [
        (&cert, &other.signing_key.serialize_pem(), "is not the key of the certificate"),
        (&String::new(), &key, "has no certificate in it"),
        (&cert, &cert, "has no private key in it"),
        (&"-----BEGIN CERTIFICATE-----\nAA".to_owned(), &key, "cert"),
    ] {
        write(&folder, "cert.pem", cert);
        write(&folder, "key.pem", key);
        let server = server(free_port(), &folder);
        let config = Setup { server: &server, ..Setup::default() }.config(
            free_port(),
            free_port(),
            nobody,
            "http://127.0.0.1:1",
        );
        write(&folder, "t.toml", &config);
        for command in ["check", "run"] {
            let (code, _, stderr) = run_to_end(folder.path(), &[command, "t.toml"]);
            assert_eq!(code, Some(1), "{command} {told}");
            assert!(stderr.contains(told) && stderr.starts_with("t.toml:"), "{command} {told}: {stderr}");
        }
    }
}

#[test]
fn a_thousand_broken_handshakes_leave_a_few_lines_and_are_counted() {
    let secure = Secure::start();
    let before = lines(&secure.world);
    let half_a_hello = b"\x16\x03\x01\x00\x2d\x01\x00\x00\x29\x03\x03";
    for (bytes, leaves) in [
        (&b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..], Leaves::Politely),
        (&b"\x16\x03\x01"[..], Leaves::AtOnce),
        (half_a_hello, Leaves::Rudely),
    ] {
        flood(secure.addr, bytes, leaves);
    }
    let after = lines(&secure.world);
    assert!(after - before <= 10, "{}", secure.world.gateway.output());
    // A connection that was reset before it was accepted has no address any more, and is nobody's.
    let counted = secure.world.gateway.metric("gateway_connections_cut_total{reason=\"bad_handshake\"}");
    assert!((2000..=3000).contains(&counted), "{counted}");
    assert_eq!(secure.wire().get("/paid", &[]).status, 402);
}
