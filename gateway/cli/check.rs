//! `tollgate check FILE`: everything that is wrong with a file, or what it says in a few lines.

use std::io::{stderr, stdout};
use std::path::Path;
use std::process::ExitCode;

use super::chains::{self, Look};
use super::print;
use crate::config::{Config, FacilitatorConfig, FacilitatorsConfig, Loaded, Receiver, RouteConfig, Sale, load};
use crate::pricing::{Kinds, Metering, Price, Unlisted};
use crate::x402::facilitator::SupportedResponse;

/// Asks a facilitator what it settles; the error is a sentence for people.
pub type Ask<'a> = &'a dyn Fn(&FacilitatorConfig) -> Result<SupportedResponse, String>;

/// Whom a check may ask besides the file.
pub struct Others<'a> {
    /// The facilitator.
    pub ask: Ask<'a>,
    /// The chains.
    pub look: Look<'a>,
}

/// Checks a file; with `others`, also what its facilitator settles and its chains show. Fails if anything is wrong, not
/// if there are warnings.
pub fn run(path: &Path, others: Option<Others<'_>>) -> ExitCode {
    let Loaded { config, warnings } = match load(path) {
        Ok(loaded) => loaded,
        Err(problems) => {
            print(stderr(), &problems.to_string());
            return ExitCode::FAILURE;
        }
    };
    for warning in warnings {
        print(stderr(), &format!("warning: {warning}"));
    }
    let Online { warnings, problems } = others.map(|others| others.about(&config)).unwrap_or_default();
    warnings.iter().for_each(|warning| print(stderr(), &format!("warning: {warning}")));
    problems.iter().for_each(|problem| print(stderr(), problem));
    if !problems.is_empty() {
        return ExitCode::FAILURE;
    }
    print(stdout(), &summary(path, &config));
    ExitCode::SUCCESS
}

impl Others<'_> {
    fn about(&self, config: &Config) -> Online {
        let facilitators = config.facilitators.as_ref();
        let mut found = facilitators.map(|facilitators| online(config, facilitators, self.ask)).unwrap_or_default();
        chains::look(config, self.look, &mut found);
        found
    }
}

/// What others' words mean for a configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Online {
    /// What is worth a second look, such as networks that nothing will be offered on.
    pub warnings: Vec<String>,
    /// What nobody could pay or what would go wrong, and who does not answer.
    pub problems: Vec<String>,
}

/// Compares a configuration with what its facilitators settle.
pub fn online(config: &Config, facilitators: &FacilitatorsConfig, ask: Ask<'_>) -> Online {
    let (mut said, mut silent) = (Vec::new(), Vec::new());
    for facilitator in &facilitators.list {
        match ask(facilitator) {
            Ok(supported) => {
                said.push(Kinds::from_supported(&supported, &Kinds::unknown()).within(&facilitator.reach));
            }
            Err(error) => silent.push(format!("{} does not say what it settles: {error}", facilitator.url)),
        }
    }
    if said.is_empty() {
        return Online { warnings: Vec::new(), problems: silent };
    }
    let kinds = Kinds::joined(&said);
    let omissions = config.omissions(&kinds);
    let is_omitted = |receiver: &Receiver| omissions.iter().any(|left_out| left_out.network == receiver.network);
    let paid: Vec<_> = config.receivers.iter().filter(|receiver| !is_omitted(receiver)).collect();
    let only_v2 = paid.iter().filter(|receiver| receiver.v1_name.is_some_and(|name| !kinds.lists_v1(name)));
    let only_v2 = only_v2.map(|receiver| {
        format!("{}: the facilitator settles version 2 only, so that clients of version 1 cannot pay", receiver.name)
    });
    let unpayable = |price: &Price| !paid.iter().any(|receiver| receiver.asset_for(price).is_some());
    let routes = config.routes.iter().filter(|route| route.sale.price().is_some_and(unpayable));
    let plans = config.plans.iter().filter(|plan| unpayable(&plan.price));
    let problem = |what: String| format!("{what} cannot be paid: the facilitator settles on none of its networks");
    Online {
        warnings: omissions.iter().map(ToString::to_string).chain(only_v2).collect(),
        problems: silent
            .into_iter()
            .chain(routes.map(|route| problem(format!("route {}", route.pattern))))
            .chain(plans.map(|plan| problem(format!("plan {}", plan.plan.name))))
            .collect(),
    }
}

