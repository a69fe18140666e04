//! The crowd and its facilitator have threads that stand behind the others: what a keyed request waits for is the gateway,
//! not the next payment of the load, with which it shares a processor.

use std::future::poll_fn;
use std::io;
use std::thread;

use tokio::sync::oneshot;

/// Lowers the priority of the current thread as far as it goes, where a thread has one of its own: at 10 the keyed
/// requests' own thread still waited for milliseconds, which are none of the gateway's.
pub(super) fn step() {
    #[cfg(target_os = "linux")]
    let _ = rustix::process::setpriority_process(None, 19);
}

/// Work that lets the others have the processor before it goes on. A priority is not enough: a thread that wakes up just
/// after it went to sleep is passed over until the next look, and a wave of payments goes on for longer than a keyed
/// request takes.
pub(super) async fn giving_way<F: Future>(work: F) -> F::Output {
    let mut work = Box::pin(work);
    poll_fn(|context| {
        thread::yield_now();
        work.as_mut().poll(context)
    })
    .await
}

/// Runs a future, made there, on a thread of its own; what comes of it is told when it has ended.
pub(super) fn run<T, F>(work: impl FnOnce() -> F + Send + 'static) -> io::Result<oneshot::Receiver<T>>
where
    T: Send + 'static,
    F: Future<Output = T>,
{
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (done, ended) = oneshot::channel();
    thread::spawn(move || {
        step();
        let _ = done.send(runtime.block_on(work()));
    });
    Ok(ended)
}
