//! What a caller may show in place of a payment: an API key, or a token that somebody signed.

use http::header::{AUTHORIZATION, HeaderName};
use http::{HeaderMap, HeaderValue};
use zeroize::Zeroizing;

use super::facts::{BadRequest, only};
use crate::plans::looks_like_jwt;

/// An API key as it was sent, and in which headers; in none, if it was in the query.
#[derive(Clone)]
pub(super) struct Credential {
    pub(super) key: Zeroizing<String>,
    pub(super) headers: Vec<HeaderName>,
    /// Whether it looks like one of ours: then the upstream must not see it.
    pub(super) ours: bool,
}

/// Refuses several credentials in one header if one of them is ours, on several lines or joined by commas as RFC 9110
/// §5.3 lets a proxy do it. What is not ours may have commas of its own and is nobody's business here; so may a key that
/// was brought along.
pub(super) fn check_joined(
    headers: &HeaderMap,
    key_headers: &[HeaderName],
    is_imported: impl Fn(&str) -> bool,
    is_ours: impl Fn(&str) -> bool,
) -> Result<(), BadRequest> {
    for header in key_headers.iter().chain([&AUTHORIZATION]).filter(|header| headers.contains_key(*header)) {
        let lines = || headers.get_all(header).iter().map(HeaderValue::as_bytes);
        let is_one = |line: &[u8]| !line.contains(&b',') || is_imported(bare(line));
        let several = lines().nth(1).is_some() || lines().next().is_some_and(|line| !is_one(line));
        let mut parts = lines().flat_map(|line| line.split(|byte| *byte == b','));
        if several && parts.any(|part| is_ours(bare(part))) {
            return Err(BadRequest::Keys);
        }
    }
    Ok(())
}

/// What stands behind `Bearer`, or the text itself. What is not UTF-8 is nobody's.
fn bare(part: &[u8]) -> &str {
    let text = std::str::from_utf8(part).unwrap_or_default().trim();
    bearer(text).unwrap_or(text)
}

/// The API key of a request. Of one that is ours and one that is not, it is ours.
pub(super) fn credential(
    headers: &HeaderMap,
    key_headers: &[HeaderName],
    is_ours: impl Fn(&str) -> bool,
) -> Result<Option<Credential>, BadRequest> {
    let mut found: Option<Credential> = None;
    for header in key_headers {
        let Some(value) = only(headers, header).map_err(|()| BadRequest::Keys)? else { continue };
        let Ok(text) = value.to_str() else { continue };
        let text = text.trim();
        let key = match *header == AUTHORIZATION {
            true => match bearer(text) {
                Some(token) => token,
                None => continue,
            },
            false => text,
        };
        if key.is_empty() {
            continue;
        }
        let ours = is_ours(key);
        match &mut found {
            // A token in Authorization may be the upstream's own business; two keys of ours are nobody's.
            Some(first) if first.ours && ours && *first.key != key => return Err(BadRequest::Keys),
            Some(first) if first.ours && ours => first.headers.push(header.clone()),
            Some(first) if first.ours || !ours => {}
            _ => found = Some(Credential { key: key.to_owned().into(), headers: vec![header.clone()], ours }),
        }
    }
    Ok(found)
}

/// A token that somebody signed. Several are nobody's.
pub(super) fn token(headers: &HeaderMap) -> Option<Zeroizing<String>> {
    let text = only(headers, AUTHORIZATION).ok()??.to_str().ok()?;
    bearer(text.trim()).filter(|token| looks_like_jwt(token)).map(|token| token.to_owned().into())
}

fn bearer(text: &str) -> Option<&str> {
    let (scheme, token) = text.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Credential({:?})", self.headers)
    }
}
