use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};

use super::sieve::Sieve;
use crate::config::LogFormat;

/// What is written unless `RUST_LOG` says otherwise.
const USUAL: &str = "info,pingora=warn,pingora_core=warn,pingora_proxy=warn,sqlx=warn,hyper=warn";

/// The targets of our own lines, which hold no secret at any level.
const OURS: [&str; 4] = ["tollgate", "payment", "audit", "alert"];

/// The most that dependencies write, whatever `RUST_LOG` says: below this they show headers and bodies, and with them
/// keys, payments and the secrets that are sent to facilitators.
const OTHERS_MAX: LevelFilter = LevelFilter::INFO;

/// Starts writing log lines to standard error. `RUST_LOG` says which; without it everything from `info` on, but of the
/// framework only warnings. Of dependencies, nothing below `info` is ever written, and of what comes again and again
/// only the beginning.
pub fn start_logging(format: LogFormat) {
    let wanted = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(USUAL));
    let sieve = Sieve::default();
    // A second start in one process, as in tests, keeps the first.
    if subscriber(wanted, format, sieve.clone(), std::io::stderr).try_init().is_ok() {
        // Only dependencies write by way of the `log` crate. Below what they may, they are not even asked: the framework
        // has two dozen such lines in a request.
        log::set_max_level(log::max_level().min(log::LevelFilter::Info));
        if let Err(error) = sieve.report() {
            tracing::warn!(%error, "what is left out of the log is counted, but not told there");
        }
    }
}

fn subscriber<W>(wanted: EnvFilter, format: LogFormat, sieve: Sieve, to: W) -> impl Subscriber + Send + Sync
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt::layer().with_writer(to);
    let lines = match format {
        LogFormat::Text => lines.with_ansi(false).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    let most = Targets::new().with_default(OTHERS_MAX).with_targets(OURS.map(|ours| (ours, LevelFilter::TRACE)));
    tracing_subscriber::registry().with(wanted).with(most).with(sieve).with(lines)
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn written(wanted: &str, format: LogFormat, work: impl FnOnce()) -> String {
        let all = Written::default();
        let to = all.clone();
        tracing::subscriber::with_default(
            subscriber(EnvFilter::new(wanted), format, Sieve::default(), move || to.clone()),
            work,
        );
        String::from_utf8(all.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn dependencies_write_nothing_below_info_whatever_is_asked_for() {
        for wanted in ["trace", "debug,h2=trace", "h2::codec=trace,tollgate=trace", "[{header}]=trace"] {
            for format in [LogFormat::Text, LogFormat::Json] {
                let written = written(wanted, format, || {
                    tracing::debug!(target: "h2::codec", header = "secret", "a frame");
                    tracing::trace!(target: "hyper::proto", header = "secret", "a head");
                    tracing::info!(target: "h2::codec", header = "plain", "an event");
                    tracing::trace!(target: "tollgate::proxy", header = "plain", "our own");
                });
                assert!(!written.contains("secret"), "{wanted}: {written}");
                assert!(written.contains("plain"), "{wanted}: {written}");
            }
        }
    }

    #[test]
    fn what_another_machine_has_sent_is_not_quoted() {
        for format in [LogFormat::Text, LogFormat::Json] {
            let written = written("info", format, || {
                tracing::error!(target: "log", "HTTP server fails to read: InvalidHTTPHeader context: buf: GET secret");
                tracing::error!(target: "log", "HTTP server fails to read: plain");
                tracing::error!(target: "tollgate::store", "buf: plain too");
            });
            assert!(!written.contains("secret") && written.contains("plain too"), "{written}");
            assert_eq!(written.lines().count(), 2, "{written}");
        }
    }
}
