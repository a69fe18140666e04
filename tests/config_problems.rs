//! Every rule of the configuration file, by broken files and the lines that are printed of them.
//!
//! `tests/config/cases/NAME.toml` is read, and what comes out must be `NAME.txt`. After a change that is meant,
//! `UPDATE=1 cargo test --test config_problems` writes those files anew, for a person to read.

#![allow(clippy::unwrap_used, reason = "this is a test")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use tollgate::config::{Loaded, parse};

// As environment variables have them: in one line.
const CDP_PEM: &str = "-----BEGIN EC PRIVATE KEY-----\\nMDECAQEEIP4TkWgNSEHxF/wVr8qcCtR8oih2RyEAtSnnvuIf9PtkoAoGCCqGSM49\\nAwEH\\n-----END EC PRIVATE KEY-----";
const CDP_P384: &str = "-----BEGIN EC PRIVATE KEY-----\\nMIGkAgEBBDBWPNQQBwqxdFeNG9cZELZKP8/5mnRHTRwwNMmztFTxGoI3thK8uVZw\\nO/aH/N/KPT+gBwYFK4EEACKhZANiAAR7N8BtcviFgAB/6umyv2S5m4VShexE9HZ7\\nfbOrwtNXJFxOkNWDE9pAGB7B3a9/0JgUKzkghyWLzf5tMjB/embUIrmU7FYMDajb\\nQIpVuvcESCUzMIgTYErvdqMSR0nRDug=\\n-----END EC PRIVATE KEY-----";

fn env(name: &str) -> Option<String> {
    let value = match name {
        "TOKEN" => "Bearer abc",
        "BARE_TOKEN" => "abc",
        "RPC_URL" => "https://rpc.example.com/v2/do-not-print-me?key=do-not-print-me",
        "PLAIN_RPC_URL" => "http://rpc.example.com/do-not-print-me",
        "SHORT" => "too short",
        "SPACED" => "do not print me, whatever I am",
        "LONG_TOKEN" => "do-not-print-me-0123456789",
        "EMPTY" => "",
        "CDP_KEY_ID" => "00000000-0000-4000-8000-000000000000",
        "CDP_SECRET" => "ZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmY0tNkEMVbLbc8L6wopSbdVnJQNK8ttvoxTqbMCeOOnRg==",
        "CDP_HALVES" => "ZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmY0tNkEMVbLbc8L6wopSbdVnJQNK8ttvoxTqbMCeOOnAA==",
        "CDP_SEED" => "ZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmY=",
        "CDP_PEM" => CDP_PEM,
        "CDP_P384" => CDP_P384,
        _ => return None,
    };
    Some(value.to_owned())
}

fn printed(path: &Path) -> String {
    let name = path.file_name().unwrap().to_str().unwrap();
    match parse(&fs::read_to_string(path).unwrap(), name, path.parent().unwrap(), &env) {
        Ok(Loaded { warnings, .. }) => warnings.iter().map(|warning| format!("warning: {warning}\n")).collect(),
        Err(problems) => format!("{problems}\n"),
    }
}

#[test]
fn broken_files_are_told_everything_at_once() {
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config/cases");
    let mut wrong = Vec::new();
    // Whatever the umask was where they were checked out.
    for secret in ["lists/secret.txt", "tls/key.pem", "tls/other_key.pem"] {
        let file = cases.parent().unwrap().join(secret);
        fs::set_permissions(file, fs::Permissions::from_mode(0o644)).unwrap();
    }
    for entry in fs::read_dir(cases).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let (printed, expected) = (printed(&path), path.with_extension("txt"));
        assert!(!["ZmZm", "PRIVATE KEY-----\n"].iter().any(|key| printed.contains(key)), "{printed}");
        assert!(!printed.contains("do not print me") && !printed.contains("do-not-print-me"), "{printed}");
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&expected, &printed).unwrap();
        }
        if fs::read_to_string(&expected).unwrap_or_default() != printed {
            wrong.push(format!("{}:\n{printed}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
