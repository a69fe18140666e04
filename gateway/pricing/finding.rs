//! What a [`Router`] and a [`PriceTable`] find.

use std::sync::Arc;

use http::Method;
use proptest::prelude::*;

use super::{
    Access, Conflict, Endpoint, Found, Metering, Methods, Pattern, PriceTable, Route, Router, SettleTiming, Unlisted,
};
use crate::plans::Units;

/// A route written `GET,POST /path`, or `/path` for all methods.
pub(super) fn route(text: &str, access: Access) -> Arc<Route> {
    let (methods, pattern) = text.split_once(' ').unwrap_or(("*", text));
    let methods = match methods {
        "*" => Methods::All,
        names => Methods::Only(names.split(',').map(|name| name.parse().unwrap()).collect()),
    };
    let pattern = Pattern::parse(pattern).unwrap();
    let settle = SettleTiming::After;
    Arc::new(Route { pattern, methods, access, settle, upstream: "".into(), free_calls: None })
}

pub(super) fn priced(text: &str) -> Arc<Route> {
    route(text, Access::PlanOnly(Metering::fixed(Units::from_thousandths(1000))))
}

pub(super) fn free(text: &str) -> Arc<Route> {
    route(text, Access::Free)
}

pub(super) fn router(routes: &[Arc<Route>]) -> Router {
    Router::new(routes).unwrap()
}

/// What a request written `GET /path` finds, as `GET,POST /path`.
pub(super) fn found(router: &Router, request: &str) -> String {
    let (method, path) = request.split_once(' ').unwrap();
    let found = router.find(&method.parse().unwrap(), path);
    found.map_or_else(|| "nothing".to_owned(), |route| format!("{} {}", route.methods, route.pattern))
}

fn table(router: Router, endpoints: &str) -> PriceTable {
    PriceTable {
        router,
        plans: Vec::new(),
        unlisted: Unlisted::Deny,
        endpoints: endpoints.into(),
        public_url: "https://api.example.com".into(),
    }
}

#[test]
fn the_most_specific_pattern_wins_whatever_the_order() {
    let mut routes = [
        priced("/{all...}"),
        free("/files/{path...}"),
        priced("/files/{name}"),
        free("/files/{name}/meta"),
        priced("/files/readme"),
    ];
    for _ in 0..routes.len() {
        routes.rotate_left(1);
        let router = router(&routes);
        for (request, expected) in [
            ("GET /", "* /{all...}"),
            ("GET /other/x", "* /{all...}"),
            ("GET /files/a/b", "* /files/{path...}"),
            ("GET /files/a", "* /files/{name}"),
            ("GET /files/a/meta", "* /files/{name}/meta"),
            ("GET /files/readme", "* /files/readme"),
        ] {
            assert_eq!(found(&router, request), expected, "{request}");
        }
    }
}

#[test]
fn a_rest_may_be_empty() {
    let router = router(&[priced("/files/{path...}")]);
    for path in ["/files", "/files/", "/files/a", "/files/a/", "/files/a/b/c.txt"] {
        assert_eq!(found(&router, &format!("GET {path}")), "* /files/{path...}", "{path}");
    }
    for path in ["/", "/file", "/filesystem", "/a/files"] {
        assert_eq!(found(&router, &format!("GET {path}")), "nothing", "{path}");
    }
}

#[test]
fn a_name_stands_for_one_segment_that_is_there() {
    let router = router(&[priced("/users/{id}/posts")]);
    assert_eq!(found(&router, "GET /users/7/posts"), "* /users/{id}/posts");
    for path in ["/users//posts", "/users/posts", "/users/7/8/posts", "/users/7"] {
        assert_eq!(found(&router, &format!("GET {path}")), "nothing", "{path}");
    }
}

