//! What a router finds, beside what comparing a path with all patterns finds. What a path is read as, and which of two routes
//! is dearer, is the same code on both sides, and has tests of its own.

use std::sync::Arc;

use http::Method;
use proptest::prelude::*;
use proptest::sample::select;

use super::finding::{free, route};
use super::pattern::Segment;
use super::twin::readings;
use super::{Access, Metering, Methods, Pattern, Route, Router};
use crate::plans::Units;

/// How a pattern fits a path by the words of the documentation: for each segment how specific it is, the smallest
/// list being the best; none if it does not fit.
fn rank(pattern: &Pattern, path: &str) -> Option<Vec<u8>> {
    let mut left = path.strip_prefix('/').unwrap().split('/');
    let mut rank = Vec::new();
    for segment in pattern.segments() {
        match (segment, left.next()) {
            (Segment::Rest, _) => return Some([rank, vec![3]].concat()),
            (Segment::Literal(text), Some(segment)) if **text == *segment => rank.push(1),
            (Segment::One, Some(segment)) if !segment.is_empty() => rank.push(2),
            _ => return None,
        }
    }
    left.next().is_none().then_some(rank)
}

/// The first of the routes that fit a path best in some spelling.
fn best<'r>(routes: &[&'r Arc<Route>], path: &str, spelt: impl Fn(&Pattern) -> Pattern) -> Option<&'r Arc<Route>> {
    let ranked = routes.iter().map(|route| (rank(&spelt(&route.pattern), path), *route));
    ranked.filter(|(rank, _)| rank.is_some()).min_by_key(|(rank, _)| rank.clone()).map(|(_, route)| route)
}

/// The route of a path and method, without any table.
fn by_comparison<'r>(routes: &'r [Arc<Route>], method: &Method, path: &str) -> Option<&'r Arc<Route>> {
    let serves = |route: &&Arc<Route>| match &route.methods {
        Methods::All => true,
        Methods::Only(methods) => methods.contains(method),
    };
    let routes: Vec<_> = routes.iter().filter(serves).collect();
    let found = best(&routes, path, Pattern::clone);
    let is_wild = |segment: &Segment| matches!(segment, Segment::One | Segment::Rest);
    if found.is_some_and(|found| !found.pattern.segments().iter().any(is_wild)) {
        return found;
    }
    let priced: Vec<_> = routes.into_iter().filter(|route| !route.access.is_free()).collect();
    let mut dearest = found;
    for reading in readings(path) {
        let whole = &*reading.whole;
        for path in [Some(whole), reading.stem.as_deref()].into_iter().flatten() {
            let Some(twin) = best(&priced, path, Pattern::folded) else { continue };
            let is_around = found.is_some_and(|found| {
                found.pattern.is_narrower_than(&twin.pattern) && found.pattern.folded().fits(whole)
            });
            if !is_around && dearest.is_none_or(|dearest| twin.replaces(dearest)) {
                dearest = Some(twin);
            }
        }
    }
    dearest
}

/// Routes written in one alphabet, so that many are each other's twins; what would be a conflict is left out.
fn routes() -> impl Strategy<Value = Vec<Arc<Route>>> {
    let methods = select(vec!["", "", "GET ", "GET,POST ", "POST "]);
    let pattern = "(/([abA]|a\\.b|%20a|a{24}|\\{x\\})){0,3}(/|/\\{r\\.\\.\\.\\})?";
    let made = (methods, pattern, 0..4_u64).prop_map(|(methods, pattern, units)| {
        let text = format!("{methods}{}", if pattern.is_empty() { "/" } else { &pattern });
        match units {
            0 => free(&text),
            units => route(&text, Access::PlanOnly(Metering::fixed(Units::from_thousandths(units)))),
        }
    });
    proptest::collection::vec(made, 1..10).prop_map(|made| {
        let mut routes = Vec::new();
        for route in made {
            routes.push(route);
            if Router::new(&routes).is_err() {
                routes.pop();
            }
        }
        routes
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_router_finds_what_comparing_all_patterns_finds(
        routes in routes(),
        paths in proptest::collection::vec("(/([abcA]|a\\.b|[aA]\\.json|a%3Bx|%20a|b%3Fx|A%23b|a{24})){0,4}/?", 8),
        method in select(vec![Method::GET, Method::POST, Method::PUT]),
    ) {
        let router = Router::new(&routes).unwrap();
        for path in &paths {
            let path = if path.is_empty() { "/" } else { path };
            let found = router.find(&method, path);
            let expected = by_comparison(&routes, &method, path);
            let text = |route: &Arc<Route>| format!("{} {}", route.methods, route.pattern);
            prop_assert_eq!(found.as_ref().map(text), expected.map(text), "{}", path);
        }
    }
}
