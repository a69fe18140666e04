use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::U256;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

use super::judged::{Judged, parse};
use super::quote::MEMBER;
use super::{PaymentId, Quote, QuoteMint, Refused, identifier, sealed, svm};
use crate::money::{Address, AtomicAmount, Family, TransferMethod};
use crate::pricing::{Offer, OfferKey, Terms, Varying, digest};
use crate::x402::facilitator::FacilitatorRequest;
use crate::x402::{Scheme, Version, codec, v1, v2};

/// The margin that facilitators demand between now and the end of an authorization, in seconds.
pub const SETTLE_MARGIN_S: u64 = 6;

/// A payment that a client sent for an offer, matched with our terms and checked as far as that is possible here.
/// From here on nothing knows which header or version it came by, but for the facilitator's calls. Its `Debug` form
/// shows nothing that a repeat could be made with.
#[derive(Clone)]
pub struct Presented {
    /// Which payment it is.
    pub id: PaymentId,
    /// What it is for.
    pub offer: OfferKey,
    /// Our terms; what the client echoed was compared and dropped.
    pub terms: Arc<Terms>,
    /// The quote that it carries. None in version 1 and for payments made by hand.
    pub quote: Option<Quote>,
    /// The client's own name for this payment (extension `payment-identifier`).
    pub identifier: Option<String>,
    /// When it was presented, in seconds of Unix time.
    pub presented_at: u64,
    /// Who pays, if that can be read here: on Solana, of an ordinary wallet's transaction.
    pub payer: Option<Address>,
    /// The protocol version that it speaks.
    pub version: Version,
    /// What the facilitator is asked, the same at each asking.
    pub request: FacilitatorRequest,
    /// When it can be settled.
    pub window: Window,
    /// Whether all of it was judged here but for what only the chain knows: nothing in it is left with which a stranger
    /// could have a facilitator refuse it.
    pub sealed: bool,
    /// Why it comes too late to be taken: its authorization ends, or its price is no longer honoured. Only with a
    /// quote; without one it is refused at once.
    pub late: Option<Refused>,
}

/// The time in which an authorization is good, in seconds of Unix time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// It is good later than this.
    pub valid_after: u64,
    /// It is good earlier than this. `u64::MAX` where only the chain knows.
    pub valid_before: u64,
}

impl std::fmt::Debug for Presented {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shown = &mut f.debug_struct("Presented");
        shown.field("id", &self.id).field("offer", &self.offer).field("payer", &self.payer);
        shown.field("version", &self.version).field("late", &self.late).finish_non_exhaustive()
    }
}

/// The terms that a payment is on.
struct Agreed {
    terms: Arc<Terms>,
    quote: Option<Quote>,
    /// Why they are no longer honoured, if they are earlier ones.
    stale: Option<Refused>,
}

/// What tells the versions apart.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope {
    x402_version: Option<u64>,
    accepted: Option<IgnoredAny>,
}

impl Presented {
    /// Reads a payment header for an offer.
    ///
    /// `quote_ttl` is how long a quoted price holds after a change of the configuration.
    ///
    /// A payment with a quote of ours is read even if it comes too late, since it may be in the ledger: its buyer has
    /// paid, and "sign a new one" would make them pay twice. One that is not there is refused by the next step,
    /// [`super::Claimed`].
    ///
    /// # Errors
    /// [`Refused`] with x402's reason where it has one. No facilitator was asked.
    pub fn read(
        header: &[u8],
        offer: &Offer,
        mint: &QuoteMint,
        quote_ttl: Duration,
        now: u64,
    ) -> Result<Self, Refused> {
        let text = codec::decode(header)
            .map_err(|error| Refused::new("invalid_payment_header", format!("the payment header {error}")))?;
        let envelope: Envelope = parse(&text)?;
        match envelope.x402_version.or(envelope.accepted.is_some().then_some(2)) {
            Some(1) => Self::read_v1(&text, offer, now),
            Some(2) => Self::read_v2(&text, offer, mint, quote_ttl, now),
            _ => Err(Refused::new("invalid_x402_version", "the payment's x402Version must be 1 or 2")),
        }
    }

    fn read_v2(text: &str, offer: &Offer, mint: &QuoteMint, quote_ttl: Duration, now: u64) -> Result<Self, Refused> {
        let mut payment: v2::PaymentPayload<'_> = parse(text)?;
        let token = payment.accepted.extra.remove(MEMBER);
        let varying = match payment.accepted.network.starts_with("solana:") {
            true => Varying::take(&mut payment.accepted.extra),
            false => Varying::default(),
        };
        let identifier = identifier::read(payment.extensions)?;
        let agreed = agree(&payment.accepted, token.as_ref(), offer, mint, quote_ttl, now)?.with(varying)?;
        let requirements = agreed.terms.requirements();
        let forwarded = v2::ForwardedPayload {
            x402_version: 2,
            resource: payment.resource,
            accepted: &requirements,
            payload: payment.payload,
            extensions: payment.extensions,
        };
        let request = FacilitatorRequest {
            x402_version: 2,
            payment_payload: raw(&forwarded)?,
            payment_requirements: raw(&requirements)?,
        };
        let presented = Self::check(payment.payload, offer, agreed, Version::V2, request, now)?;
        let sealed = presented.sealed && sealed::is_plain(payment.resource, payment.extensions, offer);
        Ok(Self { identifier, sealed, ..presented })
    }

