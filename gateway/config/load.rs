use std::io::Read as _;
use std::path::Path;

use toml::de::DeTable;

use super::Config;
use super::check::{self, SECTIONS, Surroundings};
use super::document::{Report, Section};
use super::problem::{Problem, Problems};

/// The largest file that is read: room for some hundred thousand routes.
const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// A file without problems.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// What it says.
    pub config: Config,
    /// What deserves a second look.
    pub warnings: Vec<Problem>,
}

/// Reads and checks a file. Relative paths in it start from its own directory.
///
/// # Errors
/// Everything that is wrong with it, at once.
pub fn load(path: &Path) -> Result<Loaded, Problems> {
    let name = path.display().to_string();
    let text = read(path).map_err(|error| {
        let text = format!("cannot be read: {error}");
        Problems(vec![Problem { file: name.as_str().into(), place: None, key: String::new(), text }])
    })?;
    let directory = path.parent().unwrap_or(Path::new(""));
    parse(&text, &name, directory, &|variable| std::env::var(variable).ok())
}

/// Checks the text of a file. `directory` is where relative paths start, `env` knows the environment's variables.
///
/// # Errors
/// Everything that is wrong with it, at once.
pub fn parse(
    text: &str,
    file: &str,
    directory: &Path,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Loaded, Problems> {
    let report = Report::new(file, text);
    let (document, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        // What could be rescued of a broken text is not what was meant: checking it would only add noise.
        report.syntax(errors);
        return Err(report.finish().err().unwrap_or(Problems(Vec::new())));
    }
    let root = Section::root(&report, document.get_ref(), SECTIONS);
    let config = check::config(&root, &Surroundings { directory, env });
    report.finish().map(|warnings| Loaded { config, warnings })
}

fn read(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    let read = std::fs::File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
    if u64::try_from(read).is_ok_and(|read| read > FILE_BYTES_MAX) {
        return Err(std::io::Error::other("it is larger than 64 MiB"));
    }
    Ok(text)
}
