use std::fmt;
use std::sync::Arc;

use super::path::{PathError, canonical_path, folded};

/// A path pattern of the configuration: literal segments, `{name}` for one segment, `{name...}` for the rest.
///
/// `{name...}` at the end matches any rest, the empty one too: `/files/{path...}` is `/files`, `/files/` and all below.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    text: Arc<str>,
    segments: Vec<Segment>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    Literal(String),
    One,
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
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// [`PatternError`].
    pub fn parse(text: &str) -> Result<Self, PatternError> {
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
        Ok(Self { text: text.into(), segments })
    }

    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The pattern in the words of the `matchit` crate; parameters are named by their place, since two routes may
    /// call the same place differently. A rest stands also for its empty forms.
    pub(super) fn matchit(&self) -> Vec<String> {
        let mut text = String::new();
        let mut forms = Vec::new();
        for (index, segment) in self.segments.iter().enumerate() {
            match segment {
                Segment::Literal(literal) => text.push_str(&format!("/{literal}")),
                Segment::One => text.push_str(&format!("/{{p{index}}}")),
                Segment::Rest => {
                    forms.push(format!("{text}/"));
                    if !text.is_empty() {
                        forms.push(text.clone());
                    }
                    text.push_str("/{*rest}");
                }
            }
        }
        forms.insert(0, text);
        forms
    }

    /// The pattern in the spelling of [`folded`], for finding the twins of a path that careless upstreams confuse.
    pub(super) fn folded(&self) -> Self {
        let fold = |segment: &Segment| match segment {
            Segment::Literal(literal) => Segment::Literal(folded(literal)),
            other => other.clone(),
        };
        let mut segments: Vec<_> = self.segments.iter().map(fold).collect();
        if segments.len() > 1 && segments.last() == Some(&Segment::Literal(String::new())) {
            segments.pop();
        }
        Self { text: self.text.clone(), segments }
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
    Ok(Segment::Literal(canonical.trim_start_matches('/').to_owned()))
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
        let forms = |text| Pattern::parse(text).map(|pattern| pattern.matchit());
        assert_eq!(forms("/"), Ok(vec!["/".into()]));
        assert_eq!(forms("/a/{b}/c"), Ok(vec!["/a/{p1}/c".into()]));
        assert_eq!(forms("/a/{b...}"), Ok(vec!["/a/{*rest}".into(), "/a/".into(), "/a".into()]));
        assert_eq!(forms("/{b...}"), Ok(vec!["/{*rest}".into(), "/".into()]));
        assert_eq!(forms("/%77eather"), Ok(vec!["/weather".into()]));
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
    }
}
