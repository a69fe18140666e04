//! `tollgate payments export`: page by page, so that books of any size fit.

use std::io::{BufWriter, Write as _, stdout};

use clap::ValueEnum;

use super::filter::FilterArgs;
use super::row::{COLUMNS, Row};
use super::{Failed, Open};
use crate::store::{Books as _, Order};

/// Payments in one read.
const PAGE: u32 = 500;

/// The form of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Format {
    /// RFC 4180, with a line of names.
    Csv,
    /// One object a line.
    Json,
}

pub(super) async fn run(open: &Open, filter: &FilterArgs, limit: Option<u32>, format: Format) -> Result<(), Failed> {
    let mut sink = Sink::new(format)?;
    let (filter, mut left, mut last) = (filter.filter(), limit.unwrap_or(u32::MAX), None);
    while left > 0 {
        let rows = left.min(PAGE);
        let page = open.store.page(&filter, Order::OldestFirst, last.as_ref(), rows).await?;
        for entry in &page {
            sink.put(&Row::new(entry, &open.config))?;
        }
        let read = u32::try_from(page.len()).unwrap_or(u32::MAX);
        // All of them are limitless: only a given limit is used up.
        left = if limit.is_some() { left.saturating_sub(read) } else { left };
        last = page.into_iter().next_back();
        if read < rows {
            break;
        }
    }
    sink.end()
}

/// Where rows go.
enum Sink {
    Csv(Box<csv::Writer<std::io::Stdout>>),
    Json(BufWriter<std::io::Stdout>),
}

impl Sink {
    fn new(format: Format) -> Result<Self, Failed> {
        Ok(match format {
            Format::Csv => {
                let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(stdout());
                writer.write_record(COLUMNS).map_err(io)?;
                Self::Csv(Box::new(writer))
            }
            Format::Json => Self::Json(BufWriter::new(stdout())),
        })
    }

    fn put(&mut self, row: &Row) -> Result<(), Failed> {
        match self {
            Self::Csv(writer) => writer.write_record(row.cells()).map_err(io),
            Self::Json(writer) => put_json(writer, row),
        }
    }

    fn end(self) -> Result<(), Failed> {
        match self {
            Self::Csv(mut writer) => Ok(writer.flush()?),
            Self::Json(mut writer) => Ok(writer.flush()?),
        }
    }
}

/// One JSON object on a line of its own.
pub(super) fn put_json(to: &mut impl std::io::Write, row: &Row) -> Result<(), Failed> {
    serde_json::to_writer(&mut *to, row).map_err(std::io::Error::from)?;
    Ok(to.write_all(b"\n")?)
}

fn io(error: csv::Error) -> Failed {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => Failed::Io(error),
        other => Failed::Io(std::io::Error::other(format!("{other:?}"))),
    }
}
