//! The picture in `gateway/lib.rs`, held: who may use whom, what stays pure, how long a file may be.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::string_slice, clippy::panic, reason = "test code")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Each module and what it may use. A module stands below those that it uses, so nothing here can point up.
const MAY_USE: [(&str, &[&str]); 27] = [
    ("crash", &[]),
    ("money", &[]),
    ("svm", &[]),
    ("clock", &[]),
    ("priority", &[]),
    ("turns", &[]),
    ("memory", &[]),
    ("outbound", &[]),
    ("context", &[]),
    ("x402", &["money"]),
    ("plans", &["money"]),
    ("pricing", &["money", "svm", "x402", "plans"]),
    ("payment", &["money", "svm", "x402", "plans", "pricing"]),
    ("facilitator", &["clock", "outbound", "x402"]),
    ("chain", &["money", "svm", "clock", "outbound", "x402"]),
    ("store", &["money", "clock", "priority", "turns", "x402", "plans", "pricing", "payment"]),
    ("webhook", &["clock", "outbound"]),
    ("screening", &["money", "outbound", "webhook"]),
    ("drift", &["clock", "webhook"]),
    (
        "resource_server",
        &[
            "money",
            "clock",
            "memory",
            "turns",
            "context",
            "x402",
            "plans",
            "pricing",
            "payment",
            "facilitator",
            "chain",
            "store",
            "screening",
            "drift",
        ],
    ),
    // It wraps a facilitator to time it.
    ("telemetry", &["x402", "facilitator"]),
    // It tries whether a key can sign.
    (
        "config",
        &["money", "outbound", "x402", "plans", "pricing", "payment", "facilitator", "screening", "drift", "webhook"],
    ),
    // A facilitator of its own, and the gateway's client to try it with.
    ("sandbox", &["money", "svm", "clock", "x402", "facilitator"]),
    (
        "proxy",
        &[
            "money",
            "clock",
            "context",
            "x402",
            "plans",
            "pricing",
            "payment",
            "store",
            "screening",
            "resource_server",
            "telemetry",
        ],
    ),
    ("admin", &["clock", "plans", "store", "resource_server", "telemetry", "proxy"]),
    (
        "app",
        &[
            "money",
            "clock",
            "priority",
            "turns",
            "outbound",
            "x402",
            "plans",
            "pricing",
            "payment",
            "facilitator",
            "chain",
            "store",
            "screening",
            "drift",
            "webhook",
            "resource_server",
            "telemetry",
            "config",
            "proxy",
            "admin",
        ],
    ),
    (
        "cli",
        &[
            "money",
            "clock",
            "x402",
            "plans",
            "pricing",
            "payment",
            "facilitator",
            "chain",
            "store",
            "screening",
            "webhook",
            "resource_server",
            "telemetry",
            "config",
            "sandbox",
            "proxy",
            "admin",
            "app",
        ],
    ),
];

/// Arrows that are there and are not in the picture. None may be added; one that is gone must be struck here.
const EXCEPTIONS: [(&str, &str); 5] = [
    // `LogFormat` decides on the form of log lines.
    ("telemetry", "config"),
    // `Denial` is counted by its kind, and a `Shortfall` only if a payment was sent.
    ("telemetry", "resource_server"),
    ("telemetry", "screening"),
    ("telemetry", "payment"),
    // `UpstreamConfig` is made into an upstream.
    ("proxy", "config"),
];

/// Stands below everything, so that a point is one word wherever it is put: no arrow of the picture.
const BELOW_ALL: &str = "crash";

/// Values in, values out: no I/O, no clock, no runtime.
const PURE: [&str; 7] = ["money", "svm", "x402", "plans", "pricing", "payment", "context"];

/// The traits, whose implementations beside them do the I/O.
const PURE_FILES: [&str; 3] = ["facilitator/mod.rs", "chain/mod.rs", "store/mod.rs"];

