//! The same over TLS, with a certificate made on the spot.

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::gateway::free_port;
use super::{Result, multiplexed};

/// Calls on one connection: shaking hands is work, too.
const CALLS_MAX: usize = 500;

/// A certificate, and where it is served.
pub(super) struct Certificate {
    folder: TempDir,
    certificate: CertificateDer<'static>,
    addr: SocketAddr,
}

impl Certificate {
    pub(super) fn new() -> Result<Self> {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()])?;
        let folder = tempfile::tempdir()?;
        fs::write(folder.path().join("cert.pem"), made.cert.pem())?;
        fs::write(folder.path().join("key.pem"), made.signing_key.serialize_pem())?;
        Ok(Self { folder, certificate: made.cert.der().clone(), addr: free_port()? })
    }

    /// A listener's entry in the configuration.
    pub(super) fn listener(&self) -> String {
        let (addr, path) = (self.addr, self.folder.path().display());
        format!(r#", {{ addr = "{addr}", cert = "{path}/cert.pem", key = "{path}/key.pem" }}"#)
    }

    /// Makes calls over HTTP/2.
    pub(super) async fn make(&self, calls: usize) -> Result<()> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone())?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let mut config = builder.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let connector = TlsConnector::from(Arc::new(config));
        for _ in 0..calls.div_ceil(CALLS_MAX) {
            let name = ServerName::try_from("localhost")?;
            let stream = connector.connect(name, TcpStream::connect(self.addr).await?).await?;
            multiplexed::over(stream, calls.min(CALLS_MAX)).await?;
        }
        Ok(())
    }
}
