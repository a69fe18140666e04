//! What a call takes of a plan: `units`, `units_header` with `units_max`, and `units_per_byte`.

use http::HeaderName;
use http::header;

use super::quantity::units;
use crate::config::KeysConfig;
use crate::config::document::Section;
use crate::config::field::Field;
use crate::plans::Units;
use crate::pricing::{Metering, Reported};
use crate::x402::headers;

/// Headers that carry payments and sign-ins.
const PAYMENTS: [&str; 7] = [
    headers::PAYMENT_REQUIRED,
    headers::X_PAYMENT_REQUIRED,
    headers::PAYMENT_SIGNATURE,
    headers::X_PAYMENT,
    headers::PAYMENT_RESPONSE,
    headers::X_PAYMENT_RESPONSE,
    headers::SIGN_IN_WITH_X,
];
/// Headers that carry keys and other credentials, whatever `[keys]` says.
const CREDENTIALS: [HeaderName; 4] =
    [HeaderName::from_static("x-api-key"), header::AUTHORIZATION, header::COOKIE, header::SET_COOKIE];
/// Headers that say where an answer ends and how its body is to be read: clients could not do without them.
const FRAMING: [HeaderName; 15] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::HOST,
    header::DATE,
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::CONTENT_ENCODING,
    header::CONTENT_RANGE,
];

/// The settings of a route about units, as they stand in the file.
pub(super) struct RawMetering<'a> {
    units: Option<Field<'a>>,
    header: Option<Field<'a>>,
    most: Option<Field<'a>>,
    per_byte: Option<Field<'a>>,
}

impl<'a> RawMetering<'a> {
    pub(super) fn read(section: &Section<'a>) -> Self {
        Self {
            units: section.field("units"),
            header: section.field("units_header"),
            most: section.field("units_max"),
            per_byte: section.field("units_per_byte"),
        }
    }

    /// The first of them, if there is one: then a plan opens the route.
    pub(super) fn first(&self) -> Option<&Field<'a>> {
        [&self.units, &self.header, &self.most, &self.per_byte].into_iter().find_map(Option::as_ref)
    }

    /// What a call takes. None only if something is wrong.
    pub(super) fn check(&self, section: &Section<'_>, keys: &KeysConfig) -> Option<Metering> {
        let fixed = self.units.as_ref().map(units);
        let most = self.most.as_ref().map(units);
        let header = self.header.as_ref().map(|field| reporting(field, keys));
        let per_byte = self.per_byte.as_ref().map(units);
        if self.header.is_some() != self.most.is_some() {
            match self.header {
                Some(_) => section.missing("units_max", "the most that a call can take, a number like 5.0,"),
                None => section.missing("units_header", "a header's name like \"X-Units\""),
            }
            return None;
        }
        if self.units.is_none() && self.header.is_some() {
            section.missing("units", "what a call takes if the header is missing, a number like 1.0,");
            return None;
        }
        if let (Some(field), Some(Some(most)), Some(Some(fixed))) = (&self.most, most, fixed)
            && most < fixed
        {
            field.wrong(format_args!("{most} is less than units, {fixed} or more would be right"));
        }
        let reported = match header.zip(most) {
            Some((header, most)) => Some(Box::new(Reported { header: header?, units_max: most? })),
            None => None,
        };
        let per_byte = match per_byte {
            Some(units) => Some(units?),
            None => None,
        };
        Some(Metering { units: fixed.unwrap_or(Some(Units::ZERO))?, reported, per_byte })
    }
}

fn reporting(field: &Field<'_>, keys: &KeysConfig) -> Option<HeaderName> {
    let text = field.text("a header's name like \"X-Units\"")?;
    let header = field.read(HeaderName::try_from(text).map_err(|_| "is not the name of a header"))?;
    let carries = if PAYMENTS.iter().any(|name| header.as_str().eq_ignore_ascii_case(name)) {
        Err("carries payments, not units; a name of your own like \"X-Units\" would be right")
    } else if CREDENTIALS.contains(&header) || keys.headers.contains(&header) {
        Err("carries keys, not units; a name of your own like \"X-Units\" would be right")
    } else if FRAMING.contains(&header) {
        Err("is needed by clients, who never see this one; a name of your own like \"X-Units\" would be right")
    } else {
        Ok(header)
    };
    field.read(carries)
}
