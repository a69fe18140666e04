use std::fmt;
use std::sync::Arc;

/// How many problems are shown of a file; more than that are one mistake made often.
const SHOWN_MAX: usize = 200;

/// One thing that is wrong with a file, or worth a second look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file, as it was named on the command line.
    pub file: Arc<str>,
    /// Where in the file; none if it is about the file as a whole.
    pub place: Option<Place>,
    /// The setting's name, for example `routes[2].price`; empty if the text is no TOML at that place.
    pub key: String,
    /// What is wrong and what would be right.
    pub text: String,
}

/// A place in a file, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The line.
    pub line: usize,
    /// The column, in characters.
    pub column: usize,
}

/// All that is wrong with a file, in the order of its lines.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(Place { line, column }) = self.place {
            write!(f, ":{line}:{column}")?;
        }
        match (self.key.as_str(), self.place) {
            ("", None) => write!(f, ": {}", self.text),
            ("", Some(_)) => write!(f, " {}", self.text),
            (key, _) => write!(f, " {key}: {}", self.text),
        }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().take(SHOWN_MAX).enumerate() {
            write!(f, "{}{problem}", if index == 0 { "" } else { "\n" })?;
        }
        match self.0.len().saturating_sub(SHOWN_MAX) {
            0 => Ok(()),
            more => write!(f, "\n… and {more} more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(place: Option<Place>, key: &str) -> Problem {
        Problem { file: "tollgate.toml".into(), place, key: key.to_owned(), text: "is wrong".to_owned() }
    }

    #[test]
    fn a_problem_is_one_line_that_editors_can_jump_to() {
        let place = Some(Place { line: 14, column: 9 });
        assert_eq!(problem(place, "routes[2].price").to_string(), "tollgate.toml:14:9 routes[2].price: is wrong");
        assert_eq!(problem(place, "").to_string(), "tollgate.toml:14:9 is wrong");
        assert_eq!(problem(None, "").to_string(), "tollgate.toml: is wrong");
    }

    #[test]
    fn a_mistake_made_often_does_not_fill_the_screen() {
        let problems = Problems(vec![problem(None, ""); SHOWN_MAX + 5]);
        let text = problems.to_string();
        assert_eq!(text.lines().count(), SHOWN_MAX + 1);
        assert!(text.ends_with("… and 5 more"));
    }
}