#[test]
fn a_route_for_some_methods_does_not_hide_a_wider_one_from_the_others() {
    let routes = [priced("GET /api/report"), free("POST /api/{name}"), priced("/api/{rest...}")];
    for routes in [[0, 1, 2], [2, 1, 0]].map(|order| order.map(|at: usize| Arc::clone(&routes[at]))) {
        let router = router(&routes);
        for (request, expected) in [
            ("GET /api/report", "GET /api/report"),
            ("HEAD /api/report", "GET /api/report"),
            ("POST /api/report", "POST /api/{name}"),
            ("PUT /api/report", "* /api/{rest...}"),
            ("DELETE /api/report", "* /api/{rest...}"),
            ("OPTIONS /api/report", "* /api/{rest...}"),
            ("BREW /api/report", "* /api/{rest...}"),
            ("GET /api/other", "* /api/{rest...}"),
            ("POST /api/a/b", "* /api/{rest...}"),
        ] {
            assert_eq!(found(&router, request), expected, "{request}");
        }
    }
}

#[test]
fn head_is_get_and_nothing_else_is() {
    let router = router(&[priced("GET /a"), priced("POST /b")]);
    assert_eq!(found(&router, "HEAD /a"), "GET /a");
    assert_eq!(found(&router, "HEAD /b"), "nothing");
    for method in ["POST", "PUT", "OPTIONS", "TRACE", "get"] {
        assert_eq!(found(&router, &format!("{method} /a")), "nothing", "{method}");
    }
}

/// An upstream that does not tell letter case or a trailing slash apart would serve them alike, and so would one that
/// cuts parameters off after it has decoded the path.
#[test]
fn the_twins_of_a_priced_path_are_priced() {
    let twins = ["/weather", "/Weather", "/WEATHER", "/weather/", "/WeAtHeR/"];
    let with_parameters = ["/weather%3B", "/Weather%3Bv=1", "/weather/%3Bv", "/%3Bv/weather", "/weather%3Ba%3Bb"];
    let twins = [twins, with_parameters].concat();
    for others in [vec![], vec![free("/{rest...}")], vec![free("/{name}"), free("/{name}/")]] {
        let router = router(&[others, vec![priced("/weather")]].concat());
        for path in &twins {
            assert_eq!(found(&router, &format!("GET {path}")), "* /weather", "{path}");
        }
        assert_ne!(found(&router, "GET /weathers"), "* /weather");
    }
    let router = router(&[priced("/Weather/{City}/Now/"), priced("/caf%C3%A9"), priced("/a+b")]);
    for (path, pattern) in [
        ("/weather/oslo/now", "/Weather/{City}/Now/"),
        ("/WEATHER/OSLO/NOW/", "/Weather/{City}/Now/"),
        ("/CAF%C3%A9", "/caf%C3%A9"),
        ("/a%2Bb", "/a+b"),
        ("/a%20b", "/a+b"),
        ("/CAF%C3%89", "/caf%C3%A9"),
    ] {
        assert_eq!(found(&router, &format!("GET {path}")), format!("* {pattern}"), "{path}");
    }
}

/// One reads capitals beyond ASCII, one trims, one decodes before it cuts the query off.
#[test]
fn what_a_careless_upstream_takes_for_a_priced_path_is_priced() {
    let routes = ["/market/task", "/premium/{rest...}", "/a%20/%3F/b"].map(priced);
    let router = router(&[routes.as_slice(), &[free("/{rest...}")]].concat());
    for (path, pattern) in [
        ("/mar%E2%84%AAet/task", "/market/task"),
        ("/market/ta%C5%BFk", "/market/task"),
        ("/market/task.", "/market/task"),
        ("/market./task%20.", "/market/task"),
        ("/market/%20task", "/market/task"),
        ("/market/task%C2%A0", "/market/task"),
        ("/market/task%EF%BB%BF", "/market/task"),
        ("/market/%20/task", "/market/task"),
        ("/market/task/%20", "/market/task"),
        ("/market/task%3Fx", "/market/task"),
        ("/market/task/%23/y", "/market/task"),
        ("/market/task%23x%3F", "/market/task"),
        ("/Premium%3F/x", "/premium/{rest...}"),
        ("/A/%3F/b", "/a%20/%3F/b"),
        ("/market%3F/task", "/{rest...}"),
        ("/market/tasks", "/{rest...}"),
        ("/%3F", "/{rest...}"),
        ("/.market/task", "/{rest...}"),
    ] {
        assert_eq!(found(&router, &format!("GET {path}")), format!("* {pattern}"), "{path}");
    }
}

