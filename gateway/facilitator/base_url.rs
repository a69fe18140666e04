//! The URL that every call to a facilitator starts from, and which redirects stay within it.

use http::header::LOCATION;
use http::uri::{Authority, Scheme};
use http::{HeaderMap, Method, Uri};

use super::SetupError;

/// Scheme, host and port, and the path in front of `/verify`.
#[derive(Debug)]
pub(super) struct BaseUrl {
    scheme: Scheme,
    authority: Authority,
    path: String,
}

impl BaseUrl {
    /// Reads an operator's `url`.
    pub(super) fn parse(url: &str) -> Result<Self, SetupError> {
        let not_url = || SetupError::Url("is not a URL like https://x402.org/facilitator");
        let parts = url.parse::<Uri>().map_err(|_| not_url())?.into_parts();
        let (Some(scheme), Some(authority)) = (parts.scheme, parts.authority) else { return Err(not_url()) };
        if authority.as_str().contains('@') {
            return Err(SetupError::Url("must not hold a user name or password; use a header"));
        }
        if (scheme != Scheme::HTTP && scheme != Scheme::HTTPS) || port(&authority, &scheme).is_none() {
            return Err(not_url());
        }
        if parts.path_and_query.as_ref().is_some_and(|path| path.query().is_some()) {
            return Err(SetupError::Url("must not have a query"));
        }
        let path = parts.path_and_query.as_ref().map_or("", |path| path.path());
        Ok(Self { scheme, authority, path: path.trim_end_matches('/').to_owned() })
    }

    /// Whether TLS is spoken.
    pub(super) fn is_https(&self) -> bool {
        self.scheme == Scheme::HTTPS
    }

    /// The URL of an endpoint, for example `/verify`.
    pub(super) fn join(&self, endpoint: &str) -> Option<Uri> {
        format!("{}://{}{}{endpoint}", self.scheme, self.authority, self.path).parse().ok()
    }

    /// The same as a token names it: the method, host and path, the port if it is not the usual one.
    pub(super) fn uri(&self, method: &Method, endpoint: &str) -> String {
        let usual = port(&self.authority, &self.scheme) == usual_port(&self.scheme);
        let host = if usual { self.authority.host() } else { self.authority.as_str() };
        format!("{method} {}{}{endpoint}", host.to_ascii_lowercase(), self.path)
    }

    /// Where a redirect of `from` leads, or why it is not followed: the headers that are sent along hold secrets,
    /// which are for this origin only.
    pub(super) fn redirected(&self, from: &Uri, headers: &HeaderMap) -> Result<Uri, String> {
        let location = headers.get(LOCATION).and_then(|location| location.to_str().ok()).unwrap_or_default();
        let target =
            self.resolve(from, location).ok_or_else(|| "it redirects to something that is no URL".to_owned())?;
        if self.is_origin_of(&target) {
            return Ok(target);
        }
        let (scheme, host) = (target.scheme_str().unwrap_or_default(), target.host().unwrap_or_default());
        Err(format!("it redirects to {scheme}://{host}, another origin than the configured one"))
    }

    fn resolve(&self, from: &Uri, location: &str) -> Option<Uri> {
        let (scheme, authority) = (&self.scheme, &self.authority);
        let url = match location {
            "" => return None,
            other_host if other_host.starts_with("//") => format!("{scheme}:{other_host}"),
            path if path.starts_with('/') => format!("{scheme}://{authority}{path}"),
            absolute if absolute.contains("://") => absolute.to_owned(),
            relative => {
                let directory = from.path().rsplit_once('/').map_or("", |(directory, _)| directory);
                format!("{scheme}://{authority}{directory}/{relative}")
            }
        };
        url.parse().ok()
    }

    fn is_origin_of(&self, url: &Uri) -> bool {
        let (Some(scheme), Some(authority)) = (url.scheme(), url.authority()) else { return false };
        *scheme == self.scheme
            && authority.host().eq_ignore_ascii_case(self.authority.host())
            && port(authority, scheme) == port(&self.authority, &self.scheme)
            && !authority.as_str().contains('@')
    }
}

