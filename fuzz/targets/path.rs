//! Request targets: one canonical form, and no spelling of a priced path that is free.

use std::sync::LazyLock;

use http::Method;
use percent_encoding::percent_decode;
use tollgate::config;
use tollgate::pricing::{Found, Kinds, PriceTable, Target};

/// What is priced: a path, everything below another one, and a name in the middle. Everything else is free.
static TABLE: LazyLock<PriceTable> = LazyLock::new(|| {
    let text = r#"
        server = { unlisted = "free", public_url = "https://api.example.com" }
        upstream = { url = "http://127.0.0.1:3000" }
        facilitator = { url = "https://x402.org/facilitator" }
        pay_to = { base = "0x209693Bc6afc0C5328bA36FaF03C514EF312287C" }
        routes = [
            { path = "/a", price = "$0.01" },
            { path = "/b/{rest...}", price = "$0.01" },
            { path = "/c/{name}/d", price = "$0.01" },
        ]
    "#;
    let loaded = config::parse(text, "path.toml", "".as_ref(), &|_| None).expect("a good configuration");
    loaded.config.price_table(&Kinds::unknown()).0
});

/// Reads the bytes as a request target.
pub fn path(data: &[u8]) {
    let Ok(target) = Target::parse(data) else { return };
    let text = target.as_str();
    assert_eq!(Target::parse(text.as_bytes()).as_ref(), Ok(&target), "a canonical form of a canonical form");
    assert!(text.len() <= 3 * data.len(), "it grew to {} bytes", text.len());
    assert!(text.bytes().all(|byte| byte.is_ascii_graphic()), "{text}");
    check_path(target.path());
    check_query(&target);
    for seen in readings(data) {
        if is_priced(&seen) {
            let found = TABLE.find(&Method::GET, target.path());
            assert!(matches!(&found, Found::Route(route) if !route.access.is_free()), "{text} is free");
        }
    }
}

fn check_path(path: &str) {
    assert!(path.starts_with('/') && !path.contains("//") && !path.contains([';', '\\', '?', '#']), "{path}");
    assert!(path.split('/').all(|segment| segment != "." && segment != ".."), "{path}");
}

/// What is taken out of a query is gone, and the rest is as it was.
fn check_query(target: &Target) {
    let mut left = target.clone();
    let taken = left.take_from_query(|name, value| (name == "key").then(|| value.to_owned()));
    assert_eq!(left.path(), target.path());
    assert_eq!(Target::parse(left.as_str().as_bytes()).as_ref(), Ok(&left));
    let has_key = |target: &Target| target.query().is_some_and(|all| all.split('&').any(|it| it.starts_with("key=")));
    assert!(!has_key(&left), "{left}");
    assert_eq!(taken.is_empty(), !has_key(target));
}

/// How careless upstreams read a target: decoded once or twice, cut at a semicolon or not, slashes collapsed, dots
/// resolved, in small letters.
fn readings(data: &[u8]) -> Vec<String> {
    let raw = data.split(|&byte| byte == b'?').next().unwrap_or_default();
    let once: Vec<u8> = percent_decode(raw).collect();
    let twice: Vec<u8> = percent_decode(&once).collect();
    [raw.to_vec(), once, twice].iter().flat_map(|bytes| [resolved(bytes, false), resolved(bytes, true)]).collect()
}

fn resolved(bytes: &[u8], cut: bool) -> String {
    let text = String::from_utf8_lossy(bytes).to_lowercase().replace('\\', "/");
    let mut segments = Vec::new();
    for segment in text.split('/') {
        let segment = if cut { segment.split(';').next().unwrap_or_default() } else { segment };
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            segment => segments.push(segment),
        }
    }
    segments.join("/")
}

fn is_priced(path: &str) -> bool {
    let segments: Vec<_> = path.split('/').collect();
    matches!(segments.as_slice(), ["a"] | ["b", _, ..] | ["c", _, "d"])
}
