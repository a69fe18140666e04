//! Who may read and change the files of secrets.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::config::field::Field;

/// The right of everybody to write.
const ANYBODY_WRITES: u32 = 0o002;
/// Any right of anybody but the owner.
const OTHERS: u32 = 0o077;

/// What a secret's file must not be, and should not. Containers mount secrets for everybody to read, so that is worth a
/// word and no more; a file that anybody can write has no secret in it.
pub(super) fn of_secret(field: &Field<'_>, path: &Path) -> Option<()> {
    of_public(field, path)?;
    if has(path, OTHERS) {
        field.warn(format_args!("{} can be read by others, chmod 600 would be right", field.written()));
    }
    Some(())
}

/// The same for what everybody may read.
pub(super) fn of_public(field: &Field<'_>, path: &Path) -> Option<()> {
    match has(path, ANYBODY_WRITES) {
        true => {
            field.wrong(format_args!("{} can be changed by anybody, chmod 600 would be right", field.written()));
            None
        }
        false => Some(()),
    }
}

/// Whether anybody but the owner has a right to a file that is there.
pub(super) fn is_open(path: &Path) -> bool {
    has(path, OTHERS)
}

fn has(path: &Path, rights: u32) -> bool {
    std::fs::metadata(path).is_ok_and(|file| file.is_file() && file.permissions().mode() & rights != 0)
}
