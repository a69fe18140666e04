//! The remote facilitator against servers with certificates of one authority or another.

use std::sync::Arc;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::value::to_raw_value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::{Facilitator, FacilitatorError, RemoteFacilitator, RemoteSettings, SettleOutcome, SetupError, Verdict};
use crate::outbound::{Roots, RootsError, TlsError};
use crate::x402::facilitator::FacilitatorRequest;

/// An authority that signs a server's certificate.
struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    /// A server for `localhost` that finds every payment good. Its task ends with how many bytes the first client sent
    /// through TLS.
    async fn serve(&self) -> (String, tokio::task::JoinHandle<usize>) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let chain: Vec<CertificateDer<'static>> = vec![params.signed_by(&key, &self.issuer).unwrap().into()];
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config =
            rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config.with_no_client_auth().with_single_cert(chain, key).unwrap()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
        let heard = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            // A client that does not trust the certificate breaks off the handshake, or right after it.
            let Ok(mut stream) = acceptor.accept(stream).await else { return 0 };
            let mut bytes = [0; 4096];
            let heard = stream.read(&mut bytes).await.unwrap_or(0);
            let answer = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 16\r\n\r\n{\"isValid\":true}";
            let _ = stream.write_all(answer.as_bytes()).await;
            let _ = stream.shutdown().await;
            heard
        });
        (url, heard)
    }
}

fn client(url: &str, roots: Option<&Authority>) -> Result<RemoteFacilitator, SetupError> {
    RemoteFacilitator::new(&RemoteSettings {
        url: url.into(),
        verify_timeout: Duration::from_secs(10),
        settle_timeout: Duration::from_secs(10),
        headers: Vec::new(),
        cdp: None,
        roots: roots.map(|authority| Roots::parse(authority.pem.as_bytes()).unwrap()),
    })
}

fn request() -> FacilitatorRequest {
    let empty = || to_raw_value(&serde_json::json!({})).unwrap();
    FacilitatorRequest { x402_version: 2, payment_payload: empty(), payment_requirements: empty() }
}

#[tokio::test]
async fn a_server_of_the_named_authority_is_asked() {
    let authority = Authority::new();
    let (url, heard) = authority.serve().await;
    let client = client(&url, Some(&authority)).unwrap();
    assert_eq!(client.verify(&request()).await, Ok(Verdict::Valid { payer: None }));
    assert!(heard.await.unwrap() > 0);
}

#[tokio::test]
async fn a_server_of_another_authority_gets_no_byte() {
    let (own, other) = (Authority::new(), Authority::new());
    for trusted in [Some(&other), None] {
        let (url, heard) = own.serve().await;
        let client = match client(&url, trusted) {
            Ok(client) => client,
            // A machine without roots trusts nobody, and says so earlier.
            Err(error) => {
                assert!(trusted.is_none() && matches!(error, SetupError::Tls(TlsError::Roots(_))), "{error}");
                continue;
            }
        };
        let outcome = client.settle(&request(), "eip155:8453").await;
        assert!(matches!(&outcome, SettleOutcome::NotSent(why) if why.contains("certificate")), "{outcome:?}");
        assert_eq!(heard.await.unwrap(), 0);
        assert!(matches!(client.verify(&request()).await, Err(FacilitatorError::Unreachable(_))));
    }
}

#[test]
fn what_is_no_certificate_is_no_root() {
    let own = Authority::new().pem;
    for (pem, error) in [
        (String::new(), "Empty"),
        ("nothing in PEM".to_owned(), "Empty"),
        (KeyPair::generate().unwrap().serialize_pem(), "Empty"),
        (own.replace("END", "EDN"), "Pem"),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_owned(), "Certificate"),
    ] {
        let found = match Roots::parse(pem.as_bytes()) {
            Ok(_) => "none",
            Err(RootsError::Empty) => "Empty",
            Err(RootsError::Pem(_)) => "Pem",
            Err(RootsError::Certificate(_)) => "Certificate",
        };
        assert_eq!(found, error, "{pem}");
    }
    let both = own.clone() + &Authority::new().pem;
    assert!(Roots::parse(both.as_bytes()).unwrap() != Roots::parse(own.as_bytes()).unwrap());
}
