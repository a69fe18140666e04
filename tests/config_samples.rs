//! The samples in `config/` are right, need nothing of the environment, and say what their comments promise.

#![allow(clippy::unwrap_used, clippy::panic, reason = "this is a test")]

use std::path::Path;

use tollgate::config::{Config, Loaded, SubscriptionsConfig, parse};
use tollgate::drift::Rules;
use tollgate::payment::{Challenge, Hints, QuoteMint, Shortfall, Unserved, plans_json};
use tollgate::plans::{OnRepurchase, Plan};
use tollgate::pricing::{Found, Kinds, Metering, PlanOffer, PriceTable, Target};

fn sample(name: &str) -> Loaded {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let text = std::fs::read_to_string(directory.join(name)).unwrap();
    parse(&text, name, &directory, &|_| None).unwrap_or_else(|problems| panic!("{problems}"))
}

/// The units that a request takes by the file's table, as `GET /path` asks for it; with what else it takes.
fn taken(table: &PriceTable, request: &str) -> String {
    let (method, path) = request.split_once(' ').unwrap();
    let target = Target::parse(path.as_bytes()).unwrap();
    let Found::Route(route) = table.find(&method.parse().unwrap(), target.path()) else { return "unlisted".to_owned() };
    let Metering { units, reported, per_byte } = route.access.metering().unwrap();
    let reported = reported.as_ref().map(|reported| format!(", {} to {}", reported.header, reported.units_max));
    let per_byte = per_byte.map(|each| format!(", {each} a byte"));
    format!("{units}{}{}", reported.unwrap_or_default(), per_byte.unwrap_or_default())
}

fn prices(config: &Config) -> Vec<String> {
    config.routes.iter().filter_map(|route| route.sale.price()).map(ToString::to_string).collect()
}

#[test]
fn every_sample_is_right() {
    for entry in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("config")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        for warning in sample(&name).warnings {
            assert!(warning.text.contains("is above $1"), "{warning}");
        }
    }
}

#[test]
fn the_readmes_first_configuration_is_right() {
    let readme = include_str!("../README.md");
    let (_, text) = readme.split_once("```toml\n").unwrap();
    let (text, _) = text.split_once("```").unwrap();
    let Loaded { config, warnings } = parse(text, "README.md", Path::new("."), &|_| None).unwrap();
    assert_eq!((prices(&config), warnings), (vec!["$0.001".to_owned()], vec![]));
}

#[test]
fn the_plans_are_those_of_the_product_page() {
    let Loaded { config, .. } = sample("plans.toml");
    let plans: Vec<_> = config
        .plans
        .iter()
        .map(|sold| (sold.plan.name.to_string(), sold.price.to_string(), sold.plan.units.unwrap().to_string()))
        .collect();
    let expected = [
        ("trial", "$0.50", "5000"),
        ("nano", "$5", "500000"),
        ("starter", "$199", "10000000"),
        ("pro", "$699", "50000000"),
    ];
    assert_eq!(plans, expected.map(|(name, price, units)| (name.to_owned(), price.to_owned(), units.to_owned())));
    assert_eq!(&*config.plans[1].description, "Example Chain API access: nano plan");
}

#[test]
fn the_price_list_tells_how_fast_a_plan_is() {
    let listed = |name: &str| plans_json(&sample(name).config.price_table(&Kinds::unknown()).0);
    let plans = listed("plans.toml");
    let nano = &plans[1];
    assert_eq!((nano["rate"].as_str(), nano["requestsPerSecond"].as_u64()), (Some("10/s"), Some(10)));
    assert_eq!(nano["burst"].as_u64(), Some(20));
    assert!(plans[0].get("burst").is_none() && plans[0]["requestsPerSecond"] == 2);
    assert!(["rate", "requestsPerSecond", "burst"].iter().all(|member| plans[2].get(member).is_none()));
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("config/plans.toml")).unwrap();
    let by_the_minute = parse(&text.replace("10/s", "600/m"), "t.toml", Path::new("."), &|_| None).unwrap();
    let plans = plans_json(&by_the_minute.config.price_table(&Kinds::unknown()).0);
    assert!(plans[1]["rate"] == "600/m" && plans[1].get("requestsPerSecond").is_none());
}

