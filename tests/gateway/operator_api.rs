//! The operator's API on the admin listener.

use serde_json::{Value, json};

use crate::support::client::{Answer, Wire, request};
use crate::support::gateway::free_port;
use crate::support::wait::{until, until_true};
use crate::support::world::{Setup, World};

const TOKEN: &str = "a-token-of-the-operators-own";

const ROUTES: &str = r#"
[[routes]]
path  = "/either"
price = "$0.01"
units = 1

[[routes]]
path  = "/half"
units = 0.5

[[plans]]
name     = "five"
price    = "$1"
units    = 5
duration = "30d"

[[plans]]
name     = "endless"
price    = "$2"
duration = "30d"
rate     = "1000/s"

[subscriptions]
keys_max = 3
"#;

const OPERATIONS: [(&str, &str); 8] = [
    ("GET", "/api/v1/holders/acme"),
    ("GET", "/api/v1/subscriptions"),
    ("GET", "/api/v1/subscriptions/sub_1"),
    ("GET", "/api/v1/keys"),
    ("POST", "/api/v1/keys"),
    ("POST", "/api/v1/keys/key_1/rotate"),
    ("DELETE", "/api/v1/keys/key_1"),
    ("GET", "/api/v1/usage"),
];

fn start() -> World {
    let world = Setup { routes: ROUTES, ..Setup::default() }.start();
    turn_on(&world, TOKEN);
    world
}

/// Writes a token into the file of a running gateway, and waits until it is asked for.
fn turn_on(world: &World, token: &str) {
    let file = world.gateway.config_file();
    std::fs::write(file.with_file_name("token"), format!("{token}\n")).unwrap();
    let config = std::fs::read_to_string(&file).unwrap();
    let line = "admin_token = { file = \"token\" }\n";
    let config = config.replace(line, "").replace("[server]\n", &format!("[server]\n{line}"));
    // What is in the token's file is read with the configuration, which a comment changes.
    std::fs::write(&file, format!("{config}\n# {}\n", free_port())).unwrap();
    world.gateway.signal("HUP");
    let bearer = format!("Bearer {token}");
    until_true("the token", || ask(world, "GET", "/api/v1/keys", &[("Authorization", &bearer)], "").status == 200);
}

fn ask(world: &World, method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let mut wire = Wire::to(world.gateway.admin);
    wire.send(request(method, target, headers, body));
    wire.answer()
}

impl World {
    fn api(&self, method: &str, target: &str, body: &str) -> Answer {
        let bearer = format!("Bearer {TOKEN}");
        ask(self, method, &format!("/api/v1/{target}"), &[("Authorization", &bearer)], body)
    }

    fn seen(&self, target: &str) -> Value {
        let answer = self.api("GET", target, "");
        assert_eq!(answer.status, 200, "{target}: {}", answer.text());
        answer.json()
    }

    #[track_caller]
    fn minted(&self, body: &Value) -> Value {
        let answer = self.api("POST", "keys", &body.to_string());
        assert_eq!(answer.status, 201, "{}", answer.text());
        answer.json()
    }

    fn call(&self, target: &str, key: &str) -> u16 {
        self.get(target, &[("X-API-KEY", key)]).status
    }
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("no {name} in {value}"))
}

#[test]
fn without_a_token_in_the_configuration_there_is_no_api() {
    let world = Setup { routes: ROUTES, ..Setup::default() }.start();
    for (method, target) in OPERATIONS.into_iter().chain([("GET", "/api/v1/openapi.json"), ("GET", "/api/")]) {
        let answer = ask(&world, method, target, &[("Authorization", "Bearer ")], "");
        assert_eq!((answer.status, answer.reason().as_str()), (404, "api_off"), "{method} {target}");
        assert!(answer.text().contains("server.admin_token"), "{}", answer.text());
    }
    assert_eq!(world.get("/api/v1/keys", &[]).status, 404, "it is not public");
}

