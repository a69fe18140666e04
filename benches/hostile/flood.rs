//! The attackers: a thread of the lowest priority, with connections from many addresses.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{self, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use super::attack::Attack;
use super::settings::Settings;
use super::{Result, attack, idlers, resets};

/// How many connections ask; each has one request under way.
const CONNECTIONS: u32 = 64;
/// How long an answer is waited for before the connection is given up.
const PATIENCE: Duration = Duration::from_secs(5);

/// A flood under way.
pub(super) struct Flooding {
    over: Arc<AtomicBool>,
    thread: JoinHandle<std::result::Result<Flood, String>>,
}

/// What was sent, and what came back.
#[derive(Debug, Default)]
pub(super) struct Flood {
    /// How often each kind was answered by each status; 0 is a connection that was closed without one.
    pub(super) answers: BTreeMap<&'static str, BTreeMap<u16, u64>>,
    pub(super) idlers: u64,
    pub(super) resets: u64,
    pub(super) lasted: Duration,
}

impl Flood {
    pub(super) fn requests(&self) -> u64 {
        self.answers.values().flat_map(BTreeMap::values).sum()
    }

    /// Nothing of it may have been served.
    pub(super) fn check(&self) -> Result<()> {
        let served = |statuses: &BTreeMap<u16, u64>| statuses.keys().any(|status| (200..400).contains(status));
        match self.answers.iter().find(|(_, statuses)| served(statuses)) {
            Some((name, statuses)) => Err(format!("{name} was served: {statuses:?}").into()),
            None => Ok(()),
        }
    }
}

impl Flooding {
    pub(super) fn stop(self) -> Result<Flood> {
        self.over.store(true, Ordering::Relaxed);
        Ok(self.thread.join().map_err(|_| "the flood panicked")??)
    }
}

pub(super) fn start(gateway: SocketAddr, settings: &Settings) -> Result<Flooding> {
    let (over, rate) = (Arc::new(AtomicBool::new(false)), settings.rate);
    let seen = Arc::clone(&over);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let thread = std::thread::spawn(move || {
        give_way();
        runtime.block_on(flood(gateway, rate, seen)).map_err(|error| error.to_string())
    });
    Ok(Flooding { over, thread })
}

/// The honest go first where both run on one processor. Without `renice` the figures are the worse for it, no more.
fn give_way() {
    let thread = std::fs::read_link("/proc/thread-self").unwrap_or_default();
    let id = thread.file_name().map(|id| id.to_string_lossy().into_owned()).unwrap_or(process::id().to_string());
    let _ = Command::new("renice").args(["-n", "19", "-p", &id]).output();
}

async fn flood(gateway: SocketAddr, rate: u32, over: Arc<AtomicBool>) -> Result<Flood> {
    let (kinds, started) = (Arc::new(attack::all(gateway).await?), Instant::now());
    let pace = Duration::from_secs(1) * CONNECTIONS / rate.max(1);
    let asking: Vec<_> = (0..CONNECTIONS)
        .map(|number| tokio::spawn(ask(gateway, number, pace, Arc::clone(&kinds), Arc::clone(&over))))
        .collect();
    let (idlers, resets) =
        tokio::join!(idlers::open(gateway, Arc::clone(&over)), resets::send(gateway, Arc::clone(&over)));
    let mut flood = Flood { idlers, resets, ..Flood::default() };
    for asked in asking {
        for (name, status) in asked.await? {
            *flood.answers.entry(name).or_default().entry(status).or_default() += 1;
        }
    }
    flood.lasted = started.elapsed();
    Ok(flood)
}

/// One connection, renewed whenever it is closed. It keeps to its pace on average, however late an answer is.
async fn ask(
    gateway: SocketAddr,
    number: u32,
    pace: Duration,
    kinds: Arc<Vec<Attack>>,
    over: Arc<AtomicBool>,
) -> Vec<(&'static str, u16)> {
    let (mut answers, mut stream, mut next) = (Vec::new(), None, Instant::now() + pace * number / CONNECTIONS);
    let turns = kinds.iter().cycle().skip(usize::try_from(number).unwrap_or_default());
    for kind in turns.take_while(|_| !over.load(Ordering::Relaxed)) {
        tokio::time::sleep_until(next.into()).await;
        next += pace;
        let asked = tokio::time::timeout(PATIENCE, one(&mut stream, gateway, number, &kind.request)).await;
        let status = asked.ok().and_then(Result::ok).unwrap_or_default();
        if status == 0 {
            stream = None;
        }
        answers.push((kind.name, status));
    }
    answers
}

async fn one(stream: &mut Option<TcpStream>, gateway: SocketAddr, number: u32, request: &[u8]) -> Result<u16> {
    let mut open = match stream.take() {
        Some(open) => open,
        None => connect(gateway, number).await?,
    };
    // The gateway may answer and close before it has read all of it.
    let _ = open.write_all(request).await;
    let (mut answer, mut length) = (Vec::with_capacity(8 * 1024), None);
    loop {
        if let Some((end, body)) = length {
            if answer.len() >= end + body {
                break;
            }
        } else if let Some(end) = answer.windows(4).position(|window| window == b"\r\n\r\n") {
            length = Some((end + 4, field(&answer, "content-length").and_then(|text| text.parse().ok()).unwrap_or(0)));
            continue;
        }
        if open.read_buf(&mut answer).await? == 0 {
            return Err("closed without an answer".into());
        }
    }
    let closes = field(&answer, "connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
    *stream = (!closes).then_some(open);
    Ok(str::from_utf8(answer.get(9..12).unwrap_or_default())?.parse()?)
}

fn field<'a>(answer: &'a [u8], name: &str) -> Option<&'a str> {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = str::from_utf8(answer.get(..end)?).ok()?;
    let mut lines = head.split("\r\n").filter_map(|line| line.split_once(": "));
    lines.find_map(|(line, value)| line.eq_ignore_ascii_case(name).then_some(value))
}

/// From one of a hundred addresses, as attackers have them.
pub(super) async fn connect(gateway: SocketAddr, number: u32) -> Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    let last = u8::try_from(number % 100)? + 100;
    socket.bind((Ipv4Addr::new(127, 0, 0, last), 0).into())?;
    let stream = socket.connect(gateway).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}
