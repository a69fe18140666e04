//! A buyer's way through the demo, each exchange shown.

use http::StatusCode;
use serde_json::Value;

use super::Stage;
use super::buyer::{Buyer, Reply, Trouble};
use crate::money::AtomicAmount;

const WEATHER: &str = "/weather?city=oslo";
const PURCHASE: &str = "/x402/purchase?plan=trial";

pub(super) async fn walk(buyer: &Buyer, stage: &Stage) -> Result<(), Trouble> {
    println!("A buyer with the fresh wallet {} and play money.", buyer.wallet.address());

    title(1, "Ask without paying");
    let challenge = asked(buyer, WEATHER, &[], StatusCode::PAYMENT_REQUIRED).await?;

    title(2, "Sign a payment and ask again");
    let payment = buyer.sign(&challenge)?;
    let paid = asked(buyer, WEATHER, &[("PAYMENT-SIGNATURE", &payment)], StatusCode::OK).await?;
    balance(buyer, stage);

    title(3, "The answer was lost? Send the same payment again: the same answer, and nothing is charged");
    asked(buyer, WEATHER, &[("PAYMENT-SIGNATURE", &payment)], StatusCode::OK).await?;
    balance(buyer, stage);

    title(4, "Buy a plan");
    let offer = asked(buyer, PURCHASE, &[], StatusCode::PAYMENT_REQUIRED).await?;
    let purchase = buyer.sign(&offer)?;
    let sold = asked(buyer, PURCHASE, &[("PAYMENT-SIGNATURE", &purchase)], StatusCode::OK).await?;
    balance(buyer, stage);

    title(5, "Call with the key");
    let key = sold.text("apiKey").ok_or(Trouble::Unexpected("the purchase"))?;
    asked(buyer, WEATHER, &[("X-API-KEY", &key)], StatusCode::OK).await?;
    asked(buyer, "/x402/status", &[("X-API-KEY", &key)], StatusCode::OK).await?;

    title(6, "The purchase's answer was lost? Send the same payment again: the same key, no second charge");
    let again = asked(buyer, PURCHASE, &[("PAYMENT-SIGNATURE", &purchase)], StatusCode::OK).await?;
    balance(buyer, stage);
    if again.text("apiKey").as_deref() != Some(&key) {
        return Err(Trouble::Unexpected("the repeated purchase"));
    }

    title(7, "The seller edits the price while the gateway runs: $0.001 becomes $0.002");
    let earlier = challenge.price();
    let text = std::fs::read_to_string(stage.file())?;
    std::fs::write(stage.file(), text.replace("\"$0.001\"", "\"$0.002\""))?;
    let dearer = buyer.wait_for_price(WEATHER, &earlier).await?;
    show(WEATHER, &[], &dearer);

    title(8, "Free stays free");
    asked(buyer, "/v1/status", &[], StatusCode::OK).await?;

    println!(
        "\nSettled: {} payments. The sample API was asked: {:?}.",
        stage.sandbox.settled(),
        stage.upstream.requests(),
    );
    if paid.headers.contains_key("payment-response") { Ok(()) } else { Err(Trouble::Unexpected("the paid call")) }
}

/// One exchange, shown; an error if it ends otherwise than it should.
async fn asked(buyer: &Buyer, path: &str, headers: &[(&str, &str)], status: StatusCode) -> Result<Reply, Trouble> {
    let reply = buyer.get(path, headers).await?;
    show(path, headers, &reply);
    if reply.status == status { Ok(reply) } else { Err(Trouble::Unexpected("a step of the walk")) }
}

fn title(step: u32, text: &str) {
    println!("\n── {step}. {text}");
}

fn balance(buyer: &Buyer, stage: &Stage) {
    for purse in stage.sandbox.purses(&buyer.wallet.address()) {
        println!("   play balance: {} USDC on {}", purse.left.to_decimal(6), purse.network);
    }
}

fn show(path: &str, headers: &[(&str, &str)], reply: &Reply) {
    println!("   > GET {path}");
    for (name, value) in headers {
        println!("   > {name}: {}", shortened(value));
    }
    println!("   < {}", reply.status);
    if let Some(challenge) = reply.decoded("payment-required") {
        for entry in challenge.get("accepts").and_then(Value::as_array).into_iter().flatten() {
            println!("   < PAYMENT-REQUIRED: {}", terms(entry));
        }
    }
    if let Some(receipt) = reply.decoded("payment-response") {
        println!("   < PAYMENT-RESPONSE: {receipt}");
    }
    println!("   < {}", body(reply));
}

/// An entry of `accepts` in one line.
fn terms(entry: &Value) -> String {
    let text = |name: &str| entry.get(name).and_then(Value::as_str).unwrap_or_default();
    let amount = AtomicAmount::parse(text("amount")).map_or_else(|_| "?".to_owned(), |amount| amount.to_decimal(6));
    format!("{} {amount} USDC on {} to {}", text("scheme"), text("network"), text("payTo"))
}

fn body(reply: &Reply) -> String {
    let mut json = reply.json();
    // Shown above in its header; here it is the same for version 1.
    if let Some(members) = json.as_object_mut()
        && reply.status == StatusCode::PAYMENT_REQUIRED
    {
        members.retain(|name, _| matches!(name.as_str(), "code" | "error" | "message" | "purchaseUrl"));
    }
    match json {
        Value::Null => String::from_utf8_lossy(&reply.body).trim().to_owned(),
        json => json.to_string(),
    }
}

fn shortened(value: &str) -> String {
    let start: String = value.chars().take(24).collect();
    if value.len() > 48 { format!("{start}… ({} characters)", value.len()) } else { value.to_owned() }
}
