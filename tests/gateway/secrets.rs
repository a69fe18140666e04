//! No secret is written anywhere: not to the log at its loudest, not to the metrics, not to an answer, not to the disk.
//!
//! Each secret has a mark of its own. Everything happens that may go wrong, and then all that was written is searched for
//! the marks, the keys that were sold, and the payments.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tollgate::x402::codec;

use crate::support::client::{Wire, request};
use crate::support::gateway::program;
use crate::support::server::{Journal, Reply, Server};
use crate::support::wait::until_true;
use crate::support::world::{Setup, World};

const ROUTES: &str = r#"
[keys]
query = "token"

[[routes]]
path  = "/paid"
price = "$0.01"
units = 1

[[routes]]
path   = "/upfront"
price  = "$0.02"
settle = "before"

[[routes]]
path  = "/stream"
units = 1

[[routes]]
path = "/free"
free = true

[[plans]]
name     = "nano"
price    = "$1"
units    = 100
duration = "30d"
"#;

/// The secrets of the configuration, by the variable or the file that holds them.
const SECRETS: [(&str, &str); 5] = [
    ("STORE_SECRET", "mark-of-the-store-0123456789abcdef0123456789"),
    ("ADMIN_TOKEN", "mark-of-the-operator-0123456789"),
    ("RPC_URL", "http://127.0.0.1:9/mark-of-the-rpc-path?key=mark-of-the-rpc-query"),
    ("facilitator", "Bearer mark-of-the-facilitator"),
    // 32 bytes, in base64.
    ("webhook", "whsec_bWFyay1vZi10aGUtd2ViaG9vay0wMTIzNDU2Nzg5YWI="),
];

/// What none of these may show.
const MARKS: [&str; 10] = [
    "mark-of-the-store",
    "mark-of-the-operator",
    "mark-of-the-rpc-path",
    "mark-of-the-rpc-query",
    "mark-of-the-facilitator",
    "bWFyay1vZi10aGUtd2ViaG9vay",
    "mark-of-the-webhook",
    // The upstream's own, in an answer that cannot be read.
    "mark-of-the-upstream",
    // What callers sent to somebody else.
    "mark-of-a-query",
    "mark-of-a-stranger",
];

struct Stage {
    world: World,
    hook: Server,
    /// Keys that were given out, payments that were sent, and what is in them.
    given: Vec<String>,
    /// Everything that was answered and may hold none of it.
    answers: String,
}

impl Stage {
    fn start() -> Self {
        let hook = Server::start("hook", &Journal::default());
        let mut world = Setup { routes: ROUTES, ..Setup::default() }.start();
        let file = world.gateway.config_file();
        for (name, secret) in SECRETS {
            std::fs::write(file.with_file_name(name), format!("{secret}\n")).unwrap();
            world.gateway.has(name, secret);
        }
        let text = std::fs::read_to_string(&file).unwrap();
        let text = text.replace("[server]\n", "[server]\nadmin_token = { env = \"ADMIN_TOKEN\" }\n").replace(
            "[facilitator]\n",
            "[facilitator]\nheaders = { Authorization = { file = \"facilitator\" } }\nsettle_timeout = \"400ms\"\n",
        );
        let more = format!(
            "[store]\nsecret = {{ env = \"STORE_SECRET\" }}\n[networks.base]\nrpc_url = {{ env = \"RPC_URL\" }}\n\
             [webhook]\nurl = \"http://{}/hook\"\nsecret = {{ file = \"webhook\" }}\n\
             [subscriptions]\nquota_alerts = [1]\n",
            hook.addr()
        );
        std::fs::write(&file, text + &more).unwrap();
        world.gateway.has("RUST_LOG", "trace,h2=trace,hyper=trace,pingora_core::protocols=trace");
        world.gateway.crash_and_restart();
        Self { world, hook, given: Vec::new(), answers: String::new() }
    }

