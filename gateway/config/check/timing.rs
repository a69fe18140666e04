//! How long a payment has to be good: on a route that settles after the answer, the upstream works between the buyer's
//! signature and the settlement. Whoever signs for less has the work done and cannot pay for it.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;

use super::receivers::{Receivers, TIMEOUT_SECONDS_MAX};
use super::routes::Routes;
use super::upstream::Upstreams;
use crate::config::document::Section;
use crate::config::{Receiver, RouteConfig};
use crate::money::Family;
use crate::payment::SETTLE_MARGIN_S;
use crate::pricing::SettleTiming;

/// A Solana transaction dies with its blockhash, 60 to 90 s after it was signed. Nothing that we say makes that longer.
const SOLANA_LIFE: Duration = Duration::from_secs(60);
/// What of that is for the settlement.
const SOLANA_SETTLING: Duration = Duration::from_secs(15);
/// What an upstream may keep silent that is paid on Solana, unless the file says otherwise.
const SOLANA_PATIENCE: Duration = Duration::from_secs(40);
/// What `max_timeout` is rounded up to where the file does not say it.
const STEP_SECONDS: u64 = 30;

/// A route that settles after its answer, and the longest wait for that.
struct Slow<'a> {
    route: &'a RouteConfig,
    section: &'a Section<'a>,
    wait: Duration,
}

/// Sets what the file does not say so that it fits together, and reports what does not. `settling` is the longest time
/// that a facilitator may take to settle.
pub(super) fn check(routes: &Routes<'_>, upstreams: &mut Upstreams, receivers: &mut Receivers<'_>, settling: Duration) {
    let after = |(route, _): &(&RouteConfig, &Section<'_>)| route.settle == SettleTiming::After;
    let routes: Vec<_> = routes.list.iter().zip(&routes.sections).filter(after).collect();
    for (route, _) in &routes {
        if receivers.list.iter().any(|receiver| is_solana(receiver) && takes(receiver, route)) {
            upstreams.hasten(&route.upstream);
        }
    }
    let slow = routes.into_iter().filter_map(|(route, section)| {
        let upstream = upstreams.list.get(&route.upstream)?;
        Some(Slow { route, section, wait: upstream.connect_timeout.saturating_add(upstream.read_timeout) })
    });
    let slow: Vec<_> = slow.collect();
    slow.iter().for_each(|slow| slow.fits_solana(&receivers.list));
    receivers.last(&slow, settling);
}

fn is_solana(receiver: &Receiver) -> bool {
    receiver.network.family() == Family::Solana
}

fn takes(receiver: &Receiver, route: &RouteConfig) -> bool {
    route.sale.price().is_some_and(|price| receiver.asset_for(price).is_some())
}

impl Upstreams {
    /// Leaves time to settle on Solana, unless the file says how long an upstream may keep silent.
    fn hasten(&mut self, name: &Arc<str>) {
        let said = self.patience_said.contains(name);
        if let Some(upstream) = self.list.get_mut(name).filter(|_| !said) {
            let left = (SOLANA_LIFE - SOLANA_SETTLING).saturating_sub(upstream.connect_timeout);
            upstream.read_timeout = SOLANA_PATIENCE.min(left.max(Duration::from_secs(1)));
        }
    }
}

impl Slow<'_> {
    /// A Solana payment must outlive the wait.
    fn fits_solana(&self, receivers: &[Receiver]) {
        let payable = |receiver: &&Receiver| is_solana(receiver) && takes(receiver, self.route);
        let Some(receiver) = receivers.iter().find(payable) else { return };
        if self.wait.saturating_add(SOLANA_SETTLING) > SOLANA_LIFE {
            let (network, wait) = (&receiver.name, self.wait);
            self.too_slow(format_args!(
                "may wait {wait:?} for its upstream, and a payment on {network} is good for {SOLANA_LIFE:?}, \
                 {SOLANA_SETTLING:?} of them for its settlement"
            ));
        }
    }

    fn too_slow(&self, text: std::fmt::Arguments<'_>) {
        let path = self.route.pattern.as_str();
        self.section.wrong(format_args!(
            "{path:?} {text}: settle = \"before\", or a shorter connect_timeout and read_timeout of the upstream would be \
             right"
        ));
    }
}

