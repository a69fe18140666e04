//! `facilitator.cdp`: the key that signs tokens for Coinbase's facilitator.

use super::{Surroundings, secret};
use crate::config::document::Section;
use crate::config::field::Field;
use crate::config::{CdpConfig, Secret};
use crate::facilitator::CdpKey;

const KEYS: &[&str] = &["key_id", "secret"];
const CHARS_MAX: usize = 256;

/// The table `cdp` beside these headers.
pub(super) fn check(field: &Field<'_>, headers: &[(&str, Field<'_>)], around: &Surroundings<'_>) -> Option<CdpConfig> {
    if let Some((_, header)) = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("authorization")) {
        let line = header.line();
        field.wrong(format_args!("writes the header Authorization, as does line {line}; one of them would be right"));
    }
    let section = field.section(KEYS)?;
    let key_id = key_id(&section, around);
    let secret = section.required("secret", "{ env = \"NAME\" } or { file = \"PATH\" }");
    let secret = secret.and_then(|field| secret_of(&field, around));
    Some(CdpConfig { key_id: key_id?, secret: secret? })
}

/// The id may stand in the file itself: it opens nothing.
fn key_id(section: &Section<'_>, around: &Surroundings<'_>) -> Option<Secret> {
    let field = section.required("key_id", "the id of an API key, as a text or { env = \"NAME\" }")?;
    let id = match field.is_text() {
        true => Secret::new(field.text("")?.to_owned()),
        false => secret::read(&field, around)?,
    };
    let fits = (1..=CHARS_MAX).contains(&id.reveal().len()) && id.reveal().bytes().all(|byte| byte.is_ascii_graphic());
    if !fits {
        // Not shown: it may be the secret in the wrong place.
        field.wrong("is no id of a key, up to 256 letters, digits and signs without blanks would be right");
    }
    fits.then_some(id)
}

/// What can sign. Nothing of it is shown.
fn secret_of(field: &Field<'_>, around: &Surroundings<'_>) -> Option<Secret> {
    let secret = secret::read(field, around)?;
    match CdpKey::parse("", secret.reveal()) {
        Ok(_) => Some(secret),
        Err(error) => {
            field.wrong(error);
            None
        }
    }
}
