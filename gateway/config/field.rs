//! One value of the file, read as the type that it should have.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::document::{Report, Section, join};
use super::spelling::suggestion;

/// A value, its name and its place. Whatever is wrong with it goes to the report; the caller gets `None` and goes on.
#[derive(Clone)]
pub(super) struct Field<'a> {
    report: &'a Report<'a>,
    path: String,
    key_span: Range<usize>,
    value: &'a Spanned<DeValue<'a>>,
}

impl<'a> Field<'a> {
    pub(super) fn new(
        report: &'a Report<'a>,
        path: String,
        key_span: Range<usize>,
        value: &'a Spanned<DeValue<'a>>,
    ) -> Self {
        Self { report, path, key_span, value }
    }

    /// A text; `right` says what would be right instead of a value of another type.
    pub(super) fn text(&self, right: &str) -> Option<&'a str> {
        match self.value.get_ref() {
            DeValue::String(text) => Some(text),
            _ => self.wrong_type(right),
        }
    }

    /// `true` or `false`.
    pub(super) fn flag(&self) -> Option<bool> {
        match self.value.get_ref() {
            DeValue::Boolean(flag) => Some(*flag),
            _ => self.wrong_type("true or false"),
        }
    }

    /// A number as it was written, never by way of a float; a text will do as well.
    pub(super) fn number(&self, right: &str) -> Option<&'a str> {
        match self.value.get_ref() {
            DeValue::Integer(_) | DeValue::Float(_) => Some(self.report.source(self.value.span())),
            DeValue::String(text) => Some(text),
            _ => self.wrong_type(right),
        }
    }

    /// One of some words.
    pub(super) fn choice<T: Copy>(&self, choices: &[(&str, T)]) -> Option<T> {
        let quoted: Vec<_> = choices.iter().map(|(word, _)| format!("{word:?}")).collect();
        let right = quoted.join(" or ");
        let text = self.text(&right)?;
        let found = choices.iter().find(|(word, _)| *word == text);
        if found.is_none() {
            self.wrong(format_args!("{text:?} is not known, {right} would be right"));
        }
        found.map(|(_, choice)| *choice)
    }

    /// A table with these settings.
    pub(super) fn section(&self, keys: &'static [&'static str]) -> Option<Section<'a>> {
        let table = self.table(&format!("a table with {}", keys.join(", ")))?;
        Some(Section::new(self.report, self.path.clone(), self.value.span(), table, keys))
    }

    /// The members of a table whose keys are the operator's, in the order of the file.
    pub(super) fn members(&self, right: &str) -> Option<Vec<(&'a str, Field<'a>)>> {
        let mut members: Vec<_> = self
            .table(right)?
            .iter()
            .map(|(key, value)| {
                (&**key.get_ref(), Self::new(self.report, join(&self.path, key.get_ref()), key.span(), value))
            })
            .collect();
        members.sort_by_key(|(_, field)| field.key_span.start);
        Some(members)
    }

    /// The elements of a list.
    pub(super) fn list(&self, right: &str) -> Option<Vec<Field<'a>>> {
        let DeValue::Array(list) = self.value.get_ref() else { return self.wrong_type(right) };
        let element = |(index, value): (usize, &'a Spanned<DeValue<'a>>)| {
            Self::new(self.report, format!("{}[{index}]", self.path), value.span(), value)
        };
        Some(list.iter().enumerate().map(element).collect())
    }

    /// Whether the value is a table.
    pub(super) fn is_table(&self) -> bool {
        self.value.get_ref().is_table()
    }

    /// Whether the value is `true` or `false`.
    pub(super) fn is_flag(&self) -> bool {
        self.value.get_ref().is_bool()
    }

    /// Whether the value is a list.
    pub(super) fn is_list(&self) -> bool {
        self.value.get_ref().is_array()
    }

    /// A whole number that every reader of JSON takes for the same: it is below 2^53.
    pub(super) fn whole(&self, right: &str) -> Option<i64> {
        let DeValue::Integer(number) = self.value.get_ref() else { return self.wrong_type(right) };
        let number = i64::from_str_radix(number.as_str(), number.radix()).ok();
        self.read(number.filter(|number| number.unsigned_abs() < 1 << 53).ok_or("is too large, a text would be right"))
    }

    /// Whether the value is a text.
    pub(super) fn is_text(&self) -> bool {
        self.value.get_ref().is_str()
    }

    /// The value that came of reading this one; an error is reported as a predicate of what was written.
    pub(super) fn read<T, E: fmt::Display>(&self, result: Result<T, E>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                self.wrong(format_args!("{} {error}", self.written()));
                None
            }
        }
    }

    /// Reports a problem at the value.
    pub(super) fn wrong(&self, text: impl fmt::Display) {
        self.report.wrong(self.at(), &self.path, text);
    }

    /// Reports something worth a second look at the value.
    pub(super) fn warn(&self, text: impl fmt::Display) {
        self.report.warn(self.at(), &self.path, text);
    }

    /// Reports that the key is none of `names`.
    pub(super) fn wrong_key(&self, text: impl fmt::Display, written: &str, names: &[&str]) {
        let close = suggestion(written, names).map(|close| format!(", did you mean {close:?}?")).unwrap_or_default();
        self.report.wrong(self.key_span.start, &self.path, format_args!("{text}{close}"));
    }

    /// Where the value stands.
    pub(super) fn at(&self) -> usize {
        self.value.span().start
    }

    /// The line of the value, for naming it elsewhere.
    pub(super) fn line(&self) -> usize {
        self.report.line(self.at())
    }

    /// The setting's name.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// The value as it should be shown: in quotes if it is a text, whatever the quotes of the file.
    pub(super) fn written(&self) -> String {
        match self.value.get_ref() {
            DeValue::String(text) => format!("{:?}", without_password(text)),
            DeValue::Table(_) | DeValue::Array(_) => String::new(),
            _ => self.report.source(self.value.span()).to_owned(),
        }
    }

    fn table(&self, right: &str) -> Option<&'a DeTable<'a>> {
        match self.value.get_ref() {
            DeValue::Table(table) => Some(table),
            _ => self.wrong_type(right),
        }
    }

    // The value itself is not shown: it may be a secret at the wrong place.
    fn wrong_type<T>(&self, right: &str) -> Option<T> {
        let kind = match self.value.get_ref() {
            DeValue::String(_) => "a text",
            DeValue::Integer(_) => "a whole number",
            DeValue::Float(_) => "a number",
            DeValue::Boolean(_) => "a boolean",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        self.wrong(format_args!("is {kind}, {right} would be right"));
        None
    }
}

/// A text without what may be a secret in it, if it is a URL: the user in front of the host, and the query.
fn without_password(text: &str) -> Cow<'_, str> {
    let Some((scheme, rest)) = text.split_once("://") else { return Cow::Borrowed(text) };
    let (rest, query) = rest.split_once('?').map_or((rest, ""), |(rest, _)| (rest, "?…"));
    // The last one: a password may have one of its own.
    let (user, host) = rest.rsplit_once('@').map_or(("", rest), |(_, host)| ("…@", host));
    match (user, query) {
        ("", "") => Cow::Borrowed(text),
        _ => Cow::Owned(format!("{scheme}://{user}{host}{query}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_a_password_is_not_shown() {
        for (text, shown) in [
            ("https://a.example/b", "https://a.example/b"),
            ("/paid?a=b@c", "/paid?a=b@c"),
            ("https://user:secret@a.example/b", "https://…@a.example/b"),
            ("https://us@er:sec/ret@a.example", "https://…@a.example"),
            ("https://a.example/b?key=secret", "https://a.example/b?…"),
            ("redis://:secret@h?x=secret", "redis://…@h?…"),
        ] {
            assert_eq!(without_password(text), shown);
        }
    }
}
