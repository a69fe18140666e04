//! What the operator sees: log lines, counters. It takes finished facts and returns nothing to those who gave them.

mod connections;
mod facilitator;
mod logging;
mod metrics;
mod running;
mod sieve;

pub use connections::ConnectionCounters;
pub use facilitator::Timed;
pub use logging::start_logging;
pub use metrics::{Metrics, Outcome};
pub use running::{InFlight, Running};
