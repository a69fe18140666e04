//! The parts of a gateway for the operator's commands, beside the gateway that may be running.

use std::sync::Arc;

use tokio::runtime::Handle;

use super::collectors::Collectors;
use super::live::market;
use super::payers::Doorkeeper;
use super::{StartError, secret};
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::resource_server::{Market, ResourceServer, Secrets};
use crate::store::{Ledger, SqliteStore};
use crate::telemetry::Metrics;

/// Whoever can end a payment: a resource server that serves nobody.
pub struct Beside {
    /// It asks, sells and writes down, as the gateway's own does.
    pub server: Arc<ResourceServer>,
    /// Who is asked: the facilitator and the chains of the file.
    pub market: Arc<Market>,
}

/// Opens the books of a configuration. A gateway that runs on them is not disturbed.
///
/// # Errors
/// [`StartError::Store`] if there are none, or if they are those of another version.
pub async fn open_books(config: &Config) -> Result<Arc<SqliteStore>, StartError> {
    Ok(Arc::new(SqliteStore::open_beside(&config.store.path, Arc::new(SystemClock)).await?))
}

impl Beside {
    /// Puts the parts together on books that are open.
    ///
    /// # Errors
    /// [`StartError`] if the secret is not there, or the facilitator's settings are of no use.
    pub fn assemble(config: &Config, store: &Arc<SqliteStore>) -> Result<Self, StartError> {
        let secret = Secrets::derive(&secret::existing(&config.store.secret)?);
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let ledger: Arc<dyn Ledger> = Arc::<SqliteStore>::clone(store);
        let server = ResourceServer::new(ledger, Arc::<SqliteStore>::clone(store), &secret, clock, Handle::current());
        // Nobody reads these counters.
        let metrics = Arc::new(Metrics::new()?);
        let mut collectors = Collectors::new(Arc::clone(&metrics));
        collectors.take(collectors.prepare(config)?);
        let door = Doorkeeper::new(&metrics, Handle::current())?;
        let (prices, _) = config.price_table(&collectors.kinds());
        Ok(Self { server: Arc::new(server), market: market(config, prices, &collectors, &door) })
    }
}