#[test]
fn the_weather_costs_a_tenth_of_a_cent() {
    assert_eq!(prices(&sample("smallest.toml").config), ["$0.001"]);
    assert_eq!(prices(&sample("per-call.toml").config), ["$0.001", "$0.01", "$0.001", "0.005 USDC", "$0.02"]);
}

#[test]
fn a_purchases_header_is_as_large_as_the_check_says() {
    let address = "0x209693Bc6afc0C5328bA36FaF03C514EF312287C";
    let networks = ["base", "polygon", "avalanche", "arbitrum", "base-sepolia", "arbitrum-sepolia"]
        .map(|name| format!("{name} = \"{address}\""))
        .join("\n");
    let text = format!(
        "server = {{ public_url = \"https://api.example.com\", unlisted = \"deny\" }}\n\
         upstream.url = \"http://127.0.0.1:3000\"\nfacilitator.url = \"https://x402.org/facilitator\"\n\
         [pay_to]\n{networks}\n[[plans]]\nname = \"nano\"\nprice = \"$1\"\nduration = \"30d\"\n\
         description = \"{}\"\n",
        "long ".repeat(60),
    );
    let Loaded { config, warnings } = parse(&text, "t.toml", Path::new("."), &|_| None).unwrap();
    let said = warnings.iter().find_map(|warning| warning.text.split_once("a header of about ")).unwrap().1;
    let said: usize = said.split(' ').next().unwrap().parse().unwrap();

    let (table, _) = config.price_table(&Kinds::unknown());
    let real = purchase_header(&table, table.plans.first().unwrap()).len();
    assert!((real..real + 300).contains(&said), "{said} is said of {real} bytes");
}

/// With all that Solana adds to it.
#[test]
fn a_header_with_memos_and_blocks_is_as_large_as_the_check_says() {
    let case = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config/cases/solana_fine.toml");
    let address = "0x209693Bc6afc0C5328bA36FaF03C514EF312287C";
    let others = ["polygon", "avalanche", "arbitrum", "base-sepolia"].map(|name| format!("{name} = \"{address}\"\n"));
    let plan = format!(
        "[[plans]]\nname = \"nano\"\nprice = \"$1\"\nduration = \"30d\"\ndescription = \"{}\"\n[[routes]]",
        "long ".repeat(90)
    );
    let text = std::fs::read_to_string(case).unwrap().replace("[[routes]]", &plan);
    let text = text.replace("[pay_to]\n", &format!("[pay_to]\n{}", others.concat()));
    let Loaded { config, warnings } = parse(&text, "t.toml", Path::new("."), &|_| None).unwrap();
    let said = warnings.iter().find_map(|warning| warning.text.split_once("a header of about ")).unwrap().1;
    let said: usize = said.split(' ').next().unwrap().parse().unwrap();
    let kind = |receiver: &tollgate::config::Receiver| {
        serde_json::json!({ "x402Version": 2, "scheme": "exact", "network": receiver.network.caip2(),
            "extra": { "feePayer": "EGBQqKn968sVv5cQh5Cr72pSTHfxsuzq7o7asqYB5uEV" } })
    };
    let kinds: Vec<_> = config.receivers.iter().map(kind).collect();
    let supported = serde_json::from_value(serde_json::json!({ "kinds": kinds })).unwrap();
    let (table, _) = config.price_table(&Kinds::from_supported(&supported, &Kinds::unknown()));
    let plan = table.plans.first().unwrap();
    let mut hints = Hints::default();
    for terms in &*plan.offer.terms {
        hints.put(&terms.network, "EGBQqKn968sVv5cQh5Cr72pSTHfxsuzq7o7asqYB5uEV", 999_999_999_999, 0);
    }
    // Only Solana has blocks to be named.
    let solana: Vec<_> = plan.offer.terms.iter().map(|terms| terms.network.clone()).collect();
    hints.keep_only(&solana.into_iter().filter(|network| network.caip2().starts_with("solana")).collect::<Vec<_>>());
    let real = purchase_header_with(&table, plan, &hints).len();
    assert!((real..real + 300).contains(&said), "{said} is said of {real} bytes");
}

