use std::sync::Arc;

use hashbrown::HashMap;
use http::Method;

use super::node::Spelling;
use super::tree::Tree;
use super::twin::{Reading, readings};
use super::{Methods, PlanOffer, Route};
use crate::money::Network;

/// Everything that has a price, at one moment. It never changes; a reload makes a new one.
#[derive(Debug)]
pub struct PriceTable {
    /// Routes by path and method.
    pub router: Router,
    /// Plans in the order of the configuration.
    pub plans: Vec<Arc<PlanOffer>>,
    /// What happens to a path that no route names.
    pub unlisted: Unlisted,
    /// Prefix of the gateway's own endpoints, without a slash at its end: `/x402`.
    pub endpoints: Arc<str>,
    /// What buyers see before each path, without a slash at its end: the only source of resource URLs.
    pub public_url: Arc<str>,
}

/// What happens to a path that no route names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Unlisted {
    /// It is forwarded, free.
    Free,
    /// It is 404.
    Deny,
}

/// One of the gateway's own public endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// `GET /x402/pricing`.
    Pricing,
    /// `GET|POST /x402/purchase?plan=`.
    Purchase,
    /// `GET /x402/status`.
    Status,
    /// `GET|POST /x402/keys`.
    Keys,
    /// `POST /x402/keys/rotate`.
    RotateKey,
    /// `DELETE /x402/keys/ID`.
    Key,
    /// `POST /x402/link-address`.
    LinkAddress,
    /// `GET /x402/jwks.json`: the key of what upstreams are told.
    Jwks,
    /// Anything else below the prefix: never forwarded.
    Unknown,
}

/// What a path and method lead to.
#[derive(Debug, Clone)]
pub enum Found {
    /// A route of the configuration.
    Route(Arc<Route>),
    /// An endpoint of the gateway.
    Endpoint(Endpoint),
    /// Nothing that the configuration names.
    Unlisted,
}

/// Routes by method and path; the most specific pattern wins, whatever the order. Looking one up costs the same with
/// ten routes as with ten thousand.
#[derive(Debug, Default)]
pub struct Router {
    /// One tree for each method that some route names, so that a route for GET alone does not hide a wider one
    /// from POST.
    named: HashMap<Method, Tree>,
    /// The tree of all other methods.
    other: Tree,
    /// How many routes there are.
    len: usize,
}

/// Two routes that match the same requests equally.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("matches the same requests as the route {0}")]
pub struct Conflict(pub String);

impl PriceTable {
    /// The networks on which plans are paid, each as often as it is named.
    pub fn networks(&self) -> impl Iterator<Item = &Network> {
        self.plans.iter().flat_map(|plan| plan.offer.terms.iter()).map(|terms| &terms.network)
    }

    /// What a canonical path and method lead to.
    pub fn find(&self, method: &Method, path: &str) -> Found {
        if let Some(endpoint) = self.endpoint(path) {
            return Found::Endpoint(endpoint);
        }
        self.router.find(method, path).map_or(Found::Unlisted, Found::Route)
    }

    /// The plan of that name.
    pub fn plan(&self, name: &str) -> Option<&Arc<PlanOffer>> {
        self.plans.iter().find(|offered| &*offered.plan.name == name)
    }

    /// The absolute URL of an own endpoint, for example `purchase`.
    pub fn endpoint_url(&self, name: &str) -> String {
        [&*self.public_url, &*self.endpoints, "/", name].concat()
    }

    fn endpoint(&self, path: &str) -> Option<Endpoint> {
        match path.strip_prefix(&*self.endpoints)? {
            "/pricing" => Some(Endpoint::Pricing),
            "/purchase" => Some(Endpoint::Purchase),
            "/status" => Some(Endpoint::Status),
            "/keys" => Some(Endpoint::Keys),
            "/keys/rotate" => Some(Endpoint::RotateKey),
            "/link-address" => Some(Endpoint::LinkAddress),
            "/jwks.json" => Some(Endpoint::Jwks),
            "" => Some(Endpoint::Unknown),
            rest if rest.strip_prefix("/keys/").is_some_and(|id| !id.is_empty() && !id.contains('/')) => {
                Some(Endpoint::Key)
            }
            rest if rest.starts_with('/') => Some(Endpoint::Unknown),
            _ => None,
        }
    }
}

