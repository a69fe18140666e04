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
