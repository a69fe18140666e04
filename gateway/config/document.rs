//! The file as a tree in which every value knows its place, and a report that collects what is wrong with them.

use std::cell::RefCell;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use toml::de::DeTable;

use super::field::Field;
use super::problem::{Place, Problem, Problems};
use super::spelling::suggestion;

/// What was found in a text so far.
pub(super) struct Report<'a> {
    file: Arc<str>,
    text: &'a str,
    line_starts: Vec<usize>,
    problems: RefCell<Vec<Found>>,
    warnings: RefCell<Vec<Found>>,
}

/// Something to report, and where. Its line and column are counted at the end, for all in one go.
type Found = (usize, Problem);

/// A table whose keys are settings: any other key is a problem.
#[derive(Clone)]
pub(super) struct Section<'a> {
    report: &'a Report<'a>,
    path: String,
    span: Range<usize>,
    /// None if the file does not have the table: then it has no setting either.
    table: Option<&'a DeTable<'a>>,
    keys: &'static [&'static str],
}

impl<'a> Report<'a> {
    pub(super) fn new(file: &str, text: &'a str) -> Self {
        let line_starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { file: file.into(), text, line_starts, problems: RefCell::default(), warnings: RefCell::default() }
    }

    /// The text of a span, as it was written.
    pub(super) fn source(&self, span: Range<usize>) -> &'a str {
        self.text.get(span).unwrap_or_default()
    }

    pub(super) fn wrong(&self, at: usize, key: &str, text: impl fmt::Display) {
        self.problems.borrow_mut().push(self.problem(at, key, &text));
    }

    pub(super) fn warn(&self, at: usize, key: &str, text: impl fmt::Display) {
        self.warnings.borrow_mut().push(self.problem(at, key, &text));
    }

    /// How many problems there are: a part is sound if it added none.
    pub(super) fn count(&self) -> usize {
        self.problems.borrow().len()
    }

    /// Takes down what the parser says, the first of each line: what follows on a line is mostly a consequence.
    pub(super) fn syntax(&self, mut errors: Vec<toml::de::Error>) {
        errors.sort_by_key(|error| error.span().map(|span| span.start));
        let mut line = 0;
        for error in errors {
            let at = error.span().map_or(0, |span| span.start);
            let its_line = self.line(at);
            if its_line != line {
                self.wrong(at, "", error.message());
            }
            line = its_line;
        }
    }

    /// The line of a place in the text, for naming it elsewhere.
    pub(super) fn line(&self, at: usize) -> usize {
        self.line_starts.partition_point(|&start| start <= at)
    }

    /// Everything that was found: the warnings if nothing is wrong, and else what is.
    pub(super) fn finish(&self) -> Result<Vec<Problem>, Problems> {
        let sorted = |list: &RefCell<Vec<Found>>| {
            let mut list = list.take();
            list.sort_by_key(|(at, _)| *at);
            self.placed(list)
        };
        let problems = sorted(&self.problems);
        if problems.is_empty() { Ok(sorted(&self.warnings)) } else { Err(Problems(problems)) }
    }

    fn problem(&self, at: usize, key: &str, text: &dyn fmt::Display) -> Found {
        (at, Problem { file: Arc::clone(&self.file), place: None, key: key.to_owned(), text: text.to_string() })
    }

    /// Gives a sorted list its places. Each character is counted once, however many problems a long line has.
    fn placed(&self, list: Vec<Found>) -> Vec<Problem> {
        let (mut counted, mut place) = (0, Place { line: 1, column: 1 });
        let placed = list.into_iter().map(|(at, problem)| {
            let line = self.line(at);
            if line != place.line {
                place = Place { line, column: 1 };
                counted = self.line_starts.get(line.saturating_sub(1)).copied().unwrap_or_default();
            }
            place.column += self.source(counted..at).chars().count();
            counted = at;
            Problem { place: Some(place), ..problem }
        });
        placed.collect()
    }
}

impl<'a> Section<'a> {
    /// The whole file.
    pub(super) fn root(report: &'a Report<'a>, table: &'a DeTable<'a>, keys: &'static [&'static str]) -> Self {
        Self::new(report, String::new(), 0..0, table, keys)
    }

    /// A table with these settings. Its unknown keys are reported here.
    pub(super) fn new(
        report: &'a Report<'a>,
        path: String,
        span: Range<usize>,
        table: &'a DeTable<'a>,
        keys: &'static [&'static str],
    ) -> Self {
        let section = Self { report, path, span, table: Some(table), keys };
        for key in table.keys().filter(|key| !keys.contains(&&**key.get_ref())) {
            let known = match suggestion(key.get_ref(), keys) {
                Some(close) => format!("did you mean {close:?}?"),
                None => format!("settings here are {}", keys.join(", ")),
            };
            report.wrong(key.span().start, &section.key(key.get_ref()), format_args!("is no setting, {known}"));
        }
        section
    }

    /// A setting, if the file has it.
    pub(super) fn field(&self, key: &'static str) -> Option<Field<'a>> {
        debug_assert!(self.keys.contains(&key), "{key} is missing in the list of keys of [{}]", self.path);
        let (name, value) = self.table?.get_key_value(key)?;
        Some(Field::new(self.report, self.key(key), name.span(), value))
    }

    /// A setting that must be there; `right` says what would be right.
    pub(super) fn required(&self, key: &'static str, right: &str) -> Option<Field<'a>> {
        let field = self.field(key);
        if field.is_none() {
            self.missing(key, right);
        }
        field
    }

    /// Reports that a setting is missing, at the table's head.
    pub(super) fn missing(&self, key: &str, right: impl fmt::Display) {
        self.report.wrong(self.span.start, &self.key(key), format_args!("is missing, {right} would be right"));
    }

    /// Reports something about the table as a whole.
    pub(super) fn wrong(&self, text: impl fmt::Display) {
        self.report.wrong(self.span.start, &self.path, text);
    }

    /// Reports what is wrong with a setting that is absent, or that follows from others.
    pub(super) fn wrong_setting(&self, key: &str, text: impl fmt::Display) {
        self.report.wrong(self.span.start, &self.key(key), text);
    }

    /// Reports something worth a second look, about a setting that may be absent.
    pub(super) fn warn(&self, key: &str, text: impl fmt::Display) {
        self.report.warn(self.span.start, &self.key(key), text);
    }

    /// A table below this one. Without it in the file, one that has no settings.
    pub(super) fn section(&self, key: &'static str, keys: &'static [&'static str]) -> Self {
        self.field(key).and_then(|field| field.section(keys)).unwrap_or_else(|| Self {
            report: self.report,
            path: self.key(key),
            span: self.span.clone(),
            table: None,
            keys,
        })
    }

    /// Where problems go.
    pub(super) fn report(&self) -> &'a Report<'a> {
        self.report
    }

    fn key(&self, key: &str) -> String {
        join(&self.path, key)
    }
}

/// The name of a key below a path, written as TOML would have it.
pub(super) fn join(path: &str, key: &str) -> String {
    let bare = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    let dot = if path.is_empty() { "" } else { "." };
    if bare { format!("{path}{dot}{key}") } else { format!("{path}{dot}{key:?}") }
}
