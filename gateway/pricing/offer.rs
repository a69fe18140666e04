use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::svm::MEMO;
use super::{FeePayers, Price};
use crate::money::{Address, Asset, AtomicAmount, Network, TransferMethod};
use crate::plans::{Plan, Units};
use crate::x402::{Scheme, v2};

/// Something that can be bought: one call of a route, or a plan.
#[derive(Debug)]
pub struct Offer {
    /// What is sold; quotes and payments are bound to it.
    pub key: OfferKey,
    /// Its absolute URL; for a route with parameters, its pattern.
    pub resource: Arc<str>,
    /// One line for people.
    pub description: Arc<str>,
    /// Media type of what is sold, if the operator says it.
    pub mime_type: Arc<str>,
    /// The ways to pay, in the order of the configuration. Routes of one price share them, and the list too.
    pub terms: Arc<[Arc<Terms>]>,
}

/// The name of what is sold: the same before and after a reload, as long as the route or plan keeps its name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct OfferKey(Arc<str>);

/// One way to pay for an offer: an entry of the challenge's `accepts`.
#[derive(Debug, Clone)]
pub struct Terms {
    /// By which rules.
    pub scheme: Scheme,
    /// Where.
    pub network: Network,
    /// In what.
    pub asset: Asset,
    /// How much.
    pub amount: AtomicAmount,
    /// To whom.
    pub pay_to: Address,
    /// Seconds from signing until the payment must be settled.
    pub max_timeout_seconds: u64,
    /// What goes into `extra` beside the quote: the EIP-712 domain, `feePayer`, `memo`, `paymentFlow`, a plan's content.
    pub extra: Map<String, Value>,
    /// The network's name in version 1, if it can be offered there.
    pub v1_network: Option<&'static str>,
    /// sha256 of the canonical JSON of the requirements: what a quote is bound to.
    pub digest: [u8; 32],
    /// The entry of a v2 challenge as text, open at the end of `extra`.
    pub v2_head: String,
    /// The memo of a v2 challenge as text, open at its end, which is of each challenge's own; empty if there is none.
    pub memo_head: String,
    /// Who else may pay the fees; empty but on Solana.
    pub fee_payers: FeePayers,
    /// The entry of a v1 challenge as text, open at the end; empty if there is none.
    pub v1_head: String,
}

/// A plan with its price.
#[derive(Debug)]
pub struct PlanOffer {
    /// What the buyer gets.
    pub plan: Plan,
    /// The price as the operator wrote it.
    pub price: Price,
    /// The offer made of it.
    pub offer: Offer,
}

impl PlanOffer {
    /// A plan of this name that is not offered any more: there are no terms to pay on but those of a quote from before,
    /// which say what was sold, too. None if the name cannot be a plan's.
    pub fn withdrawn(name: &str) -> Option<Self> {
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        if name.is_empty() || name.len() > 64 || !name.bytes().all(is_name) {
            return None;
        }
        let plan =
            Plan { name: name.into(), units: Some(Units::ZERO), duration: Duration::ZERO, rate: None, burst: None };
        let empty: Arc<str> = "".into();
        let (key, terms) = (OfferKey::plan(name), Arc::default());
        let (resource, description, mime_type) = (Arc::clone(&empty), Arc::clone(&empty), empty);
        let offer = Offer { key, resource, description, mime_type, terms };
        Some(Self { plan, price: Price::parse("$1").ok()?, offer })
    }

    /// Whether it can be bought only by whoever was quoted it.
    pub fn is_withdrawn(&self) -> bool {
        self.offer.terms.is_empty()
    }
}

impl OfferKey {
    /// One call of a route, named by its methods and pattern.
    pub fn call(methods: &str, pattern: &str) -> Self {
        Self(format!("call:{methods} {pattern}").into())
    }

    /// A plan.
    pub fn plan(name: &str) -> Self {
        Self(format!("plan:{name}").into())
    }

    /// Takes a stored key.
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The plan's name, if it is a plan that is sold.
    pub fn plan_name(&self) -> Option<&str> {
        self.0.strip_prefix("plan:")
    }
}

impl Offer {
    /// Whether it can be paid with less than the other, or with what the other does not take.
    pub(super) fn undercuts(&self, other: &Self) -> bool {
        let is_less = |terms: &Terms| {
            let same =
                |other: &&Arc<Terms>| other.network == terms.network && other.asset.address == terms.asset.address;
            other.terms.iter().find(same).is_none_or(|other| terms.amount < other.amount)
        };
        self.terms.iter().any(|terms| is_less(terms))
    }
}

impl Terms {
    /// Terms of the scheme `exact`, completed with `extra` and the digest. `more` is what does not follow from the
    /// asset.
    pub fn new(
        network: Network,
        asset: Asset,
        amount: AtomicAmount,
        pay_to: Address,
        max_timeout_seconds: u64,
        v1_network: Option<&'static str>,
        more: Map<String, Value>,
    ) -> Self {
        let mut extra = Map::new();
        if let Some(domain) = &asset.domain {
            extra.insert("name".to_owned(), Value::from(&*domain.name));
            extra.insert("version".to_owned(), Value::from(&*domain.version));
        }
        if asset.transfer == TransferMethod::Permit2 {
            extra.insert("assetTransferMethod".to_owned(), Value::from("permit2"));
        }
        extra.extend(more);
        let empty = String::new();
        let terms = Self {
            scheme: Scheme::exact(),
            network,
            asset,
            amount,
            pay_to,
            max_timeout_seconds,
            extra,
            v1_network,
            digest: [0; 32],
            v2_head: empty.clone(),
            memo_head: empty.clone(),
            fee_payers: FeePayers::default(),
            v1_head: empty,
        };
        terms.completed()
    }

