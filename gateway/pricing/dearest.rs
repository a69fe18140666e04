//! What a router takes for a path that may be read as several priced ones.

use std::sync::Arc;

use super::finding::{found, free, priced, route, router};
use super::{Access, Metering, Route};
use crate::plans::Units;

fn units(text: &str, units: u64) -> Arc<Route> {
    route(text, Access::PlanOnly(Metering::fixed(Units::from_thousandths(units))))
}

/// An upstream that takes the two for one must not serve the dear one at the price of what is around it.
#[test]
fn a_twin_inside_something_cheaper_costs_what_it_costs() {
    let router = router(&[
        units("/api/{rest...}", 10),
        units("/api/dear", 5000),
        units("/api/cheap", 1),
        units("/api/{id}/Dear", 5000),
        free("/api/docs"),
    ]);
    for (path, pattern) in [
        ("/api/dear", "/api/dear"),
        ("/api/dear/", "/api/dear"),
        ("/api/DEAR", "/api/dear"),
        ("/api/7/dear", "/api/{id}/Dear"),
        ("/api/7/DEAR/", "/api/{id}/Dear"),
        ("/api/cheap", "/api/cheap"),
        ("/api/Cheap", "/api/{rest...}"),
        ("/api/other/", "/api/{rest...}"),
        ("/api/docs", "/api/docs"),
        ("/api/docs/", "/api/{rest...}"),
    ] {
        assert_eq!(found(&router, &format!("GET {path}")), format!("* {pattern}"), "{path}");
    }
}

/// What is cut off after decoding may be all that made a free or cheap route of it; some cut at a `?` alone.
#[test]
fn what_a_cut_leaves_of_a_free_path_is_priced() {
    let router =
        router(&[priced("/{rest...}"), free("/users/{id}/avatar"), free("/docs.v2/{page...}"), free("/{name}")]);
    for (path, pattern) in [
        ("/users/%3Fx/avatar", "/{rest...}"),
        ("/users/%23/avatar", "/{rest...}"),
        ("/users/7/avatar", "/users/{id}/avatar"),
        ("/users/a%3Bb/avatar", "/users/{id}/avatar"),
        ("/users/7.json/avatar", "/users/{id}/avatar"),
        ("/docs.v2", "/docs.v2/{page...}"),
        ("/docs.v2/x", "/docs.v2/{page...}"),
        ("/7.json", "/{name}"),
    ] {
        assert_eq!(found(&router, &format!("GET {path}")), format!("* {pattern}"), "{path}");
    }
}

#[test]
fn a_number_sign_before_what_is_cut_off_changes_no_price() {
    let router = router(&[priced("/api/{id}/now"), free("/{rest...}")]);
    assert_eq!(found(&router, "GET /api/7%23x/now%3Fy"), "* /api/{id}/now");
}

/// Read in one way it is the cheap one, in another the dear one; the order of the readings is nobody's.
#[test]
fn what_may_be_two_priced_paths_costs_what_the_dearer_does() {
    let router = router(&[
        units("/api/{rest...}", 10),
        units("/api/dear", 5000),
        units("/api/cheap", 1),
        units("/all/{rest...}", 5000),
        units("/all/cheap", 10),
        units("/all/cheap.json", 10),
    ]);
    for (path, pattern) in [
        ("/Api/dear..free", "/api/dear"),
        ("/Api/Dear.json", "/api/dear"),
        ("/api/dear.json", "/api/dear"),
        ("/API/dear%3Bx", "/api/dear"),
        ("/Api/cheap%3Fx", "/api/{rest...}"),
        ("/Api/cheap.json", "/api/{rest...}"),
        ("/Api/other.json", "/api/{rest...}"),
        ("/All/cheap.xml", "/all/{rest...}"),
        ("/All/cheap.json", "/all/cheap.json"),
    ] {
        assert_eq!(found(&router, &format!("GET {path}")), format!("* {pattern}"), "{path}");
    }
}