fn solana_and_base() -> Kinds {
    let supported = serde_json::from_value(serde_json::json!({ "kinds": [
        { "x402Version": 2, "scheme": "exact", "network": "eip155:8453" },
        { "x402Version": 2, "scheme": "exact", "network": "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp",
          "extra": { "feePayer": "EGBQqKn968sVv5cQh5Cr72pSTHfxsuzq7o7asqYB5uEV" } },
    ]}));
    Kinds::from_supported(&supported.unwrap(), &Kinds::unknown())
}

/// The challenge of a purchase, as the header that clients get.
fn purchase_header(table: &PriceTable, plan: &PlanOffer) -> String {
    purchase_header_with(table, plan, &Hints::default())
}

fn purchase_header_with(table: &PriceTable, plan: &PlanOffer, hints: &Hints) -> String {
    let (shortfall, timestamp) = (&Shortfall::MissingCredentials, "2026-01-01T00:00:00.000Z");
    let offer = &plan.offer;
    let request = Unserved { resource: &offer.resource, shortfall, plans: false, table, hints, now: 0, timestamp };
    Challenge::of_offer(offer, request, &QuoteMint::new(&[1; 32]), [2; 8]).header.unwrap().to_str().unwrap().to_owned()
}

/// Many proxies drop headers above 4 KiB.
#[test]
fn a_purchases_header_tells_the_plan_and_stays_small() {
    let (table, _) = sample("plans.toml").config.price_table(&solana_and_base());
    for plan in &table.plans {
        let header = purchase_header(&table, plan);
        let text = tollgate::x402::codec::decode(header.as_bytes()).unwrap();
        let challenge: serde_json::Value = serde_json::from_str(&text).unwrap();
        let accepts = challenge["accepts"].as_array().unwrap();
        for way in accepts {
            assert_eq!(Plan::quoted(way["extra"].as_object().unwrap()).as_ref(), Some(&plan.plan));
        }
        assert_eq!(accepts.len(), 2);
        assert!(header.len() < 3 * 1024, "{} bytes for {}", header.len(), plan.plan.name);
    }
}

