//! A gateway that panics where it is told to, and what must be true of it afterwards.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sqlx::ConnectOptions as _;
use sqlx::sqlite::SqliteConnectOptions;

use crate::support::client::{Answer, Wire, request};
use crate::support::facilitator::good;
use crate::support::server::Reply;
use crate::support::wait::{Gate, PATIENCE, until, until_true};
use crate::support::world::{Setup, World};

const ROUTES: &str = r#"
[[routes]]
path  = "/paid"
price = "$0.01"
units = 1

[[routes]]
path   = "/upfront"
price  = "$0.02"
settle = "before"

[[routes]]
path       = "/trial"
price      = "$0.01"
free_calls = "1/d"

[[routes]]
path = "/free"
free = true

[[plans]]
name     = "nano"
price    = "$1"
units    = 100
duration = "30d"
"#;

/// What takes part, and the settlements that were asked for without a row in the books.
pub(crate) struct Stage {
    pub(crate) world: World,
    unjournaled: Arc<Mutex<Vec<String>>>,
}

impl Stage {
    pub(crate) fn start() -> Self {
        let world = Setup { routes: ROUTES, ..Setup::default() }.start();
        let stage = Self { world, unjournaled: Arc::default() };
        stage.facilitator_is_well();
        // In two pieces, so that a body has a middle.
        stage.world.upstream.answers(|_| {
            let gate = Gate::default();
            let opens = gate.clone();
            std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(30));
                opens.open();
            });
            Reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf").then_pass(&gate).then("half")
        });
        stage
    }

    /// From now on it settles, and looks into the books whether they know of it.
    pub(crate) fn facilitator_is_well(&self) {
        let (file, unjournaled) = (self.world.gateway.store_file(), Arc::clone(&self.unjournaled));
        self.world.facilitator.settles(move |heard| {
            let states = states(&file);
            if !states.iter().any(|state| state == "settling" || state == "unknown") {
                unjournaled.lock().unwrap().push(format!("{states:?}"));
            }
            good(heard)
        });
    }

    /// Begins a new life, which panics at these points; each so often.
    pub(crate) fn panics_at(&mut self, points: &[(&str, u32)]) {
        let points: Vec<_> = points.iter().map(|(point, times)| format!("{point}={times}*return(panic)")).collect();
        self.world.gateway.has("FAILPOINTS", &points.join(";"));
        self.world.gateway.crash_and_restart();
        self.world.journal.take();
        self.world.upstream.forget();
    }

    /// Begins a new life with a slow disk, which ends on the spot at this point.
    pub(crate) fn dies_at(&mut self, point: &str) {
        self.world.gateway.has("FAILPOINTS", &format!("{point}=1*return;writer.committing=sleep(50)"));
        self.world.gateway.crash_and_restart();
    }

    /// Begins the one after, which nothing strikes.
    pub(crate) fn lives_again(&mut self) {
        assert!(!self.world.gateway.exit().success());
        self.world.gateway.has("FAILPOINTS", "");
        self.world.gateway.start_again();
    }

    /// Waits until it has.
    pub(crate) fn has_struck(&self, point: &str) {
        until_true(point, || self.world.gateway.output().lines().any(|line| line == format!("struck: {point}")));
    }

    /// Asks over a new connection, which may end without an answer.
    pub(crate) fn ask(&self, method: &str, target: &str, headers: &[(&str, &str)]) -> Option<Answer> {
        let mut wire = Wire::to(self.world.gateway.addr);
        wire.send(request(method, target, headers, if method == "POST" { "work" } else { "" }));
        wire.try_answer().filter(|answer| answer.whole)
    }

    /// Asks again until there is such an answer.
    #[track_caller]
    pub(crate) fn ask_until(&self, status: u16, method: &str, target: &str, headers: &[(&str, &str)]) -> Answer {
        let mut last = None;
        until(&format!("{status} for {method} {target}"), || {
            let answer = self.ask(method, target, headers);
            let told = answer.as_ref().map(|answer| (answer.status, answer.text()));
            if told != last {
                eprintln!("{method} {target}: {told:?}");
                last = told;
            }
            answer.filter(|answer| answer.status == status)
        })
    }

    /// What holds after every fault: nothing was done that nobody had paid for, the books knew before money moved, and
    /// nothing is left behind that a request holds while it runs.
    #[track_caller]
    pub(crate) fn is_sound(&mut self, point: &str) {
        assert_eq!(self.ask("GET", "/free", &[]).map(|answer| answer.status), Some(200), "{point}");
        assert_eq!(self.ask("GET", "/paid", &[]).map(|answer| answer.status), Some(402), "{point}");
        assert_eq!(*self.unjournaled.lock().unwrap(), [""; 0], "{point}: settled without a row");
        until_true(&format!("the end of all requests after {point}"), || {
            self.world.gateway.metric("gateway_requests_in_flight") == 0
        });
        self.world.gateway.signal("TERM");
        assert!(self.world.gateway.exit().success(), "{point}");
        let output = self.world.gateway.output();
        assert!(!output.contains("cut off") && !output.contains("were under way at the end"), "{point}");
    }
}

/// The state of each payment in the books.
pub(crate) fn states(file: &Path) -> Vec<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let options = SqliteConnectOptions::new().filename(file).read_only(true).busy_timeout(PATIENCE);
        let mut connection = options.connect().await.unwrap();
        sqlx::query_scalar("SELECT state FROM payments").fetch_all(&mut connection).await.unwrap()
    })
}