/// Rails, for one, routes `/weather.json` as `/weather` unless it is told not to.
#[test]
fn a_format_at_the_end_is_no_way_around_a_price() {
    let router = router(&[priced("/weather"), priced("/all/{rest...}"), priced("/data.json"), free("/weather.css")]);
    for (path, pattern) in [
        ("/weather.json", "* /weather"),
        ("/Weather.XML/", "* /weather"),
        ("/weather.json%3Fx", "* /weather"),
        ("/all.json", "* /all/{rest...}"),
        ("/weather.css", "* /weather.css"),
        ("/weather.tar.gz", "nothing"),
        ("/weather/.json", "nothing"),
        ("/.weather", "nothing"),
        ("/weathers.json", "nothing"),
        ("/weather.json/x", "nothing"),
        ("/data.xml", "nothing"),
        ("/data", "nothing"),
    ] {
        assert_eq!(found(&router, &format!("GET {path}")), pattern, "{path}");
    }
}

#[test]
fn the_twins_of_the_root_are_priced() {
    let router = router(&[priced("/")]);
    for path in ["/", "/%20", "/%3Fx", "/%23"] {
        assert_eq!(found(&router, &format!("GET {path}")), "* /", "{path}");
    }
    assert_eq!(found(&router, "GET /a"), "nothing");
}

#[test]
fn a_twin_that_the_operator_wrote_down_is_what_it_says() {
    let router = router(&[priced("/weather"), free("/Weather"), free("/weather/")]);
    assert_eq!(found(&router, "GET /Weather"), "* /Weather");
    assert_eq!(found(&router, "GET /weather/"), "* /weather/");
    assert_eq!(found(&router, "GET /WEATHER"), "* /weather");
}

#[test]
fn a_free_path_has_no_twins() {
    let router = router(&[free("/health")]);
    assert_eq!(found(&router, "GET /health"), "* /health");
    assert_eq!(found(&router, "GET /Health"), "nothing");
}

/// The wider price is for what nobody named: it is no reason to charge for what somebody made free.
#[test]
fn a_free_route_inside_a_priced_one_stays_free() {
    let router = router(&[priced("/{rest...}"), free("/docs/{page...}"), free("/users/{id}/avatar"), free("/health")]);
    for (path, pattern) in [
        ("/docs", "/docs/{page...}"),
        ("/docs/", "/docs/{page...}"),
        ("/docs/a/b", "/docs/{page...}"),
        ("/users/7/avatar", "/users/{id}/avatar"),
        ("/health", "/health"),
        ("/Docs/a", "/{rest...}"),
        ("/users/7/avatar/", "/{rest...}"),
        ("/users/7", "/{rest...}"),
        ("/Health", "/{rest...}"),
    ] {
        assert_eq!(found(&router, &format!("GET {path}")), format!("* {pattern}"), "{path}");
    }
}

/// A free pattern and a priced one that differ in letter case only: closed, since an upstream may take them for one.
#[test]
fn a_free_pattern_with_a_priced_twin_is_priced() {
    let router = router(&[free("/{city}/Now"), priced("/{city}/now")]);
    assert_eq!(found(&router, "GET /oslo/Now"), "* /{city}/now");
    assert_eq!(found(&router, "GET /oslo/now"), "* /{city}/now");
}

#[test]
fn a_twin_is_priced_for_its_methods_only() {
    let router = router(&[priced("POST /run"), free("/{rest...}")]);
    assert_eq!(found(&router, "POST /Run"), "POST /run");
    assert_eq!(found(&router, "GET /Run"), "* /{rest...}");
}

#[test]
fn two_routes_for_the_same_requests_are_a_conflict() {
    for (first, second) in [
        ("/a", "/a"),
        ("/a", "/%61"),
        ("GET /a", "GET,POST /a"),
        ("/a/{x}", "/a/{y}"),
        ("/a/{x...}", "/a/{y...}"),
        ("GET /a", "/a"),
    ] {
        let conflicts = Router::new(&[priced(first), free(second)]).unwrap_err();
        let with = first.split_once(' ').map_or(first, |(_, path)| path);
        assert_eq!(conflicts, [(1, Conflict(with.to_owned()))], "{first} and {second}");
    }
    for (first, second) in [
        ("GET /a", "POST /a"),
        ("/a", "/a/"),
        ("/a", "/A"),
        ("/a/{x}", "/a/{x...}"),
        ("/a/{x}", "/a/x"),
        ("/{x}/a", "/{x}/b"),
    ] {
        assert_eq!(Router::new(&[priced(first), free(second)]).unwrap().len(), 2, "{first} and {second}");
    }
}