    fn read_v1(text: &str, offer: &Offer, now: u64) -> Result<Self, Refused> {
        let payment: v1::PaymentPayload<'_> = parse(text)?;
        let terms = offer
            .terms
            .iter()
            .find(|terms| payment.scheme == terms.scheme.as_str() && terms.v1_network == Some(payment.network.as_str()))
            .ok_or_else(no_match)?;
        let terms = match terms.network.family() {
            // It does not say who pays the fees but in the transaction itself.
            Family::Solana => Arc::new(terms.in_v1(&svm::fee_payer(payment.payload.get()).unwrap_or_default())),
            _ => Arc::clone(terms),
        };
        let request = FacilitatorRequest {
            x402_version: 1,
            payment_payload: raw(&payment)?,
            payment_requirements: raw(&v1_requirements(offer, &terms, &payment.network))?,
        };
        let agreed = Agreed { terms, quote: None, stale: None };
        Self::check(payment.payload, offer, agreed, Version::V1, request, now)
    }

    fn check(
        payload: &RawValue,
        offer: &Offer,
        Agreed { terms, quote, stale }: Agreed,
        version: Version,
        request: FacilitatorRequest,
        now: u64,
    ) -> Result<Self, Refused> {
        let Judged { id, payer, window, sealed } = Judged::of(payload.get(), &terms, now)?;
        let late = stale.or_else(|| window.ended(terms.asset.transfer, now));
        if let (Some(refused), None) = (&late, &quote) {
            return Err(refused.clone());
        }
        if payer.as_ref() == Some(&terms.pay_to) {
            return Err(Refused::new("invalid_payload", "payer and receiver are the same account"));
        }
        Ok(Self {
            id,
            offer: offer.key.clone(),
            terms,
            quote,
            identifier: None,
            presented_at: now,
            payer,
            version,
            request,
            window,
            sealed,
            late,
        })
    }

    /// The network's name in the payment's own version, as the facilitator will repeat it.
    pub fn network_name(&self) -> &str {
        match self.version {
            Version::V1 => self.terms.v1_network.unwrap_or_else(|| self.terms.network.caip2()),
            Version::V2 => self.terms.network.caip2(),
        }
    }

    /// It cannot have been settled before this moment, in seconds of Unix time: its terms were not known yet, or it was
    /// not there.
    pub fn since(&self) -> u64 {
        self.quote.as_ref().map_or(self.presented_at, |quote| quote.issued_at)
    }

    /// How much is paid.
    pub fn amount(&self) -> AtomicAmount {
        self.terms.amount
    }
}

impl Agreed {
    /// Completes the terms with what varies from challenge to challenge, which a quote vouches for.
    fn with(self, varying: Varying) -> Result<Self, Refused> {
        if !self.terms.has_open_memo() {
            return Ok(self);
        }
        let end = varying.memo_end.ok_or_else(|| {
            Refused::new("no_matching_payment_requirements", "extra.memo must be the one of a challenge")
        })?;
        if self.quote.as_ref().is_some_and(|quote| quote.memo_end().as_ref() != Some(&end)) {
            return Err(Refused::new("quote_mismatch", "extra.memo must be the one of the same challenge"));
        }
        Ok(Self { terms: Arc::new(self.terms.with_memo_end(&end)), ..self })
    }
}

/// Finds our terms behind the client's echo, and the quote that it carries.
fn agree(
    echo: &v2::PaymentRequirements,
    token: Option<&Value>,
    offer: &Offer,
    mint: &QuoteMint,
    quote_ttl: Duration,
    now: u64,
) -> Result<Agreed, Refused> {
    let recognise = |terms: &[u8; 32]| mint.recognise(token?.as_str()?, &offer.key, terms);
    let meant = offer.terms.iter().find_map(|terms| terms.meant_by(echo));
    if let Some(terms) = &meant {
        let quote = recognise(&terms.digest);
        if token.is_none() || quote.is_some() {
            return Ok(Agreed { terms: Arc::clone(terms), quote, stale: None });
        }
    }
    // Terms that we gave before the configuration changed: the quote proves that they were ours. They may say more than
    // today's, which then are found in them.
    let quote = recognise(&digest(echo)).ok_or_else(|| match meant {
        Some(_) => Refused::new("quote_mismatch", "the payment was quoted for something else"),
        None => differs(offer, echo),
    })?;
    let stale = (!quote.is_fresh(now, quote_ttl)).then(no_match);
    Ok(Agreed { terms: Arc::new(earlier_terms(echo)?), quote: Some(quote), stale })
}

