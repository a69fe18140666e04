//! `tollgate payments …`, beside a gateway that runs.

use std::path::Path;

use serde_json::{Value, json};
use sqlx::ConnectOptions as _;
use sqlx::sqlite::SqliteConnectOptions;

use crate::support::facilitator::NETWORK;
use crate::support::gateway::run_to_end;
use crate::support::server::Reply;
use crate::support::wait::{Gate, until_true};
use crate::support::world::{Setup, World};

const ROUTES: &str = r#"
[[routes]]
path  = "/paid"
price = "$0.01"
units = 1

[[routes]]
path    = "/upfront/{id}"
methods = ["GET"]
price   = "$0.02"
settle  = "before"

[[plans]]
name     = "five"
price    = "$1"
units    = 5
duration = "30d"
"#;

const FIVE: &str = "/x402/purchase?plan=five";

fn start() -> World {
    let facilitator = "settle_timeout = \"5s\"\nresolve_timeout = \"0s\"";
    Setup { facilitator, routes: ROUTES, ..Setup::default() }.start()
}

impl World {
    /// Runs a command on this gateway's file; the arguments after it are separated by `|`.
    #[track_caller]
    fn payments(&self, command: &str, more: &str) -> (i32, String, String) {
        let file = self.gateway.config_file();
        let mut arguments = vec!["payments", command, "tollgate.toml"];
        arguments.extend(more.split('|').filter(|argument| !argument.is_empty()));
        let (code, stdout, stderr) = run_to_end(file.parent().unwrap(), &arguments);
        (code.unwrap(), stdout, stderr)
    }

    /// What a command that goes well prints.
    #[track_caller]
    fn told(&self, command: &str, more: &str) -> String {
        let (code, stdout, stderr) = self.payments(command, more);
        assert_eq!((code, stderr.as_str()), (0, ""), "{command} {more}: {stdout}");
        stdout
    }

    /// The payments of a list, the newest first.
    #[track_caller]
    fn listed(&self, more: &str) -> Vec<Value> {
        let text = self.told("list", &format!("--json|{more}"));
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Pays when nobody can tell whether the money moved: the payment and its id.
    fn unknown(&self, target: &str) -> (String, String) {
        self.facilitator.settles(|_| Reply::reset());
        let payment = self.payment(target);
        let answer = self.pay(target, &payment);
        assert_eq!((answer.status, answer.reason().as_str()), (503, "retry_same_payment"));
        (payment, answer.json()["details"]["paymentId"].as_str().unwrap().to_owned())
    }

    fn execute(&self, statement: &'static str) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut connection =
                SqliteConnectOptions::new().filename(self.gateway.store_file()).connect().await.unwrap();
            sqlx::query(statement).execute(&mut connection).await.unwrap();
        });
    }

    /// What the operator is on record with.
    fn acts(&self) -> Vec<(String, String)> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut connection =
                SqliteConnectOptions::new().filename(self.gateway.store_file()).connect().await.unwrap();
            let acts = "SELECT act, detail FROM operator_acts ORDER BY number";
            sqlx::query_as(acts).fetch_all(&mut connection).await.unwrap()
        })
    }
}

/// Of each kind one: a call, a plan, a refusal, a payment whose outcome is unknown, in this order.
fn of_each_kind(world: &World) -> String {
    assert_eq!(world.pay("/paid", &world.payment("/paid")).status, 200);
    world.buy("five");
    let refusal = json!({ "success": false, "errorReason": "insufficient_funds", "network": NETWORK });
    world.facilitator.settles(move |_| Reply::json(200, &refusal));
    assert_eq!(world.pay("/paid", &world.payment("/paid")).status, 402);
    let (_, id) = world.unknown("/upfront/7");
    until_true("the delivery", || world.states().iter().filter(|state| *state == "delivered").count() == 2);
    id
}