#[test]
fn all_conflicts_are_told_at_once() {
    let routes = ["/a", "/b", "/a", "/c", "/b", "/b"].map(free);
    let conflicts = Router::new(&routes).unwrap_err();
    let expected = [(2, "/a"), (4, "/b"), (5, "/b")].map(|(at, with)| (at, Conflict(with.to_owned())));
    assert_eq!(conflicts, expected);
}

#[test]
fn the_prefix_of_the_endpoints_is_never_an_upstreams() {
    let table = table(router(&[free("/{rest...}"), free("/x402/pricing")]), "/x402");
    let endpoint = |path: &str| match table.find(&Method::GET, path) {
        Found::Endpoint(endpoint) => Some(endpoint),
        _ => None,
    };
    assert_eq!(endpoint("/x402/pricing"), Some(Endpoint::Pricing));
    assert_eq!(endpoint("/x402/purchase"), Some(Endpoint::Purchase));
    assert_eq!(endpoint("/x402/status"), Some(Endpoint::Status));
    assert_eq!(endpoint("/x402/jwks.json"), Some(Endpoint::Jwks));
    for path in ["/x402", "/x402/", "/x402/other", "/x402/purchase/", "/x402/Purchase"] {
        assert_eq!(endpoint(path), Some(Endpoint::Unknown), "{path}");
    }
    for path in ["/", "/x4021", "/x402s/pricing", "/a/x402/pricing"] {
        assert_eq!(endpoint(path), None, "{path}");
    }
    assert_eq!(table.endpoint_url("purchase"), "https://api.example.com/x402/purchase");
}

#[test]
fn what_no_route_names_is_unlisted() {
    let table = table(router(&[free("/a")]), "/pay/here");
    assert!(matches!(table.find(&Method::GET, "/b"), Found::Unlisted));
    assert!(matches!(table.find(&Method::GET, "/pay"), Found::Unlisted));
    assert!(matches!(table.find(&Method::GET, "/a"), Found::Route(_)));
    assert!(matches!(table.find(&Method::GET, "/pay/here/status"), Found::Endpoint(Endpoint::Status)));
}

#[test]
fn ten_thousand_routes_are_told_apart() {
    let text = |at: usize| format!("/v{}/things/{at}/{{id}}", at % 10);
    let router = router(&(0..10_000).map(|at| priced(&text(at))).collect::<Vec<_>>());
    assert_eq!((router.len(), router.is_empty()), (10_000, false));
    for at in 0..10_000 {
        let path = text(at).replace("{id}", "x");
        assert_eq!(found(&router, &format!("GET {path}")), format!("* {}", text(at)));
    }
    assert_eq!(found(&router, "GET /v1/things/2/x"), "nothing");
}

proptest! {
    /// Whatever free routes there are beside it: a priced path is not served for free in another spelling.
    #[test]
    fn no_spelling_of_a_priced_path_is_free(
        beside in proptest::collection::vec("(/a|/\\{x\\}){0,2}(/|/\\{r\\.\\.\\.\\})", 0..5),
        upper in proptest::collection::vec(any::<bool>(), 4),
        slash in any::<bool>(),
    ) {
        let mut routes = vec![priced("/a/{x}/ab")];
        for text in &beside {
            routes.push(free(text));
            if Router::new(&routes).is_err() {
                routes.pop();
            }
        }
        let mut path = String::from("/");
        path.push(if upper[0] { 'A' } else { 'a' });
        path.push_str("/7/");
        path.push(if upper[1] { 'A' } else { 'a' });
        path.push(if upper[2] { 'B' } else { 'b' });
        if slash {
            path.push('/');
        }
        let found = router(&routes).find(&Method::GET, &path);
        prop_assert!(found.is_some_and(|route| !route.access.is_free()), "{path} beside {beside:?}");
    }
}