/// What a file says, in one paragraph.
pub fn summary(path: &Path, config: &Config) -> String {
    let count = |wanted: fn(&Sale) -> bool| config.routes.iter().filter(|route| wanted(&route.sale)).count();
    let kinds = [
        (count(|sale| matches!(sale, Sale::PerCall(_))), "paid per call"),
        (count(|sale| matches!(sale, Sale::PlanOnly(_))), "for plans"),
        (count(|sale| matches!(sale, Sale::Either(..))), "either way"),
        (count(|sale| matches!(sale, Sale::Free)), "free"),
    ];
    let kinds: Vec<_> =
        kinds.iter().filter(|(count, _)| *count > 0).map(|(count, kind)| format!("{count} {kind}")).collect();
    let kinds = if kinds.is_empty() { String::new() } else { format!(" ({})", kinds.join(", ")) };
    let plans: Vec<_> = config.plans.iter().map(|plan| format!("{} {}", plan.plan.name, plan.price)).collect();
    let plans = if plans.is_empty() { String::new() } else { format!(" ({})", plans.join(", ")) };
    let networks: Vec<_> = config.receivers.iter().map(|receiver| &*receiver.name).collect();
    let settled = match &config.facilitators {
        Some(FacilitatorsConfig { list, .. }) => {
            let urls: Vec<_> = list.iter().map(|facilitator| &*facilitator.url).collect();
            format!("paid on {}, settled by {}", networks.join(", "), urls.join(", "))
        }
        None => "nothing is paid for".to_owned(),
    };
    let unlisted = match config.server.unlisted {
        Unlisted::Free => "forwarded free",
        Unlisted::Deny => "refused",
    };
    format!(
        "{}: no problems. {}{kinds}, {}{plans}; {settled}. Paths that no route names are {unlisted}.{}",
        path.display(),
        counted(config.routes.len(), "route"),
        counted(config.plans.len(), "plan"),
        besides(config),
    )
}

/// What few files have, in a sentence; nothing if a file has none of it.
fn besides(config: &Config) -> String {
    let routes = |wanted: &dyn Fn(&RouteConfig) -> bool| config.routes.iter().filter(|route| wanted(route)).count();
    let metered = |wanted: fn(&Metering) -> bool| routes(&|route| route.sale.metering().is_some_and(wanted));
    let on_routes = [
        ("Some calls are free", routes(&|route| route.free_calls.is_some())),
        ("A header says the units", metered(|metering| metering.reported.is_some())),
        ("Bytes are counted", metered(|metering| metering.per_byte.is_some())),
    ];
    let on_routes = on_routes.into_iter().filter(|(_, count)| *count > 0);
    let on_routes = on_routes.map(|(what, count)| format!(" {what} on {}.", counted(count, "route")));
    let open = [
        (config.jwt.is_some(), " JWTs are taken in place of keys."),
        (config.server.admin_token.is_some(), " The operator's API is on."),
    ];
    let open = open.into_iter().filter(|(is_open, _)| *is_open).map(|(_, what)| what.to_owned());
    on_routes.chain(open).collect()
}