    /// Asks, and keeps the answer.
    fn ask(&mut self, method: &str, target: &str, headers: &[(&str, &str)]) -> u16 {
        let answer = self.world.ask(method, target, headers, "");
        self.answers.push_str(&format!("{:?}\n{}\n", answer.head, answer.text()));
        answer.status
    }

    /// Asks the operator's side.
    fn api(&mut self, method: &str, target: &str, token: &str, body: &str) -> Value {
        let mut wire = Wire::to(self.world.gateway.admin);
        wire.send(request(method, target, &[("Authorization", &format!("Bearer {token}"))], body));
        let answer = wire.answer();
        // Who mints a key is told it, and nobody else ever.
        let key = answer.json()["apiKey"].as_str().map(str::to_owned);
        let text = key.iter().fold(answer.text(), |text, key| text.replace(key.as_str(), ""));
        self.given.extend(key);
        self.answers.push_str(&format!("{:?}\n{text}\n", answer.head));
        answer.json()
    }

    /// A payment, freshly signed.
    fn payment(&mut self, target: &str) -> String {
        let payment = self.world.payment(target);
        let value: Value = serde_json::from_str(&codec::decode(payment.as_bytes()).unwrap()).unwrap();
        self.given.push(payment.clone());
        self.given.push(value["payload"]["signature"].as_str().unwrap().trim_start_matches("0x").to_owned());
        payment
    }

    fn pay(&mut self, target: &str) -> u16 {
        let payment = self.payment(target);
        self.ask("GET", target, &[("PAYMENT-SIGNATURE", &payment)])
    }

    fn buy(&mut self) -> String {
        let target = "/x402/purchase?plan=nano";
        let payment = self.payment(target);
        let sold = self.world.pay(target, &payment).json();
        let key = sold["apiKey"].as_str().unwrap().to_owned();
        self.given.push(key.clone());
        key
    }

    /// Sends bytes that are no request, behind a credential.
    fn babble(&self, to: std::net::SocketAddr, credential: &str) {
        let mut wire = Wire::to(to);
        let head = format!("Host: a\r\nX-API-KEY: {credential}\r\nAuthorization: Bearer {credential}\r\nb\0d");
        wire.send(format!("GET /paid HTTP/1.1\r\n{head}\r\n\r\n"));
        let _ = wire.try_answer();
    }

    /// Runs a command beside the gateway.
    fn command(&mut self, arguments: &[&str]) {
        let folder = self.world.gateway.config_file().with_file_name("");
        let mut command = Command::new(program());
        command.args(arguments).current_dir(folder).stdin(Stdio::null()).env("RUST_LOG", "trace").envs(SECRETS);
        let output = command.output().unwrap();
        for text in [output.stdout, output.stderr] {
            self.answers.push_str(&String::from_utf8(text).unwrap());
        }
    }

    fn handshake(&self, target: &str) {
        let mut wire = self.world.wire();
        let upgrade = [
            ("Connection", "Upgrade"),
            ("Upgrade", "websocket"),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ];
        wire.send(request("GET", target, &upgrade, ""));
        let _ = wire.try_answer();
    }

    #[track_caller]
    fn is_nowhere(&self, place: &str, bytes: &[u8], payments_too: bool) {
        let holds = |needle: &str| bytes.windows(needle.len()).any(|window| window == needle.as_bytes());
        for mark in MARKS {
            assert!(!holds(mark), "{mark} is in {place}:\n{}", around(bytes, mark));
        }
        for given in self.given.iter().filter(|given| payments_too || given.starts_with("tg_")) {
            assert!(!holds(given), "{given} is in {place}:\n{}", around(bytes, given));
        }
    }
}

/// The line that has it.
fn around(bytes: &[u8], needle: &str) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.lines().filter(|line| line.contains(needle)).take(3).map(|line| format!("{line:.600}\n")).collect()
}

