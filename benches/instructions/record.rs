//! The counts that are kept in the repository.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::cases::{AMONG_MANY_ROUTES, OF_THE_GATEWAY};
use super::{Result, report};

/// Instructions of a request, by the name of the case.
pub(super) type Counts = BTreeMap<String, u64>;

const HEAD: &str = "# Instructions of a request, and what they were counted with. tests/instructions.sh compares, and\n\
                    # tests/instructions.sh record writes this file.\n";

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Record {
    pub(super) tools: Tools,
    pub(super) gateway: Counts,
    /// A Pingora without a gateway, if it was counted too.
    #[serde(default)]
    pub(super) bare: Counts,
}

/// What changes the counts although nothing here has changed.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tools {
    pub(super) rustc: String,
    pub(super) c_library: String,
    pub(super) valgrind: String,
}

impl Tools {
    pub(super) fn of_this_machine() -> Result<Self> {
        Ok(Self {
            rustc: report::tool("rustc", "--version")?,
            c_library: report::tool("getconf", "GNU_LIBC_VERSION")?,
            valgrind: report::tool("valgrind", "--version").unwrap_or_else(|_| "none".to_owned()),
        })
    }

    /// Those of `self` that are others now.
    pub(super) fn differences(&self, now: &Self) -> Vec<String> {
        let pairs = [(&self.rustc, &now.rustc), (&self.c_library, &now.c_library), (&self.valgrind, &now.valgrind)];
        let others = pairs.into_iter().filter(|(then, now)| then != now);
        others.map(|(then, now)| format!("recorded with {then}, counted with {now}")).collect()
    }
}

impl Record {
    pub(super) fn of_this_machine(gateway: Counts, bare: Counts) -> Result<Self> {
        Ok(Self { tools: Tools::of_this_machine()?, gateway, bare })
    }

    pub(super) fn read() -> Result<Self> {
        Ok(toml::from_str(&fs::read_to_string(path())?)?)
    }

    pub(super) fn write(&self) -> Result<()> {
        let path = path();
        fs::write(&path, format!("{HEAD}{}", toml::to_string(self)?))?;
        println!("\nrecorded in {}", path.display());
        Ok(())
    }

    /// An error if a case was never recorded.
    pub(super) fn has_all(&self) -> Result<()> {
        match OF_THE_GATEWAY.iter().chain(AMONG_MANY_ROUTES).find(|case| !self.gateway.contains_key(case.name)) {
            Some(case) => Err(format!("{:?} is not recorded: tests/instructions.sh record", case.name).into()),
            None => Ok(()),
        }
    }
}

fn path() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/benches/instructions/recorded.toml"))
}
