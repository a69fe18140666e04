//! Tokens for Coinbase's facilitator: `cdp-jwt-eddsa`.

use serde_json::Value;
use tollgate::facilitator::CdpKey;

use crate::file::{NOW, text, vector};

#[test]
fn a_token_is_that_of_the_vector_byte_for_byte() {
    let vector = vector("cdp-jwt-eddsa");
    let key = CdpKey::parse(&text(&vector, "/claims/sub"), &text(&vector, "/secret_base64_64_bytes")).unwrap();
    let token = |uri: &str| key.token(uri, [0xab; 16], NOW);
    let uri = text(&vector, "/claims/uris/0");
    assert_eq!(token(&uri), text(&vector, "/jwt"));
    assert_eq!(vector["claims"]["iat"], Value::from(NOW));
    assert_ne!(token(&uri.replace("verify", "settle")), text(&vector, "/jwt"));
}