/// The port that is meant; none if what stands behind the host is no port.
fn port(authority: &Authority, scheme: &Scheme) -> Option<u16> {
    match authority.as_str().strip_prefix(authority.host())? {
        "" => usual_port(scheme),
        port => port.strip_prefix(':')?.parse().ok(),
    }
}

fn usual_port(scheme: &Scheme) -> Option<u16> {
    Some(if *scheme == Scheme::HTTPS { 443 } else { 80 })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn followed(base: &str, location: &str) -> Option<String> {
        let base = BaseUrl::parse(base).unwrap();
        let from = base.join("/verify").unwrap();
        let headers = HeaderMap::from_iter([(LOCATION, HeaderValue::from_str(location).unwrap())]);
        base.redirected(&from, &headers).ok().map(|url| url.to_string())
    }

    #[test]
    fn a_slash_at_the_end_makes_no_difference() {
        for base in ["https://x402.org/facilitator", "https://x402.org/facilitator/"] {
            assert_eq!(BaseUrl::parse(base).unwrap().join("/verify").unwrap(), "https://x402.org/facilitator/verify");
        }
        assert_eq!(BaseUrl::parse("http://[::1]:4021").unwrap().join("/settle").unwrap(), "http://[::1]:4021/settle");
    }

    #[test]
    fn a_token_names_host_and_path_in_one_spelling() {
        for (base, uri) in [
            ("https://api.cdp.coinbase.com/platform/v2/x402/", "POST api.cdp.coinbase.com/platform/v2/x402/verify"),
            ("https://API.cdp.coinbase.com:443/X", "POST api.cdp.coinbase.com/X/verify"),
            ("http://127.0.0.1:4021", "POST 127.0.0.1:4021/verify"),
            ("https://a.example:80", "POST a.example:80/verify"),
            ("http://a.example:80", "POST a.example/verify"),
            ("http://[::1]:4021", "POST [::1]:4021/verify"),
        ] {
            assert_eq!(BaseUrl::parse(base).unwrap().uri(&Method::POST, "/verify"), uri, "{base}");
        }
    }

    #[test]
    fn what_is_no_base_url_is_refused() {
        for bad in [
            "",
            "x402.org",
            "/facilitator",
            "ftp://x402.org",
            "https://",
            "https://x402.org?key=1",
            "https://me:secret@x402.org",
            "https://x402.org:99999",
            "https://x402.org:",
            "https://x402 .org",
        ] {
            assert!(matches!(BaseUrl::parse(bad), Err(SetupError::Url(_))), "{bad}");
        }
    }

    #[test]
    fn redirects_are_followed_within_the_origin_only() {
        let base = "https://x402.org/facilitator";
        for (location, target) in [
            ("/v2/verify", "https://x402.org/v2/verify"),
            ("verify/", "https://x402.org/facilitator/verify/"),
            ("https://x402.org/v2/verify", "https://x402.org/v2/verify"),
            ("https://X402.org:443/v2/verify", "https://X402.org:443/v2/verify"),
            ("//x402.org/v2/verify", "https://x402.org/v2/verify"),
            ("/v2/verify?from=http://elsewhere", "https://x402.org/v2/verify?from=http://elsewhere"),
        ] {
            assert_eq!(followed(base, location).as_deref(), Some(target), "{location}");
        }
        for elsewhere in [
            "",
            "http://x402.org/facilitator/verify",
            "https://www.x402.org/facilitator/verify",
            "https://x402.org:8443/facilitator/verify",
            "https://x402.org@evil.example/verify",
            "https://evil@x402.org/verify",
            "//evil.example/verify",
            "javascript:alert(1)//",
            "https://x402.org.evil.example/",
        ] {
            let target = followed(base, elsewhere);
            assert!(target.as_deref().is_none_or(|url| url.starts_with("https://x402.org/facilitator/")), "{target:?}");
        }
    }
}
