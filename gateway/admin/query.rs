//! The query of a request to the operator's API: each parameter once, and none that is not known.

use std::time::SystemTime;

use super::reply::Problem;
use crate::clock::Day;
use crate::store::{By, Ends, Selection, Span};

const ROWS: u32 = 100;
const ROWS_MAX: u32 = 1000;

/// The parameters that nobody has asked for yet.
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    pub(super) fn parse(text: Option<&str>) -> Self {
        Self(form_urlencoded::parse(text.unwrap_or_default().as_bytes()).into_owned().collect())
    }

    /// A parameter, decoded; taken out, so that what is left is not known or repeated.
    pub(super) fn take(&mut self, name: &str) -> Option<String> {
        let at = self.0.iter().position(|(known, _)| known == name)?;
        Some(self.0.remove(at).1)
    }

    fn read<T>(&mut self, name: &str, what: &str, read: impl Fn(&str) -> Option<T>) -> Result<Option<T>, Problem> {
        let wrong = |text: &str| Problem::bad("invalid_parameter", format!("{name}={text:?} is not {what}"));
        self.take(name).map(|text| read(&text).ok_or_else(|| wrong(&text))).transpose()
    }

    pub(super) fn rows(&mut self) -> Result<u32, Problem> {
        let rows = |text: &str| text.parse().ok().filter(|rows| (1..=ROWS_MAX).contains(rows));
        Ok(self.read("limit", "a number from 1 to 1000", rows)?.unwrap_or(ROWS))
    }

    pub(super) fn skip(&mut self) -> Result<u32, Problem> {
        Ok(self.read("offset", "a number", |text| text.parse().ok())?.unwrap_or(0))
    }

    pub(super) fn selection(&mut self, now: SystemTime) -> Result<Selection, Problem> {
        let truth = |text: &str| text.parse::<bool>().ok();
        let active = self.read("active", "true or false", truth)?;
        Ok(Selection {
            plan: self.take("plan"),
            holder: self.take("holder"),
            address: self.take("address"),
            ends: active.map(|active| if active { Ends::After(now) } else { Ends::By(now) }),
            current: self.read("current", "true or false", truth)?.unwrap_or(false),
        })
    }

    pub(super) fn span(&mut self) -> Result<Span, Problem> {
        let day = "a day like 2026-01-31";
        Ok(Span {
            from: self.read("from", day, Day::parse)?,
            to: self.read("to", day, Day::parse)?,
            holder: self.take("holder"),
        })
    }

    pub(super) fn by(&mut self) -> Result<Vec<By>, Problem> {
        let by = self.read("by", "a list of key, route, day and holder", By::parse_list)?;
        Ok(by.unwrap_or_else(|| vec![By::Key, By::Route, By::Day]))
    }

    /// Refuses what nobody has asked for: a misspelt filter would show everything.
    pub(super) fn end(self) -> Result<(), Problem> {
        match self.0.first() {
            None => Ok(()),
            Some((name, _)) => {
                Err(Problem::bad("unknown_parameter", format!("{name:?} is not known here, or given twice")))
            }
        }
    }
}
