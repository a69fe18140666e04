use std::time::SystemTime;

use clap::{Args, ValueEnum};

use crate::clock::parse_moment;
use crate::money::Network;
use crate::payment::State;
use crate::store::{Filter, GoodsFilter};
use crate::x402::networks;

/// Which payments.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct FilterArgs {
    /// First seen since then: 2026-01-31, 2026-01-31T12:00:00Z, or as long ago as 24h.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<SystemTime>,
    /// First seen before then.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<SystemTime>,
    /// Paid by this account.
    #[arg(long, value_name = "ACCOUNT")]
    payer: Option<String>,
    /// For calls of a route: its pattern, or "METHOD pattern" as the list shows it.
    #[arg(long, value_name = "ROUTE", conflicts_with = "plan")]
    route: Option<String>,
    /// For a plan.
    #[arg(long, value_name = "NAME")]
    plan: Option<String>,
    /// In these states, as in --state open,owed.
    #[arg(long, value_name = "STATE", value_enum, value_delimiter = ',')]
    state: Vec<Wanted>,
    /// On a network: base, or eip155:8453.
    #[arg(long, value_name = "NETWORK", value_parser = network)]
    network: Option<Network>,
}

/// States, and words for several of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Wanted {
    /// The money call is under way.
    Settling,
    /// The money has moved.
    Settled,
    /// The money has moved and the buyer has what it was for.
    Delivered,
    /// The money has not moved.
    Voided,
    /// Nobody knows whether the money has moved.
    Unknown,
    /// Settling or unknown.
    Open,
    /// Settled and not delivered.
    Owed,
}

impl FilterArgs {
    pub(super) fn filter(&self) -> Filter {
        let route = self.route.clone().map(GoodsFilter::Route);
        Filter {
            since: self.since,
            until: self.until,
            payer: self.payer.clone(),
            goods: route.or_else(|| self.plan.clone().map(GoodsFilter::Plan)),
            states: self.state.iter().flat_map(|wanted| wanted.states()).copied().collect(),
            network: self.network.clone(),
        }
    }
}

impl Wanted {
    fn states(self) -> &'static [State] {
        match self {
            Self::Settling => &[State::Settling],
            Self::Settled | Self::Owed => &[State::Settled],
            Self::Delivered => &[State::Delivered],
            Self::Voided => &[State::Voided],
            Self::Unknown => &[State::Unknown],
            Self::Open => &[State::Settling, State::Unknown],
        }
    }
}

/// A moment as an operator says it: RFC 3339, a day in UTC, or how long ago.
fn moment(text: &str) -> Result<SystemTime, String> {
    moment_at(text, SystemTime::now())
}

fn moment_at(text: &str, now: SystemTime) -> Result<SystemTime, String> {
    let back = || humantime::parse_duration(text).ok().and_then(|back| now.checked_sub(back));
    parse_moment(text)
        .or_else(back)
        .ok_or_else(|| "neither a time like 2026-01-31T12:00:00Z nor a duration like 24h".to_owned())
}

/// A network by its usual name or its CAIP-2 id.
fn network(text: &str) -> Result<Network, String> {
    match networks::known(text).and_then(networks::KnownNetwork::network) {
        Some(network) => Ok(network),
        None => Network::parse(text).map_err(|_| "neither a known network nor an id like eip155:8453".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn a_moment_is_a_time_a_day_or_how_long_ago() {
        let now = UNIX_EPOCH + Duration::from_secs(1_777_118_400);
        let at = |text| moment_at(text, now).map(crate::clock::iso_millis);
        for (text, moment) in [
            ("2026-04-25T12:00:00Z", "2026-04-25T12:00:00.000Z"),
            ("2026-04-25T14:00:00+02:00", "2026-04-25T12:00:00.000Z"),
            ("2026-04-25", "2026-04-25T00:00:00.000Z"),
            ("24h", "2026-04-24T12:00:00.000Z"),
            ("1h 30m", "2026-04-25T10:30:00.000Z"),
        ] {
            assert_eq!(at(text).as_deref(), Ok(moment), "{text}");
        }
        for bad in ["", "yesterday", "24", "2026", "2026-13-01"] {
            assert!(at(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_network_has_a_name_and_an_id() {
        for text in ["base", "eip155:8453"] {
            assert_eq!(network(text).map(|network| network.to_string()).as_deref(), Ok("eip155:8453"));
        }
        assert_eq!(network("algorand:abc").map(|network| network.to_string()).as_deref(), Ok("algorand:abc"));
        assert!(network("basement").is_err());
    }
}
