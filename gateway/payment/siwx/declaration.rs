use crate::money::{Family, Network};
use crate::payment::Unserved;
use crate::payment::challenge::json;

/// What wallets show their owner.
const STATEMENT: &str = "Show the plan and API key that this wallet bought.";

/// The reference writes out each member, 900 bytes in a header that proxies in front of us hold in 4 KiB. No client
/// reads it; what is a proof is checked here anyway.
const SCHEMA: &str = r#"{"type":"object"}"#;

/// Writes the member of `extensions` that says how to sign in, if there is a network on which that is possible.
///
/// A new nonce and the time stand in it, and nothing is stored: whether a nonce was used is not asked, since others
/// than ours come too, and come again.
pub(in crate::payment) fn push_declaration<'a>(
    text: &mut String,
    networks: impl IntoIterator<Item = &'a Network>,
    request: Unserved<'_>,
    nonce: &str,
) {
    let mut chains: Vec<String> = Vec::new();
    for network in networks {
        let kind = match network.family() {
            Family::Evm(_) => "eip191",
            Family::Solana => "ed25519",
            Family::Other => continue,
        };
        let chain = format!(r#"{{"chainId":"{network}","type":"{kind}"}}"#);
        if !chains.contains(&chain) {
            chains.push(chain);
        }
    }
    if chains.is_empty() {
        return;
    }
    let (domain, uri) =
        (json(super::check::host(&request.table.public_url).unwrap_or_default()), json(request.resource));
    text.push_str(&format!(
        r#""sign-in-with-x":{{"info":{{"domain":{domain},"uri":{uri},"version":"1","nonce":"{nonce}","issuedAt":"{}","statement":"{STATEMENT}","resources":[{uri}]}},"supportedChains":[{}],"schema":{SCHEMA}}},"#,
        request.timestamp,
        chains.join(","),
    ));
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::payment::testing::{NOW, elsewhere, mint, offer, usdc, usdc_by_permit2, usdc_on_solana, weather};
    use crate::payment::{Challenge, Hints, Shortfall, Unserved};
    use crate::pricing::{Offer, OfferKey, PriceTable, Router, Unlisted};
    use crate::x402::codec;

    const URL: &str = "https://api.example.com/x402/purchase?plan=nano";

    fn extensions(offer: &Offer, random: u8) -> Value {
        let table = PriceTable {
            router: Router::default(),
            plans: Vec::new(),
            unlisted: Unlisted::Deny,
            endpoints: "/x402".into(),
            public_url: "https://api.example.com".into(),
        };
        let (shortfall, timestamp) = (&Shortfall::MissingCredentials, "2026-01-01T00:00:00.000Z");
        let (table, hints) = (&table, &Hints::default());
        let request = Unserved { resource: URL, shortfall, plans: false, table, hints, now: NOW, timestamp };
        let header = Challenge::of_offer(offer, request, &mint(), [random; 8]).header.unwrap();
        let required: Value = serde_json::from_str(&codec::decode(header.as_bytes()).unwrap()).unwrap();
        required["extensions"].clone()
    }

    #[test]
    fn a_purchases_extensions_are_the_references() {
        let vectors: Value = serde_json::from_str(include_str!("../../../tests/vectors/siwx.json")).unwrap();
        let terms = [usdc(1), elsewhere(), usdc_by_permit2(1), usdc_on_solana(1)];
        let (evm, solana) = (terms[0].network.to_string(), terms[3].network.to_string());
        let declared = extensions(&offer(OfferKey::plan("nano"), terms), 3);
        let nonce = declared["sign-in-with-x"]["info"]["nonce"].as_str().unwrap();
        assert!(nonce.len() == 32 && nonce.bytes().all(|b| b.is_ascii_hexdigit()), "{nonce}");
        let info = json!({
            "domain": "api.example.com",
            "uri": URL,
            "version": "1",
            "nonce": nonce,
            "issuedAt": "2026-01-01T00:00:00.000Z",
            "statement": super::STATEMENT,
            "resources": [URL],
        });
        let chains = json!([{ "chainId": evm, "type": "eip191" }, { "chainId": solana, "type": "ed25519" }]);
        let sign_in = json!({ "info": info, "supportedChains": chains, "schema": { "type": "object" } });
        let all = json!({ "sign-in-with-x": sign_in, "payment-identifier": vectors["payment_identifier"] });
        assert_eq!(declared, all);
    }

    #[test]
    fn each_challenge_has_a_nonce_of_its_own() {
        let plan = offer(OfferKey::plan("nano"), [usdc(1)]);
        let nonce = |random| extensions(&plan, random)["sign-in-with-x"]["info"]["nonce"].clone();
        assert_eq!(nonce(1), nonce(1));
        assert_ne!(nonce(1), nonce(2));
    }

    #[test]
    fn only_a_purchase_has_extensions_and_only_what_can_sign_in_is_asked_to() {
        assert_eq!(extensions(&weather(), 1), Value::Null);
        let plan = offer(OfferKey::plan("nano"), [elsewhere()]);
        let names = extensions(&plan, 1).as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(names, ["payment-identifier"]);
    }
}
