//! Gateways between many buyers, one upstream and one hostile facilitator.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::thread;

use sqlx::ConnectOptions as _;
use sqlx::sqlite::SqliteConnectOptions;
use tollgate::sandbox::DemoWallet;

use super::behaviours::Behaviour;
use super::books::Double;
use super::row::{Row, Story};
use crate::support::facilitator::Facilitator;
use crate::support::gateway::Gateway;
use crate::support::server::{Journal, Reply, Server};
use crate::support::wait::{PATIENCE, until_within};
use crate::support::world::{Setup, World};

/// What is sold; a number follows that tells one answer from the next.
pub(crate) const SECRET: &str = "SECRET";

const ROUTES: &str = r#"
[[routes]]
path  = "/paid"
price = "$0.01"

[[routes]]
path   = "/upfront"
price  = "$0.02"
settle = "before"

[[routes]]
path  = "/plans-only"
units = 1

[[plans]]
name     = "five"
price    = "$1"
units    = 5
duration = "30d"
"#;

/// Stories that go on at the same time.
const AT_ONCE: usize = 24;

type Hits = Arc<Mutex<HashMap<String, usize>>>;

/// A gateway with what is around it.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) world: World,
    pub(crate) double: Double,
    hits: Hits,
}

impl Field {
    pub(crate) fn start(facilitator: &str, supported: Option<&'static Behaviour>) -> Self {
        let journal = Journal::default();
        let (upstream, double) = (Server::start("upstream", &journal), Double::start(supported));
        let setup = Setup { facilitator, routes: ROUTES, ..Setup::default() };
        let gateway = Gateway::start(&|addr, admin| setup.config(addr, admin, upstream.addr(), &double.url()));
        let hits = Hits::default();
        let counted = Arc::clone(&hits);
        upstream.answers(move |heard| {
            let mut hits = counted.lock().unwrap();
            let count = hits.entry(heard.target().to_owned()).or_default();
            *count += 1;
            Reply::ok(&format!("{SECRET} {count}"))
        });
        let facilitator = Facilitator::start(&journal);
        let wallet = DemoWallet::random().unwrap();
        Self { world: World { gateway, upstream, facilitator, journal, wallet }, double, hits }
    }

    /// How often the upstream was asked for something.
    pub(crate) fn hits(&self, target: &str) -> usize {
        self.hits.lock().unwrap().get(target).copied().unwrap_or_default()
    }

    /// How the ledger has a payer's only payment.
    pub(crate) fn state(&self, payer: &str) -> String {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let options = SqliteConnectOptions::new().filename(self.world.gateway.store_file()).read_only(true);
            let mut connection = options.connect().await.unwrap();
            let query = sqlx::query_scalar("SELECT state FROM payments WHERE payer = ?").bind(payer);
            let states: Vec<String> = query.fetch_all(&mut connection).await.unwrap();
            states.join(", ")
        })
    }

    /// Waits until the gateway has ended what was in doubt, by itself. It asks less and less often, and a busy machine may
    /// let some honest answers come too late.
    pub(crate) fn until_ended(&self, payer: &str) {
        let is_open = |state: &str| matches!(state, "unknown" | "settling");
        until_within(PATIENCE * 3, "the reconciler", || (!is_open(&self.state(payer))).then_some(()));
    }

    /// Plays all rows, several at a time.
    pub(crate) fn play(&self, rows: Vec<Row>) -> Vec<Story> {
        let rows = Mutex::new(rows.into_iter().enumerate());
        let stories = Mutex::new(Vec::new());
        thread::scope(|scope| {
            for _ in 0..AT_ONCE {
                scope.spawn(|| {
                    loop {
                        let Some((number, row)) = rows.lock().unwrap().next() else { return };
                        let story = row.play(self, number);
                        stories.lock().unwrap().push((number, story));
                    }
                });
            }
        });
        let mut stories = stories.into_inner().unwrap();
        stories.sort_by_key(|(number, _)| *number);
        stories.into_iter().map(|(_, story)| story).collect()
    }

    /// Closes the books over these stories.
    pub(crate) fn close(&self, stories: &mut [Story]) {
        stories.iter_mut().for_each(|story| story.close(self));
    }
}
