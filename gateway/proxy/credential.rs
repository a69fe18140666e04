//! What a caller may show in place of a payment: an API key, or a token that somebody signed.

use http::header::{AUTHORIZATION, HeaderName};
use http::{HeaderMap, HeaderValue};
use zeroize::Zeroizing;

use super::facts::BadRequest;
use super::query_key::Shown;
use crate::plans::looks_like_jwt;

/// An API key as it was sent, and in which headers; in none, if it was in the query.
#[derive(Clone)]
pub(super) struct Credential {
    pub(super) key: Zeroizing<String>,
    pub(super) headers: Vec<HeaderName>,
    /// Whether it looks like one of ours: then the upstream must not see it.
    pub(super) ours: bool,
}

/// What a request shows in its headers. Of a key that is ours and one that is not, it is ours. `is_token` tells a token
/// that opens something here.
pub(super) fn shown(
    headers: &HeaderMap,
    key_headers: &[HeaderName],
    is_imported: impl Fn(&str) -> bool,
    is_ours: impl Fn(&str) -> bool,
    is_token: impl Fn(&str) -> bool,
) -> Result<Shown, BadRequest> {
    let opens = |text: &str| is_ours(text) || is_token(text);
    let mut shown = Shown { credential: None, token: None };
    for header in key_headers {
        match lines(headers, header, &is_imported, opens)? {
            Lines::None => {}
            Lines::One(value) => shown.add(header, value, &is_ours)?,
            Lines::Several => return Err(BadRequest::Keys),
        }
    }
    // Several tokens are nobody's.
    if let Lines::One(value) = lines(headers, &AUTHORIZATION, &is_imported, opens)? {
        let token = value.to_str().ok().and_then(|text| bearer(text.trim()));
        shown.token = token.filter(|token| looks_like_jwt(token)).map(|token| token.to_owned().into());
    }
    Ok(shown)
}

/// The lines of a header.
enum Lines<'h> {
    None,
    One(&'h HeaderValue),
    Several,
}

/// The lines of a header that may have a credential. Refuses several in one if one of them opens something, on several
/// lines or joined by commas as RFC 9110 §5.3 lets a proxy do it. What does not may have commas of its own and is nobody's
/// business here; so may a key that was brought along.
fn lines<'h>(
    headers: &'h HeaderMap,
    header: &HeaderName,
    is_imported: impl Fn(&str) -> bool,
    opens: impl Fn(&str) -> bool,
) -> Result<Lines<'h>, BadRequest> {
    let lines = headers.get_all(header);
    let mut each = lines.iter();
    let found = match (each.next(), each.next()) {
        (None, _) => return Ok(Lines::None),
        (Some(one), None) => Lines::One(one),
        (Some(_), Some(_)) => Lines::Several,
    };
    if let Lines::One(one) = found
        && (!one.as_bytes().contains(&b',') || is_imported(bare(one.as_bytes())))
    {
        return Ok(found);
    }
    let mut parts = lines.iter().flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    if parts.any(|part| opens(bare(part))) { Err(BadRequest::Keys) } else { Ok(found) }
}

/// What stands behind `Bearer`, or the text itself. What is not UTF-8 is nobody's.
fn bare(part: &[u8]) -> &str {
    let text = std::str::from_utf8(part).unwrap_or_default().trim();
    bearer(text).unwrap_or(text)
}

impl Shown {
    /// Adds what a header for keys has.
    fn add(
        &mut self,
        header: &HeaderName,
        value: &HeaderValue,
        is_ours: impl Fn(&str) -> bool,
    ) -> Result<(), BadRequest> {
        let text = value.to_str().unwrap_or_default().trim();
        let key = if *header == AUTHORIZATION { bearer(text).unwrap_or_default() } else { text };
        if key.is_empty() {
            return Ok(());
        }
        let ours = is_ours(key);
        match &mut self.credential {
            // A token in Authorization may be the upstream's own business; two keys of ours are nobody's.
            Some(first) if first.ours && ours && *first.key != key => return Err(BadRequest::Keys),
            Some(first) if first.ours && ours => first.headers.push(header.clone()),
            Some(first) if first.ours || !ours => {}
            _ => self.credential = Some(Credential { key: key.to_owned().into(), headers: vec![header.clone()], ours }),
        }
        Ok(())
    }
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
