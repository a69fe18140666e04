use std::io;

use rustix::process::{Resource, Rlimit, setrlimit};

/// Keeps what this process has in its memory out of every file: the gateway's secret, tokens, the keys of requests.
///
/// No core is dumped, and on Linux no other process of the same user can attach to this one or read its environment,
/// memory and open files in `/proc`. Root still can.
pub(super) fn forbid() -> io::Result<()> {
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    // The limit alone does not hold where cores are piped to a program, as systemd has it.
    #[cfg(target_os = "linux")]
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)?;
    Ok(())
}