#[test]
fn payments_are_listed_while_the_gateway_runs() {
    let world = start();
    assert_eq!(world.told("list", ""), "no payments\n");
    let id = of_each_kind(&world);
    let states = |more: &str| -> Vec<String> {
        world.listed(more).iter().map(|payment| payment["state"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(states(""), ["unknown", "voided", "delivered", "delivered"]);
    let payer = world.wallet.address().to_string();
    for (filter, count) in [
        ("--state|open", 1),
        ("--state|owed", 0),
        ("--state|delivered,voided", 3),
        ("--state|delivered|--state|open", 3),
        ("--plan|five", 1),
        ("--plan|six", 0),
        ("--route|/paid", 2),
        ("--route|* /paid", 2),
        ("--route|GET /upfront/{id}", 1),
        ("--route|/upfront/{id}", 1),
        ("--route|/upfront/7", 0),
        ("--route|x' OR '1'='1", 0),
        ("--network|base", 4),
        ("--network|eip155:1", 0),
        ("--since|1h", 4),
        ("--since|2020-01-01|--until|1h", 0),
        ("--limit|3", 3),
        ("--payer|0x0000000000000000000000000000000000000001", 0),
        (&format!("--payer|{}", payer.to_lowercase()), 4),
        (&format!("--payer|0x{}", payer[2..].to_uppercase()), 4),
    ] {
        assert_eq!(states(filter).len(), count, "{filter}");
    }
    let table = world.told("list", "");
    let line = table.lines().find(|line| line.contains("unknown")).unwrap();
    for word in [&*id, "0.02 USDC", NETWORK, &payer, "call GET /upfront/{id}"] {
        assert!(line.contains(word), "{word}: {line}");
    }
    assert!(
        table.contains(&format!("{id} is unknown.\n  Wait: its authorization can move the money until")),
        "{table}"
    );
    assert!(table.contains(&format!("tollgate payments reconcile tollgate.toml {id}")), "{table}");
}

#[test]
fn everything_of_a_payment_is_shown_but_what_it_could_be_used_with() {
    let world = start();
    let id = of_each_kind(&world);
    let shown = world.told("show", &id);
    for words in [
        "state          unknown",
        "amount         0.02 USDC (20000 of 0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913)",
        "quote          one of ours",
        "asked in vain  once",
        "asked again    20",
        "\"validBefore\"",
        "\"signature\": \"(not shown)\"",
        "what to do\n  Wait: its authorization",
    ] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    let sent: Value = world.facilitator.settled().last().unwrap().json();
    let signature = sent["paymentPayload"]["payload"]["signature"].as_str().unwrap();
    assert!(!shown.contains(signature) && !shown.contains(&signature[2..40]), "{shown}");

    let bought = world.listed("--plan|five")[0]["id"].as_str().unwrap().to_owned();
    let shown = world.told("show", &bought);
    assert!(shown.contains("plan five, 0 of 5 units used") && shown.contains("begins with tg_live_"), "{shown}");
    assert!(shown.contains("what to do\n  Nothing: the money is yours"), "{shown}");
}

#[test]
fn a_call_whose_answers_broke_off_is_the_operators_to_judge() {
    let world = start();
    world.upstream.says(Reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf").then_close());
    let payment = world.payment("/paid");
    for advice in ["is served once more", "its answer broke off 2 times on its way"] {
        assert!(!world.pay("/paid", &payment).whole);
        world.until_idle();
        let id = world.listed("--state|owed")[0]["id"].as_str().unwrap().to_owned();
        until_true(advice, || world.told("show", &id).contains(advice));
    }
}

#[test]
fn an_export_has_what_is_compared_with_the_chain() {
    let world = start();
    let id = of_each_kind(&world);
    let text = world.told("export", "");
    let lines: Vec<_> = text.split("\r\n").collect();
    assert!(lines[0].starts_with("time,id,state,outcome,payer,network,asset,symbol,amount_atomic,amount,pay_to,"));
    assert_eq!((lines.len(), lines[5]), (6, ""));
    let (payer, asset) = (world.wallet.address().to_string(), "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913");
    let last = format!("{id},unknown,open,{payer},eip155:8453,{asset},USDC,20000,0.02,");
    assert!(lines[4].contains(&last), "{}", lines[4]);

    let objects = world.told("export", "--format|json|--state|delivered");
    let objects: Vec<Value> = objects.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(objects.len(), 2);
    assert_eq!((&objects[0]["kind"], &objects[0]["offer"]), (&json!("call"), &json!("* /paid")));
    assert_eq!((&objects[1]["kind"], &objects[1]["offer"]), (&json!("plan"), &json!("five")));
    for object in &objects {
        assert_eq!(object["outcome"], "paid");
        assert!(object["transaction"].as_str().unwrap().starts_with("0x"));
        let names: Vec<_> = lines[0].split(',').filter(|name| object.get(name).is_none()).collect();
        assert_eq!(names, [""; 0]);
    }
    assert_eq!(world.told("export", "--limit|2").matches("\r\n").count(), 3);
}

/// What a buyer or a facilitator wrote is opened by a spreadsheet.
#[test]
fn no_cell_is_a_formula() {
    let world = start();
    let refusal = json!({ "success": false, "errorReason": "=cmd|'/C:calc'!A0,\"x\"", "network": NETWORK });
    world.facilitator.settles(move |_| Reply::json(200, &refusal));
    assert_eq!(world.pay("/paid", &world.payment("/paid")).status, 402);
    world.execute("UPDATE payments SET reason = '=1+1,\"x\"'");
    assert!(world.told("export", "").contains(",\"'=1+1,\"\"x\"\"\","));
}

#[test]
fn the_units_that_a_gateway_has_set_aside_stay_its_own() {
    let world = start();
    let key = world.buy("five");
    assert_eq!(world.get("/paid", &[("X-API-KEY", &key)]).status, 200);
    for (command, more) in [("list", ""), ("export", ""), ("reconcile", "")] {
        world.told(command, more);
    }
    for status in [200, 200, 200, 200, 402] {
        assert_eq!(world.get("/paid", &[("X-API-KEY", &key)]).status, status);
    }
}

#[test]
fn a_purchase_that_the_operator_finds_paid_is_the_buyers() {
    let world = start();
    let (payment, id) = world.unknown(FIVE);
    let (code, stdout, stderr) = world.payments("resolve", &format!("{id}|--settled|--transaction|0xfound|--yes"));
    assert_eq!((code, stdout), (0, format!("{id} is settled\n")), "{stderr}");
    assert!(stderr.starts_with("audit 20") && stderr.contains(&format!("payment_id={id} act=\"resolve settled\"")));
    let acts = world.acts();
    assert_eq!((acts.len(), acts[0].0.as_str()), (1, "resolve settled"));
    assert!(acts[0].1.starts_with("0xfound (by "), "{acts:?}");
    assert!(world.told("show", &id).contains("resolve settled: 0xfound"));

    let asked = world.facilitator.settled().len();
    let sold = world.pay(FIVE, &payment);
    assert_eq!((sold.status, &sold.json()["txHash"]), (200, &json!("0xfound")), "{}", sold.text());
    let key = sold.json()["apiKey"].as_str().unwrap().to_owned();
    assert_eq!(world.get("/paid", &[("X-API-KEY", &key)]).status, 200);
    assert_eq!(world.pay(FIVE, &payment).json()["apiKey"], key.as_str());
    assert_eq!(world.facilitator.settled().len(), asked);
    assert_eq!(world.states(), ["delivered"]);
}

#[test]
fn a_payment_that_never_moved_is_voided_when_it_cannot_move_any_more() {
    let world = start();
    let (payment, id) = world.unknown("/upfront/1");
    let void = format!("{id}|--voided|--reason|not on the chain|--yes");
    let (code, _, stderr) = world.payments("resolve", &void);
    assert_eq!(code, 1);
    assert!(stderr.contains("the money may still move") && stderr.contains("before 20"), "{stderr}");
    assert_eq!((world.states(), world.acts().len()), (vec!["unknown".to_owned()], 0));

    world.execute("UPDATE payments SET valid_before = created_at / 1000 - 601, ask_at = NULL");
    let shown = world.told("show", &id);
    assert!(shown.contains("Decide: the facilitator has no more to say."), "{shown}");
    let (code, stdout, stderr) = world.payments("resolve", &void);
    assert_eq!((code, stdout), (0, format!("{id} is voided\n")), "{stderr}");
    assert_eq!(world.listed("")[0]["reason"], "not on the chain");
    world.facilitator.heals();
    assert_eq!(world.pay("/upfront/1", &payment).status, 200, "it may be tried again: it is still good");
}

#[test]
fn what_may_not_be_resolved_is_refused_in_plain_words() {
    let world = start();
    of_each_kind(&world);
    let listed = world.listed("");
    let ids: Vec<_> = listed.iter().map(|payment| payment["id"].as_str().unwrap()).collect();
    let [unknown, voided, plan, _] = ids[..] else { panic!("{ids:?}") };
    let none = format!("pay_{}", "0".repeat(40));
    for (id, words) in [
        (voided, "the payment is voided, and that is its end"),
        (plan, "the payment is delivered, and that is its end"),
        (&none, "there is no payment pay_00"),
    ] {
        let (code, stdout, stderr) = world.payments("resolve", &format!("{id}|--settled|--transaction|0x1|--yes"));
        assert_eq!((code, stdout.as_str()), (1, ""), "{id}");
        assert!(stderr.contains(words), "{stderr}");
    }
    let (code, _, stderr) = world.payments("resolve", &format!("{unknown}|--settled|--transaction|0x1"));
    assert_eq!((code, stderr.trim()), (1, "nobody can be asked here whether it is meant: add --yes"));
    for wrong in
        ["", "|--settled", "|--voided", "|--settled|--transaction|0x1|--voided|--reason|x", "|--transaction|0x1"]
    {
        assert_eq!(world.payments("resolve", &format!("{unknown}{wrong}|--yes")).0, 2, "{wrong}");
    }
    let (code, _, stderr) = world.payments("show", &none);
    assert!(code == 1 && stderr.contains("there is no payment"), "{stderr}");
    assert_eq!(world.states().iter().filter(|state| *state == "unknown").count(), 1);
    assert_eq!(world.acts(), []);
}

#[test]
fn a_payment_that_is_settling_is_the_gateways_while_it_runs() {
    let (mut world, never) = (start(), Gate::default());
    let silence = Reply::silence(&never);
    world.facilitator.settles(move |_| silence.clone());
    let payment = world.payment(FIVE);
    let waiting = world.send_paid(FIVE, &payment);
    until_true("the settlement", || world.states() == ["settling"]);
    let id = world.listed("--state|open")[0]["id"].as_str().unwrap().to_owned();
    let settled = format!("{id}|--settled|--transaction|0xfound|--yes");
    let (code, _, stderr) = world.payments("resolve", &settled);
    assert!(code == 1 && stderr.contains("a gateway is running on these books"), "{stderr}");
    let (code, stdout, _) = world.payments("reconcile", &id);
    assert_eq!((code, stdout), (2, format!("{id} is settling, in the hands of the running gateway\n")));

    world.gateway.signal("KILL");
    world.gateway.exit();
    drop(waiting);
    never.open();
    let (code, _, stderr) = world.payments("resolve", &settled);
    assert_eq!(code, 0, "{stderr}");
    world.gateway.start_again();
    let sold = world.pay(FIVE, &payment);
    assert_eq!((sold.status, &sold.json()["txHash"]), (200, &json!("0xfound")), "{}", sold.text());
}

#[test]
fn what_is_unknown_is_asked_for_at_once() {
    let world = start();
    assert_eq!(world.told("reconcile", ""), "no payments are open\n");
    let (payment, id) = world.unknown(FIVE);
    let (code, stdout, _) = world.payments("reconcile", "");
    assert!(code == 2 && stdout.starts_with(&format!("{id} is unknown still: ")), "{stdout}");
    world.facilitator.heals();
    let (code, stdout, stderr) = world.payments("reconcile", &id);
    assert!(code == 0 && stdout.starts_with(&format!("{id} is settled")), "{stdout}{stderr}");
    let asked = world.facilitator.settled();
    assert!(asked.iter().all(|one| one.body == asked[0].body), "it is always the same question");
    assert_eq!(world.pay(FIVE, &payment).status, 200);
    let none = format!("pay_{}", "0".repeat(40));
    assert_eq!(world.payments("reconcile", &none).0, 1);
}

#[test]
fn books_that_are_not_there_or_not_ours_are_named() {
    let world = start();
    let folder = tempfile::tempdir().unwrap();
    let config = std::fs::read_to_string(world.gateway.config_file()).unwrap();
    std::fs::write(folder.path().join("t.toml"), config).unwrap();
    let list = |file: &str| run_to_end(folder.path(), &["payments", "list", file]);
    let told = |words: &str| {
        let (code, stdout, stderr) = list("t.toml");
        assert_eq!((code, stdout.as_str()), (Some(1), ""));
        assert!(stderr.contains(words), "{stderr}");
    };
    told("there is no database at");
    assert!(!Path::new(&folder.path().join("tollgate.db")).exists(), "nothing is made");
    std::fs::write(folder.path().join("tollgate.db"), "").unwrap();
    told("was written by another version of tollgate");
    std::fs::write(folder.path().join("tollgate.db"), "not a database, whatever its name says ".repeat(100)).unwrap();
    told("file is not a database");
    std::fs::write(folder.path().join("t.toml"), "[server]\nunlisted = \"perhaps\"").unwrap();
    told("t.toml:2:");
    let (code, _, stderr) = list("none.toml");
    assert!(code == Some(1) && stderr.contains("No such file"), "{stderr}");

    // Keys derived from a new secret would not be those that the gateway gives.
    let (_, id) = world.unknown(FIVE);
    std::fs::remove_file(world.gateway.config_file().with_file_name("tollgate.secret")).unwrap();
    let (code, _, stderr) = world.payments("resolve", &format!("{id}|--settled|--transaction|0x1|--yes"));
    assert!(code == 1 && stderr.contains("tollgate.secret"), "{stderr}");
    assert_eq!(world.states(), ["unknown"]);
}
