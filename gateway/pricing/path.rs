//! One spelling for each path: what is matched is what is sent upstream.
//!
//! Segments are percent-decoded and encoded again in one way, so that two targets name the same thing exactly if their
//! canonical forms are equal. Whatever an upstream might read in another way than we do is refused, not repaired:
//! reference SDKs had a paywall bypass for each of `//`, `\`, malformed `%`, encoded slashes and matrix parameters.

use std::fmt;

/// The longest request target that is read, in bytes.
const TARGET_BYTES_MAX: usize = 8 * 1024;

/// A request target in canonical form: path, and the query as it was sent.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Target {
    text: String,
    path_len: usize,
}

/// Why a request target is refused; the answer is 400 and the upstream is not asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// It does not begin with `/`.
    #[error("the request target must begin with a slash")]
    NotAbsolute,
    /// More than 8 KiB.
    #[error("the request target is longer than 8 KiB")]
    TooLong,
    /// `#`, which no client sends.
    #[error("the request target has a fragment")]
    Fragment,
    /// `//`.
    #[error("the path has an empty segment")]
    EmptySegment,
    /// `.` or `..`, in any spelling.
    #[error("the path has a dot segment")]
    DotSegment,
    /// `;`, which some upstreams cut off.
    #[error("the path has a parameter (semicolon)")]
    Parameter,
    /// `\`, or an encoded slash or backslash.
    #[error("the path has a backslash or an encoded slash")]
    Slash,
    /// A control character, in any spelling.
    #[error("the path has a control character")]
    Control,
    /// `%` without two hex digits, or `%25` before two hex digits, in any spelling.
    #[error("the path has a malformed or doubled percent-encoding")]
    Percent,
    /// Bytes that are not UTF-8, in any spelling.
    #[error("the path is not UTF-8")]
    NotUtf8,
}

impl Target {
    /// Reads an origin-form target (`/path?query`) as it came over the wire.
    ///
    /// # Errors
    /// [`PathError`] for every form that two programs might read differently.
    pub fn parse(raw: &[u8]) -> Result<Self, PathError> {
        if raw.len() > TARGET_BYTES_MAX {
            return Err(PathError::TooLong);
        }
        if raw.contains(&b'#') {
            return Err(PathError::Fragment);
        }
        let mut halves = raw.splitn(2, |&b| b == b'?');
        let path = halves.next().unwrap_or_default();
        let mut text = canonical_path(path)?;
        let path_len = text.len();
        if let Some(query) = halves.next() {
            text.push('?');
            push_query(&mut text, query)?;
        }
        // What is encoded on the way takes three bytes for one.
        if text.len() > TARGET_BYTES_MAX {
            return Err(PathError::TooLong);
        }
        Ok(Self { text, path_len })
    }

    /// The canonical path.
    pub fn path(&self) -> &str {
        self.text.get(..self.path_len).unwrap_or("/")
    }

    /// Path and query: the target that goes upstream.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The query without its `?`, if there is one.
    pub fn query(&self) -> Option<&str> {
        self.text.get(self.path_len + 1..)
    }

    /// Takes parameters out of the query, by their names and values as they were sent; gives what `take` made of them.
    pub fn take_from_query<T>(&mut self, take: impl Fn(&str, &str) -> Option<T>) -> Vec<T> {
        let mut taken = Vec::new();
        let query = self.query().unwrap_or_default();
        let stays = |pair: &&str| match pair.split_once('=').and_then(|(name, value)| take(name, value)) {
            Some(value) => {
                taken.push(value);
                false
            }
            None => true,
        };
        let rest: Vec<_> = query.split('&').filter(stays).collect();
        let rest = rest.join("&");
        if !taken.is_empty() {
            self.text.truncate(self.path_len);
            if !rest.is_empty() {
                self.text.push('?');
                self.text.push_str(&rest);
            }
        }
        taken
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The canonical spelling of a path.
pub(super) fn canonical_path(path: &[u8]) -> Result<String, PathError> {
    let Some(segments) = path.strip_prefix(b"/") else { return Err(PathError::NotAbsolute) };
    let mut canonical = String::with_capacity(path.len() + 8);
    let mut rest = segments.split(|&b| b == b'/').peekable();
    while let Some(segment) = rest.next() {
        if segment.is_empty() && rest.peek().is_some() {
            return Err(PathError::EmptySegment);
        }
        canonical.push('/');
        push_segment(&mut canonical, segment)?;
    }
    Ok(canonical)
}

fn push_segment(canonical: &mut String, segment: &[u8]) -> Result<(), PathError> {
    if segment.iter().all(|&b| is_plain(b)) && segment != b"." && segment != b".." {
        // The usual case: nothing to decode, and ASCII is UTF-8.
        canonical.extend(segment.iter().map(|&b| char::from(b)));
        return Ok(());
    }
    let decoded = decode_segment(segment)?;
    // Also with a parameter, which is encoded here: some upstreams cut it off after decoding.
    if matches!(decoded.split(|&byte| byte == b';').next(), Some(b"." | b"..")) {
        return Err(PathError::DotSegment);
    }
    if std::str::from_utf8(&decoded).is_err() {
        return Err(PathError::NotUtf8);
    }
    // `+` keeps the spelling that it came in: object stores read a bare one as a space.
    let encoded_plus = !segment.contains(&b'+');
    for &byte in &decoded {
        match byte {
            b'+' if encoded_plus => canonical.push_str("%2B"),
            byte if is_plain(byte) => canonical.push(char::from(byte)),
            byte => push_encoded(canonical, byte),
        }
    }
    Ok(())
}

fn decode_segment(segment: &[u8]) -> Result<Vec<u8>, PathError> {
    let mut decoded = Vec::with_capacity(segment.len());
    let mut bytes = segment.iter();
    while let Some(&byte) = bytes.next() {
        let byte = match byte {
            b';' => return Err(PathError::Parameter),
            b'%' => {
                let value = hex_pair(bytes.as_slice()).ok_or(PathError::Percent)?;
                bytes.nth(1);
                value
            }
            byte => byte,
        };
        match byte {
            b'/' | b'\\' => return Err(PathError::Slash),
            byte if byte.is_ascii_control() => return Err(PathError::Control),
            byte => decoded.push(byte),
        }
    }
    // Looked for in what was decoded: `%2577` and `%25%37%37` are the same to an upstream that decodes twice.
    let doubled = |window: &[u8]| matches!(window, [b'%', pair @ ..] if hex_pair(pair).is_some());
    if decoded.windows(3).any(doubled) { Err(PathError::Percent) } else { Ok(decoded) }
}

/// Unreserved characters, and the delimiters that mean nothing inside a segment (RFC 3986 §3.3, `pchar`).
const fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',')
        || matches!(byte, b'=' | b':' | b'@')
}

