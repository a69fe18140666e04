//! `ca`: who alone may vouch for another machine.

use super::{Surroundings, mode};
use crate::config::document::Section;
use crate::config::field::Field;
use crate::outbound::Roots;

/// A file of certificates, for the machine at the `url` of `section`.
pub(super) fn check(field: &Field<'_>, section: &Section<'_>, around: &Surroundings<'_>) -> Option<Roots> {
    let path = around.path(field.text("the path of a file of certificates in PEM")?);
    let pem = field.read(std::fs::read(&path).map_err(|error| format!("cannot be read: {error}")))?;
    mode::of_public(field, &path)?;
    let roots = field.read(Roots::parse(&pem))?;
    // Whoever names a certificate believes that one is looked at.
    let in_the_clear = section.field("url").and_then(|url| url.text("").map(|url| url.starts_with("http://")));
    if in_the_clear == Some(true) {
        field.wrong("is of no use, since url is http://; an https:// one would be right");
    }
    Some(roots)
}
