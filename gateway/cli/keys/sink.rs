//! Where rows go: CSV with a line of names, or one JSON object a line.

use std::io::{BufWriter, Stdout, Write as _, stdout};

use serde_json::{Map, Value};

use super::Failed;
use crate::cli::payments::{Format, harmless};

pub(super) struct Sink {
    columns: Vec<&'static str>,
    to: To,
}

enum To {
    Csv(Box<csv::Writer<Stdout>>),
    Json(BufWriter<Stdout>),
}

impl Sink {
    pub(super) fn new(columns: Vec<&'static str>, format: Format) -> Result<Self, Failed> {
        let to = match format {
            Format::Csv => {
                let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(stdout());
                writer.write_record(&columns)?;
                To::Csv(Box::new(writer))
            }
            Format::Json => To::Json(BufWriter::new(stdout())),
        };
        Ok(Self { columns, to })
    }

    /// Writes a row; its values are in the order of the columns.
    pub(super) fn put(&mut self, row: Vec<Value>) -> Result<(), Failed> {
        match &mut self.to {
            To::Csv(writer) => Ok(writer.write_record(row.iter().map(cell))?),
            To::Json(writer) => {
                let names = self.columns.iter().map(|name| (*name).to_owned());
                let object: Map<_, _> = names.zip(row).collect();
                Ok(writeln!(writer, "{}", Value::Object(object))?)
            }
        }
    }

    pub(super) fn end(self) -> Result<(), Failed> {
        match self.to {
            To::Csv(mut writer) => Ok(writer.flush()?),
            To::Json(mut writer) => Ok(writer.flush()?),
        }
    }
}

/// A cell, safe for a spreadsheet.
fn cell(value: &Value) -> String {
    harmless(match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    })
}