fn counted(count: usize, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::Finding;
    use crate::config::parse;
    use crate::money::Asset;

    fn sample(name: &str) -> Config {
        load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("config").join(name)).unwrap().config
    }

    #[test]
    fn a_right_file_is_summed_up() {
        assert_eq!(
            summary(Path::new("plans.toml"), &sample("plans.toml")),
            "plans.toml: no problems. 5 routes (3 for plans, 1 either way, 1 free), 4 plans (trial $0.50, nano $5, \
             starter $199, pro $699); paid on base, solana, settled by https://x402.org/facilitator. Paths that no \
             route names are refused. A header says the units on 1 route."
        );
    }

    #[test]
    fn what_few_files_have_is_told_where_it_is() {
        let config = sample("everything.toml");
        let told =
            " Some calls are free on 1 route. A header says the units on 1 route. Bytes are counted on 2 routes.";
        assert!(summary(Path::new(""), &config).ends_with(told), "{}", summary(Path::new(""), &config));
        let token = |name: &str| (name == "TOKEN").then(|| "0123456789abcdef".to_owned());
        let text = "server = { public_url = \"https://a.example\", unlisted = \"free\", admin_token.env = \"TOKEN\" }\n\
                    upstream.url = \"http://127.0.0.1:1\"\n[jwt]\n\
                    public_key = \"\"\"-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAdV9SrQMicgCJ0pFaXMrj0nfHQpCUshdcCdjGlUmKRo0=\n\
                    -----END PUBLIC KEY-----\"\"\"";
        let config = parse(text, "t.toml", Path::new(""), &token).unwrap().config;
        let told = " JWTs are taken in place of keys. The operator's API is on.";
        assert!(summary(Path::new(""), &config).ends_with(told), "{}", summary(Path::new(""), &config));
    }

    #[test]
    fn what_nobody_can_pay_is_a_problem() {
        let only_solana = || {
            serde_json::from_value(serde_json::json!({ "kinds": [
                { "x402Version": 2, "scheme": "exact", "network": "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp" },
            ]}))
        };
        let config = sample("smallest.toml");
        let online =
            online(&config, config.facilitators.as_ref().unwrap(), &|_| only_solana().map_err(|_| String::new()));
        assert_eq!(
            online.warnings,
            ["nothing is offered on base-sepolia: the facilitator settles no \"exact\" payments there"]
        );
        assert_eq!(online.problems, ["route /weather cannot be paid: the facilitator settles on none of its networks"]);
    }

    #[test]
    fn what_the_chains_show_is_told_with_the_network() {
        let text = "server = { public_url = \"https://a.example\", unlisted = \"free\" }\n\
                    upstream.url = \"http://127.0.0.1:1\"\nfacilitator.url = \"http://127.0.0.1:2\"\n\
                    [pay_to]\nbase = \"0x209693Bc6afc0C5328bA36FaF03C514EF312287C\"\n\
                    celo = \"0x209693Bc6afc0C5328bA36FaF03C514EF312287C\"\n\
                    [networks.celo]\nrpc_url = \"http://127.0.0.1:3\"\n\
                    [[routes]]\npath = \"/a\"\nprice = \"$1\"\n[[routes]]\npath = \"/b\"\nprice = \"1 USDT\"";
        let config = parse(text, "t.toml", Path::new(""), &|_| None).unwrap().config;
        let mut found = Online::default();
        let look = |_: &Receiver, assets: &[Asset]| {
            let symbols: Vec<_> = assets.iter().map(|asset| &*asset.symbol).collect();
            vec![Finding::Problem(format!("seen {}", symbols.join(", "))), Finding::Warning("odd".to_owned())]
        };
        chains::look(&config, &look, &mut found);
        let seen =
            Online { warnings: vec!["celo: odd".to_owned()], problems: vec!["celo: seen USDC, USDT".to_owned()] };
        assert_eq!(found, seen, "only what is sold for, and only where there is somebody to ask");
    }

    #[test]
    fn a_network_left_out_is_a_warning_while_another_remains() {
        let only_base = || {
            serde_json::from_value(serde_json::json!({ "kinds": [
                { "x402Version": 2, "scheme": "exact", "network": "eip155:8453" },
            ]}))
        };
        let config = sample("per-call.toml");
        let online =
            online(&config, config.facilitators.as_ref().unwrap(), &|_| only_base().map_err(|_| String::new()));
        assert_eq!(
            online.warnings,
            [
                "nothing is offered on solana: the facilitator settles no \"exact\" payments there",
                "base: the facilitator settles version 2 only, so that clients of version 1 cannot pay",
            ]
        );
        assert_eq!(online.problems, [""; 0]);
    }
}
