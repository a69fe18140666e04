//! Each header that opens something, in each form in which it could be read as two: it opens nothing then.

use serde_json::Value;
use tollgate::sandbox::DemoWallet;

use crate::support::multiplexed::{Multiplexed, request};
use crate::support::server::Journal;
use crate::support::world::{Setup, World};
use crate::wallet::token;

const ROUTES: &str = r#"
[[routes]]
path  = "/paid"
price = "$0.01"
units = 1

[[routes]]
path = "/free"
free = true

[[plans]]
name     = "two"
price    = "$1"
units    = 1000
duration = "30d"

[[plans]]
name     = "other"
price    = "$1"
duration = "30d"
"#;

const BUYER: [u8; 32] = [0x61; 32];
const OTHER: [u8; 32] = [0x62; 32];

/// A header, and what is good in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Opens {
    PaymentV2,
    PaymentV1,
    Key,
    Bearer,
    SignIn,
    Siwx,
}
use Opens::{Bearer, Key, PaymentV1, PaymentV2, SignIn, Siwx};

/// What is done to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Once,
    TwiceEqual,
    TwiceDifferent,
    Joined,
    JoinedEqual,
    JoinedWithNothing,
    Underscored,
    EmptyThenFull,
    FullThenEmpty,
    Spaced,
    Nominated,
}
use Form::{
    EmptyThenFull, FullThenEmpty, Joined, JoinedEqual, JoinedWithNothing, Nominated, Once, Spaced, TwiceDifferent,
    TwiceEqual, Underscored,
};

/// What each form comes to, in HTTP/1.1 and in HTTP/2; 0 is no answer.
const FATES: [(Form, &[u16], &[u16]); 11] = [
    (Once, &[200], &[200]),
    (TwiceEqual, &[400], &[400]),
    (TwiceDifferent, &[400], &[400]),
    (Joined, &[400], &[400]),
    (JoinedEqual, &[400], &[400]),
    (JoinedWithNothing, &[400], &[400]),
    (Underscored, &[400], &[400]),
    (EmptyThenFull, &[400], &[400]),
    (FullThenEmpty, &[400], &[400]),
    // Around a value there may be spaces in HTTP/1.1 and none in HTTP/2 (RFC 9113 §8.2.1).
    (Spaced, &[200], &[0, 200, 400, 401, 402]),
    // There is no such header in HTTP/2.
    (Nominated, &[200], &[0]),
];

/// A world, and what opens its route.
struct Door {
    world: World,
    keys: [String; 2],
}

impl Door {
    fn start() -> Self {
        let mut world = Setup { server: "unlisted = \"free\"", routes: ROUTES, ..Setup::default() }.start();
        world.wallet = DemoWallet::from_key(OTHER).unwrap();
        let other = world.buy("other");
        world.wallet = DemoWallet::from_key(BUYER).unwrap();
        let keys = [world.buy("two"), other];
        Self { world, keys }
    }

    /// Two good values.
    fn values(&self, opens: Opens) -> [String; 2] {
        let v1 = |payment: String| crate::headers::as_v1(&payment);
        let payment = || self.world.payment("/paid");
        match opens {
            PaymentV2 => [payment(), payment()],
            PaymentV1 => [v1(payment()), v1(payment())],
            Key => self.keys.clone(),
            Bearer => self.keys.clone().map(|key| format!("Bearer {key}")),
            SignIn => [self.world.proof(BUYER), self.world.proof(OTHER)],
            Siwx => [BUYER, OTHER].map(|key| token("api.example.com", key, 3600)),
        }
    }

    fn lines(&self, opens: Opens, form: Form) -> Vec<(&'static str, String)> {
        let name = opens.name();
        let [one, other] = self.values(opens);
        let lines = |values: &[String]| values.iter().map(|value| (name, value.clone())).collect::<Vec<_>>();
        match form {
            Once => lines(&[one]),
            TwiceEqual => lines(&[one.clone(), one]),
            TwiceDifferent => lines(&[one, other]),
            Joined => lines(&[format!("{one}, {other}")]),
            JoinedEqual => lines(&[format!("{one},{one}")]),
            JoinedWithNothing => lines(&[format!("{one},")]),
            Underscored => vec![(opens.underscored(), one)],
            EmptyThenFull => lines(&[String::new(), one]),
            FullThenEmpty => lines(&[one, String::new()]),
            Spaced => lines(&[format!("  {one}\t ")]),
            Nominated => vec![("connection", name.to_owned()), (name, one)],
        }
    }

