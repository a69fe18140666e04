use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use super::listen;
use super::quantity::timeout;
use super::url::Location;
use super::{Surroundings, Unlisted, secret, trusted_proxies};
use crate::config::document::Section;
use crate::config::field::Field;
use crate::config::{ListenAddr, LogFormat, Secret, ServerConfig};
use crate::pricing::Target;

const KEYS: &[&str] = &[
    "listen",
    "public_url",
    "unlisted",
    "admin",
    "admin_token",
    "endpoints",
    "name",
    "quote_ttl",
    "shutdown_timeout",
    "threads",
    "log",
    "trusted_proxies",
];
const UNLISTED: &[(&str, Unlisted)] = &[("free", Unlisted::Free), ("deny", Unlisted::Deny)];
const LOG: &[(&str, LogFormat)] = &[("text", LogFormat::Text), ("json", LogFormat::Json)];
const THREADS_MAX: usize = 1024;
const TOKEN_BYTES_MIN: usize = 16;
const NAME_CHARS_MAX: usize = 100;

/// `[server]`.
pub(super) fn check(root: &Section<'_>, around: &Surroundings<'_>) -> ServerConfig {
    let server = root.section("server", KEYS);
    let (listen, admin) = listen::check(&server, around);
    let public = public_url(&server, &listen);
    let name = server.field("name").and_then(|field| name(&field));
    let unlisted = server.required("unlisted", "\"free\" (forward) or \"deny\" (404)");
    ServerConfig {
        listen,
        admin,
        admin_token: server.field("admin_token").and_then(|field| admin_token(&field, around)),
        public_url: public.url().into(),
        unlisted: unlisted.and_then(|field| field.choice(UNLISTED)).unwrap_or(Unlisted::Deny),
        endpoints: server.field("endpoints").and_then(|field| endpoints(&field)).unwrap_or_else(|| "/x402".into()),
        name: name.unwrap_or_else(|| public.host.into()),
        quote_ttl: timeout(&server, "quote_ttl", Duration::from_secs(300)),
        shutdown_timeout: timeout(&server, "shutdown_timeout", Duration::from_secs(30)),
        threads: server.field("threads").and_then(|field| threads(&field)).unwrap_or_else(processors),
        log: server.field("log").and_then(|field| field.choice(LOG)).unwrap_or(LogFormat::Text),
        trusted_proxies: trusted_proxies::check(&server),
    }
}

fn admin_token(field: &Field<'_>, around: &Surroundings<'_>) -> Option<Secret> {
    let token = secret::read(field, around)?;
    let text = token.reveal();
    if text.len() < TOKEN_BYTES_MIN {
        field.wrong("has less than 16 bytes, \"openssl rand -hex 32\" makes good ones");
    } else if !text.bytes().all(|b| b.is_ascii_graphic()) {
        field.wrong("has a character that no Bearer token can have, \"openssl rand -hex 32\" makes good ones");
    }
    Some(token)
}

fn public_url(server: &Section<'_>, listen: &[ListenAddr]) -> Location {
    let first = listen.first();
    let fallback = Location {
        tls: first.is_some_and(|listen| listen.tls.is_some()),
        host: "localhost".to_owned(),
        port: first.map_or(80, |listen| listen.addr.port()),
        path: String::new(),
    };
    let Some(field) = server.field("public_url") else {
        let url = fallback.url();
        server.warn(
            "public_url",
            format_args!("is missing, so buyers are told {url:?}, which only this machine can reach"),
        );
        return fallback;
    };
    let text = field.text("an origin like \"https://api.example.com\"");
    text.and_then(|text| field.read(Location::origin(text))).unwrap_or(fallback)
}

fn endpoints(field: &Field<'_>) -> Option<Arc<str>> {
    let text = field.text("a path like \"/x402\"")?;
    let is_canonical = Target::parse(text.as_bytes()).is_ok_and(|target| target.path() == text);
    let right = is_canonical && text != "/" && !text.ends_with('/');
    field.read(if right { Ok(text.into()) } else { Err("is not a path like \"/x402\", without a slash at its end") })
}

fn name(field: &Field<'_>) -> Option<Arc<str>> {
    let text = field.text("a name for buyers")?;
    let right = !text.trim().is_empty() && text.chars().count() <= NAME_CHARS_MAX && !text.contains(char::is_control);
    field.read(if right { Ok(text.into()) } else { Err("is not a name of 1 to 100 characters on one line") })
}

fn threads(field: &Field<'_>) -> Option<usize> {
    let text = field.number("a whole number")?;
    let threads = text.parse().ok().filter(|threads| (1..=THREADS_MAX).contains(threads));
    field.read(threads.ok_or("is not a whole number from 1 to 1024"))
}

fn processors() -> usize {
    available_parallelism().map_or(1, usize::from)
}
