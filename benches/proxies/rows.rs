//! What is asked, and of whom.

use std::net::SocketAddr;

use super::sides::Stage;

/// One kind of request, and the sides that can answer it. The first side is Tollgate.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) title: String,
    pub(super) kind: Kind,
    pub(super) target: &'static str,
    /// One more header line, or none.
    pub(super) line: String,
    pub(super) status: &'static str,
    pub(super) sides: Vec<Side>,
}

/// What the books must say of its requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Nothing.
    Plain,
    /// Each costs a unit at Tollgate.
    Keyed,
    /// Each comes with a payment of its own, and is settled.
    Paid,
}

/// A process that answers.
#[derive(Debug, Clone)]
pub(super) struct Side {
    pub(super) name: &'static str,
    pub(super) pid: u32,
    pub(super) addr: SocketAddr,
}

impl Side {
    /// Whether its requests are in Tollgate's books.
    pub(super) fn is_ours(&self) -> bool {
        self.name.starts_with("tollgate")
    }
}

pub(super) fn all(stage: &Stage) -> Vec<Row> {
    let gateway = Side { name: "tollgate", pid: stage.gateway.pid(), addr: stage.gateway.addr };
    let again = Side { name: "tollgate, again", ..gateway.clone() };
    let ours = || [gateway.clone(), again.clone()];
    let key = format!("X-API-KEY: {}", stage.key);
    let row = |name, title: &str, kind, (target, line), status, others: Vec<Side>| {
        let sides = ours().into_iter().chain(others).collect();
        Row { name, title: title.to_owned(), kind, target, line, status, sides }
    };
    let challenge = format!("Unpaid: a challenge (bytes of head and body: {})", stage.challenges());
    let nothing = String::new;
    vec![
        row("unpaid", &challenge, Kind::Plain, ("/paid", nothing()), "402", stage.answering()),
        row("free", "Free route: passed through", Kind::Plain, ("/free", nothing()), "200", stage.passing()),
        row("keyed", "With an API key", Kind::Keyed, ("/keyed", key), "200", stage.plain_passing()),
        row("paid", "Paid: the facilitator answers at once", Kind::Paid, ("/paid", nothing()), "200", stage.selling()),
    ]
}
