//! Points at which a test ends the process on the spot, or has the code panic, to see that no payment is charged twice
//! or served free.
//!
//! They are there only with the feature `crash-points`; without it `crash_point!` is nothing, not even its name. With
//! it, the environment says which one strikes and when: `FAILPOINTS="settle.journaled=3*off->1*return"` ends the
//! process at the fourth passing of that point, `1*return(panic)` panics at the first, and `1*sleep(300)` takes its
//! time. `tests/crash` is who ends processes, `tests/faults` is who has them panic.

#[cfg(feature = "crash-points")]
macro_rules! crash_point {
    ($name:literal) => {
        $crate::crash::passing($name)
    };
}

#[cfg(not(feature = "crash-points"))]
macro_rules! crash_point {
    ($name:literal) => {};
}

pub(crate) use crash_point;

/// Reads the environment. To be called once, before the first point is passed.
#[cfg(feature = "crash-points")]
pub(crate) fn arm() {
    // What it gives disarms the points when it is dropped.
    std::mem::forget(fail::FailScenario::setup());
}

#[cfg(not(feature = "crash-points"))]
pub(crate) fn arm() {}

/// Ends the process if the environment says so, or panics.
///
/// An abort is as good as `kill -9` here: no destructor runs, nothing is flushed, no task gets another turn, and the
/// system closes files and connections as they are. What SQLite has synced is there, what it has not is as torn as it
/// would be; a power cut, which also loses what the system had not written yet, is more than either.
#[cfg(feature = "crash-points")]
pub(crate) fn passing(point: &str) {
    fail::fail_point!(point, |how| strike(point, how.as_deref()));
}

#[cfg(feature = "crash-points")]
#[allow(clippy::panic, reason = "it is what is tried")]
fn strike(point: &str, how: Option<&str>) {
    if how != Some("panic") {
        std::process::abort();
    }
    // For the test, which has to know that it came this far.
    eprintln!("struck: {point}");
    std::panic::panic_any(point.to_owned());
}
