//! How upstreams in the field read a path.

use std::collections::BTreeSet;

/// All paths that a careless upstream may take a request target for: it cuts parameters off, decodes once or twice,
/// takes a backslash for a slash, drops control characters, merges slashes, follows dots, trims, ignores letter case and a
/// slash at the end, and cuts off what looks like a query once it has decoded, in any order.
pub(crate) fn readings(target: &str) -> BTreeSet<String> {
    let path = target.split(['?', '#']).next().unwrap_or_default();
    let without_parameters: Vec<_> =
        path.split('/').map(|segment| segment.split(';').next().unwrap_or_default()).collect();
    let mut found = BTreeSet::from([path.to_owned(), without_parameters.join("/")]);
    let mut new: Vec<_> = found.iter().cloned().collect();
    while let Some(path) = new.pop() {
        for reading in [
            decoded(&path),
            path.replace('\\', "/"),
            path.chars().filter(|c| !c.is_control()).collect(),
            path.split('\0').next().unwrap_or_default().to_owned(),
            merged(&path),
            followed(&path),
            path.to_lowercase(),
            path.to_uppercase().to_lowercase(),
            path.trim().trim_end_matches('.').to_owned(),
            path.split(['?', '#']).next().unwrap_or_default().to_owned(),
            path.trim_end_matches('/').to_owned(),
        ] {
            if found.insert(reading.clone()) {
                new.push(reading);
            }
        }
    }
    found
}

fn decoded(path: &str) -> String {
    let bytes = path.as_bytes();
    let mut decoded = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let pair = path.get(at + 1..at + 3).filter(|_| bytes[at] == b'%');
        match pair.and_then(|pair| u8::from_str_radix(pair, 16).ok()) {
            Some(byte) => {
                decoded.push(byte);
                at += 3;
            }
            None => {
                decoded.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

fn merged(path: &str) -> String {
    let mut merged = String::new();
    for c in path.chars() {
        if c != '/' || !merged.ends_with('/') {
            merged.push(c);
        }
    }
    merged
}

fn followed(path: &str) -> String {
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "." => {}
            ".." => drop(segments.pop()),
            segment => segments.push(segment),
        }
    }
    segments.join("/")
}

#[test]
fn a_careless_upstream_finds_the_priced_path_in_all_of_these() {
    for target in [
        "/weather?x",
        "/%77eather",
        "/%2577eather",
        "/free/../weather",
        "/free/%2e%2e/weather",
        "//weather",
        "/free\\..\\weather",
        "/free%252f..%252fweather",
        "/weather;x=1",
        "/WEATHER/",
        "/weather%00.html",
        "/wea%0ather",
        "/weather%3Fa",
        "/weather%20.",
    ] {
        assert!(readings(target).contains("/weather"), "{target}");
    }
    for target in ["/weatherx", "/free?/weather", "/weather/x", "/free%3F/weather"] {
        assert!(!readings(target).contains("/weather"), "{target}");
    }
}
