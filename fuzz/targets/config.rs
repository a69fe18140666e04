//! The configuration: read whole or refused with reasons, and what is read makes a price table.

use std::path::Path;

use http::Method;
use tollgate::config::{parse, unchangeable};
use tollgate::pricing::{Kinds, Target};

use super::text;

/// Reads the bytes as a configuration.
pub fn config(data: &[u8]) {
    let Some(text) = text(data) else { return };
    // A configuration names files. Devices that give bytes for ever are the operator's own affair.
    if ["/dev", "/proc", "/sys"].iter().any(|tree| text.contains(tree)) {
        return;
    }
    let read = || parse(text, "t.toml", Path::new("no such directory"), &|_| None);
    let loaded = match read() {
        Ok(loaded) => loaded,
        Err(problems) => {
            assert!(!problems.0.is_empty(), "refused without a reason");
            assert_eq!(problems.to_string(), read().expect_err("the same text").to_string());
            return;
        }
    };
    let config = loaded.config;
    assert!(unchangeable(&config, &config).is_empty(), "a file that has not changed");
    assert_eq!(read().map(|again| again.config).as_ref(), Ok(&config));
    let (table, _) = config.price_table(&Kinds::unknown());
    for path in ["/", "/a", "/a/b/c"] {
        let target = Target::parse(path.as_bytes()).expect("a plain path");
        let _ = table.find(&Method::GET, target.path());
    }
}
