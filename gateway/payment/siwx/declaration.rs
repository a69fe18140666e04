use crate::money::{Family, Network};
use crate::payment::Unserved;
use crate::payment::challenge::json;

/// What wallets show their owner.
const STATEMENT: &str = "Show the plan and API key that this wallet bought.";

/// The JSON Schema of a proof, as the reference writes it.
const SCHEMA: &str = concat!(
    r#"{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object","properties":{"#,
    r#""domain":{"type":"string"},"address":{"type":"string"},"statement":{"type":"string"},"#,
    r#""uri":{"type":"string","format":"uri"},"version":{"type":"string"},"chainId":{"type":"string"},"#,
    r#""type":{"type":"string"},"nonce":{"type":"string"},"issuedAt":{"type":"string","format":"date-time"},"#,
    r#""expirationTime":{"type":"string","format":"date-time"},"notBefore":{"type":"string","format":"date-time"},"#,
    r#""requestId":{"type":"string"},"resources":{"type":"array","items":{"type":"string","format":"uri"}},"#,
    r#""signature":{"type":"string"}},"required":["domain","address","uri","version","chainId","type","nonce","#,
    r#""issuedAt","signature"]}"#,
);

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