#[test]
fn only_who_has_the_token_is_answered() {
    let world = start();
    let wrong = format!("Bearer {TOKEN}x");
    let half = format!("Bearer {}", &TOKEN[..10]);
    let basic = format!("Basic {TOKEN}");
    let right = format!("Bearer {TOKEN}");
    for (method, target) in OPERATIONS.into_iter().chain([("GET", "/api/v1/none"), ("PUT", "/api/v1/keys")]) {
        for (headers, reason) in [
            (vec![], "missing_token"),
            (vec![("Authorization", "Bearer ")], "invalid_token"),
            (vec![("Authorization", TOKEN)], "invalid_token"),
            (vec![("Authorization", wrong.as_str())], "invalid_token"),
            (vec![("Authorization", half.as_str())], "invalid_token"),
            (vec![("Authorization", basic.as_str())], "invalid_token"),
            (vec![("X-API-KEY", TOKEN)], "missing_token"),
            (vec![("Authorization", right.as_str()), ("Authorization", right.as_str())], "missing_token"),
        ] {
            let answer = ask(&world, method, target, &headers, "");
            assert_eq!((answer.status, answer.reason().as_str()), (401, reason), "{method} {target} {headers:?}");
            assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
            let body = answer.json();
            assert_eq!((&body["code"], &body["error"]), (&json!(401), &json!(reason)));
            assert!(body["timestamp"].is_string() && body["message"].is_string());
        }
        assert_ne!(ask(&world, method, target, &[("Authorization", &right)], "").status, 401, "{method} {target}");
    }
    turn_on(&world, "another-token-of-the-operators");
    assert_eq!(ask(&world, "GET", "/api/v1/keys", &[("Authorization", &right)], "").status, 401);
}

#[test]
fn what_is_described_is_there() {
    let world = start();
    let answer = ask(&world, "GET", "/api/v1/openapi.json", &[], "");
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
    let holder = text(&world.minted(&json!({ "plan": "five", "for": "acme" })), "holder").to_owned();
    for (path, methods) in answer.json()["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys().filter(|name| *name != "parameters") {
            let path = path.replace("{id}", &holder).replace("/api/v1/", "");
            let answer = world.api(&method.to_uppercase(), &path, "");
            assert_ne!((answer.status, answer.reason().as_str()), (404, "not_found"), "{method} {path}");
            assert_ne!(answer.status, 405, "{method} {path}");
        }
    }
    let answer = world.api("PATCH", "keys/key_1", "");
    assert_eq!((answer.status, answer.header("allow")), (405, Some("DELETE")));
    assert_eq!(world.api("GET", "nothing", "").reason(), "not_found");
}

#[test]
fn a_key_is_made_replaced_and_revoked() {
    let world = start();
    let made =
        world.minted(&json!({ "plan": "five", "for": "acme", "units": 2.5, "expiresAt": "2030-01-31T00:00:00Z" }));
    let (id, key, holder) = (text(&made, "id"), text(&made, "apiKey"), text(&made, "holder"));
    let held = &made["subscription"];
    assert_eq!((&held["units"], &held["plan"]), (&json!(2.5), &json!("five")));
    assert_eq!(held["expiresAt"], "2030-01-31T00:00:00.000Z");
    assert_eq!([(); 4].map(|()| world.call("/either", key)), [200, 200, 402, 402]);
    assert_eq!(world.call("/half", key), 200);

    let second = world.minted(&json!({ "holder": "acme" }));
    assert_eq!(text(&second, "holder"), holder);
    assert_eq!(world.minted(&json!({ "plan": "endless", "for": "acme" }))["holder"], holder);
    assert_eq!(world.call("/either", text(&second, "apiKey")), 200, "the new plan is every key's");
    let answer = world.api("POST", "keys", &json!({ "holder": holder }).to_string());
    assert_eq!((answer.status, answer.reason().as_str()), (409, "too_many_keys"));

    let answer = world.api("POST", &format!("keys/{id}/rotate"), "");
    assert_eq!((answer.status, answer.header("cache-control")), (201, Some("private, no-store")));
    let rotated = answer.json();
    assert_eq!(rotated["replaces"], id);
    assert_eq!(world.call("/either", key), 402);
    assert_eq!(world.call("/either", text(&rotated, "apiKey")), 200);
    let rotated_id = text(&rotated, "id");
    assert_eq!(world.api("DELETE", &format!("keys/{rotated_id}"), "").json()["revoked"], true);
    assert_eq!(world.call("/either", text(&rotated, "apiKey")), 402);
    for (method, target) in [
        ("DELETE", format!("keys/{rotated_id}")),
        ("POST", format!("keys/{id}/rotate")),
        ("DELETE", "keys/key_none".to_owned()),
    ] {
        let answer = world.api(method, &target, "");
        assert_eq!((answer.status, answer.reason().as_str()), (404, "unknown_key"), "{method} {target}");
    }

    let seen = world.seen("holders/acme");
    assert_eq!(seen, world.seen(&format!("holders/{holder}")));
    assert_eq!((seen["keys"].as_array().unwrap().len(), seen["subscriptions"].as_array().unwrap().len()), (4, 2));
    let acts: Vec<_> = seen["acts"].as_array().unwrap().iter().map(|act| text(act, "act").to_owned()).collect();
    assert_eq!(acts.join(", "), "mint, issue, mint, issue, issue refused, rotate, revoke");
    for key in [key, text(&second, "apiKey"), text(&rotated, "apiKey")] {
        for shown in [&seen, &world.seen("keys"), &world.seen("subscriptions")] {
            assert!(!shown.to_string().contains(key));
        }
        assert!(!world.gateway.output().contains(key));
    }
}

