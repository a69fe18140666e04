//! The commands, and starts that fail.

use std::process::Command;

use serde_json::json;
use tempfile::TempDir;

use crate::support::facilitator::Facilitator;
use crate::support::gateway::{free_port, program, run_to_end as run};
use crate::support::server::{Journal, Reply};
use crate::support::world::{Setup, World};

const CONFIG: &str = r#"
[server]
listen     = ["127.0.0.1:8402"]
admin      = "127.0.0.1:8403"
public_url = "https://api.example.com"
unlisted   = "deny"

[upstream]
url = "http://127.0.0.1:3000"

[facilitator]
url = "http://127.0.0.1:3001"

[pay_to]
base = "0x209693Bc6afc0C5328bA36FaF03C514EF312287C"

[[routes]]
path  = "/weather/{city}"
price = "$0.001"
units = 1

[[routes]]
path = "/free"
free = true

[[plans]]
name     = "nano"
price    = "$1"
units    = 500
duration = "30d"
"#;

/// The same on addresses that are free.
fn startable() -> String {
    CONFIG.replace("127.0.0.1:8402", &free_port().to_string()).replace("127.0.0.1:8403", &free_port().to_string())
}

fn folder(config: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("t.toml"), config).unwrap();
    folder
}

#[test]
fn a_good_file_is_summed_up() {
    let (code, stdout, stderr) = run(folder(CONFIG).path(), &["check", "t.toml"]);
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    assert!(stdout.starts_with("t.toml: no problems. 2 routes (1 either way, 1 free), 1 plan (nano $1)"), "{stdout}");
}

#[test]
fn everything_wrong_with_a_file_is_told_at_once_with_its_line() {
    let wrong = CONFIG
        .replace("unlisted   = \"deny\"", "unlisted   = \"perhaps\"")
        .replace("\"$0.001\"", "\"$0.0000001\"")
        .replace("free = true", "fere = true")
        .replace("duration = \"30d\"", "duration = \"30\"");
    let folder = folder(&wrong);
    let (code, stdout, stderr) = run(folder.path(), &["check", "t.toml"]);
    assert_eq!((code, stdout.as_str()), (Some(1), ""));
    for (text, key) in [
        ("perhaps", "server.unlisted"),
        ("0.0000001", "routes[0].price"),
        ("fere", "routes[1].fere"),
        ("\"30\"", "plans[0].duration"),
    ] {
        let line = wrong.lines().position(|line| line.contains(text)).unwrap() + 1;
        let told = stderr.lines().find(|told| told.contains(key)).unwrap_or_else(|| panic!("{key}: {stderr}"));
        assert!(told.starts_with(&format!("t.toml:{line}:")), "{told}");
    }
    // A gateway does not start on it, and says the same.
    let (code, _, told) = run(folder.path(), &["run", "t.toml"]);
    assert_eq!((code, told.trim()), (Some(1), stderr.trim()));
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let folder = folder("");
    for command in ["check", "run"] {
        let (code, stdout, stderr) = run(folder.path(), &[command, "none.toml"]);
        assert_eq!((code, stdout.as_str()), (Some(1), ""), "{command}");
        assert!(stderr.contains("none.toml") && stderr.contains("No such file"), "{command}: {stderr}");
    }
}

#[test]
fn a_wrong_command_line_is_two() {
    let folder = folder(CONFIG);
    for arguments in
        [vec![], vec!["serve"], vec!["check"], vec!["check", "t.toml", "--offline"], vec!["explain", "t.toml"]]
    {
        let (code, _, stderr) = run(folder.path(), &arguments);
        assert_eq!(code, Some(2), "{arguments:?}");
        assert!(stderr.contains("Usage"), "{arguments:?}: {stderr}");
    }
    for arguments in [["--help"], ["--version"]] {
        assert_eq!(run(folder.path(), &arguments).0, Some(0));
    }
}

/// As `.cargo/config.toml` has it compiled, which nothing but the time of a call would tell.
#[test]
fn the_allocator_gives_back_no_part_of_a_huge_page() {
    let program = Command::new(program()).arg("--version").env("MIMALLOC_VERBOSE", "1").output();
    let options = String::from_utf8(program.unwrap().stderr).unwrap();
    assert!(options.contains("option 'allow_thp': 2"), "{options}");
}

#[test]
fn a_facilitator_is_asked_what_it_settles() {
    let facilitator = Facilitator::start(&Journal::default());
    let folder = folder(&CONFIG.replace("http://127.0.0.1:3001", &facilitator.url()));
    let check = || run(folder.path(), &["check", "--online", "t.toml"]);
    let (code, stdout, stderr) = check();
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    assert!(stdout.contains("no problems"), "{stdout}");

    let other = json!({ "kinds": [{ "x402Version": 2, "scheme": "exact", "network": "eip155:1" }] });
    facilitator.supports(Reply::json(200, &other));
    let (code, _, stderr) = check();
    assert_eq!(code, Some(1));
    assert!(stderr.contains("/weather/{city}") && stderr.contains("nano"), "{stderr}");

    facilitator.supports(Reply::status(500, "", ""));
    let (code, _, stderr) = check();
    assert_eq!(code, Some(1));
    assert!(stderr.contains("does not say what it settles"), "{stderr}");
    // Offline, nobody is asked.
    assert_eq!(run(folder.path(), &["check", "t.toml"]).0, Some(0));
}

