use super::message::Message;
use crate::payment::Refused;

/// In which form a proof came: it decides how long it is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Made for one challenge.
    Header,
    /// Made once for many requests.
    Token,
}

/// How old a message may be, as in the reference, in seconds.
const AGE_S_MAX: u64 = 5 * 60;
/// How old a token with an expiry may be, whatever that is, in seconds.
const TOKEN_AGE_S_MAX: u64 = 24 * 60 * 60;
/// How far a wallet's clock may be ahead of ours, in seconds.
const CLOCK_SKEW_S: u64 = 60;
/// The fewest characters of a nonce (EIP-4361).
const NONCE_CHARS_MIN: usize = 8;

/// Checks all that a message says, but for account and signature. Gives the second from which on it is refused.
pub(super) fn check(message: &Message, form: Form, now: u64, origin: &str) -> Result<u64, Refused> {
    check_place(message, origin)?;
    if message.version != "1" {
        return Err(refused("invalid_siwx_version", "the message's version is not 1"));
    }
    let ends_at = check_times(message, form, now)?;
    let alphanumeric = message.nonce.bytes().all(|byte| byte.is_ascii_alphanumeric());
    match message.nonce.len() >= NONCE_CHARS_MIN && alphanumeric {
        true => Ok(ends_at),
        false => Err(refused("invalid_siwx_nonce", "the nonce is not 8 or more letters and digits")),
    }
}

/// The host and port of an origin, as messages name their domain.
pub(super) fn host(origin: &str) -> Option<&str> {
    origin.split_once("://").map(|(_, host)| host)
}

fn check_place(message: &Message, origin: &str) -> Result<(), Refused> {
    if Some(message.domain.as_str()) != host(origin) {
        let why = format!("the sign-in is for {:?}, not for {origin}", message.domain);
        return Err(Refused::new("invalid_siwx_domain_mismatch", why));
    }
    let behind = message.uri.strip_prefix(origin);
    match behind.is_some_and(|behind| behind.is_empty() || behind.starts_with(['/', '?', '#'])) {
        true => Ok(()),
        false => {
            let why = format!("the sign-in's URI is {:?}, not one of {origin}", message.uri);
            Err(Refused::new("invalid_siwx_uri_mismatch", why))
        }
    }
}

fn check_times(message: &Message, form: Form, now: u64) -> Result<u64, Refused> {
    let now = i64::try_from(now).unwrap_or(i64::MAX);
    let issued_at = seconds(&message.issued_at)
        .ok_or_else(|| refused("invalid_siwx_issued_at", "the time of issue is not one of RFC 3339"))?;
    let age_max = match (form, &message.expiration_time) {
        (Form::Token, Some(_)) => TOKEN_AGE_S_MAX,
        _ => AGE_S_MAX,
    };
    let age = now.saturating_sub(issued_at);
    if age > age_max.cast_signed() {
        let why = format!("the sign-in is {age} seconds old, {age_max} are good");
        return Err(Refused::new("invalid_siwx_issued_at_too_old", why));
    }
    if age < -CLOCK_SKEW_S.cast_signed() {
        return Err(refused("invalid_siwx_issued_at_in_future", "the time of issue is in the future"));
    }
    let mut ends_at = issued_at.saturating_add(age_max.cast_signed()).saturating_add(1);
    if let Some(expiry) = &message.expiration_time {
        let expiry = seconds(expiry)
            .ok_or_else(|| refused("invalid_siwx_expiration_time", "the expiration time is not one of RFC 3339"))?;
        if now >= expiry {
            return Err(refused("invalid_siwx_expired", "the sign-in has expired"));
        }
        ends_at = ends_at.min(expiry);
    }
    if let Some(begin) = &message.not_before {
        let begin = seconds(begin)
            .ok_or_else(|| refused("invalid_siwx_not_before", "the begin of the sign-in is not one of RFC 3339"))?;
        if now < begin {
            return Err(refused("invalid_siwx_not_yet_valid", "the sign-in is not good yet"));
        }
    }
    Ok(u64::try_from(ends_at).unwrap_or(0))
}

/// The Unix seconds of a time in RFC 3339, with any fraction and offset.
fn seconds(text: &str) -> Option<i64> {
    text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_second)
}

fn refused(reason: &'static str, message: &'static str) -> Refused {
    Refused::new(reason, message)
}