#[test]
fn what_makes_no_sense_is_refused_and_changes_nothing() {
    let world = start();
    let long = format!("{{\"plan\":\"five\",\"for\":\"{}\"}}", "x".repeat(65));
    let huge = format!("{{\"plan\":\"{}\"}}", "x".repeat(17_000));
    for (body, status, reason) in [
        ("", 400, "invalid_body"),
        ("{}", 400, "invalid_body"),
        ("[]", 400, "invalid_body"),
        ("{\"plan\":\"five\"}", 400, "invalid_body"),
        ("{\"plan\":\"five\",\"for\":\"acme\",\"holder\":\"acme\"}", 400, "invalid_body"),
        ("{\"holder\":\"acme\",\"units\":5}", 400, "invalid_body"),
        ("{\"plan\":\"five\",\"for\":\"acme\",\"unit\":5}", 400, "invalid_body"),
        ("{\"plan\":\"none\",\"for\":\"acme\"}", 404, "unknown_plan"),
        ("{\"plan\":\"five\",\"for\":\"a b\"}", 400, "invalid_holder"),
        ("{\"plan\":\"five\",\"for\":\"hol_1\"}", 400, "invalid_holder"),
        (long.as_str(), 400, "invalid_holder"),
        ("{\"plan\":\"five\",\"for\":\"acme\",\"units\":0}", 400, "invalid_units"),
        ("{\"plan\":\"five\",\"for\":\"acme\",\"units\":-1}", 400, "invalid_units"),
        ("{\"plan\":\"five\",\"for\":\"acme\",\"units\":0.0001}", 400, "invalid_units"),
        ("{\"plan\":\"five\",\"for\":\"acme\",\"units\":1e3}", 400, "invalid_units"),
        ("{\"plan\":\"five\",\"for\":\"acme\",\"expiresAt\":\"30d\"}", 400, "invalid_expiry"),
        ("{\"plan\":\"five\",\"for\":\"acme\",\"expiresAt\":\"2020-01-01T00:00:00Z\"}", 400, "invalid_expiry"),
        ("{\"plan\":\"five\",\"for\":\"acme\",\"expiresAt\":\"9020-01-01T00:00:00Z\"}", 400, "invalid_expiry"),
        ("{\"holder\":\"acme\"}", 404, "unknown_holder"),
        (huge.as_str(), 413, "body_too_large"),
    ] {
        let answer = world.api("POST", "keys", body);
        assert_eq!((answer.status, answer.reason().as_str()), (status, reason), "{body}");
    }
    assert_eq!(world.seen("keys")["keys"], json!([]));
    for (target, reason) in [
        ("keys?limit=0", "invalid_parameter"),
        ("keys?limit=1001", "invalid_parameter"),
        ("keys?active=perhaps", "invalid_parameter"),
        ("keys?plans=five", "unknown_parameter"),
        ("keys?plan=five&plan=six", "unknown_parameter"),
        ("keys?current=true&offset=1", "unknown_parameter"),
        ("subscriptions?offset=1", "unknown_parameter"),
        ("usage?from=yesterday", "invalid_parameter"),
        ("usage?by=payer", "invalid_parameter"),
        ("usage?after=x", "unknown_parameter"),
        ("holders/acme?x", "unknown_parameter"),
    ] {
        let answer = world.api("GET", target, "");
        assert_eq!((answer.status, answer.reason().as_str()), (400, reason), "{target}");
    }
    for (target, reason) in [("holders/acme", "unknown_holder"), ("subscriptions/sub_1", "unknown_subscription")] {
        let answer = world.api("GET", target, "");
        assert_eq!((answer.status, answer.reason().as_str()), (404, reason), "{target}");
    }
}