const IMPURE: [&str; 13] = [
    "tokio",
    "pingora",
    "hyper",
    "sqlx",
    "rusqlite",
    "rustls",
    "reqwest",
    "fs::",
    "net::",
    "process::",
    "thread::",
    "SystemTime::now",
    "Instant::now",
];

const LINES_MAX: usize = 400;

/// A file of `gateway/`.
struct Source {
    /// Its path below `gateway/`, for example `money/amount.rs`.
    path: PathBuf,
    text: String,
}

impl Source {
    /// The module at the top that it belongs to. None for `lib.rs` and `main.rs`, which are the map and the start.
    fn module(&self) -> Option<String> {
        let first = self.path.components().next().unwrap().as_os_str().to_str().unwrap();
        let name = first.strip_suffix(".rs").unwrap_or(first);
        (!matches!(name, "lib" | "main")).then(|| name.to_owned())
    }

    /// Its lines, but for those that are comments: the documentation may point anywhere.
    fn code(&self) -> String {
        self.text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
    }

    /// The top modules behind every `crate::…` in it.
    fn used(&self) -> BTreeSet<String> {
        let code = self.code();
        code.split("crate::").skip(1).flat_map(first_names).collect()
    }

    /// How many modules deep it is: 1 for `clock.rs` and `money/mod.rs`, 2 for `money/amount.rs`.
    fn depth(&self) -> usize {
        let is_mod = self.path.file_name().is_some_and(|name| name == "mod.rs");
        self.path.components().count() - usize::from(is_mod)
    }
}