#[test]
fn sixty_metered_routes_are_told_apart() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config");
    let text = std::fs::read_to_string(directory.join("metered_routes.toml")).unwrap();
    let Loaded { config, .. } = parse(&text, "metered_routes.toml", &directory, &|_| None).unwrap();
    assert_eq!(config.routes.len(), 62);
    let (table, _) = config.price_table(&Kinds::unknown());
    for (request, expected) in [
        ("GET /v2/chains", "0.05"),
        ("HEAD /v2/chains", "0.05"),
        ("GET /v2/chains/base", "0.05"),
        ("POST /v2/chains", "unlisted"),
        ("GET /v2/chains/base/more", "unlisted"),
        // A literal is looked at before a parameter, on every level.
        ("GET /v2/token/search?q=usdc", "0.25"),
        ("GET /v2/token/search/0xabc", "1"),
        ("GET /v2/token/base/list", "0.05"),
        ("GET /v2/token/base/0xabc", "1"),
        ("GET /v2/token/base/multi", "1"),
        ("POST /v2/token/base/multi", "0.75"),
        ("POST /v2/token/base/create", "5"),
        ("GET /v2/token/base/create", "1"),
        ("POST /v2/token/base/0xabc", "unlisted"),
        ("GET /v2/token/base/0xabc/metadata", "0.05"),
        ("POST /v2/token/base/metadata/multi", "0.05"),
        ("GET /v2/token/base/0xabc/price", "0.1"),
        ("GET /v2/token/base/0xabc/price/history", "0.1"),
        ("POST /v2/token/base/price/multi", "0.1"),
        ("GET /v2/token/base/price/multi", "unlisted"),
        ("GET /v2/token/base/0xabc/candles", "0.25"),
        ("GET /v2/token/base/0xabc/trades", "0.25"),
        ("GET /v2/token/base/0xabc/trades/0xdef", "0.25"),
        ("GET /v2/token/base/0xabc/holders", "0.5"),
        ("GET /v2/token/base/0xabc/holders/0xdef", "0.5"),
        ("GET /v2/token/base/0xabc/holders/multi", "0.5"),
        ("POST /v2/token/base/0xabc/holders/multi", "0.5"),
        ("GET /v2/token/base/0xabc/security", "0.5"),
        ("GET /v2/token/base/0xabc/stats", "2.5"),
        ("POST /v2/token/base/stats/multi", "2.5"),
        ("GET /v2/token/base/0xabc/pools", "2.5"),
        ("GET /v2/token/base/0xabc/unknown", "unlisted"),
        ("GET /v2/pool/search", "0.25"),
        ("GET /v2/pool/base/list", "0.05"),
        ("GET /v2/pool/base/0xabc", "1"),
        ("GET /v2/pool/base/0xabc/stats", "2.5"),
        ("PUT /v2/watchlist/7", "0.1"),
        ("DELETE /v2/watchlist/7", "0.1"),
        ("GET /v2/watchlist/7", "unlisted"),
        ("GET /v2/watchlist", "0.05"),
        ("POST /v2/watchlist", "0.1"),
        ("GET /v2/wallet/solana/abc", "1"),
        ("GET /v2/wallet/solana/abc/pnl", "1"),
        ("GET /v2/wallet/solana/abc/pnl/def", "1"),
        ("GET /v2/wallet/solana/abc/history", "1.5"),
        ("GET /v2/transaction/base/0xabc", "1.5"),
        ("GET /v2/transaction/base/0xabc/trace", "1.5"),
        ("GET /v2/transaction/base/0xabc/logs/3", "1.5"),
        ("GET /v2/transaction/base/send", "1.5"),
        ("POST /v2/transaction/base/send", "5"),
        ("POST /v2/swap/base", "5"),
        ("POST /v2/swap/base/quote", "5"),
        ("POST /v2/bridge/base/solana", "5"),
        ("POST /v2/job/7/run", "5"),
        ("POST /v2/graphql", "0.05, x-units to 50"),
        ("GET /v2/stream", "0, 0.005 a byte"),
        // An upstream that ignores case or a slash at the end would serve these as well.
        ("GET /V2/Token/Search", "0.25"),
        ("GET /v2/ranking/base/hot/", "0.25"),
        ("GET /v2/ranking/base/cold", "unlisted"),
    ] {
        assert_eq!(taken(&table, request), expected, "{request}");
    }
    let steps: std::collections::BTreeSet<_> =
        config.routes.iter().map(|route| route.sale.metering().unwrap().units).collect();
    let steps: Vec<_> = steps.iter().map(ToString::to_string).collect();
    assert_eq!(steps, ["0", "0.05", "0.1", "0.25", "0.5", "0.75", "1", "1.5", "2.5", "5"]);
}

#[test]
fn the_sample_of_everything_has_the_usual_values() {
    let Loaded { config, .. } = sample("everything.toml");
    let usual = sample("smallest.toml").config.subscriptions;
    assert_eq!(config.subscriptions, usual);
    assert_eq!((usual.keys_max, usual.exhausted_status.as_u16(), usual.status_by_address), (16, 402, false));
    assert_eq!(usual.quota_alerts, [50, 80, 100]);
    assert_eq!(config.keys.query.as_deref(), Some("token"));
    assert_eq!((config.jwt, config.server.admin_token), (None, None));
    assert_eq!(config.plans.first().unwrap().plan.burst, Some(20));
    let solana = config.receivers.iter().find(|receiver| &*receiver.name == "solana").unwrap();
    assert_eq!((solana.memo.as_deref(), solana.blockhash_hints), (Some("shop-7"), true));
    let keyless = config.payers.rules.limits.keyless.unwrap();
    assert_eq!((keyless.count, keyless.per.as_secs()), (20, 1));
    assert_eq!((&config.drift, &sample("smallest.toml").config.drift), (&Some(Rules::USUAL), &Some(Rules::USUAL)));
}

#[test]
fn the_sample_of_several_facilitators_says_what_its_comments_say() {
    let second = |seconds| Some(std::time::Duration::from_secs(seconds));
    let facilitators = sample("facilitators.toml").config.facilitators.unwrap();
    assert_eq!((Some(facilitators.verify_budget), facilitators.hedge_after), (second(10), second(1)));
    let [one, two] = &*facilitators.list else { panic!("not two") };
    let [base, solana] =
        ["base", "solana"].map(|name| tollgate::x402::networks::known(name).unwrap().network().unwrap());
    let told = |one: &tollgate::config::FacilitatorConfig| {
        let networks = (one.reach.covers(&base), one.reach.covers(&solana));
        (one.name.to_string(), networks, one.order, one.weight, one.latency_budget, Some(one.verify_timeout))
    };
    assert_eq!(told(one), ("first".to_owned(), (true, true), 1, 1, None, second(5)));
    assert_eq!(told(two), ("second".to_owned(), (true, false), 2, 1, second(2), second(5)));
}

