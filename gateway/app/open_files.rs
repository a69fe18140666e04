use rustix::process::{Resource, getrlimit, setrlimit};

/// Files beside connections: listeners, the store, timers, and a facilitator's connections that rest.
const OTHERS: u64 = 256 + 1024;

/// Has the system let the process open as many files as it may; warns if so many connections need more. One that is busy
/// needs two, to the client and to the upstream; most of a full house are idle.
pub(super) fn allow_for(connections: u32) {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        limit.current = limit.maximum;
        if let Err(error) = setrlimit(Resource::Nofile, limit) {
            tracing::warn!(%error, "the limit of open files could not be raised");
            limit = getrlimit(Resource::Nofile);
        }
    }
    let wanted = u64::from(connections) + u64::from(connections / 8) + OTHERS;
    if let Some(files) = limit.current.filter(|files| *files < wanted) {
        tracing::warn!(files, wanted, connections, "fewer open files are allowed than connections.max may need");
    }
}
