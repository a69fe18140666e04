//! `[jwt]`: whose tokens are taken in place of a key.

use std::sync::Arc;

use super::{Surroundings, secret};
use crate::config::document::Section;
use crate::config::field::Field;
use crate::config::{JwtConfig, Secret};
use crate::plans::TokenVerifier;

const KEYS: &[&str] = &["public_key", "issuer", "audience", "claim"];
const CHARS_MAX: usize = 256;

/// `[jwt]`.
pub(super) fn check(root: &Section<'_>, around: &Surroundings<'_>) -> Option<JwtConfig> {
    let section = root.field("jwt")?.section(KEYS)?;
    let public_key = section.required("public_key", "{ file = \"PATH\" } with a public key in PEM");
    let public_key = public_key.and_then(|field| public_key_of(&field, around));
    let text = |key, example| section.field(key).and_then(|field| text(&field, example));
    let issuer = text("issuer", "what \"iss\" must say");
    let audience = text("audience", "what \"aud\" must say");
    let claim = text("claim", "the name of a claim like \"sub\"").unwrap_or_else(|| "sub".into());
    let field = section.field("public_key")?;
    let public_key = public_key?;
    let verifier = TokenVerifier::new(public_key.reveal(), issuer.as_deref(), audience.as_deref(), &claim);
    if let Err(error) = verifier {
        // The key itself is not shown, for it may be the other one.
        field.wrong(format_args!("cannot be used: {error}"));
    }
    if audience.is_none() {
        section.warn("audience", "is not there: a token that the same issuer made for something else is taken too");
    }
    Some(JwtConfig { public_key, issuer, audience, claim })
}

/// The key may stand in the file itself: it is public. Nothing of it is shown all the same, for it may be the other one.
fn public_key_of(field: &Field<'_>, around: &Surroundings<'_>) -> Option<Secret> {
    let pem = match field.is_text() {
        true => Secret::new(field.text("")?.to_owned()),
        false => secret::read_public(field, around)?,
    };
    let text = pem.reveal();
    if text.contains("PRIVATE KEY-----") {
        field.wrong("is a private key, which only the issuer may have; its public key would be right");
        return None;
    }
    if !is_public_key(text) {
        field.wrong("is no public key in PEM, \"-----BEGIN PUBLIC KEY-----\" and so on would be right");
        return None;
    }
    Some(pem)
}

/// Whether there is something between the marks of a public key.
fn is_public_key(text: &str) -> bool {
    let mut lines = text.lines().map(str::trim).skip_while(|line| !line.starts_with("-----BEGIN "));
    let Some(kind) = lines.next().and_then(|line| line.strip_prefix("-----BEGIN ")?.strip_suffix("-----")) else {
        return false;
    };
    let end = format!("-----END {kind}-----");
    let body = lines.clone().take_while(|line| *line != end).any(|line| !line.is_empty());
    kind.ends_with("PUBLIC KEY") && body && lines.any(|line| line == end)
}

pub(super) fn text(field: &Field<'_>, right: &str) -> Option<Arc<str>> {
    let text = field.text(right)?;
    let fits = (1..=CHARS_MAX).contains(&text.chars().count()) && !text.contains(char::is_control);
    field.read(if fits { Ok(text.into()) } else { Err("is not 1 to 256 characters on one line") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_key_has_two_marks_and_something_between_them() {
        for right in [
            "-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----\n",
            "-----BEGIN RSA PUBLIC KEY-----\r\nMIIB\r\n-----END RSA PUBLIC KEY-----",
            "of the issuer\n\n  -----BEGIN PUBLIC KEY-----\n  MIIB\n  -----END PUBLIC KEY-----",
        ] {
            assert!(is_public_key(right), "{right}");
        }
        for wrong in [
            "",
            "PUBLIC KEY",
            "-----BEGIN PUBLIC KEY-----",
            "-----BEGIN PUBLIC KEY-----\nMIIB",
            "-----BEGIN PUBLIC KEY-----\n\n-----END PUBLIC KEY-----",
            "-----BEGIN PUBLIC KEY-----\nMIIB\n-----END RSA PUBLIC KEY-----",
            "-----END PUBLIC KEY-----\nMIIB\n-----BEGIN PUBLIC KEY-----",
            "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
        ] {
            assert!(!is_public_key(wrong), "{wrong}");
        }
    }
}