/// Names what differs from the offered terms that are nearest: those of the same network and asset, if there are any.
fn differs(offer: &Offer, echo: &v2::PaymentRequirements) -> Refused {
    let same_network = |terms: &&Arc<Terms>| terms.network.caip2() == echo.network;
    let same_asset = |terms: &&Arc<Terms>| terms.asset.address.to_string().eq_ignore_ascii_case(&echo.asset);
    let in_both = offer.terms.iter().filter(same_network).find(same_asset);
    let nearest = in_both.or_else(|| offer.terms.iter().find(same_network)).or(offer.terms.first());
    match nearest.and_then(|terms| terms.difference(echo)) {
        Some(difference) => {
            let text = format!("the payment's terms are none of those offered here: {difference}");
            Refused::new("no_matching_payment_requirements", text)
        }
        None => no_match(),
    }
}

fn no_match() -> Refused {
    Refused::new("no_matching_payment_requirements", "the payment's terms are none of those offered here")
}

/// Terms rebuilt from an echo that our own quote vouches for.
fn earlier_terms(echo: &v2::PaymentRequirements) -> Result<Terms, Refused> {
    use crate::money::{Asset, Eip712Domain, Network};
    let network = Network::parse(&echo.network).map_err(|_| no_match())?;
    let text = |name: &str| echo.extra.get(name).and_then(Value::as_str);
    let asset = Asset {
        address: Address::parse(&echo.asset, &network).map_err(|_| no_match())?,
        symbol: "".into(),
        decimals: 0,
        domain: text("name")
            .zip(text("version"))
            .map(|(name, version)| Eip712Domain { name: name.into(), version: version.into() }),
        transfer: match text("assetTransferMethod") {
            Some("permit2") => TransferMethod::Permit2,
            _ => TransferMethod::Native,
        },
    };
    let pay_to = Address::parse(&echo.pay_to, &network).map_err(|_| no_match())?;
    let scheme = Scheme::parse(&echo.scheme).map_err(|_| no_match())?;
    let extra = echo.extra.clone();
    Ok(Terms::new(network, asset, echo.amount, pay_to, echo.max_timeout_seconds, None, extra).by(scheme))
}

/// The v1 form of our terms. `resource` is the offer's name here: the facilitator does not judge it.
fn v1_requirements(offer: &Offer, terms: &Terms, network: &str) -> v1::PaymentRequirements {
    v1::PaymentRequirements {
        scheme: "exact".to_owned(),
        network: network.to_owned(),
        max_amount_required: terms.amount,
        resource: offer.resource.to_string(),
        description: offer.description.to_string(),
        mime_type: offer.mime_type.to_string(),
        pay_to: terms.pay_to.to_string(),
        max_timeout_seconds: terms.max_timeout_seconds,
        asset: terms.asset.address.to_string(),
        extra: terms.v1_extra(),
    }
}

fn raw<T: serde::Serialize>(value: &T) -> Result<Box<RawValue>, Refused> {
    to_raw_value(value).map_err(|_| Refused::new("invalid_payload", "the payment cannot be written as JSON"))
}

impl Window {
    /// Always: only the chain knows.
    pub const OPEN: Self = Self { valid_after: 0, valid_before: u64::MAX };

    /// A window from an authorization's numbers; beyond `u64` is for ever.
    pub(super) fn new(valid_after: U256, valid_before: U256) -> Self {
        Self { valid_after: valid_after.saturating_to(), valid_before: valid_before.saturating_to() }
    }

    /// Refuses what cannot be settled yet.
    pub(super) fn begun(&self, now: u64) -> Result<(), Refused> {
        if self.valid_after > now {
            return Err(Refused::new(
                "invalid_exact_evm_payload_authorization_valid_after",
                format!("the authorization is good after {}, it is {now}", self.valid_after),
            ));
        }
        Ok(())
    }

    /// Why it cannot be settled any more, if that is so.
    fn ended(&self, transfer: TransferMethod, now: u64) -> Option<Refused> {
        let reason = match transfer {
            TransferMethod::Native => "invalid_exact_evm_payload_authorization_valid_before",
            TransferMethod::Permit2 => "permit2_deadline_expired",
        };
        let why = || format!("the authorization ends at {}, it is {now}: sign a new one", self.valid_before);
        (self.valid_before < now.saturating_add(SETTLE_MARGIN_S)).then(|| Refused::new(reason, why()))
    }
}
