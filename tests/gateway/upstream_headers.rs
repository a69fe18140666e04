//! Headers that an upstream gets from the gateway alone: by a secret in one it can refuse whoever goes around.

use serde_json::json;

use crate::context::ROUTES;
use crate::support::server::{Journal, Reply, Server};
use crate::support::wait::until_true;
use crate::support::world::{Setup, World};

/// Two upstreams beside the usual one: each has a secret of its own, and the second asks for no token.
struct Secrets {
    world: World,
    /// Keeps the files.
    folder: tempfile::TempDir,
    first: Server,
    second: Server,
}

const NAME: &str = "x-upstream-secret";

impl Secrets {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::default();
        let (first, second) = (Server::start("first", &journal), Server::start("second", &journal));
        let file = |name: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, format!("canary-of-{name}\n")).unwrap();
            path.display().to_string()
        };
        let routes = format!(
            "{ROUTES}\n[upstreams.first]\nurl = \"http://{}\"\n\
             headers = {{ X-Upstream-Secret = {{ file = {:?} }}, X-Stage = \"test\" }}\n\
             context = {{ audience = \"first\" }}\n\
             [upstreams.second]\nurl = \"http://{}\"\n\
             headers = {{ Authorization = {{ file = {:?} }}, X-Upstream-Secret = {{ file = {:?} }} }}\n\
             [[routes]]\npath = \"/first/{{rest...}}\"\nfree = true\nupstream = \"first\"\n\
             [[routes]]\npath = \"/second\"\nprice = \"$0.01\"\nunits = 1\nupstream = \"second\"\n",
            first.addr(),
            file("first"),
            second.addr(),
            file("bearer"),
            file("second"),
        );
        let world = Setup { server: "unlisted = \"free\"", routes: &routes, ..Setup::default() }.start();
        Self { world, folder, first, second }
    }
}

#[test]
fn each_upstream_gets_its_own_headers_in_place_of_the_clients() {
    let Secrets { world, first, second, folder: _folder } = Secrets::start();
    let key = world.buy("nano");
    let theirs = [(NAME, "theirs"), ("X-Upstream-Secret", "again"), ("X-Stage", "theirs")];
    for headers in [&[][..], &theirs, &[("Connection", "X-Upstream-Secret, X-Stage")]] {
        assert_eq!(world.get("/first/a", headers).status, 200);
        let heard = first.last();
        assert_eq!(heard.head.all(NAME), ["canary-of-first"], "{headers:?}");
        assert_eq!(heard.head.all("x-stage"), ["test"], "{headers:?}");
        assert_eq!(world.claims(&heard, 60), json!({ "aud": "first", "route": "/first/{rest...}", "access": "free" }));
    }
    // With a key that the gateway takes, in the very header that it sets; and with a token of the client's own.
    let bearer = format!("Bearer {key}");
    for headers in [&[("Authorization", &*bearer)][..], &[("X-API-KEY", &key), ("Authorization", "Basic dGhlaXJz")]] {
        assert_eq!(world.get("/second", headers).status, 200);
        let heard = second.last();
        assert_eq!(heard.head.all(NAME), ["canary-of-second"]);
        assert_eq!(heard.head.all("authorization"), ["canary-of-bearer"]);
        assert!(!heard.head.has("x-tollgate-context") && !heard.head.has("x-stage"));
    }
    // The usual upstream has none: what a client says there is between the two.
    assert_eq!(world.get("/free/a", &theirs).status, 200);
    let usual = world.upstream.last();
    assert_eq!((usual.head.all(NAME), usual.head.all("x-stage")), (vec!["theirs", "again"], vec!["theirs"]));
    assert!(!String::from_utf8_lossy(&usual.head.raw).contains("canary"));
    assert!(!usual.head.has("x-tollgate-context"));
}

#[test]
fn a_set_header_has_no_twin_with_an_underscore() {
    let Secrets { world, first, .. } = Secrets::start();
    for name in ["X_Upstream_Secret", "x-upstream_secret", "X_Stage"] {
        for target in ["/first/a", "/free/a"] {
            let answer = world.get(target, &[(name, "theirs")]);
            assert_eq!((answer.status, answer.reason().as_str()), (400, "ambiguous_header"), "{name} {target}");
        }
    }
    assert_eq!((first.hits(), world.upstream.hits()), (0, 0));
}

#[test]
fn a_new_secret_is_sent_after_a_hangup_and_a_file_that_is_gone_changes_nothing() {
    let Secrets { world, first, folder, .. } = Secrets::start();
    let sent = || {
        assert_eq!(world.get("/first/a", &[]).status, 200);
        first.last().head.all(NAME).join(",")
    };
    assert_eq!(sent(), "canary-of-first");
    std::fs::write(folder.path().join("first"), "canary-anew").unwrap();
    world.gateway.signal("HUP");
    until_true("the new secret", || sent() == "canary-anew");
    std::fs::remove_file(folder.path().join("first")).unwrap();
    world.gateway.signal("HUP");
    until_true("the refusal", || world.gateway.metric("gateway_config_ok") == 0);
    assert_eq!(sent(), "canary-anew");
    assert!(!world.gateway.output().contains("canary"), "{}", world.gateway.output());
}

#[test]
fn secrets_are_in_no_log_no_answer_and_not_in_the_books() {
    let Secrets { mut world, first, second, folder: _folder } = Secrets::start();
    first.says(Reply::raw("not HTTP\r\n\r\n").then_close());
    second.says(Reply::status(500, "", "failed"));
    let payment = world.payment("/second");
    let answers = [world.get("/first/a", &[]), world.pay("/second", &payment), world.get("/x402/pricing", &[])];
    assert_eq!(answers.each_ref().map(|answer| answer.status), [502, 500, 200]);
    for answer in &answers {
        assert!(!format!("{:?}{}", answer.head, answer.text()).contains("canary"));
    }
    world.gateway.signal("TERM");
    world.gateway.exit();
    let mut written = world.gateway.output_at_end().into_bytes();
    for file in std::fs::read_dir(world.gateway.config_file().parent().unwrap()).unwrap() {
        written.extend(std::fs::read(file.unwrap().path()).unwrap());
    }
    assert!(!String::from_utf8_lossy(&written).contains("canary"), "{}", world.gateway.output());
}
