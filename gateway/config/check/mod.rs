//! From what the file says to what the program uses: a file for each section.
//!
//! A check reports what is wrong and goes on with something in its place, so that one run finds everything. What comes
//! out counts only if the report stayed empty.

mod asset;
mod budget;
mod ca;
mod cdp;
mod connections;
mod drift;
mod facilitator;
mod facilitators;
mod jwt;
mod keys;
mod listen;
mod lists;
mod metering;
mod mode;
mod payers;
mod plan;
mod price;
mod quantity;
mod receivers;
mod route;
mod routes;
mod scheme;
mod secret;
mod server;
mod store;
mod subscriptions;
mod timing;
mod trusted_proxies;
mod upstream;
mod url;

use std::path::{Path, PathBuf};

use self::receivers::Receivers;
use self::route::Against;
use super::document::Section;
use super::{Config, FacilitatorsConfig};
use crate::pricing::Unlisted;

/// The sections of a file.
pub(super) const SECTIONS: &[&str] = &[
    "server",
    "connections",
    "upstream",
    "upstreams",
    "facilitator",
    "facilitators",
    "pay_to",
    "networks",
    "store",
    "keys",
    "jwt",
    "subscriptions",
    "routes",
    "plans",
    "screening",
    "limits",
    "alerts",
    "webhook",
    "drift",
];

/// What a check may ask besides the file itself.
pub(super) struct Surroundings<'a> {
    /// The file's directory, which relative paths start from.
    pub(super) directory: &'a Path,
    /// Environment variables.
    pub(super) env: &'a dyn Fn(&str) -> Option<String>,
}

impl Surroundings<'_> {
    /// A path of the file, from its directory.
    pub(super) fn path(&self, path: &str) -> PathBuf {
        self.directory.join(path)
    }
}

/// What has a price in the file, right or wrong.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sold {
    /// Some route has one.
    calls: bool,
    /// There are plans.
    plans: bool,
}

/// Checks a whole file.
pub(super) fn config(root: &Section<'_>, around: &Surroundings<'_>) -> Config {
    let server = server::check(root, around);
    let mut receivers = receivers::check(root, around);
    let mut upstreams = upstream::check(root, &server.listen, around);
    let keys = keys::check(root);
    let plans = plan::check(root, &server, &receivers);
    let sells_plans = root.field("plans").is_some();
    let against = Against { server: &server, receivers: &receivers, upstreams: &upstreams, keys: &keys, sells_plans };
    let routes = routes::check(root, &against);
    let sold = Sold { calls: routes.priced, plans: sells_plans };
    sold.check(root, &receivers);
    let facilitators = facilitators::check(root, &receivers, around);
    let settling = facilitators.as_ref().map(FacilitatorsConfig::settle_timeout);
    timing::check(&routes, &mut upstreams, &mut receivers, settling.unwrap_or_default());
    let config = Config {
        connections: connections::check(root),
        facilitators,
        store: store::check(root, around),
        jwt: jwt::check(root, around),
        subscriptions: subscriptions::check(root),
        keys,
        server,
        upstreams: upstreams.list,
        receivers: receivers.list,
        routes: routes.list,
        plans,
        payers: payers::check(root, around),
        drift: drift::check(root),
    };
    budget::check(root, &config);
    config
}

impl Sold {
    /// Whatever has a price needs somebody who gets the money and somebody who collects it.
    fn check(self, root: &Section<'_>, receivers: &Receivers<'_>) {
        let what = match self {
            Self { calls: true, .. } => "a route has a price",
            Self { plans: true, .. } => "plans are sold",
            _ => return,
        };
        if root.field("facilitator").is_none() && root.field("facilitators").is_none() {
            root.missing(
                "facilitator",
                format_args!("and {what}; a table with url = \"https://x402.org/facilitator\""),
            );
        }
        if receivers.none_named {
            root.missing("pay_to", format_args!("and {what}; a table like {{ base = \"0x…\" }}"));
        }
    }
}