impl Receivers<'_> {
    /// Elsewhere the buyer is told how long the signature has to be good.
    fn last(&mut self, slow: &[Slow<'_>], settling: Duration) {
        let margin = Duration::from_secs(SETTLE_MARGIN_S);
        for receiver in self.list.iter_mut().filter(|receiver| !is_solana(receiver)) {
            let payable = slow.iter().filter(|slow| takes(receiver, slow.route));
            let Some(slowest) = payable.min_by_key(|slow| Reverse(slow.wait)) else { continue };
            let needed = slowest.wait.saturating_add(settling).saturating_add(margin);
            let enough = (needed.as_secs() / STEP_SECONDS).saturating_add(1).saturating_mul(STEP_SECONDS);
            let said = self.timeouts.iter().find(|(network, _)| *network == receiver.network);
            let (wait, network) = (slowest.wait, &receiver.name);
            match said {
                _ if enough > TIMEOUT_SECONDS_MAX => slowest.too_slow(format_args!(
                    "may wait {wait:?} for its upstream and {settling:?} for the settlement, and a payment on \
                     {network} is good for {TIMEOUT_SECONDS_MAX}s at most"
                )),
                Some((_, field)) if Duration::from_secs(receiver.max_timeout_seconds) <= needed => {
                    field.wrong(format_args!(
                        "{} is too short: the upstream of {:?} may take {wait:?}, the settlement {settling:?}, and \
                         facilitators want {margin:?} more, {needed:?} in all; \"{enough}s\" would be right",
                        field.written(),
                        slowest.route.pattern.as_str(),
                    ));
                }
                Some(_) => {}
                None => receiver.max_timeout_seconds = receiver.max_timeout_seconds.max(enough),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::config::{Config, parse};

    /// A file with these further lines, as `(read_timeout, [max_timeout])` of what it says not.
    fn times(more: &str) -> (u64, Vec<u64>) {
        let text = format!(
            "server = {{ public_url = \"https://a.example\", unlisted = \"deny\" }}\n\
             pay_to.base = \"0x209693Bc6afc0C5328bA36FaF03C514EF312287C\"\n\
             upstream.url = \"http://127.0.0.1:1\"\nfacilitator.url = \"https://f.example\"\n{more}"
        );
        let Config { upstreams, receivers, .. } = parse(&text, "t.toml", Path::new(""), &|_| None).unwrap().config;
        let lasts = receivers.iter().map(|receiver| receiver.max_timeout_seconds).collect();
        (upstreams[""].read_timeout.as_secs(), lasts)
    }

    const SOLANA: &str = "pay_to.solana = \"EGBQqKn968sVv5cQh5Cr72pSTHfxsuzq7o7asqYB5uEV\"\n";
    const PAID: &str = "[[routes]]\npath = \"/a\"\nprice = \"$0.01\"\n";
    const BEFORE: &str = "settle = \"before\"\n";
    const ON_BASE: &str = "[[routes]]\npath = \"/a\"\n\
        price = { amount = \"1\", asset = \"0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913\" }\n";

    #[test]
    fn what_is_not_said_is_what_is_enough() {
        for (more, expected) in [
            // 5 + 60 + 60 + 6 is 131.
            (PAID.to_owned(), (60, vec![150])),
            (format!("{PAID}{BEFORE}"), (60, vec![60])),
            ("[[routes]]\npath = \"/a\"\nfree = true\n".to_owned(), (60, vec![60])),
            // Exactly 150, and it must be more.
            (format!("facilitator.settle_timeout = \"79s\"\n{PAID}"), (60, vec![180])),
            (format!("facilitator.settle_timeout = \"78999ms\"\n{PAID}"), (60, vec![150])),
            (format!("facilitator.settle_timeout = \"10s\"\nupstream.read_timeout = \"20s\"\n{PAID}"), (20, vec![60])),
            (format!("upstream.read_timeout = \"3528s\"\n{PAID}"), (3528, vec![3600])),
            // Said, it stays, also above.
            (format!("networks.base.max_timeout = \"132s\"\n{PAID}"), (60, vec![132])),
            // The slowest route counts, and only among those that are paid there.
            (
                format!(
                    "upstreams.b = {{ url = \"http://127.0.0.1:2\", read_timeout = \"100s\" }}\n\
                     pay_to.polygon = \"0x209693Bc6afc0C5328bA36FaF03C514EF312287C\"\n\
                     {PAID}{ON_BASE}methods = [\"PUT\"]\nupstream = \"b\"\n"
                )
                .replacen("path = \"/a\"", "path = \"/b\"", 1),
                (60, vec![180, 150]),
            ),
        ] {
            assert_eq!(times(&more), expected, "{more}");
        }
    }

    #[test]
    fn an_upstream_leaves_time_to_settle_on_solana() {
        for (more, expected) in [
            // 5 + 40 + 60 + 6 is 111; Solana has a life of its own.
            (format!("{SOLANA}{PAID}"), (40, vec![120, 60])),
            (format!("{SOLANA}{PAID}{BEFORE}"), (60, vec![60, 60])),
            (format!("{SOLANA}{ON_BASE}"), (60, vec![150, 60])),
            (format!("{SOLANA}upstream.connect_timeout = \"15s\"\n{PAID}"), (30, vec![120, 60])),
            (format!("{SOLANA}upstream.connect_timeout = \"1s\"\n{PAID}"), (40, vec![120, 60])),
            (format!("{SOLANA}upstream.read_timeout = \"20s\"\n{PAID}"), (20, vec![120, 60])),
            (format!("{SOLANA}networks.solana.max_timeout = \"90s\"\n{PAID}"), (40, vec![120, 90])),
        ] {
            assert_eq!(times(&more), expected, "{more}");
        }
    }
}
