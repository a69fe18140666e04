use std::path::Path;
use std::process::ExitCode;

use crate::app::{self, Stop};

pub(super) fn run(file: &Path) -> ExitCode {
    match app::run(file, Stop::default()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
