//! Public addresses and their certificates.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use super::{Surroundings, mode};
use crate::config::document::Section;
use crate::config::field::Field;
use crate::config::{ListenAddr, TlsFiles};

const USUAL_PORT: u16 = 8402;
const USUAL_ADMIN_PORT: u16 = 8403;
const EXAMPLE: &str = "an address like \"0.0.0.0:8402\"";

/// The public addresses and the operator's.
pub(super) fn check(server: &Section<'_>, around: &Surroundings<'_>) -> (Vec<ListenAddr>, SocketAddr) {
    let listed = server.field("listen").map(|field| public(&field, around));
    let listed = listed.unwrap_or_else(|| vec![(None, ListenAddr { addr: any(USUAL_PORT), tls: None })]);
    for (index, (field, later)) in listed.iter().enumerate() {
        let earlier = listed.iter().take(index).find(|(_, earlier)| overlap(earlier.addr, later.addr));
        if let (Some(field), Some((_, earlier))) = (field, earlier) {
            field.wrong(format_args!("{} is taken by {} already", later.addr, earlier.addr));
        }
    }
    let field = server.field("admin");
    let admin = field.as_ref().and_then(address);
    let admin = admin.unwrap_or_else(|| SocketAddr::from((Ipv4Addr::LOCALHOST, USUAL_ADMIN_PORT)));
    if let Some((_, taken)) = listed.iter().find(|(_, public)| overlap(public.addr, admin)) {
        let text = format!("{admin} is public already, by {}; the operator's address must be another", taken.addr);
        match field {
            Some(field) => field.wrong(text),
            None => server.wrong_setting("admin", text),
        }
    }
    (listed.into_iter().map(|(_, listen)| listen).collect(), admin)
}

fn any(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))
}

fn public<'a>(field: &Field<'a>, around: &Surroundings<'_>) -> Vec<(Option<Field<'a>>, ListenAddr)> {
    let Some(list) = field.list("a list like [\"0.0.0.0:8402\"]") else { return Vec::new() };
    if list.is_empty() {
        field.wrong("is empty, a list like [\"0.0.0.0:8402\"] would be right");
    }
    let addresses = list.into_iter().filter_map(|element| {
        let listen = listen(&element, around)?;
        Some((Some(element), listen))
    });
    addresses.collect()
}

fn listen(element: &Field<'_>, around: &Surroundings<'_>) -> Option<ListenAddr> {
    if !element.is_table() {
        return address(element).map(|addr| ListenAddr { addr, tls: None });
    }
    let table = element.section(&["addr", "cert", "key"])?;
    let addr = table.required("addr", EXAMPLE);
    let (cert, key) = (table.field("cert"), table.field("key"));
    let tls = match (&cert, &key) {
        (None, None) => None,
        (Some(cert), Some(key)) => Some(tls(cert, key, around)?),
        (Some(_), None) => return gap(&table, "key"),
        (None, Some(_)) => return gap(&table, "cert"),
    };
    Some(ListenAddr { addr: address(&addr?)?, tls })
}

fn gap<T>(table: &Section<'_>, key: &str) -> Option<T> {
    table.missing(key, "a PEM file");
    None
}

fn address(field: &Field<'_>) -> Option<SocketAddr> {
    let text = field.text(EXAMPLE)?;
    field.read(text.parse().map_err(|_| format!("is not {EXAMPLE}")))
}

fn tls(cert: &Field<'_>, key: &Field<'_>, around: &Surroundings<'_>) -> Option<TlsFiles> {
    let files = |field: &Field<'_>| field.text("the path of a PEM file").map(|path| around.path(path));
    let (cert_path, key_path) = (files(cert), files(key));
    let chain = cert.read(certificates(cert_path.as_deref()?));
    let private = key.read(PrivateKeyDer::from_pem_file(key_path.as_deref()?).map_err(pem_error));
    let pair = CertifiedKey::from_der(chain?, private?, &rustls::crypto::ring::default_provider());
    key.read(pair.map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => "is not the key of the certificate".to_owned(),
        error => format!("cannot be used: {error}"),
    }))?;
    mode::of_secret(key, key_path.as_deref()?)?;
    Some(TlsFiles { cert: cert_path?, key: key_path? })
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let read = |path| CertificateDer::pem_file_iter(path)?.collect::<Result<Vec<_>, _>>();
    let chain = read(path).map_err(pem_error)?;
    if chain.is_empty() { Err("has no certificate in it".to_owned()) } else { Ok(chain) }
}

fn pem_error(error: rustls::pki_types::pem::Error) -> String {
    use rustls::pki_types::pem::Error;
    match error {
        Error::Io(error) => format!("cannot be read: {error}"),
        Error::NoItemsFound => "has no private key in it".to_owned(),
        error => format!("is no PEM file: {error}"),
    }
}

/// Whether two sockets cannot both be opened. Port 0 is any free one.
pub(super) fn overlap(a: SocketAddr, b: SocketAddr) -> bool {
    // A socket on `[::]` takes IPv4 too, as Linux has it unless told otherwise.
    let covers = |a: IpAddr, b: IpAddr| a == b || (a.is_unspecified() && (a.is_ipv6() || b.is_ipv4()));
    a.port() != 0 && a.port() == b.port() && (covers(a.ip(), b.ip()) || covers(b.ip(), a.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_overlap_if_one_covers_the_other() {
        let overlap = |a: &str, b: &str| overlap(a.parse().unwrap(), b.parse().unwrap());
        assert!(overlap("0.0.0.0:1", "127.0.0.1:1"));
        assert!(overlap("[::]:1", "0.0.0.0:1"));
        assert!(overlap("127.0.0.1:1", "127.0.0.1:1"));
        assert!(!overlap("0.0.0.0:1", "[::1]:1"));
        assert!(!overlap("127.0.0.1:1", "127.0.0.1:2"));
        assert!(!overlap("127.0.0.1:0", "127.0.0.1:0"));
    }
}
