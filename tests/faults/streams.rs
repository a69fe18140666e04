//! Over HTTP/2, a panic costs its own stream only.

use std::time::SystemTime;

use tollgate::clock::unix_seconds;

use crate::stage::Stage;
use crate::support::multiplexed::{Multiplexed, request};

#[test]
fn a_panic_ends_its_own_stream_and_no_other() {
    for point in ["request.read", "claim.taken", "verify.answered", "call.admitted", "answer.heard", "settle.called"] {
        eprintln!("{point}");
        let mut stage = Stage::start();
        let challenge = stage.ask("GET", "/paid", &[]).unwrap();
        let required = challenge.header("payment-required").unwrap();
        let payment = stage.world.wallet.pay(required.as_bytes(), unix_seconds(SystemTime::now())).unwrap().header;
        stage.panics_at(&[(point, 1)]);
        let connection = Multiplexed::cleartext(stage.world.gateway.addr);
        let paying = [("payment-signature", payment.as_str())];
        let struck = connection.ask(request("GET", "/paid", &paying, b""));
        assert!(struck.is_err() || struck.is_ok_and(|answer| answer.status() >= 500), "{point}");
        stage.has_struck(point);
        let others: Vec<_> = (0..5).map(|_| request("GET", "/free", &[], b"")).collect();
        for answer in connection.ask_all(others) {
            assert_eq!(answer.expect("the connection is still good").status(), 200, "{point}");
        }
        let again = connection.ask(request("GET", "/paid", &paying, b"")).unwrap();
        assert_eq!(again.status(), 200, "{point}");
        assert_eq!(stage.world.facilitator.settled().len(), 1, "{point}");
        stage.is_sound(point);
    }
}

#[test]
fn a_panic_is_counted_and_said_without_what_it_was_about() {
    let mut stage = Stage::start();
    let payment = stage.world.payment("/paid");
    stage.panics_at(&[("request.read", 1), ("verify.answered", 1), ("answer.heard", 1)]);
    let paying = [("PAYMENT-SIGNATURE", payment.as_str())];
    // In the request's own work, in a task beside it, and within the framework, where nobody is left to answer.
    for (target, expected, count) in [("/paid", Some(500), 1), ("/paid", Some(503), 2), ("/free?secret=1", None, 3)] {
        let struck = stage.ask("GET", target, &paying);
        assert_eq!(struck.as_ref().map(|answer| answer.status), expected, "{struck:?}");
        assert_eq!(stage.world.gateway.metric("gateway_panics_total"), count);
        assert_eq!(stage.world.upstream.hits(), usize::from(expected.is_none()));
    }
    assert_eq!(stage.ask("GET", "/paid", &paying).map(|answer| answer.status), Some(200));
    let output = stage.world.gateway.output();
    let told: Vec<_> = output.lines().filter(|line| line.contains("a defect of the gateway")).collect();
    assert!(told.len() == 3 && told.iter().all(|line| line.contains("gateway/") && line.contains(".rs:")), "{told:?}");
    // What a panic says of itself is the name of its point.
    let secrets = [payment.as_str(), "secret=1", "panicked at", "answer.heard"];
    assert!(
        !output
            .lines()
            .filter(|line| !line.starts_with("struck: "))
            .any(|line| secrets.iter().any(|s| line.contains(s))),
        "{output}"
    );
    stage.is_sound("three panics");
}
