//! The real program, started in a folder of its own.

use std::io::Read as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::client::Wire;
use super::wait::{PATIENCE, until};

/// A running gateway. It is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Gateway {
    child: Child,
    folder: TempDir,
    pub(crate) addr: SocketAddr,
    pub(crate) admin: SocketAddr,
    output: Arc<Mutex<Vec<u8>>>,
    reading: Option<JoinHandle<()>>,
    /// What its environment has from the next start on, beside the test's own.
    environment: Vec<(&'static str, String)>,
}

impl Gateway {
    /// Starts one with the configuration that is made for its two addresses, and waits until it is ready.
    pub(crate) fn start(config: &dyn Fn(SocketAddr, SocketAddr) -> String) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (addr, admin) = (free_port(), free_port());
        std::fs::write(folder.path().join("tollgate.toml"), config(addr, admin)).unwrap();
        let (child, output, reading) = run(&folder, &[]);
        let environment = Vec::new();
        let mut gateway = Self { child, folder, addr, admin, output, reading: Some(reading), environment };
        if gateway.is_ready() {
            return gateway;
        }
        let output = gateway.output_at_end();
        // Somebody else was quicker to take the port.
        assert!(output.contains("cannot listen on"), "the gateway did not start: {output}");
        Self::start(config)
    }

    /// Kills it on the spot, as a power cut would, and starts it again on the same files.
    pub(crate) fn crash_and_restart(&mut self) {
        self.child.kill().unwrap();
        self.start_again();
    }

    /// Starts it on the same files after its end.
    pub(crate) fn start_again(&mut self) {
        self.exit();
        self.output_at_end();
        let (child, output, reading) = run(&self.folder, &self.environment);
        (self.child, self.output, self.reading) = (child, output, Some(reading));
        assert!(self.is_ready(), "the gateway did not start again: {}", self.output());
    }

    /// From the next start on, a variable of its environment is this.
    pub(crate) fn has(&mut self, variable: &'static str, value: &str) {
        self.environment.retain(|(name, _)| *name != variable);
        self.environment.push((variable, value.to_owned()));
    }

    pub(crate) fn config_file(&self) -> PathBuf {
        self.folder.path().join("tollgate.toml")
    }

    pub(crate) fn store_file(&self) -> PathBuf {
        self.folder.path().join("tollgate.db")
    }

    /// What it has written to standard error so far.
    pub(crate) fn output(&self) -> String {
        String::from_utf8_lossy(&self.output.lock().unwrap()).into_owned()
    }

    /// Everything that it wrote; waits for its end.
    pub(crate) fn output_at_end(&mut self) -> String {
        if let Some(reading) = self.reading.take() {
            reading.join().unwrap();
        }
        self.output()
    }

    /// Sends a signal, by its name without SIG.
    pub(crate) fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success(), "{kill}");
    }

    /// From now on, the disk is full for it, or has room again: no file of its may be written to at all.
    pub(crate) fn disk_is_full(&self, full: bool) {
        let limit = format!("prlimit --pid {} --fsize={}:", self.child.id(), if full { "0" } else { "unlimited" });
        assert!(Command::new("sh").args(["-c", &limit]).status().unwrap().success(), "{limit}");
    }

    /// Waits for its end.
    pub(crate) fn exit(&mut self) -> ExitStatus {
        let child = &mut self.child;
        until("the gateway's end", || child.try_wait().unwrap())
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// The process's own number.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The memory that it has of the machine, in bytes.
    pub(crate) fn resident(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line on memory");
        line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
    }

    /// A counter on the metrics page: its name with its labels. Zero if it is not there.
    pub(crate) fn metric(&self, name: &str) -> u64 {
        let page = Wire::to(self.admin).get("/metrics", &[]).text();
        let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map_or(0, |number| number.trim().parse().unwrap())
    }

    fn is_ready(&mut self) -> bool {
        until("the gateway's readiness", || {
            if !self.is_running() {
                return Some(false);
            }
            // Its own word first: until then, somebody else may have the port.
            let listening = self.output().contains("listening");
            let open = |addr| TcpStream::connect(addr).is_ok();
            let ready = listening && open(self.addr) && open(self.admin);
            (ready && Wire::to(self.admin).get("/readyz", &[]).status == 200).then_some(true)
        })
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("the gateway's output:\n{}", self.output());
        }
    }
}

/// Runs the program with these arguments in a folder to its end: exit code, standard output, standard error.
#[track_caller]
pub(crate) fn run_to_end(folder: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut child = tollgate(folder, arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let end = Instant::now() + PATIENCE;
    while child.try_wait().unwrap().is_none() && Instant::now() < end {
        thread::sleep(Duration::from_millis(5));
    }
    let ended = child.try_wait().unwrap().is_some();
    let _ = child.kill();
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    assert!(ended, "{arguments:?} does not end: {}", String::from_utf8_lossy(&stderr));
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

/// What is tested: the build beside these tests, or another one that `TOLLGATE_BIN` names.
pub(crate) fn program() -> PathBuf {
    match std::env::var_os("TOLLGATE_BIN") {
        Some(path) => std::path::absolute(path).unwrap(),
        None => env!("CARGO_BIN_EXE_tollgate").into(),
    }
}

fn tollgate(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(program());
    command.args(arguments).current_dir(folder).env_remove("RUST_LOG").stdin(Stdio::null());
    command
}

/// A port that nobody listens on, at this moment. It is none of those that outgoing connections are given.
pub(crate) fn free_port() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    until("a free port", || {
        let process = u16::try_from(std::process::id() % 1000).unwrap();
        let port = 10_000 + (process * 20 + NEXT.fetch_add(1, Ordering::SeqCst)) % 20_000;
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        TcpListener::bind(addr).is_ok().then_some(addr)
    })
}

type Running = (Child, Arc<Mutex<Vec<u8>>>, JoinHandle<()>);

fn run(folder: &TempDir, environment: &[(&str, String)]) -> Running {
    // With the signal ignored, a file that must not grow is an error like a full disk, and not the program's end.
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' XFSZ; exec \"$0\" run tollgate.toml"]).arg(program());
    command.current_dir(folder.path()).env_remove("RUST_LOG").envs(environment.iter().cloned()).stdin(Stdio::null());
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stderr = child.stderr.take().unwrap();
    let output = Arc::new(Mutex::new(Vec::new()));
    let writing = Arc::clone(&output);
    let reading = thread::spawn(move || {
        let mut chunk = [0; 4096];
        while let Ok(count @ 1..) = stderr.read(&mut chunk) {
            writing.lock().unwrap().extend_from_slice(&chunk[..count]);
        }
    });
    (child, output, reading)
}
