//! All `[[routes]]` entries, and what they are to each other.

use std::collections::HashMap;
use std::sync::Arc;

use super::route::{Against, RawRoute};
use crate::config::RouteConfig;
use crate::config::document::Section;
use crate::config::field::Field;
use crate::pricing::{Access, Methods, Pattern, Route, Router, SettleTiming, Unlisted};

/// The routes of a file.
pub(super) struct Routes<'a> {
    /// Those that are sound, in the order of the file.
    pub(super) list: Vec<RouteConfig>,
    /// Where they stand: one for each of the list.
    pub(super) sections: Vec<Section<'a>>,
    /// Whether one has a price, right or wrong.
    pub(super) priced: bool,
}

/// A route whose requests are known, with the field that names its path.
type Placed<'a> = (Field<'a>, Arc<Route>);

/// `[[routes]]`.
pub(super) fn check<'a>(root: &Section<'a>, against: &Against<'_>) -> Routes<'a> {
    let before = root.report().count();
    let list = root.field("routes").and_then(|field| field.list("a list of tables, [[routes]],")).unwrap_or_default();
    let mut routes = Routes { list: Vec::new(), sections: Vec::new(), priced: false };
    let mut placed: Vec<Placed<'_>> = Vec::new();
    let (mut on_usual_upstream, mut takes_units) = (against.server.unlisted == Unlisted::Free, false);
    for raw in list.iter().filter_map(RawRoute::read) {
        let (place, route) = raw.check(against);
        placed.extend(place.and_then(|place| Some((raw.path?, shell(place)))));
        routes.priced |= raw.price.is_some();
        takes_units |= raw.metering.first().is_some();
        on_usual_upstream |= raw.upstream.is_none();
        if let Some(route) = route {
            routes.list.push(route);
            routes.sections.push(raw.section);
        }
    }
    if on_usual_upstream && !against.upstreams.list.contains_key("") {
        root.missing("upstream", "a table with url = \"http://127.0.0.1:3000\"");
    }
    if against.sells_plans && !takes_units {
        root.warn("plans", "are sold, but no route takes units: their keys open nothing");
    }
    conflicts(&placed);
    if routes.list.len() != list.len() && root.report().count() == before {
        // Not known to happen. A route left out in silence might be one that is sold, and then would be free.
        root.wrong_setting("routes", "hold one that is not understood");
    }
    routes
}

/// A route without what does not matter for conflicts.
fn shell((pattern, methods): (Pattern, Methods)) -> Arc<Route> {
    let (settle, upstream) = (SettleTiming::After, Arc::default());
    Arc::new(Route { pattern, methods, access: Access::Free, settle, upstream, free_calls: None })
}

fn conflicts(placed: &[Placed<'_>]) {
    let routes: Vec<_> = placed.iter().map(|(_, route)| Arc::clone(route)).collect();
    let Err(conflicts) = Router::new(&routes) else { return };
    // By their paths: whoever doubles a large file has as many conflicts as routes.
    let mut of: HashMap<&str, Vec<(usize, &Placed<'_>)>> = HashMap::new();
    for (index, other) in placed.iter().enumerate() {
        of.entry(other.1.pattern.as_str()).or_default().push((index, other));
    }
    for (index, conflict) in conflicts {
        let Some((field, route)) = placed.get(index) else { continue };
        let earlier = of.get(&*conflict.0).into_iter().flatten().take_while(|(at, _)| *at < index);
        let mut same = earlier.filter(|(_, (_, other))| overlap(&other.methods, &route.methods));
        let line = same.next().map(|(_, (earlier, _))| format!(" (line {})", earlier.line())).unwrap_or_default();
        field.wrong(format_args!(
            "{:?} matches the same requests as {:?}{line}, other methods or one route would be right",
            route.pattern.as_str(),
            conflict.0
        ));
    }
}

fn overlap(a: &Methods, b: &Methods) -> bool {
    match (a, b) {
        (Methods::Only(a), Methods::Only(b)) => a.iter().any(|method| b.contains(method)),
        _ => true,
    }
}
