//! The lists of `[screening]`: files of addresses, read and checked with the configuration.

use std::path::PathBuf;
use std::sync::Arc;

use super::Surroundings;
use crate::config::document::Section;
use crate::config::field::Field;
use crate::config::load::read;
use crate::screening::{AddressList, Lists};

/// Lists of one kind; each is watched.
const FILES_MAX: usize = 16;
/// Lines of one file that are told; more are one mistake made often.
const TOLD_MAX: usize = 20;

/// The lists, and their files.
pub(super) fn check(screening: &Section<'_>, around: &Surroundings<'_>) -> (Lists, Vec<PathBuf>) {
    let mut files = Vec::new();
    let mut lists = |key| {
        let field: Option<Field<'_>> = screening.field(key);
        field.map(|field| all(&field, around, &mut files)).unwrap_or_default()
    };
    (Lists { deny: lists("deny"), allow: lists("allow") }, files)
}

fn all(field: &Field<'_>, around: &Surroundings<'_>, files: &mut Vec<PathBuf>) -> Vec<Arc<AddressList>> {
    let Some(names) = field.list("a list of files like [\"ofac.txt\"]") else { return Vec::new() };
    if names.is_empty() || names.len() > FILES_MAX {
        field.wrong(format_args!("must name 1 to {FILES_MAX} files"));
    }
    let lists = names.iter().take(FILES_MAX).filter_map(|name| one(name, around, files));
    let lists: Vec<_> = lists.map(Arc::new).collect();
    if field.path() == "screening.allow" && lists.iter().all(|list| list.is_empty()) {
        field.warn("names nobody, so that nobody may pay");
    }
    lists
}

fn one(field: &Field<'_>, around: &Surroundings<'_>, files: &mut Vec<PathBuf>) -> Option<AddressList> {
    let name = field.text("a file's name")?;
    let path = around.path(name);
    let text = field.read(read(&path).map_err(|error| format!("cannot be read: {error}")))?;
    files.push(path);
    match AddressList::parse(name, &text) {
        Ok(list) => Some(list),
        Err(errors) => {
            errors.iter().take(TOLD_MAX).for_each(|error| field.wrong(format_args!("{name:?} {error}")));
            if let Some(more) = errors.len().checked_sub(TOLD_MAX).filter(|more| *more > 0) {
                field.wrong(format_args!("{name:?} … and {more} lines more"));
            }
            None
        }
    }
}