    /// Who was asked, whom nobody should have been.
    fn asked(&self) -> Vec<String> {
        let journal: &Journal = &self.world.journal;
        journal.take().into_iter().filter(|name| name != "supported").collect()
    }
}

impl Opens {
    fn name(self) -> &'static str {
        match self {
            PaymentV2 => "payment-signature",
            PaymentV1 => "x-payment",
            Key => "x-api-key",
            SignIn => "sign-in-with-x",
            Bearer | Siwx => "authorization",
        }
    }

    fn underscored(self) -> &'static str {
        match self {
            PaymentV2 => "Payment_Signature",
            PaymentV1 => "X_PAYMENT",
            Key => "x_Api-Key",
            SignIn => "SIGN-IN_WITH_X",
            Bearer | Siwx => "",
        }
    }

    fn word(self) -> &'static str {
        match self {
            PaymentV2 | PaymentV1 => "ambiguous_payment",
            Key | Bearer => "ambiguous_credentials",
            SignIn | Siwx => "ambiguous_sign_in",
        }
    }
}

/// Status, reason, and whether the answer says what was charged for it.
type Said = (u16, String, bool);

fn reason(body: &Value) -> String {
    body["details"]["reason"].as_str().unwrap_or_default().to_owned()
}

fn over_one(door: &Door, target: &str, lines: &[(&str, &str)]) -> Said {
    let answer = door.world.get(target, lines);
    let charged = answer.header("payment-response").is_some() || answer.header("x-units-cost").is_some();
    (answer.status, answer.reason(), charged)
}

fn over_two(door: &Door, target: &str, lines: &[(&str, &str)]) -> Said {
    let names = lines.iter().map(|(name, value)| (name.to_lowercase(), *value)).collect::<Vec<_>>();
    let lines: Vec<_> = names.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    match Multiplexed::cleartext(door.world.gateway.addr).ask(request("GET", target, &lines, b"")) {
        Ok(answer) => {
            let charged = ["payment-response", "x-units-cost"].iter().any(|name| answer.headers().contains_key(*name));
            (answer.status(), reason(&answer.json()), charged)
        }
        Err(_) => (0, String::new(), false),
    }
}

#[test]
fn what_could_be_read_as_two_opens_nothing() {
    let door = Door::start();
    for opens in [PaymentV2, PaymentV1, Key, Bearer, SignIn, Siwx] {
        for (form, in_one, in_two) in FATES {
            if form == Underscored && opens.underscored().is_empty() {
                continue;
            }
            for (version, allowed) in [(1, in_one), (2, in_two)] {
                let lines = door.lines(opens, form);
                let lines: Vec<_> = lines.iter().map(|(name, value)| (*name, value.as_str())).collect();
                let from = format!("{opens:?} {form:?} HTTP/{version}");
                door.asked();
                let ask = if version == 1 { over_one } else { over_two };
                let (status, reason, charged) = ask(&door, "/paid", &lines);
                assert!(allowed.contains(&status), "{from}: {status} {reason}");
                assert_eq!(charged, status == 200, "{from}");
                let asked = door.asked();
                if status != 200 {
                    assert!(asked.is_empty(), "{from}: {asked:?}");
                }
                if status == 400 {
                    let word = if form == Underscored { "ambiguous_header" } else { opens.word() };
                    let right = reason == word || opens == Siwx && reason == "ambiguous_credentials";
                    assert!(right, "{from}: {reason}");
                    // Nor is it the upstream's business where nothing is asked.
                    assert_eq!(ask(&door, "/free", &lines).0, 400, "{from}");
                    assert!(door.asked().is_empty(), "{from}");
                }
            }
        }
    }
}

