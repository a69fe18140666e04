//! Secrets: from the environment or a file, never from the configuration itself.

use std::path::Path;

use super::{Surroundings, mode};
use crate::config::Secret;
use crate::config::field::Field;

const RIGHT: &str = "{ env = \"NAME\" } or { file = \"PATH\" }";

/// Where a secret is.
pub(super) enum Place<'a> {
    /// In an environment variable.
    Env(Field<'a>),
    /// In a file.
    File(Field<'a>),
}

/// Reads `{ env = "NAME" }` or `{ file = "PATH" }`.
pub(super) fn place<'a>(field: &Field<'a>) -> Option<Place<'a>> {
    if field.is_text() {
        field.wrong(format_args!("is written here for every reader of this file, {RIGHT} would be right"));
        return None;
    }
    let section = field.section(&["env", "file"])?;
    match (section.field("env"), section.field("file")) {
        (Some(env), None) => Some(Place::Env(env)),
        (None, Some(file)) => Some(Place::File(file)),
        (Some(_), Some(_)) => {
            field.wrong(format_args!("names two places, either {RIGHT} would be right"));
            None
        }
        (None, None) => {
            field.wrong(format_args!("names no place, {RIGHT} would be right"));
            None
        }
    }
}

/// The secret at its place, without the line ends that editors put behind it.
pub(super) fn read(field: &Field<'_>, around: &Surroundings<'_>) -> Option<Secret> {
    read_as(field, around, mode::of_secret)
}

/// The same for what everybody may know, and nobody may change.
pub(super) fn read_public(field: &Field<'_>, around: &Surroundings<'_>) -> Option<Secret> {
    read_as(field, around, mode::of_public)
}

fn read_as(
    field: &Field<'_>,
    around: &Surroundings<'_>,
    guarded: fn(&Field<'_>, &Path) -> Option<()>,
) -> Option<Secret> {
    match place(field)? {
        Place::Env(env) => variable(&env, around),
        Place::File(file) => {
            let path = around.path(file.text("a path")?);
            let text = std::fs::read_to_string(&path).map_err(|error| format!("cannot be read: {error}"));
            let text = Secret::new(file.read(text)?);
            guarded(&file, &path)?;
            let trimmed = text.reveal().trim_end_matches(['\r', '\n']);
            file.read(if trimmed.is_empty() { Err("is empty") } else { Ok(Secret::new(trimmed.to_owned())) })
        }
    }
}

/// The value of an environment variable.
pub(super) fn variable(field: &Field<'_>, around: &Surroundings<'_>) -> Option<Secret> {
    let name = field.text("the name of an environment variable")?;
    let value = (around.env)(name).filter(|value| !value.is_empty());
    field.read(value.map(Secret::new).ok_or("is not set in the environment, or is empty"))
}
