//! nginx with one worker: the upstream of all sides, and one of the sides.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use super::Result;
use super::cpu::ending_with_us;
use super::server::Server;

/// Longer words are refused in its file.
const WORD: usize = 4000;

/// Answers everything with 120 bytes.
pub(super) async fn upstream(addr: SocketAddr, folder: &Path) -> Result<Server> {
    let body = ".".repeat(120);
    let tables =
        format!("server {{ listen {addr}; default_type text/plain; location / {{ return 200 \"{body}\"; }} }}");
    start(ending_with_us("nginx"), addr, folder, "upstream", &tables).await
}

/// Passes everything to the upstream, but for `/paid`: that is answered with 402, a header with a value of so many
/// bytes, and a body of so many.
pub(super) async fn proxy(
    command: Command,
    addr: SocketAddr,
    upstream: SocketAddr,
    folder: &Path,
    [header_bytes, body_bytes]: [usize; 2],
) -> Result<Server> {
    let (header, header_words) = words("h", header_bytes);
    let (body, body_words) = words("b", body_bytes);
    let tables = format!(
        r#"
upstream api {{ server {upstream}; keepalive 256; keepalive_requests 1000000000; keepalive_timeout 1h; }}
server {{
  listen {addr};
  location / {{ proxy_pass http://api; proxy_http_version 1.1; proxy_set_header Connection ""; }}
  location = /paid {{
    default_type application/json;
    {header_words}{body_words}
    add_header PAYMENT-REQUIRED "{header}" always;
    return 402 "{body}";
  }}
}}"#
    );
    start(command, addr, folder, "nginx", &tables).await
}

/// A text of so many bytes, as the variables that it is in pieces in and the lines that set them.
fn words(name: &str, bytes: usize) -> (String, String) {
    let (mut text, mut lines, mut left) = (String::new(), String::new(), bytes);
    for number in 0..bytes.div_ceil(WORD) {
        let length = left.min(WORD);
        left -= length;
        let _ = write!(text, "${{{name}{number}}}");
        let _ = writeln!(lines, "set ${name}{number} \"{}\";", "e".repeat(length));
    }
    (text, lines)
}

async fn start(mut command: Command, addr: SocketAddr, folder: &Path, name: &str, tables: &str) -> Result<Server> {
    let (file, place) = (folder.join(format!("{name}.conf")), folder.display());
    // Without a master the one process is the worker, whose time and memory are looked at.
    let text = format!(
        r#"
daemon off;
master_process off;
worker_processes 1;
pid {place}/{name}.pid;
error_log stderr error;
events {{ worker_connections 4096; }}
http {{
access_log off;
server_tokens off;
keepalive_requests 1000000000;
keepalive_timeout 1h;
client_body_temp_path {place}/{name}.body;
proxy_temp_path {place}/{name}.proxy;
fastcgi_temp_path {place}/{name}.fastcgi;
uwsgi_temp_path {place}/{name}.uwsgi;
scgi_temp_path {place}/{name}.scgi;
{tables}
}}
"#
    );
    fs::write(&file, text)?;
    command.arg("-e").arg("stderr").arg("-p").arg(folder).arg("-c").arg(&file);
    Server::start(command, &[addr], &folder.join(format!("{name}.log"))).await
}
