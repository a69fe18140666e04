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

/// Reads a file, up to a size.
pub(super) fn read(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    let read = std::fs::File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
    if u64::try_from(read).is_ok_and(|read| read > FILE_BYTES_MAX) {
        return Err(std::io::Error::other("it is larger than 64 MiB"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_file_that_is_not_there_is_one_problem() {
        let problems = load(Path::new("no such file.toml")).unwrap_err();
        assert_eq!(problems.to_string(), "no such file.toml: cannot be read: No such file or directory (os error 2)");
    }

    /// The line that the documentation shows.
    #[test]
    fn a_problem_says_where_what_and_what_would_be_right() {
        let text = r#"server = { unlisted = "deny", public_url = "https://api.example.com" }
upstream = { url = "http://127.0.0.1:3000" }
facilitator = { url = "https://x402.org/facilitator" }
pay_to = { base = "0x209693Bc6afc0C5328bA36FaF03C514EF312287C" }
[[routes]]
path  = "/weather"
price = "$0.0000001"
"#;
        let problems = parse(text, "tollgate.toml", Path::new(""), &|_| None).unwrap_err();
        let line = r#"tollgate.toml:7:9 routes[0].price: "$0.0000001" needs 7 decimals, USDC on base has 6"#;
        assert_eq!(problems.to_string(), line);
    }

    #[test]
    fn a_column_counts_characters() {
        let problems = parse("\u{feff}\"é\" = 1; x", "t.toml", Path::new(""), &|_| None).unwrap_err();
        assert!(problems.to_string().starts_with("t.toml:1:"), "{problems}");
        let problems = parse("server = { \"éé\" = 1, nam = 2 }", "t.toml", Path::new(""), &|_| None).unwrap_err();
        assert!(problems.to_string().contains("t.toml:1:22 server.nam: is no setting"), "{problems}");
    }

    /// A right file with something put in somewhere.
    fn mangled() -> impl Strategy<Value = String> {
        let text = include_str!("../../config/everything.toml");
        (0..text.len(), "[ -~\n\t\"é]{0,8}", 0usize..20).prop_map(move |(at, insert, cut)| {
            let at = (0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap();
            let (before, rest) = text.split_at(at);
            let rest: String = rest.chars().skip(cut).collect();
            format!("{before}{insert}{rest}")
        })
    }

    proptest! {
        #[test]
        fn reading_never_panics_and_never_fails_without_a_problem(text in prop_oneof![".*", mangled()]) {
            match parse(&text, "t.toml", Path::new("no such directory"), &|_| None) {
                Err(problems) => prop_assert!(!problems.0.is_empty()),
                Ok(Loaded { config, .. }) => {
                    let file: toml::Table = text.parse().unwrap();
                    let listed = |key| file.get(key).and_then(toml::Value::as_array).map_or(0, Vec::len);
                    prop_assert_eq!(config.routes.len(), listed("routes"));
                    prop_assert_eq!(config.plans.len(), listed("plans"));
                    let pay_to = file.get("pay_to").and_then(toml::Value::as_table).map_or(0, toml::Table::len);
                    prop_assert_eq!(config.receivers.len(), pay_to);
                }
            }
        }
    }
}
