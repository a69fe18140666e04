//! Which requests a pattern protects.

use std::sync::Arc;

use http::Method;
use tollgate::plans::Units;
use tollgate::pricing::{Access, Metering, Methods, Pattern, Route, Router, SettleTiming, Target};

use crate::file::{text, vector, whole};

/// The reference's patterns in our words, with their methods. `None`: our language has no wildcard inside a segment.
const PATTERNS: [(&str, Option<(&str, &str)>); 7] = [
    ("/api/*", Some(("*", "/api/{rest...}"))),
    ("GET /a/b", Some(("GET", "/a/b"))),
    ("/u/:id/x", Some(("*", "/u/{id}/x"))),
    ("/u/[id]", Some(("*", "/u/{id}"))),
    ("*", Some(("*", "/{rest...}"))),
    ("/files/*.json", None),
    ("post /p", Some(("POST", "/p"))),
];

/// What we protect and the reference does not.
const MORE: [(&str, &str); 1] = [
    // HEAD shows what GET would answer, and it goes with GET.
    ("GET /a/b", "HEAD /a/b"),
];

#[derive(Debug, PartialEq, Eq)]
enum Seen {
    /// 400: the upstream is not asked.
    Refused,
    Priced,
    Free,
}

fn router((methods, pattern): (&str, &str)) -> Router {
    let methods = match methods {
        "*" => Methods::All,
        method => Methods::Only(vec![method.parse::<Method>().unwrap()]),
    };
    let route = Route {
        pattern: Pattern::parse(pattern).unwrap(),
        methods,
        access: Access::PlanOnly(Metering::fixed(Units::from_thousandths(1000))),
        settle: SettleTiming::After,
        upstream: "".into(),
        free_calls: None,
    };
    Router::new(&[Arc::new(route)]).unwrap()
}

/// What becomes of a request that is written `GET /path`.
fn seen(router: &Router, request: &str) -> Seen {
    let (method, path) = request.split_once(' ').unwrap();
    match Target::parse(path.as_bytes()) {
        Err(_) => Seen::Refused,
        Ok(target) => match router.find(&method.parse().unwrap(), target.path()) {
            Some(_) => Seen::Priced,
            None => Seen::Free,
        },
    }
}

#[test]
fn what_the_reference_protects_is_priced_or_refused_and_little_more() {
    let vector = vector("route-matching");
    let (matches, whole) = (vector["matches"].as_array().unwrap(), whole());
    let tried = whole["meta"]["tried_paths_for_route_matching"].as_array().unwrap();
    let patterns: Vec<_> =
        vector["tried_patterns"].as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect();
    assert_eq!(patterns, PATTERNS.map(|(theirs, _)| theirs));
    let (mut protected, mut more) = (0, Vec::new());
    for (pattern, ours) in PATTERNS {
        let Some(ours) = ours else { continue };
        let router = router(ours);
        for request in tried.iter().map(|request| request.as_str().unwrap()) {
            let theirs = matches.iter().any(|pair| {
                pair["pattern"] == pattern && format!("{} {}", text(pair, "/method"), text(pair, "/path")) == request
            });
            protected += usize::from(theirs);
            match seen(&router, request) {
                Seen::Free => assert!(!theirs, "{pattern} protects {request}"),
                Seen::Priced if !theirs => more.push((pattern, request)),
                Seen::Priced | Seen::Refused => {}
            }
        }
    }
    assert_eq!(more, MORE);
    let skipped = matches.iter().filter(|pair| pair["pattern"] == "/files/*.json").count();
    assert_eq!(protected + skipped, matches.len(), "each pair of the vector is about a request that was tried");
}

#[test]
fn the_requests_that_can_be_read_in_two_ways_are_refused() {
    let router = router(("*", "/{rest...}"));
    for request in ["GET /a//b/", "GET /a%2Fb", "GET /api/../a/b"] {
        assert_eq!(seen(&router, request), Seen::Refused, "{request}");
    }
    for request in ["GET /%61/b", "GET /API/x", "GET /a/b?x=1", "GET /api/"] {
        assert_eq!(seen(&router, request), Seen::Priced, "{request}");
    }
}
