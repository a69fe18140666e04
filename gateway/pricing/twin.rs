//! The paths that careless upstreams take a canonical path for: what is priced under one of them is priced.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// One of them, in its folded spelling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reading {
    /// The path.
    pub(super) whole: String,
    /// The path without the `.json` at its end, which some take for a wish about the answer's form.
    pub(super) stem: Option<String>,
}

/// All of them, the path itself first.
///
/// An upstream that decodes a path before it takes it apart cuts off what stands behind a `?`, a `#` or a `;` that was
/// encoded; bare ones are the query's, or refused. Some look for a `?` alone, and leave a `#` before it in.
pub(super) fn readings(path: &str) -> impl Iterator<Item = Reading> {
    let wholes = [Some(path), before(path, "%3F"), before(path, "%23")].into_iter().flatten();
    let names = wholes.flat_map(|path| [Some(Cow::Borrowed(path)), without_parameters(path).map(Cow::Owned)]);
    names.flatten().map(|path| {
        let whole = folded(&path);
        let stem = without_format(&whole).map(folded);
        Reading { whole, stem }
    })
}

/// The spelling in which careless upstreams see a canonical path or a segment of one: they ignore letter case, blanks and
/// dots around a segment, and a slash at the end, and take a plus for a blank.
pub(super) fn folded(path: &str) -> String {
    let decoded = percent_decode_str(path).decode_utf8_lossy().replace('+', " ");
    // Both, since either may be the upstream's way: the long s is `S` in capitals, the Kelvin sign a small `k`.
    let folded = decoded.to_uppercase().to_lowercase();
    let blank = |c: char| c.is_whitespace() || c == '\u{feff}';
    let trimmed = |segment| str::trim_end_matches(str::trim_start_matches(segment, blank), |c| blank(c) || c == '.');
    let segments: Vec<_> = folded.split('/').map(trimmed).filter(|segment| !segment.is_empty()).collect();
    let root = if path.starts_with('/') { "/" } else { "" };
    format!("{root}{}", segments.join("/"))
}

/// The part before an encoded `?` or `#`.
fn before<'p>(path: &'p str, mark: &str) -> Option<&'p str> {
    path.split_once(mark).map(|(before, _)| before)
}

/// The path without what stands in each segment behind an encoded semicolon, if there is one.
fn without_parameters(path: &str) -> Option<String> {
    let name = |segment| str::split_once(segment, "%3B").map_or(segment, |(name, _)| name);
    let names = || path.split('/').map(name).filter(|name| !name.is_empty());
    path.contains("%3B").then(|| names().flat_map(|name| ["/", name]).collect())
}

/// The path without the `.json` at its end.
fn without_format(path: &str) -> Option<&str> {
    let (stem, format) = path.trim_end_matches('/').rsplit_once('.')?;
    (!format.contains('/') && !stem.ends_with('/')).then_some(stem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_read_in_every_careless_way() {
        let read = |path| readings(path).flat_map(|one| [Some(one.whole), one.stem]).flatten().collect::<Vec<_>>();
        assert_eq!(read("/weather"), ["/weather"]);
        assert_eq!(read("/Weather.JSON/"), ["/weather.json", "/weather"]);
        assert_eq!(read("/weather..x.."), ["/weather..x", "/weather"]);
        assert_eq!(read("/a%3Bx/b%3By"), ["/a;x/b;y", "/a/b"]);
        let all = read("/a.b%3Bx/c.json%3Fy%3Bz");
        for reading in ["/a.b;x/c.json?y;z", "/a.b/c.json", "/a.b;x/c.json", "/a.b;x/c", "/a.b/c"] {
            assert!(all.iter().any(|one| one == reading), "{reading} is not in {all:?}");
        }
        assert_eq!(read("/a%23b/c%3Fd"), ["/a#b/c?d", "/a#b/c", "/a"]);
        assert!(all.len() <= 12);
    }
}