#[test]
fn pages_have_each_row_once() {
    let world = start();
    let sold = world.buy("five");
    for name in ["a", "b", "c", "d"] {
        world.minted(&json!({ "plan": "endless", "for": name }));
    }
    for (list, filters) in [
        ("keys", [("", 5), ("plan=five", 1), ("holder=a", 1), ("active=true", 5), ("active=false", 0)]),
        ("subscriptions", [("", 5), ("plan=five", 1), ("holder=a", 1), ("active=true", 5), ("current=true", 5)]),
    ] {
        for (filter, count) in filters {
            for limit in [1, 2, 5, 6] {
                let (mut ids, mut after) = (Vec::new(), String::new());
                loop {
                    let page = world.seen(&format!("{list}?{filter}&limit={limit}{after}"));
                    ids.extend(page[list].as_array().unwrap().iter().map(|row| text(row, "id").to_owned()));
                    let Some(next) = page["next"].as_str() else { break };
                    after = format!("&after={next}");
                }
                let rows = ids.len();
                ids.sort_unstable();
                ids.dedup();
                assert_eq!((rows, ids.len()), (count, count), "{list} {filter} {limit}");
            }
        }
    }
    let address = world.wallet.address().to_string();
    let bought = world.seen(&format!("subscriptions?address={}", address.to_lowercase()))["subscriptions"][0].clone();
    assert_eq!((&bought["address"], &bought["name"]), (&json!(address), &Value::Null));
    assert!(text(&bought, "payment").starts_with("pay_"));
    assert_eq!(world.seen(&format!("subscriptions/{}", text(&bought, "id"))), bought);
    let holder = text(&bought, "holder");
    let another = world.minted(&json!({ "holder": holder }));
    assert_eq!([world.call("/either", &sold), world.call("/either", text(&another, "apiKey"))], [200, 200]);
}

#[test]
fn usage_adds_up_to_the_calls_that_were_made() {
    let world = start();
    let made = world.minted(&json!({ "plan": "endless", "for": "acme" }));
    let other = world.minted(&json!({ "plan": "five", "for": "bob" }));
    for _ in 0..7 {
        assert_eq!(world.call("/either", text(&made, "apiKey")), 200);
    }
    for _ in 0..3 {
        assert_eq!(world.call("/half", text(&made, "apiKey")), 200);
    }
    assert_eq!(world.call("/half", text(&other, "apiKey")), 200);
    assert_eq!(world.call("/either", "made-up"), 402);
    let used = until("all calls in the books", || {
        let page = world.seen("usage?by=key,route");
        let calls: u64 = page["usage"].as_array().unwrap().iter().map(|row| row["calls"].as_u64().unwrap()).sum();
        (calls == 11).then(|| page["usage"].clone())
    });
    let row = |key: &Value, route: &str, calls: u64, units: Value| json!({ "key": key["id"], "route": route, "calls": calls, "units": units });
    let mut expected = [
        row(&made, "* /either", 7, json!(7)),
        row(&made, "* /half", 3, json!(1.5)),
        row(&other, "* /half", 1, json!(0.5)),
    ];
    expected.sort_by_key(|row| (text(row, "key").to_owned(), text(row, "route").to_owned()));
    assert_eq!(used, json!(expected));
    assert_eq!(world.seen("usage?by=holder&holder=acme")["usage"][0]["calls"], 10);
    let days = world.seen("usage?by=day")["usage"].clone();
    assert_eq!(days.as_array().unwrap().iter().map(|day| day["calls"].as_u64().unwrap()).sum::<u64>(), 11);
    let day = text(&days[0], "day");
    assert_eq!(world.seen(&format!("usage?by=day&from={day}&to={day}"))["usage"][0], days[0]);
    assert_eq!(world.seen("usage?by=key%2Cday&to=2020-01-01")["usage"], json!([]));
    assert_eq!(world.seen("subscriptions?holder=acme")["subscriptions"][0]["used"], json!(8.5));
}