fn hex_pair(bytes: &[u8]) -> Option<u8> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    match bytes {
        [high, low, ..] => Some(digit(high)? * 16 + digit(low)?),
        _ => None,
    }
}

fn push_encoded(text: &mut String, byte: u8) {
    const HEX: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];
    let digit = |nibble: u8| HEX.get(usize::from(nibble)).copied().unwrap_or('0');
    text.push('%');
    text.push(digit(byte >> 4));
    text.push(digit(byte & 15));
}

/// A query is nobody's path: it is sent on as it came, but for bytes that a request line cannot hold.
fn push_query(text: &mut String, query: &[u8]) -> Result<(), PathError> {
    for &byte in query {
        match byte {
            byte if byte.is_ascii_control() || byte == b' ' => return Err(PathError::Control),
            b'"' | b'<' | b'>' => push_encoded(text, byte),
            byte if byte.is_ascii() => text.push(char::from(byte)),
            byte => push_encoded(text, byte),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn canonical(raw: &str) -> Result<String, PathError> {
        Target::parse(raw.as_bytes()).map(|target| target.to_string())
    }

    #[test]
    fn equal_paths_have_one_spelling() {
        for (raw, expected) in [
            ("/", "/"),
            ("/weather", "/weather"),
            ("/%77eather", "/weather"),
            ("/a%7eb", "/a~b"),
            ("/a%3ab", "/a:b"),
            ("/a%20b", "/a%20b"),
            ("/a%c3%a9", "/a%C3%A9"),
            ("/a\u{e9}", "/a%C3%A9"),
            ("/a/", "/a/"),
            ("/100%25", "/100%25"),
            ("/a+b", "/a+b"),
            ("/a%2bb", "/a%2Bb"),
            ("/{x}", "/%7Bx%7D"),
            ("/a?b=%2f..//;", "/a?b=%2f..//;"),
            ("/a?", "/a?"),
        ] {
            assert_eq!(canonical(raw).as_deref(), Ok(expected), "{raw}");
        }
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        for (raw, error) in [
            ("", PathError::NotAbsolute),
            ("foo", PathError::NotAbsolute),
            ("*", PathError::NotAbsolute),
            ("http://a/b", PathError::NotAbsolute),
            ("//", PathError::EmptySegment),
            ("//a", PathError::EmptySegment),
            ("/a//b", PathError::EmptySegment),
            ("/.", PathError::DotSegment),
            ("/a/../b", PathError::DotSegment),
            ("/a/%2e%2e/b", PathError::DotSegment),
            ("/a/.%2E", PathError::DotSegment),
            ("/a/..%3Bx/b", PathError::DotSegment),
            ("/a;x=1", PathError::Parameter),
            ("/a%2fb", PathError::Slash),
            ("/a%5Cb", PathError::Slash),
            ("/a\\b", PathError::Slash),
            ("/a%00", PathError::Control),
            ("/a%0d%0a", PathError::Control),
            ("/a\tb", PathError::Control),
            ("/a%", PathError::Percent),
            ("/a%2", PathError::Percent),
            ("/a%zz", PathError::Percent),
            ("/a%+1", PathError::Percent),
            ("/a%252f", PathError::Percent),
            ("/%25%37%37eather", PathError::Percent),
            ("/a%25%32f", PathError::Percent),
            ("/a%252%66", PathError::Percent),
            ("/a%c0%ae", PathError::NotUtf8),
            ("/a%ff", PathError::NotUtf8),
            ("/a#b", PathError::Fragment),
            ("/a?b#c", PathError::Fragment),
        ] {
            assert_eq!(canonical(raw), Err(error), "{raw}");
        }
        for long in ["a".repeat(9000), "[".repeat(3000), format!("?{}", "<".repeat(3000))] {
            assert_eq!(canonical(&format!("/{long}")), Err(PathError::TooLong));
        }
    }

    proptest! {
        #[test]
        fn the_canonical_form_is_a_fixed_point(raw in proptest::collection::vec(any::<u8>(), 0..64)) {
            let raw = [b"/".as_slice(), &raw].concat();
            if let Ok(target) = Target::parse(&raw) {
                prop_assert_eq!(Target::parse(target.as_str().as_bytes()), Ok(target.clone()));
                prop_assert!(http::Uri::try_from(target.as_str()).is_ok());
            }
        }
    }
}
