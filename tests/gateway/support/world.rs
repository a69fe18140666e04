//! A gateway between a buyer, an upstream and a facilitator.

use std::net::SocketAddr;
use std::time::SystemTime;

use sqlx::ConnectOptions as _;
use sqlx::sqlite::SqliteConnectOptions;
use tollgate::clock::unix_seconds;
use tollgate::sandbox::DemoWallet;

use super::client::{Answer, Wire, request};
use super::facilitator::Facilitator;
use super::gateway::Gateway;
use super::server::{Journal, Server};
use super::wait::{PATIENCE, until_true};

/// Who is paid.
pub(crate) const SELLER: &str = "0x209693Bc6afc0C5328bA36FaF03C514EF312287C";

/// What the tests sell unless they say otherwise.
const ROUTES: &str = r#"
[[routes]]
path  = "/paid"
price = "$0.01"

[[routes]]
path   = "/upfront"
price  = "$0.02"
settle = "before"

[[routes]]
path = "/free"
free = true
"#;

/// Lines for the sections of the configuration.
#[derive(Debug, Clone)]
pub(crate) struct Setup<'a> {
    pub(crate) server: &'a str,
    pub(crate) upstream: &'a str,
    pub(crate) facilitator: &'a str,
    /// Routes, plans, and whatever else is a section of its own.
    pub(crate) routes: &'a str,
}

/// Everything that takes part. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) gateway: Gateway,
    pub(crate) upstream: Server,
    pub(crate) facilitator: Facilitator,
    pub(crate) journal: Journal,
    pub(crate) wallet: DemoWallet,
}

impl Default for Setup<'_> {
    fn default() -> Self {
        Self {
            server: "unlisted = \"deny\"",
            upstream: "",
            // What was not answered is not asked for again at once, so that a test sees each step.
            facilitator: "resolve_timeout = \"0s\"",
            routes: ROUTES,
        }
    }
}

impl Setup<'_> {
    pub(crate) fn start(&self) -> World {
        let journal = Journal::default();
        let (upstream, facilitator) = (Server::start("upstream", &journal), Facilitator::start(&journal));
        let gateway = Gateway::start(&|addr, admin| self.config(addr, admin, upstream.addr(), &facilitator.url()));
        World { gateway, upstream, facilitator, journal, wallet: DemoWallet::random().unwrap() }
    }

    /// The whole file.
    pub(crate) fn config(
        &self,
        addr: SocketAddr,
        admin: SocketAddr,
        upstream: SocketAddr,
        facilitator: &str,
    ) -> String {
        let listen = if self.server.contains("listen") { String::new() } else { format!("listen = [\"{addr}\"]") };
        format!(
            "[server]\n{listen}\nadmin = \"{admin}\"\npublic_url = \"https://api.example.com\"\nthreads = 2\n{}\n\
             [upstream]\nurl = \"http://{upstream}\"\n{}\n\
             [facilitator]\nurl = \"{facilitator}\"\n{}\n\
             [pay_to]\nbase = \"{SELLER}\"\n{}",
            self.server.replace("{addr}", &addr.to_string()).replace("{port}", &addr.port().to_string()),
            self.upstream,
            self.facilitator,
            self.routes
        )
    }
}

impl World {
    pub(crate) fn start() -> Self {
        Setup::default().start()
    }

    /// Waits until no request is under way. A client has its answer a moment earlier.
    pub(crate) fn until_idle(&self) {
        until_true("the request's end", || self.gateway.metric("gateway_requests_in_flight") == 0);
    }

    /// A new connection to the gateway.
    pub(crate) fn wire(&self) -> Wire {
        Wire::to(self.gateway.addr)
    }

    /// Asks over a new connection.
    #[track_caller]
    pub(crate) fn get(&self, target: &str, headers: &[(&str, &str)]) -> Answer {
        self.wire().get(target, headers)
    }

    /// The same with any method and a body.
    #[track_caller]
    pub(crate) fn ask(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut wire = self.wire();
        wire.send(request(method, target, headers, body));
        wire.answer()
    }

    /// Asks with a payment.
    #[track_caller]
    pub(crate) fn pay(&self, target: &str, payment: &str) -> Answer {
        self.get(target, &[("PAYMENT-SIGNATURE", payment)])
    }

    /// A payment, freshly signed, for what is asked for a GET.
    #[track_caller]
    pub(crate) fn payment(&self, target: &str) -> String {
        self.sign(&self.get(target, &[]))
    }

    /// A payment for a challenge.
    #[track_caller]
    pub(crate) fn sign(&self, challenge: &Answer) -> String {
        let required = challenge.header("payment-required").expect("a challenge");
        self.wallet.pay(required.as_bytes(), unix_seconds(SystemTime::now())).unwrap().header
    }

    /// Buys a plan; its key.
    #[track_caller]
    pub(crate) fn buy(&self, plan: &str) -> String {
        let target = format!("/x402/purchase?plan={plan}");
        let sold = self.pay(&target, &self.payment(&target));
        assert_eq!(sold.status, 200, "{}", sold.text());
        sold.json()["apiKey"].as_str().unwrap().to_owned()
    }

    /// Sends a request with a payment and does not wait for the answer.
    pub(crate) fn send_paid(&self, target: &str, payment: &str) -> Wire {
        let mut wire = self.wire();
        wire.send(request("GET", target, &[("PAYMENT-SIGNATURE", payment)], ""));
        wire
    }

    /// The state of each payment in the books.
    pub(crate) fn states(&self) -> Vec<String> {
        self.read("SELECT state FROM payments ORDER BY created_at")
    }

    /// What was used of each subscription, in thousandths.
    pub(crate) fn units_used(&self) -> Vec<i64> {
        self.read("SELECT used FROM subscriptions JOIN balances USING (id) ORDER BY created_at")
    }

    /// What is set aside of each subscription, in thousandths.
    pub(crate) fn units_leased(&self) -> Vec<i64> {
        self.read("SELECT leased FROM subscriptions JOIN balances USING (id) ORDER BY created_at")
    }

    /// Does to the books what another process might.
    pub(crate) fn write(&self, statement: &'static str) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let options = SqliteConnectOptions::new().filename(self.gateway.store_file());
            let mut connection = options.busy_timeout(PATIENCE).connect().await.unwrap();
            sqlx::raw_sql(statement).execute(&mut connection).await.unwrap();
        });
    }

    fn read<T>(&self, query: &'static str) -> Vec<T>
    where
        T: for<'r> sqlx::Decode<'r, sqlx::Sqlite> + sqlx::Type<sqlx::Sqlite> + Send + Unpin,
    {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let options = SqliteConnectOptions::new().filename(self.gateway.store_file()).read_only(true);
            let mut connection = options.connect().await.unwrap();
            sqlx::query_scalar(query).fetch_all(&mut connection).await.unwrap()
        })
    }
}