fn drive(stage: &mut Stage) {
    const BAD_TOKEN: &str = "mark-of-a-stranger-0123456789";
    let token = SECRETS[1].1;
    // Money, the good ways and the bad.
    assert_eq!((stage.pay("/paid"), stage.pay("/upfront")), (200, 200));
    stage.world.upstream.says(Reply::status(500, "", "no"));
    assert_eq!(stage.pay("/paid"), 500);
    stage.world.upstream.says(Reply::ok("yes"));
    let refusal = json!({ "success": false, "errorReason": "insufficient_funds", "transaction": "", "network": "" });
    for reply in [
        Reply::json(200, &refusal),
        Reply::reset(),
        Reply::status(200, "", "no JSON"),
        Reply::status(307, "Location: http://127.0.0.1:9/elsewhere\r\n", ""),
        Reply::status(401, "", "Bearer"),
    ] {
        stage.world.facilitator.settles(move |_| reply.clone());
        assert!(stage.pay("/paid") >= 402);
    }
    for reply in [Reply::reset(), Reply::status(307, "Location: http://127.0.0.1:9/elsewhere\r\n", "")] {
        stage.world.facilitator.verifies(move |_| reply.clone());
        assert!(stage.pay("/paid") >= 402);
    }
    stage.world.facilitator.heals();
    // Keys, in headers and in queries.
    let key = stage.buy();
    let bearer = format!("Bearer {key}");
    assert_eq!(stage.ask("GET", "/paid", &[("X-API-KEY", &key)]), 200);
    assert_eq!(stage.ask("GET", "/paid", &[("Authorization", &bearer)]), 200);
    stage.ask("GET", "/x402/status", &[("X-API-KEY", &key)]);
    stage.ask("GET", "/x402/keys", &[("X-API-KEY", &key)]);
    stage.ask("GET", "/paid", &[("X-API-KEY", BAD_TOKEN)]);
    stage.ask("GET", "/paid", &[("X-API-KEY", &key), ("X-API-KEY", BAD_TOKEN)]);
    stage.handshake(&format!("/stream?token={key}"));
    stage.handshake(&format!("/nothing?token={key}"));
    let rotated = stage.world.ask("POST", "/x402/keys/rotate", &[("X-API-KEY", &key)], "").json();
    let rotated = rotated["apiKey"].as_str().map_or(key.clone(), str::to_owned);
    stage.given.push(rotated.clone());
    // An upstream that cannot be understood, and one that goes away.
    for broken in [
        Reply::raw("HTTP/1.1 200 OK\r\nSet-Cookie: mark-of-the-upstream\r\nb\0d\r\n\r\n"),
        Reply::reset(),
        Reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf").then_close(),
    ] {
        stage.world.upstream.says(broken);
        let mut wire = stage.world.wire();
        wire.send(request("GET", "/paid?q=mark-of-a-query", &[("X-API-KEY", &rotated)], ""));
        let _ = wire.try_bytes();
        stage.handshake(&format!("/stream?q=mark-of-a-query&token={rotated}"));
    }
    stage.world.upstream.says(Reply::ok("yes"));
    // What cannot be read, behind what must not be.
    stage.babble(stage.world.gateway.addr, &rotated);
    stage.babble(stage.world.gateway.admin, token);
    // The operator.
    for target in ["/api/v1/keys", "/api/v1/subscriptions", "/api/v1/usage", "/api/v1/holders/acme"] {
        stage.api("GET", target, token, "");
        stage.api("GET", target, BAD_TOKEN, "");
    }
    let minted = stage.api("POST", "/api/v1/keys", token, "{\"plan\":\"nano\",\"for\":\"acme\"}");
    assert!(minted["apiKey"].is_string(), "{minted}");
    stage.api("GET", "/metrics", "", "");
    let file = stage.world.gateway.config_file();
    let right = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, right.replace("[webhook]", "[webhook]\nsecre = 1\n")).unwrap();
    until_true("a reload that fails", || stage.world.gateway.output().contains("the old one stays in force"));
    stage.command(&["check", "tollgate.toml"]);
    std::fs::write(&file, &right).unwrap();
    for arguments in [
        &["check", "tollgate.toml"][..],
        &["explain", "tollgate.toml", "GET", "/paid"],
        &["payments", "list", "tollgate.toml"],
        &["keys", "list", "tollgate.toml"],
    ] {
        stage.command(arguments);
    }
    until_true("the webhook", || stage.hook.hits() > 0);
}