    /// The same of another scheme.
    pub fn by(self, scheme: Scheme) -> Self {
        if self.scheme == scheme { self } else { Self { scheme, ..self }.completed() }
    }

    fn completed(mut self) -> Self {
        let requirements = self.requirements();
        self.digest = digest(&requirements);
        self.v2_head = v2_head_of(&requirements);
        self.v1_head = self.v1_network.map(|network| v1_head_of(&requirements, network)).unwrap_or_default();
        self
    }

    /// The terms as they stand in a challenge, without a quote: also what the facilitator is shown.
    pub fn requirements(&self) -> v2::PaymentRequirements {
        v2::PaymentRequirements {
            scheme: self.scheme.to_string(),
            network: self.network.to_string(),
            amount: self.amount,
            asset: self.asset.address.to_string(),
            pay_to: self.pay_to.to_string(),
            max_timeout_seconds: self.max_timeout_seconds,
            extra: self.extra.clone(),
        }
    }

    /// `extra` as version 1 has it.
    pub fn v1_extra(&self) -> Map<String, Value> {
        v1_extra(&self.extra)
    }

    /// Whether a client's echo means these terms: known members equal, addresses compared as addresses, and our
    /// `extra` contained in the client's.
    pub fn matches(&self, echo: &v2::PaymentRequirements) -> bool {
        let same_address =
            |text: &str, ours: &Address| Address::parse(text, &self.network).is_ok_and(|theirs| theirs == *ours);
        echo.scheme == self.scheme.as_str()
            && echo.network == self.network.caip2()
            && echo.amount == self.amount
            && echo.max_timeout_seconds == self.max_timeout_seconds
            && same_address(&echo.asset, &self.asset.address)
            && same_address(&echo.pay_to, &self.pay_to)
            && self.extra.iter().all(|(name, ours)| echo.extra.get(name) == Some(ours))
    }
}

impl Terms {
    /// What a buyer must change in an echo that means other terms, in a few words. None if it means these.
    pub fn difference(&self, echo: &v2::PaymentRequirements) -> Option<String> {
        let address =
            |text: &str, ours: &Address| Address::parse(text, &self.network).is_ok_and(|theirs| theirs == *ours);
        let extra = self.extra.iter().find(|(name, ours)| echo.extra.get(*name) != Some(ours));
        let texts = [
            (echo.scheme != self.scheme.as_str(), format!("scheme must be {}", self.scheme)),
            (echo.network != self.network.caip2(), format!("network must be {}", self.network)),
            (!address(&echo.asset, &self.asset.address), format!("asset must be {}", self.asset.address)),
            (echo.amount != self.amount, format!("amount must be {}", self.amount)),
            (!address(&echo.pay_to, &self.pay_to), format!("payTo must be {}", self.pay_to)),
            (
                echo.max_timeout_seconds != self.max_timeout_seconds,
                format!("maxTimeoutSeconds must be {}", self.max_timeout_seconds),
            ),
            (extra.is_some(), extra.map(|(name, ours)| format!("extra.{name} must be {ours}")).unwrap_or_default()),
        ];
        texts.into_iter().find_map(|(differs, text)| differs.then_some(text))
    }
}

/// `extra` is the last member and ends with the whole: what is cut off are the two braces.
pub(super) fn v2_head_of(requirements: &v2::PaymentRequirements) -> String {
    let mut text = serde_json::to_string(requirements).unwrap_or_default();
    text.truncate(text.len().saturating_sub(2));
    if !requirements.extra.is_empty() {
        text.push(',');
    }
    text
}

/// What is left out is what differs between requests: `resource`, `description`, `mimeType`.
pub(super) fn v1_head_of(requirements: &v2::PaymentRequirements, network: &str) -> String {
    let members = serde_json::json!({
        "scheme": "exact",
        "network": network,
        "maxAmountRequired": requirements.amount,
        "payTo": requirements.pay_to,
        "maxTimeoutSeconds": requirements.max_timeout_seconds,
        "asset": requirements.asset,
        "extra": v1_extra(&requirements.extra),
    });
    let mut text = members.to_string();
    text.truncate(text.len().saturating_sub(1));
    text
}

/// What version 1 has of `extra`: its clients echo nothing, so that a plan's content would bind nobody, and nobody could
/// tell whose memo it is.
fn v1_extra(extra: &Map<String, Value>) -> Map<String, Value> {
    let mut extra = extra.clone();
    extra.remove(Plan::QUOTED);
    extra.remove(MEMO);
    extra
}

/// The digest of requirements whatever the order of their members: `serde_json` keeps maps sorted.
pub fn digest(requirements: &v2::PaymentRequirements) -> [u8; 32] {
    let canonical = serde_json::to_value(requirements).unwrap_or(Value::Null).to_string();
    Sha256::digest(canonical.as_bytes()).into()
}