#[test]
fn what_is_written_is_read() {
    let text = r#"
        server       = { unlisted = "deny", public_url = "https://a.example", admin_token = { env = "TOKEN" } }
        upstream.url = "http://127.0.0.1:3000"

        [subscriptions]
        on_repurchase     = "extend"
        exhausted_status  = 403
        status_by_address = true
        keys_max          = 1_000
        usage_retention   = "1d"
        quota_alerts      = []

        [jwt]
        public_key = { env = "PEM" }
        audience   = "api"
    "#;
    let env = |name: &str| {
        match name {
        "TOKEN" => Some("0123456789abcdef".to_owned()),
        "PEM" => Some("-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAdV9SrQMicgCJ0pFaXMrj0nfHQpCUshdcCdjGlUmKRo0=\n-----END PUBLIC KEY-----".to_owned()),
        _ => None,
    }
    };
    let Loaded { config, .. } = parse(text, "t.toml", Path::new("."), &env).unwrap();
    assert_eq!(config.server.admin_token.unwrap().reveal(), "0123456789abcdef");
    let SubscriptionsConfig { on_repurchase, exhausted_status, status_by_address, keys_max, .. } = config.subscriptions;
    assert_eq!((on_repurchase, exhausted_status.as_u16(), status_by_address), (OnRepurchase::Extend, 403, true));
    assert_eq!((keys_max, config.subscriptions.usage_retention.as_secs()), (1000, 86_400));
    assert_eq!(config.subscriptions.quota_alerts, Vec::<u8>::new());
    let jwt = config.jwt.unwrap();
    assert!(jwt.public_key.reveal().starts_with("-----BEGIN"));
    assert_eq!((&*jwt.claim, jwt.audience.as_deref(), jwt.issuer), ("sub", Some("api"), None));
}

#[test]
fn a_checked_configuration_prints_no_secret() {
    const MARK: &str = "mark-of-a-secret-0123456789abcdef0123456789";
    // 32 bytes, in base64.
    const SIGNING: &str = "whsec_bWFyay1vZi10aGUtd2ViaG9vay0wMTIzNDU2Nzg5YWI=";
    // An Ed25519 key: seed and public half.
    const CDP: &str = "ZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmY0tNkEMVbLbc8L6wopSbdVnJQNK8ttvoxTqbMCeOOnRg==";
    let env = |name: &str| match name {
        "CDP" => Some(CDP.to_owned()),
        "URL" => Some(format!("https://rpc.example/{MARK}?key={MARK}")),
        "SIGNING" => Some(SIGNING.to_owned()),
        _ => Some(MARK.to_owned()),
    };
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("config/smallest.toml")).unwrap();
    let text = text.replace("[server]\n", "[server]\nadmin_token = { env = \"A\" }\n");
    let more = r#"
        [upstream.headers]
        X-Upstream-Secret = { env = "A" }
        [facilitator.headers]
        X-API-Key = { env = "A" }
        [facilitator.cdp]
        key_id = { env = "A" }
        secret = { env = "CDP" }
        [networks.base-sepolia]
        rpc_url = { env = "URL" }
        [store]
        secret = { env = "A" }
        [screening.http]
        url = "https://screener.example"
        headers = { Authorization = { env = "A" } }
        [webhook]
        url = "https://hook.example"
        secret = { env = "SIGNING" }
    "#;
    let loaded = parse(&(text + more), "a.toml", Path::new("."), &env).unwrap_or_else(|problems| panic!("{problems}"));
    let printed = format!("{loaded:?} {:#?}", loaded.config);
    for secret in [MARK, SIGNING, CDP, "102, 102, 102", "mark-of-the-webhook", "109, 97, 114, 107"] {
        assert!(!printed.contains(secret), "{secret} is in {printed}");
    }
    assert!(printed.contains("x-upstream-secret") && printed.contains("screener.example"), "{printed}");
}
