//! The samples in `config/` are right, need nothing of the environment, and say what their comments promise.

#![allow(clippy::unwrap_used, clippy::panic, reason = "this is a test")]

use std::path::Path;

use tollgate::config::{Config, Loaded, parse};

fn sample(name: &str) -> Loaded {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let text = std::fs::read_to_string(directory.join(name)).unwrap();
    parse(&text, name, &directory, &|_| None).unwrap_or_else(|problems| panic!("{problems}"))
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
fn the_weather_costs_a_tenth_of_a_cent() {
    assert_eq!(prices(&sample("smallest.toml").config), ["$0.001"]);
    assert_eq!(prices(&sample("per-call.toml").config), ["$0.001", "$0.01", "$0.001", "0.005 USDC", "$0.02"]);
}

#[test]
fn a_purchases_header_is_as_large_as_the_check_says() {
    use tollgate::payment::{Challenge, QuoteMint, Shortfall, Unserved};
    use tollgate::pricing::Kinds;

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
    let (shortfall, timestamp) = (&Shortfall::MissingCredentials, "2026-01-01T00:00:00.000Z");
    let offer = &table.plans.first().unwrap().offer;
    let request = Unserved { resource: &offer.resource, shortfall, plans: false, table: &table, now: 0, timestamp };
    let real = Challenge::of_offer(offer, request, &QuoteMint::new(&[1; 32]), [2; 8]).header.unwrap().len();
    assert!((real..real + 300).contains(&said), "{said} is said of {real} bytes");
}
