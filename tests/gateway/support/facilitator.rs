//! A facilitator that says yes until it is told otherwise.

use serde_json::{Value, json};

use super::server::{Heard, Journal, Reply, Server};

/// The network that most tests pay on.
pub(crate) const NETWORK: &str = "eip155:8453";
/// The one that the others pay on, and who pays the fees there.
pub(crate) const SOLANA: &str = "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp";
pub(crate) const FEE_PAYER: &str = "FVdnakemjhcemfWUgNR2AERbk5Pog7zJ1UF2LjbocBUj";
pub(crate) const OTHER_FEE_PAYER: &str = "EMtq5F54UxgEwYx1bmZpRJXNodBPPqjFekwQZNjpzH3w";

/// A double of `/verify`, `/settle` and `/supported`.
#[derive(Debug)]
pub(crate) struct Facilitator(Server);

impl Facilitator {
    pub(crate) fn start(journal: &Journal) -> Self {
        let facilitator = Self(Server::start("", journal));
        facilitator.heals();
        facilitator
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.0.addr())
    }

    /// From now on, verifies so.
    pub(crate) fn verifies(&self, mut verify: impl FnMut(&Heard) -> Reply + Send + 'static) {
        self.0.answers(move |heard| match heard.target() {
            "/verify" => verify(heard),
            _ => good(heard),
        });
    }

    /// From now on, settles so.
    pub(crate) fn settles(&self, mut settle: impl FnMut(&Heard) -> Reply + Send + 'static) {
        self.0.answers(move |heard| match heard.target() {
            "/settle" => settle(heard),
            _ => good(heard),
        });
    }

    /// From now on, says that of what it settles.
    pub(crate) fn supports(&self, reply: Reply) {
        self.0.answers(move |heard| match heard.target() {
            "/supported" => reply.clone(),
            _ => good(heard),
        });
    }

    /// From now on, answers everything so.
    pub(crate) fn answers(&self, answer: impl FnMut(&Heard) -> Reply + Send + 'static) {
        self.0.answers(answer);
    }

    /// From now on, says yes again.
    pub(crate) fn heals(&self) {
        self.0.answers(good);
    }

    /// What it was asked to verify.
    pub(crate) fn verified(&self) -> Vec<Heard> {
        self.asked("/verify")
    }

    /// What it was asked to settle.
    pub(crate) fn settled(&self) -> Vec<Heard> {
        self.asked("/settle")
    }

    fn asked(&self, target: &str) -> Vec<Heard> {
        self.0.heard().into_iter().filter(|heard| heard.target() == target).collect()
    }
}

/// A good answer.
pub(crate) fn good(heard: &Heard) -> Reply {
    match heard.target() {
        "/verify" => Reply::json(200, &json!({ "isValid": true, "payer": payer(heard) })),
        "/settle" => Reply::json(200, &receipt(heard)),
        _ => Reply::json(200, &kinds()),
    }
}

/// What it settles.
pub(crate) fn kinds() -> Value {
    let extra = json!({ "feePayer": FEE_PAYER });
    let kinds = json!([
        { "x402Version": 2, "scheme": "exact", "network": NETWORK },
        { "x402Version": 1, "scheme": "exact", "network": "base" },
        { "x402Version": 2, "scheme": "exact", "network": SOLANA, "extra": extra },
        { "x402Version": 1, "scheme": "exact", "network": "solana", "extra": extra },
    ]);
    json!({ "kinds": kinds, "signers": { "solana:*": [FEE_PAYER, OTHER_FEE_PAYER] } })
}

/// The receipt of a settlement that went well.
pub(crate) fn receipt(heard: &Heard) -> Value {
    let body = heard.json();
    let nonce = &body["paymentPayload"]["payload"]["authorization"]["nonce"];
    let network = &body["paymentRequirements"]["network"];
    json!({ "success": true, "transaction": nonce, "network": network, "payer": payer(heard) })
}

fn payer(heard: &Heard) -> Value {
    heard.json()["paymentPayload"]["payload"]["authorization"]["from"].clone()
}