/// The first names of a path's rest: `a::b` gives `a`, `{a::{b, c}, d}` gives `a` and `d`.
fn first_names(rest: &str) -> Vec<String> {
    let name =
        |text: &str| -> String { text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect() };
    let Some(list) = rest.strip_prefix('{') else { return vec![name(rest)] };
    let (mut names, mut depth, mut start) = (Vec::new(), 1, 0);
    for (at, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 || (depth == 1 && c == ',') {
            names.push(name(&list[start..at]));
            start = at + 1;
        }
        if depth == 0 {
            break;
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

fn gateway() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("gateway")
}

fn folders() -> Vec<PathBuf> {
    let mut folders = vec![gateway()];
    let mut next = 0;
    while let Some(folder) = folders.get(next) {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let below: Vec<_> = entries.filter(|path| path.is_dir()).collect();
        folders.extend(below);
        next += 1;
    }
    folders
}

fn sources() -> Vec<Source> {
    let files = folders().into_iter().flat_map(|folder| fs::read_dir(folder).unwrap());
    let files = files.map(|entry| entry.unwrap().path()).filter(|path| path.extension().is_some_and(|ext| ext == "rs"));
    let sources: Vec<_> = files
        .map(|path| Source {
            text: fs::read_to_string(&path).unwrap(),
            path: path.strip_prefix(gateway()).unwrap().to_owned(),
        })
        .collect();
    assert!(sources.len() > 50, "the sources are read from where they are");
    sources
}

/// Every arrow between two modules, with the files that draw it.
fn arrows() -> BTreeMap<(String, String), Vec<String>> {
    let mut arrows: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for source in sources() {
        let Some(from) = source.module() else { continue };
        for to in source.used().into_iter().filter(|to| *to != from && to != BELOW_ALL) {
            arrows.entry((from.clone(), to)).or_default().push(source.path.display().to_string());
        }
    }
    arrows
}

#[test]
fn modules_use_only_what_stands_below_them() {
    let may_use: BTreeMap<_, _> = MAY_USE.into_iter().collect();
    let excepted = |from: &str, to: &str| EXCEPTIONS.contains(&(from, to));
    for ((from, to), files) in arrows() {
        let below = may_use.get(&*from).unwrap_or_else(|| panic!("the picture has no module {from}"));
        assert!(below.contains(&&*to) || excepted(&from, &to), "{from} may not use {to}: {files:?}");
    }
}

#[test]
fn an_exception_that_is_gone_is_struck() {
    let arrows = arrows();
    for (from, to) in EXCEPTIONS {
        assert!(arrows.contains_key(&(from.to_owned(), to.to_owned())), "{from} no longer uses {to}");
    }
}

#[test]
fn the_picture_names_every_module_and_has_no_circle() {
    let drawn: Vec<_> = MAY_USE.iter().map(|(module, _)| *module).collect();
    let there: BTreeSet<_> = sources().iter().filter_map(Source::module).collect();
    assert_eq!(drawn.iter().map(|module| (*module).to_owned()).collect::<BTreeSet<_>>(), there);
    for (place, (module, below)) in MAY_USE.iter().enumerate() {
        for used in *below {
            assert!(drawn[..place].contains(used), "{used} does not stand below {module}");
        }
    }
}

#[test]
fn no_module_climbs_out_of_itself() {
    for source in sources() {
        for line in source.code().lines() {
            let climbs = line.matches("super::").count();
            let climbs = if line.contains("super::super::") { climbs } else { climbs.min(1) };
            // What is indented may stand in a module of tests, one deeper than the file.
            let inside = usize::from(line.starts_with(' '));
            assert!(climbs < source.depth() + inside, "{}: {line}", source.path.display());
        }
    }
}

#[test]
fn the_pure_modules_do_nothing_but_compute() {
    let is_pure = |source: &Source| {
        source.module().is_some_and(|module| PURE.contains(&&*module))
            || PURE_FILES.iter().any(|file| source.path == Path::new(file))
    };
    let pure: Vec<_> = sources().into_iter().filter(is_pure).collect();
    assert!(pure.len() > 30, "only {} files are pure", pure.len());
    for Source { path, text } in pure {
        for word in IMPURE {
            assert!(!text.contains(word), "{}: {word}", path.display());
        }
        let lists = text.match_indices("std::{").map(|(at, _)| text[at..].split(';').next().unwrap());
        for list in lists {
            assert!(
                !["fs", "net", "process", "thread"].iter().any(|name| list.contains(name)),
                "{}: {list}",
                path.display()
            );
        }
    }
    for (module, below) in MAY_USE.iter().filter(|(module, _)| PURE.contains(module)) {
        assert!(below.iter().all(|used| PURE.contains(used)), "{module} is not pure by what it uses");
    }
}

#[test]
fn no_file_is_longer_than_four_hundred_lines() {
    for Source { path, text } in sources() {
        let lines = text.lines().count();
        assert!(lines <= LINES_MAX, "{} has {lines} lines: there are two nouns inside", path.display());
    }
}

#[test]
fn every_folder_says_its_job_in_its_first_line() {
    for folder in folders().into_iter().skip(1).filter(|folder| holds_code(folder)) {
        let text = fs::read_to_string(folder.join("mod.rs")).unwrap_or_default();
        assert!(text.starts_with("//! "), "{} has no mod.rs that says its job", folder.display());
    }
}

fn holds_code(folder: &Path) -> bool {
    let mut files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files.any(|file| file.extension().is_some_and(|extension| extension == "rs"))
}

#[test]
fn the_map_has_a_line_for_each_module() {
    let map = fs::read_to_string(gateway().join("lib.rs")).unwrap();
    for (module, _) in MAY_USE {
        let line = if module == BELOW_ALL { format!("//! | `{module}` |") } else { format!("//! | [`{module}`] |") };
        assert!(map.contains(&line), "the map of lib.rs has no line for {module}");
    }
}

#[test]
fn paths_are_read_in_all_their_forms() {
    assert_eq!(first_names("money::Asset;"), ["money"]);
    assert_eq!(first_names("{money::{Asset, Price}, x402::v2, clock};"), ["money", "x402", "clock"]);
    assert_eq!(first_names("{\n    money,\n    x402,\n}; more, {"), ["money", "x402"]);
}