#[test]
fn the_known_networks_are_listed() {
    let folder = tempfile::tempdir().unwrap();
    let (code, text, stderr) = run(folder.path(), &["networks"]);
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    assert!(text.lines().any(|line| line.starts_with("base ") && line.contains("USD Coin / 2")), "{text}");
    let (code, printed, _) = run(folder.path(), &["networks", "--json"]);
    let networks: serde_json::Value = serde_json::from_str(&printed).unwrap();
    assert_eq!((code, &networks[0]["network"]), (Some(0), &json!("eip155:8453")));
}

#[test]
fn a_request_is_explained() {
    let folder = folder(CONFIG);
    for (method, url, words) in [
        (
            "GET",
            "/weather/oslo?x=1",
            vec!["/weather/{city} (routes[0])", "$0.001", "1000 atomic units on base", "nano"],
        ),
        ("GET", "https://api.example.com/%77eather/oslo", vec!["GET /weather/oslo", "routes[0]"]),
        ("HEAD", "/WEATHER/oslo/", vec!["routes[0]"]),
        ("GET", "/free", vec!["/free (routes[1])", "free", "http://127.0.0.1:3000"]),
        ("GET", "/nothing", vec!["unlisted = \"deny\" answers 404"]),
        ("GET", "/x402/pricing", vec!["the price list"]),
        ("GET", "/free/../weather/oslo", vec!["refused", "400", "dot segment"]),
    ] {
        let (code, stdout, stderr) = run(folder.path(), &["explain", "t.toml", method, url]);
        assert_eq!((code, stderr.as_str()), (Some(0), ""), "{method} {url}");
        assert!(words.iter().all(|word| stdout.contains(word)), "{method} {url}: {stdout}");
    }
    for (method, url) in [("G T", "/free"), ("GET", "free")] {
        let (code, stdout, stderr) = run(folder.path(), &["explain", "t.toml", method, url]);
        assert_eq!((code, stdout.as_str()), (Some(1), ""), "{method} {url}");
        assert!(!stderr.is_empty());
    }
}

#[test]
fn what_is_explained_is_what_happens() {
    let world = World::start();
    let file = world.gateway.config_file();
    let folder = file.parent().unwrap();
    for (method, target) in
        [("GET", "/paid"), ("POST", "/PAID/"), ("GET", "/upfront"), ("GET", "/free"), ("GET", "/x"), ("GET", "//")]
    {
        let text = run(folder, &["explain", "tollgate.toml", method, target]).1;
        let status = world.ask(method, target, &[], "").status;
        let told = match status {
            402 => "for this call",
            404 => "answers 404",
            400 => "refused",
            _ => "price      free",
        };
        assert!(text.contains(told), "{method} {target} was answered {status} and explained as {text}");
    }
}

#[test]
fn an_address_that_is_taken_is_named() {
    let world = World::start();
    let (public, admin) = (world.gateway.addr, world.gateway.admin);
    for (listen, operator, taken) in [(public, free_port(), public), (free_port(), admin, admin)] {
        let config = Setup::default().config(listen, operator, world.upstream.addr(), &world.facilitator.url());
        let folder = folder(&config);
        let (code, _, stderr) = run(folder.path(), &["run", "t.toml"]);
        assert_eq!(code, Some(1));
        assert!(stderr.contains(&format!("cannot listen on {taken}: Address already in use")), "{stderr}");
        assert!(!stderr.contains("panicked"), "{stderr}");
    }
    assert_eq!(world.get("/free", &[]).status, 200);
}

#[test]
fn a_secret_that_others_can_read_is_not_used() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = folder(&startable());
    let secret = folder.path().join("tollgate.secret");
    for (text, mode, told) in [("x".repeat(64), 0o644, "can be read by others"), ("short".to_owned(), 0o600, "shorter")]
    {
        std::fs::write(&secret, text).unwrap();
        std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(mode)).unwrap();
        let (code, _, stderr) = run(folder.path(), &["run", "t.toml"]);
        assert_eq!(code, Some(1));
        assert!(stderr.contains(told), "{stderr}");
    }
}

#[test]
fn a_store_that_is_none_is_named() {
    let folder = folder(&startable());
    std::fs::write(folder.path().join("tollgate.db"), "this is no database, whatever its name says ".repeat(100))
        .unwrap();
    let (code, _, stderr) = run(folder.path(), &["run", "t.toml"]);
    assert_eq!(code, Some(1));
    assert!(stderr.contains("store") && stderr.contains("not a database"), "{stderr}");
}

#[test]
fn a_store_is_one_gateways_at_a_time() {
    let mut world = World::start();
    let routes =
        format!("[store]\nurl = \"sqlite:{}\"\n{}", world.gateway.store_file().display(), Setup::default().routes);
    let second = Setup { routes: &routes, ..Setup::default() };
    let folder = folder(&second.config(free_port(), free_port(), world.upstream.addr(), &world.facilitator.url()));
    let (code, _, stderr) = run(folder.path(), &["run", "t.toml"]);
    assert_eq!(code, Some(1));
    assert!(stderr.contains("tollgate.db is used by another gateway"), "{stderr}");
    // Whatever ended the first one, its store is free.
    world.gateway.crash_and_restart();
    assert_eq!(world.pay("/paid", &world.payment("/paid")).status, 200);
}