#[test]
fn no_secret_is_written_anywhere_by_anything() {
    let mut stage = Stage::start();
    drive(&mut stage);
    let settings = stage.world.gateway.store_file();
    let beside = |ending: &str| std::path::PathBuf::from(format!("{}{ending}", settings.display()));
    // Before the end, which writes the log back into the file: both have to be clean.
    let files = ["", "-wal", "-shm"].map(|ending| std::fs::read(beside(ending)).unwrap_or_default());
    stage.world.gateway.signal("TERM");
    assert!(stage.world.gateway.exit().success());
    let output = stage.world.gateway.output_at_end();
    assert!(output.lines().count() > 20 && output.contains("payment"), "{output}");
    stage.is_nowhere("the log", output.as_bytes(), true);
    stage.is_nowhere("an answer", stage.answers.as_bytes(), true);
    // A payment whose outcome is unknown is asked for again with the same bytes, so the books have its signature.
    files
        .iter()
        .chain([&std::fs::read(&settings).unwrap()])
        .for_each(|file| stage.is_nowhere("the store", file, false));
    let hooked: Vec<_> = stage.hook.heard().into_iter().flat_map(|heard| heard.body).collect();
    stage.is_nowhere("a webhook", &hooked, true);
}

#[test]
fn the_process_cannot_be_dumped_or_looked_into() {
    let stage = Stage::start();
    let of = |name: &str| format!("/proc/{}/{name}", stage.world.gateway.id());
    let limits = std::fs::read_to_string(of("limits")).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"]);
    // Whose files in `/proc` are root's cannot be read by the user whose process it is, nor attached to.
    let is_roots = |path: &Path| std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(path).unwrap()) == 0;
    assert!(is_roots(of("environ").as_ref()));
    let is_root = is_roots("/proc/self/environ".as_ref());
    assert_eq!(std::fs::read(of("environ")).is_ok(), is_root, "root reads what it likes");
    assert!(stage.world.gateway.resident() > 0);
}

#[test]
fn files_that_others_can_read_or_change_are_told_of() {
    use std::os::unix::fs::PermissionsExt as _;
    let mut stage = Stage::start();
    let file = stage.world.gateway.config_file();
    let chmod = |name: &str, mode: u32| {
        std::fs::set_permissions(file.with_file_name(name), std::fs::Permissions::from_mode(mode)).unwrap();
    };
    let mode = |name: &str| std::fs::metadata(file.with_file_name(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!(["tollgate.db", "tollgate.db-wal", "tollgate.db-shm", "tollgate.db.lock"].map(mode), [0o600; 4]);
    let told = |stage: &mut Stage| {
        stage.answers.clear();
        stage.command(&["check", "tollgate.toml"]);
        stage.answers.clone()
    };
    for name in ["facilitator", "webhook"] {
        chmod(name, 0o600);
    }
    assert!(!told(&mut stage).contains("others"), "{}", stage.answers);
    for (name, mode, wanted, is_error) in [
        ("tollgate.db", 0o640, "tollgate.db can be read by others", false),
        ("tollgate.db-wal", 0o604, "tollgate.db-wal can be read by others", false),
        ("facilitator", 0o444, "\"facilitator\" can be read by others", false),
        ("webhook", 0o602, "\"webhook\" can be changed by anybody", true),
    ] {
        chmod(name, mode);
        let said = told(&mut stage);
        assert!(said.contains(wanted) && said.contains("chmod 600"), "{name}: {said}");
        assert_eq!(said.contains("no problems"), !is_error, "{name}: {said}");
        chmod(name, 0o600);
    }
}
