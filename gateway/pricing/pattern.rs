use std::fmt;
use std::sync::Arc;

use super::path::{PathError, canonical_path};
use super::twin::folded;

/// The longest pattern, in bytes: what is nested deeper than this allows is no API.
const PATTERN_BYTES_MAX: usize = 1024;

/// A path pattern of the configuration: literal segments, `{name}` for one segment, `{name...}` for the rest.
///
/// `{name...}` at the end matches any rest, the empty one too: `/files/{path...}` is `/files`, `/files/` and all below.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    text: Arc<str>,
    segments: Arc<[Segment]>,
}

/// A segment of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Segment {
    /// Written out, in canonical spelling; empty behind a slash at the end.
    Literal(Box<str>),
    /// `{name}`: one segment, not empty.
    One,
    /// `{name...}`: what is left, be it nothing.
    Rest,
}

/// Why a text is not a pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// The literal parts are not a canonical path.
    #[error("{0}")]
    Path(#[from] PathError),
    /// Braces inside a segment, or nothing between them.
    #[error("has {{…}} that is not a whole segment like {{name}} or {{name...}}")]
    Braces,
    /// `{name...}` before the end.
    #[error("has {{name...}} before the end")]
    RestNotLast,
    /// A query or fragment.
    #[error("is a path only: queries are not matched")]
    Query,
    /// More than 1 KiB.
    #[error("is longer than 1 KiB")]
    TooLong,
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// [`PatternError`].
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        if text.len() > PATTERN_BYTES_MAX {
            return Err(PatternError::TooLong);
        }
        if text.contains(['?', '#']) {
            return Err(PatternError::Query);
        }
        let Some(path) = text.strip_prefix('/') else { return Err(PathError::NotAbsolute.into()) };
        let parts: Vec<&str> = path.split('/').collect();
        let mut segments = Vec::with_capacity(parts.len());
        for (index, part) in parts.iter().enumerate() {
            let last = index + 1 == parts.len();
            segments.push(match part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) {
                Some(name) if name.strip_suffix("...").is_some_and(is_name) && last => Segment::Rest,
                Some(name) if name.strip_suffix("...").is_some_and(is_name) => return Err(PatternError::RestNotLast),
                Some(name) if is_name(name) => Segment::One,
                None if !part.contains(['{', '}']) => literal(part, last)?,
                _ => return Err(PatternError::Braces),
            });
        }
        Ok(Self { text: text.into(), segments: segments.into() })
    }

    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Its segments, from left to right.
    pub(super) fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Whether a path that both match is rather this one's: at the first segment where they differ, this one is the
    /// more specific.
    pub(super) fn is_narrower_than(&self, other: &Self) -> bool {
        let width = |segment: &Segment| match segment {
            Segment::Literal(_) => 1,
            Segment::One => 2,
            Segment::Rest => 3,
        };
        self.segments.iter().map(width).lt(other.segments.iter().map(width))
    }

    /// Whether a path without a slash at its end is one of its.
    pub(super) fn fits(&self, path: &str) -> bool {
        let mut left = path.strip_prefix('/').unwrap_or(path).split('/');
        for segment in &*self.segments {
            match (segment, left.next()) {
                (Segment::Rest, _) => return true,
                (Segment::Literal(text), Some(segment)) if **text == *segment => {}
                (Segment::One, Some(segment)) if !segment.is_empty() => {}
                _ => return false,
            }
        }
        left.next().is_none()
    }

    /// The pattern in the spelling of [`folded`], for finding the twins of a path that careless upstreams confuse.
    pub(super) fn folded(&self) -> Self {
        let fold = |segment: &Segment| match segment {
            Segment::Literal(literal) => Segment::Literal(folded(literal).into()),
            other => other.clone(),
        };
        let mut segments: Vec<_> = self.segments.iter().map(fold).collect();
        let nothing = Segment::Literal(Box::default());
        segments.retain(|segment| *segment != nothing);
        if segments.is_empty() {
            segments.push(nothing);
        }
        Self { text: Arc::clone(&self.text), segments: segments.into() }
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

fn literal(part: &str, last: bool) -> Result<Segment, PatternError> {
    if part.is_empty() && !last {
        return Err(PathError::EmptySegment.into());
    }
    let canonical = canonical_path(format!("/{part}").as_bytes())?;
    Ok(Segment::Literal(canonical.trim_start_matches('/').into()))
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_have_literals_names_and_a_rest() {
        let segments = |text| Pattern::parse(text).unwrap().segments.to_vec();
        let literal = |text: &str| Segment::Literal(text.into());
        assert_eq!(segments("/"), [literal("")]);
        assert_eq!(segments("/a/{b}/c"), [literal("a"), Segment::One, literal("c")]);
        assert_eq!(segments("/a/{b...}"), [literal("a"), Segment::Rest]);
        assert_eq!(segments("/%77eather/"), [literal("weather"), literal("")]);
    }

    #[test]
    fn anything_else_is_refused() {
        for (text, error) in [
            ("a", PatternError::Path(PathError::NotAbsolute)),
            ("/a//b", PatternError::Path(PathError::EmptySegment)),
            ("/a/../b", PatternError::Path(PathError::DotSegment)),
            ("/a;b", PatternError::Path(PathError::Parameter)),
            ("/a/{}", PatternError::Braces),
            ("/a/{b}.json", PatternError::Braces),
            ("/a/{b", PatternError::Braces),
            ("/a/{...}", PatternError::Braces),
            ("/a/{b...}/c", PatternError::RestNotLast),
            ("/a?b", PatternError::Query),
        ] {
            assert_eq!(Pattern::parse(text), Err(error), "{text}");
        }
        assert_eq!(Pattern::parse(&"/a".repeat(513)), Err(PatternError::TooLong));
    }
}