impl Router {
    /// Builds the trees of some routes, in any order.
    ///
    /// # Errors
    /// Each route's place in the list whose requests another one matches equally.
    pub fn new(routes: &[Arc<Route>]) -> Result<Self, Vec<(usize, Conflict)>> {
        let mut router = Self { len: routes.len(), ..Self::default() };
        for method in routes.iter().filter_map(|route| route.methods.named()).flatten() {
            router.named.entry(method.clone()).or_default();
        }
        let mut conflicts = Vec::new();
        for (index, route) in routes.iter().enumerate() {
            if let Err(conflict) = router.insert(route) {
                conflicts.push((index, conflict));
            }
        }
        router.named.values_mut().chain([&mut router.other]).for_each(Tree::shrink);
        if conflicts.is_empty() { Ok(router) } else { Err(conflicts) }
    }

    /// The route of a path and method. HEAD is its GET.
    pub fn find(&self, method: &Method, path: &str) -> Option<Arc<Route>> {
        let method = if method == Method::HEAD { &Method::GET } else { method };
        let route = self.named.get(method).unwrap_or(&self.other).dearest(path)?;
        route.prefetch();
        Some(Arc::clone(route))
    }

    /// The number of routes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn insert(&mut self, route: &Arc<Route>) -> Result<(), Conflict> {
        // An upstream that ignores letter case, say, or a trailing slash would otherwise serve a priced path for free under
        // its twin's name.
        let folded = (!route.access.is_free()).then(|| route.pattern.folded());
        let mut result = Ok(());
        self.each_tree(&route.methods, |tree| {
            if let Err(taken) = tree.insert(Spelling::Exact, &route.pattern, route) {
                result = Err(Conflict(taken.pattern.to_string()));
            }
            // Taken already: then the twin has a price, which is all that matters.
            folded.iter().for_each(|pattern| drop(tree.insert(Spelling::Folded, pattern, route)));
        });
        result
    }

    fn each_tree(&mut self, methods: &Methods, mut act: impl FnMut(&mut Tree)) {
        match methods {
            Methods::All => self.named.values_mut().chain([&mut self.other]).for_each(act),
            Methods::Only(methods) => {
                methods.iter().filter_map(|method| self.named.get_mut(method).map(&mut act)).for_each(drop);
            }
        }
    }
}

impl Tree {
    /// The route of a path, or the dearest of all that an upstream may take the path for: it must not serve one of them
    /// for less.
    fn dearest(&self, path: &str) -> Option<&Arc<Route>> {
        let found = self.find(Spelling::Exact, path);
        let is_literal = found.as_ref().is_some_and(|found| found.literal);
        let found = found.map(|found| found.route);
        if is_literal {
            return found;
        }
        let twins = readings(path).flat_map(|reading| self.twins(reading, found));
        twins.fold(found, |dearest, twin| match dearest {
            Some(route) if Arc::ptr_eq(route, twin) || !twin.replaces(route) => Some(route),
            _ => Some(twin),
        })
    }

    /// What is priced under a reading of a path; but not what is around the route that names both, since a free or cheap
    /// route inside a dearer one is not its twin.
    fn twins(&self, reading: Reading<'_>, found: Option<&Arc<Route>>) -> impl Iterator<Item = &Arc<Route>> {
        let Reading { whole, stem } = reading;
        let priced = [Some(&*whole), stem.as_deref()].map(|path| self.find(Spelling::Folded, path?));
        let is_around = |twin: &Arc<Route>| {
            found.is_some_and(|found| {
                // Nothing is around itself, and its texts need not be looked at.
                !Arc::ptr_eq(found, twin)
                    && found.pattern.is_narrower_than(&twin.pattern)
                    && found.pattern.folded().fits(&whole)
            })
        };
        let twins = priced.map(|priced| priced.map(|priced| priced.route).filter(|twin| !is_around(twin)));
        twins.into_iter().flatten()
    }
}

impl Methods {
    fn named(&self) -> Option<&[Method]> {
        match self {
            Self::All => None,
            Self::Only(methods) => Some(methods),
        }
    }
}
