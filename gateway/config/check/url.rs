//! The URLs of the file: origins, and a base that may have a path.

use std::net::IpAddr;

/// Where something is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Location {
    /// Whether by HTTPS.
    pub(super) tls: bool,
    /// Host name or address; an IPv6 address without its brackets.
    pub(super) host: String,
    /// Port.
    pub(super) port: u16,
    /// Path without a slash at its end.
    pub(super) path: String,
}

/// Why a text is not such a URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum LocationError {
    #[error("is not a URL like \"https://api.example.com\"")]
    Form,
    #[error("is neither http:// nor https://")]
    Scheme,
    #[error("has a user name or password, which do not belong here")]
    User,
    #[error("has a query or fragment, which do not belong here")]
    Query,
    #[error("has a path, scheme, host and port alone would be right")]
    Path,
}

impl Location {
    /// Reads `https://host:port`, a slash at its end being tolerated.
    pub(super) fn origin(text: &str) -> Result<Self, LocationError> {
        let location = Self::base(text)?;
        if location.path.is_empty() { Ok(location) } else { Err(LocationError::Path) }
    }

    /// Reads `https://host:port/path`, a slash at its end being tolerated.
    pub(super) fn base(text: &str) -> Result<Self, LocationError> {
        // The `http` crate drops fragments without a word.
        if text.contains(['?', '#']) {
            return Err(LocationError::Query);
        }
        if text.split_once("://").is_none() {
            return Err(LocationError::Form);
        }
        let uri: http::Uri = text.parse().map_err(|_| LocationError::Form)?;
        let tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(LocationError::Scheme),
        };
        let authority = uri.authority().ok_or(LocationError::Form)?.as_str();
        if authority.contains('@') {
            return Err(LocationError::User);
        }
        let host = uri.host().unwrap_or_default().to_ascii_lowercase();
        let port = match authority.get(host.len()..) {
            Some("") => Some(if tls { 443 } else { 80 }),
            _ => uri.port_u16().filter(|&port| port != 0),
        };
        let port = port.filter(|_| !host.is_empty()).ok_or(LocationError::Form)?;
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        if bare.is_some_and(|host| host.parse::<IpAddr>().is_err()) {
            return Err(LocationError::Form);
        }
        let host = bare.unwrap_or(&host).to_owned();
        Ok(Self { tls, host, port, path: uri.path().trim_end_matches('/').to_owned() })
    }

    /// Host, and port unless it is the usual one.
    pub(super) fn authority(&self) -> String {
        let usual = if self.tls { 443 } else { 80 };
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        if self.port == usual { host } else { format!("{host}:{}", self.port) }
    }

    /// The URL in one spelling: lower case, no usual port, no slash at its end.
    pub(super) fn url(&self) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        format!("{scheme}://{}{}", self.authority(), self.path)
    }

    /// Whether it is this machine.
    pub(super) fn is_loopback(&self) -> bool {
        match self.host.parse::<IpAddr>() {
            Ok(address) => address.is_loopback(),
            Err(_) => self.host == "localhost" || self.host.ends_with(".localhost"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_has_one_spelling() {
        for (text, url) in [
            ("https://API.example.com/", "https://api.example.com"),
            ("https://api.example.com:443", "https://api.example.com"),
            ("http://127.0.0.1:3000", "http://127.0.0.1:3000"),
            ("http://[::1]:3000", "http://[::1]:3000"),
            ("http://my_api:80", "http://my_api"),
        ] {
            assert_eq!(Location::origin(text).map(|origin| origin.url()).as_deref(), Ok(url), "{text}");
        }
        assert_eq!(Location::origin("http://[::1]:3000").unwrap().host, "::1");
        assert_eq!(Location::base("https://a.b/x402/").unwrap().url(), "https://a.b/x402");
    }

    #[test]
    fn anything_else_is_refused() {
        for (text, error) in [
            ("", LocationError::Form),
            ("localhost:3000", LocationError::Form),
            ("http://", LocationError::Form),
            ("http://a:", LocationError::Form),
            ("http://a:0", LocationError::Form),
            ("http://a:99999", LocationError::Form),
            ("http://a b", LocationError::Form),
            ("http://[x]", LocationError::Form),
            ("ftp://a", LocationError::Scheme),
            ("http://a@b", LocationError::User),
            ("http://a?b", LocationError::Query),
            ("http://a#b", LocationError::Query),
            ("http://a/b", LocationError::Path),
        ] {
            assert_eq!(Location::origin(text), Err(error), "{text}");
        }
    }
}
