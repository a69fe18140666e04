use std::iter::Peekable;
use std::str::Split;

use serde::Deserialize;

use crate::money::{Address, Family, Network};
use crate::payment::Refused;
use crate::x402::networks;

/// What a wallet signs: the fields of EIP-4361, whose text other chains have too (CAIP-122). Texts as they were sent.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Message {
    pub(super) domain: String,
    pub(super) address: String,
    pub(super) statement: Option<String>,
    pub(super) uri: String,
    pub(super) version: String,
    /// CAIP-2.
    pub(super) chain_id: String,
    pub(super) nonce: String,
    pub(super) issued_at: String,
    pub(super) expiration_time: Option<String>,
    pub(super) not_before: Option<String>,
    pub(super) request_id: Option<String>,
    pub(super) resources: Option<Vec<String>>,
}

const ASKS: &str = " wants you to sign in with your ";
const ACCOUNT: &str = " account:";

impl Message {
    /// The text that the reference has its wallets sign.
    ///
    /// The two families differ where nothing is said: EIP-4361 keeps the empty lines of a missing statement and the
    /// heading of an empty list, the Solana form leaves them out.
    pub(super) fn text(&self, network: &Network, account: &Address) -> String {
        let evm = matches!(network.family(), Family::Evm(_));
        let said = |text: &&String| evm || !text.is_empty();
        let mut lines = vec![format!("{}{ASKS}{}{ACCOUNT}", self.domain, label(network)), account.to_string()];
        match self.statement.as_ref().filter(said) {
            Some(statement) => lines.extend([String::new(), statement.clone(), String::new()]),
            None if evm => lines.extend([String::new(), String::new()]),
            None => lines.push(String::new()),
        }
        lines.push(format!("URI: {}", self.uri));
        lines.push(format!("Version: {}", self.version));
        lines.push(format!("Chain ID: {}", reference(network)));
        lines.push(format!("Nonce: {}", self.nonce));
        lines.push(format!("Issued At: {}", self.issued_at));
        let times = [("Expiration Time", &self.expiration_time), ("Not Before", &self.not_before)];
        for (name, time) in times {
            lines.extend(time.iter().filter(|time| !time.is_empty()).map(|time| format!("{name}: {time}")));
        }
        lines.extend(self.request_id.iter().filter(said).map(|id| format!("Request ID: {id}")));
        if let Some(resources) = self.resources.as_ref().filter(|resources| evm || !resources.is_empty()) {
            lines.push("Resources:".to_owned());
            lines.extend(resources.iter().map(|resource| format!("- {resource}")));
        }
        lines.join("\n")
    }

    /// Reads the text that was signed. None if it is not of that form to its last character: then no two messages
    /// have one text.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut lines = text.split('\n').peekable();
        let (domain, label) = lines.next()?.strip_suffix(ACCOUNT)?.split_once(ASKS)?;
        let address = lines.next()?;
        if !lines.next()?.is_empty() {
            return None;
        }
        let statement = match lines.next_if(|line| !line.starts_with("URI: ")) {
            None | Some("") => None,
            Some(statement) if lines.next()?.is_empty() => Some(statement.to_owned()),
            Some(_) => return None,
        };
        let mut field = |name| field(&mut lines, name);
        let message = Self {
            domain: domain.to_owned(),
            address: address.to_owned(),
            statement,
            uri: field("URI")?,
            version: field("Version")?,
            chain_id: chain_id(label, &field("Chain ID")?)?,
            nonce: field("Nonce")?,
            issued_at: field("Issued At")?,
            expiration_time: field("Expiration Time"),
            not_before: field("Not Before"),
            request_id: field("Request ID"),
            resources: None,
        };
        let heading = lines.next_if_eq(&"Resources:");
        let items =
            std::iter::from_fn(|| lines.next_if(|line| line.starts_with("- "))).filter_map(|line| line.get(2..));
        let resources = heading.map(|_| items.map(str::to_owned).collect());
        lines.next().is_none().then_some(Self { resources, ..message })
    }

    /// Refuses what could stand for more than one line of the text.
    pub(super) fn check_lines(&self) -> Result<(), Refused> {
        let always =
            [&self.domain, &self.address, &self.uri, &self.version, &self.chain_id, &self.nonce, &self.issued_at];
        let perhaps = [&self.statement, &self.expiration_time, &self.not_before, &self.request_id];
        let mut all = always.into_iter().chain(perhaps.into_iter().flatten()).chain(self.resources.iter().flatten());
        match all.any(|text| text.contains(char::is_control)) {
            true => Err(Refused::new("invalid_siwx_payload", "the message has a field of more than one line")),
            false => Ok(()),
        }
    }
}

/// The value of the next line, if that is what it is of.
fn field(lines: &mut Peekable<Split<'_, char>>, name: &str) -> Option<String> {
    let value = lines.peek()?.strip_prefix(name)?.strip_prefix(": ")?.to_owned();
    lines.next();
    Some(value)
}

/// What the text calls an account of a network.
fn label(network: &Network) -> &'static str {
    match network.family() {
        Family::Solana => "Solana",
        _ => "Ethereum",
    }
}

/// The Chain ID of the text: what stands behind the namespace.
fn reference(network: &Network) -> &str {
    network.caip2().split_once(':').map_or("", |(_, reference)| reference)
}

/// The network of a text. Some clients write a cluster of Solana as a word.
fn chain_id(label: &str, reference: &str) -> Option<String> {
    match label {
        "Ethereum" => Some(format!("eip155:{reference}")),
        "Solana" => {
            let known = networks::known(&format!("solana-{reference}"));
            Some(known.map_or_else(|| format!("solana:{reference}"), |known| known.caip2.to_owned()))
        }
        _ => None,
    }
}