#[test]
fn in_a_trailer_it_opens_nothing_and_goes_nowhere() {
    let door = Door::start();
    for opens in [PaymentV2, PaymentV1, Key, Bearer, SignIn, Siwx] {
        let [value, _] = door.values(opens);
        let name = opens.name();
        door.asked();
        door.world.upstream.forget();
        for target in ["/paid", "/free"] {
            let mut wire = door.world.wire();
            wire.send(format!(
                "POST {target} HTTP/1.1\r\nHost: api.example.com\r\nTrailer: {name}\r\nTransfer-Encoding: chunked\r\n\r\n\
                 1\r\nx\r\n0\r\n{name}: {value}\r\nX-Tollgate-Payer: forged\r\n\r\n"
            ));
            let status = wire.try_answer().map_or(0, |answer| answer.status);
            assert!(
                [0, 400, if target == "/paid" { 402 } else { 200 }].contains(&status),
                "{opens:?} {target}: {status}"
            );
            let trailer = [(name, value.as_str()), ("x-tollgate-payer", "forged")];
            let multiplexed = Multiplexed::cleartext(door.world.gateway.addr);
            // A body whose length is told is taken in first.
            for length in [&[][..], &[("content-length", "1")]] {
                let status = multiplexed.ask_with_trailer(request("POST", target, length, b"x"), &trailer);
                let status = status.map_or(0, |answer| answer.status());
                assert!(
                    [0, 400, if target == "/paid" { 402 } else { 200 }].contains(&status),
                    "{opens:?} {target}: {status}"
                );
            }
        }
        for heard in door.world.upstream.heard() {
            let all = [heard.head.raw, heard.body].concat();
            let all = String::from_utf8_lossy(&all).into_owned();
            assert!(heard.head.start.contains("/free"), "{all}");
            assert!(!all.contains(&value) && !all.contains("forged"), "{opens:?}: {all}");
        }
        assert!(door.asked().iter().all(|name| name == "upstream"), "{opens:?}");
    }
}

#[test]
fn two_versions_that_differ_are_nobodys_and_one_beside_another_credential_is_fine() {
    let door = Door::start();
    let [one, other] = door.values(PaymentV2);
    let v1 = crate::headers::as_v1(&other);
    door.asked();
    for ask in [over_one, over_two] {
        let (status, reason, _) = ask(&door, "/paid", &[("payment-signature", &one), ("x-payment", &v1)]);
        assert_eq!((status, reason.as_str()), (400, "ambiguous_payment"));
    }
    assert!(door.asked().is_empty());
    let key = door.keys[0].as_str();
    assert_eq!(over_one(&door, "/paid", &[("payment-signature", &one), ("x-api-key", key)]).0, 200);
}

/// What is not ours may have commas and be written twice as often as the upstream likes, where nothing of ours is in it.
#[test]
fn what_is_somebody_elses_may_have_commas() {
    let door = Door::start();
    let digest = "Digest username=\"a\", realm=\"b, c\", uri=\"/free\"";
    let [payment, _] = door.values(PaymentV2);
    for (name, value) in
        [("x-api-key", "theirs-1, theirs-2"), ("authorization", digest), ("authorization", "Bearer a.b,c")]
    {
        assert_eq!(door.world.get("/free", &[(name, value)]).status, 200, "{value}");
        assert_eq!(door.world.upstream.last().head.all(name), [value]);
        assert_eq!(door.world.get("/paid", &[(name, value)]).status, 402, "{value}");
    }
    assert_eq!(door.world.get("/paid", &[("authorization", digest), ("payment-signature", &payment)]).status, 200);
    assert_eq!(door.world.upstream.last().head.all("authorization"), [digest]);
    let key = &door.keys[0];
    for (name, value) in [
        ("x-api-key", format!("theirs, {key}")),
        ("authorization", format!("Bearer theirs, Bearer {key}")),
        ("authorization", format!("Basic YTpi, {key}")),
        ("authorization", format!("Bearer theirs, {}", token("api.example.com", BUYER, 60))),
    ] {
        for target in ["/free", "/paid"] {
            assert_eq!(door.world.get(target, &[(name, &value)]).status, 400, "{value}");
        }
    }
}

/// HTTP/2 has the host in two places.
#[test]
fn two_hosts_of_http2_are_refused_before_anything_is_settled() {
    let routes = "[[routes]]\npath = \"/upfront\"\nprice = \"$0.02\"\nsettle = \"before\"\n";
    let world = Setup { routes, ..Setup::default() }.start();
    let payment = world.payment("/upfront");
    for host in ["evil.example.com", "api.example.com:81", "", "api.example.com, evil.example.com"] {
        let headers = [("host", host), ("payment-signature", payment.as_str())];
        let answer = Multiplexed::cleartext(world.gateway.addr).ask(request("GET", "/upfront", &headers, b""));
        let status = answer.map_or(0, |answer| answer.status());
        assert!([0, 400].contains(&status), "{host}: {status}");
    }
    assert_eq!(world.journal.all(), [""; 0]);
    assert_eq!(world.pay("/upfront", &payment).status, 200);
}
