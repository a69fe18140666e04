//! Whoever does not pay gets nothing, wherever the gateway panics.

use serde_json::{Value, json};
use tollgate::x402::codec;

use crate::points::POINTS;
use crate::stage::Stage;

/// The payment of somebody who promises more than was signed.
fn tampered(payment: &str) -> String {
    let mut value: Value = serde_json::from_str(&codec::decode(payment.as_bytes()).unwrap()).unwrap();
    value["payload"]["authorization"]["to"] = json!("0x0000000000000000000000000000000000000001");
    codec::encode(&value)
}

#[test]
fn nothing_is_served_without_a_payment_wherever_it_panics() {
    let mut stage = Stage::start();
    let bad = tampered(&stage.world.payment("/paid"));
    // A place that is passed often strikes more than once.
    let points: Vec<_> = POINTS.iter().map(|(point, _)| (*point, 3)).collect();
    stage.panics_at(&points);
    for target in ["/paid", "/upfront", "/x402/purchase?plan=nano"] {
        for headers in [
            &[][..],
            &[("PAYMENT-SIGNATURE", bad.as_str())],
            &[("PAYMENT-SIGNATURE", "bm90IGEgcGF5bWVudA==")],
            &[("X-API-KEY", "tg_live_0123456789")],
            &[("Authorization", "Bearer eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJhIn0.c2ln")],
        ] {
            for method in ["GET", "POST", "GET"] {
                let answer = stage.ask(method, target, headers);
                assert!(answer.is_none_or(|answer| answer.status >= 400), "{method} {target} {headers:?}");
            }
        }
    }
    stage.has_struck("request.read");
    stage.has_struck("request.ending");
    assert_eq!(stage.world.upstream.hits(), 0);
    assert_eq!(stage.world.journal.all(), [""; 0], "nobody was asked");
    // These strike whoever comes past them, three times each.
    stage.ask_until(200, "GET", "/free", &[]);
    stage.ask_until(402, "GET", "/paid", &[]);
    stage.is_sound("every point");
}
