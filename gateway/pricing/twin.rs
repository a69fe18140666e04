//! The paths that careless upstreams take a canonical path for: what is priced under one of them is priced.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// One of them, in its folded spelling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reading<'p> {
    /// The path.
    pub(super) whole: Cow<'p, str>,
    /// The path without the `.json` at its end, which some take for a wish about the answer's form.
    pub(super) stem: Option<String>,
}

/// All of them, the path itself first.
///
/// An upstream that decodes a path before it takes it apart cuts off what stands behind a `?`, a `#` or a `;` that was
/// encoded; bare ones are the query's, or refused. Some look for a `?` alone, and leave a `#` before it in.
pub(super) fn readings(path: &str) -> impl Iterator<Item = Reading<'_>> {
    // Most paths have nothing encoded in them, and are not searched for each mark.
    let encoded = path.contains('%').then_some(path);
    let cut = |mark| encoded.and_then(|path| before(path, mark));
    let wholes = [Some(path), cut("%3F"), cut("%23")].into_iter().flatten();
    let names = wholes.flat_map(|path| [Some(Cow::Borrowed(path)), without_parameters(path).map(Cow::Owned)]);
    names.flatten().map(|path| {
        let whole = match path {
            Cow::Borrowed(path) => folded(path),
            Cow::Owned(path) => folded(&path).into_owned().into(),
        };
        let stem = without_format(&whole).map(|stem| folded(stem).into_owned());
        Reading { whole, stem }
    })
}

/// The spelling in which careless upstreams see a canonical path or a segment of one: they ignore letter case, blanks and
/// dots around a segment, and a slash at the end, and take a plus for a blank.
pub(super) fn folded(path: &str) -> Cow<'_, str> {
    // Many a path is in that spelling already.
    match without_slash(path) {
        plain if !is_plain(plain) => thoroughly_folded(path).into(),
        plain if plain.bytes().any(|byte| byte.is_ascii_uppercase()) => plain.to_ascii_lowercase().into(),
        plain => plain.into(),
    }
}

/// The path without a slash at its end, but for the root.
fn without_slash(path: &str) -> &str {
    path.strip_suffix('/').filter(|path| !path.is_empty()).unwrap_or(path)
}

/// Whether nothing but capitals makes a path another one than its folded spelling.
fn is_plain(path: &str) -> bool {
    let mut last = None;
    // As if a slash came behind it, unless it is the root.
    let end = (path != "/").then_some(b'/');
    path.bytes().chain(end).all(|byte| {
        let ends_well = byte != b'/' || !matches!(last, Some(b'/' | b'.'));
        last = Some(byte);
        ends_well && byte.is_ascii_graphic() && byte != b'%' && byte != b'+'
    })
}

/// The same for all that there is.
fn thoroughly_folded(path: &str) -> String {
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
    (path.contains('%') && path.contains("%3B")).then(|| names().flat_map(|name| ["/", name]).collect())
}

/// The path without the `.json` at its end.
fn without_format(path: &str) -> Option<&str> {
    let (stem, format) = path.trim_end_matches('/').rsplit_once('.')?;
    (!format.contains('/') && !stem.ends_with('/')).then_some(stem)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_path_is_read_in_every_careless_way() {
        let read = |path| {
            readings(path).flat_map(|one| [Some(one.whole.into_owned()), one.stem]).flatten().collect::<Vec<_>>()
        };
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

    proptest! {
        #[test]
        fn a_path_is_folded_as_if_it_were_none_of_the_usual(
            path in "[/]?([aB./+ %\\t~{0]|//|%2[BEF0]|%41|%C5%BF|\u{17f}|\u{212a}|\u{a0}|\u{feff}|.){0,12}/{0,2}",
        ) {
            prop_assert_eq!(folded(&path), thoroughly_folded(&path));
        }

        #[test]
        fn a_usual_path_is_folded_as_others_are(path in "(/[a-cA-C0.]{0,4}){0,4}/?") {
            prop_assert_eq!(folded(&path), thoroughly_folded(&path));
        }
    }
}
