//! Where concrete types meet: the store, the facilitator's client, Pingora's services. Nothing is decided here.

mod aside;
mod beside;
mod collectors;
mod core_dump;
mod hints;
mod listening;
mod live;
mod open_files;
mod payers;
mod quota;
mod secret;
mod stop;
mod turn;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use pingora::connectors::TransportConnector;
use pingora::listeners::ListenerConfig;
use pingora::listeners::tls::TlsSettings;
use pingora::protocols::l4::stream::L4BufferSettings;
use pingora::server::configuration::ServerConf;
use pingora::server::{RunArgs, Server};
use pingora::services::listening::Service;
use tokio::runtime::Runtime;

pub use beside::{Beside, open_books};
pub use collectors::facilitator;
pub use stop::Stop;

use self::listening::{Listening, Socket};
use self::live::Keeper;
use self::payers::Doorkeeper;
use self::quota::Bookkeeper;
use self::turn::turn;
use crate::admin::Admin;
use crate::clock::{Clock, SystemClock};
use crate::config::{self, Config, ListenAddr, Loaded, Problems, WatchError, Watcher};
use crate::crash;
use crate::drift::Drift;
use crate::facilitator::SetupError;
use crate::priority::Behind;
use crate::proxy::{Entrance, Gateway, Reception, Snapshot, watch_panics};
use crate::resource_server::{ResourceServer, Secrets};
use crate::store::{Ledger, Retention, SqliteStore, StoreError};
use crate::telemetry::{Metrics, start_logging};
use crate::turns;

/// Read and write buffers of a client connection. A challenge fits the write buffer, so that it is one write.
const BUFFERS: (usize, usize) = (8 * 1024, 8 * 1024);

/// How often changes are heard of that other processes made to keys and plans: a revoked key stops within a second.
const FOLLOW_EVERY: Duration = Duration::from_millis(300);
/// How often it is asked whether a payment of unknown outcome is due.
const RECONCILE_EVERY: Duration = Duration::from_millis(500);
/// How often what is old is let go.
const SWEEP_EVERY: Duration = Duration::from_secs(10);

/// Why the gateway did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The file is wrong.
    #[error("{0}")]
    Config(#[from] Problems),
    /// The secret cannot be read or made.
    #[error("{0}")]
    Secret(#[from] secret::SecretError),
    /// The database cannot be used.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// The facilitator's settings are of no use.
    #[error("facilitator: {0}")]
    Facilitator(#[from] SetupError),
    /// An address is taken, or not ours.
    #[error("cannot listen on {0}: {1}")]
    Listen(SocketAddr, std::io::Error),
    /// Certificates that cannot be used.
    #[error("certificate {0}: {1}")]
    Certificate(String, String),
    /// The machine refuses threads or signals.
    #[error("{0}")]
    Machine(#[from] std::io::Error),
    /// The file cannot be watched.
    #[error("{0}")]
    Watch(#[from] WatchError),
    /// This machine cannot speak TLS.
    #[error("{0}")]
    Tls(#[from] crate::outbound::TlsError),
    /// Two counters have one name.
    #[error("{0}")]
    Metrics(#[from] prometheus::Error),
}

/// Runs the gateway of a configuration file until it is told to stop.
///
/// # Errors
/// [`StartError`] if it cannot start.
pub fn run(path: &Path, stop: Stop) -> Result<(), StartError> {
    crash::arm();
    let undumped = core_dump::forbid();
    // Money moves on threads of its own: tasks there end when the books are closed, not when connections are.
    // One for each processor: requests with payments are served there.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .thread_name("tollgate-money")
        .on_thread_start(|| Behind::Money.step())
        .on_thread_unpark(turns::begin)
        .enable_all()
        .build()?;
    // Before the file is read, so that no change falls between.
    let watcher = runtime.block_on(async { Watcher::new(path) })?;
    let Loaded { mut config, warnings } = config::load(path)?;
    start_logging(config.server.log);
    if let Err(error) = undumped {
        tracing::warn!(%error, "this process can be dumped, with all its secrets");
    }
    warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    // Said before the books are opened, which may take long.
    let addresses = config.server.listen.iter().map(|listen| listen.addr).chain([config.server.admin]);
    addresses.map(Socket::open).try_for_each(|socket| socket.map(drop))?;

    open_files::allow_for(config.connections.max);

    let metrics = Arc::new(Metrics::new()?);
    watch_panics(Arc::clone(&metrics));
    // What has a price is the keeper's.
    let (settings, sold) = (config.settings(), config);
    let config = settings;
    let (server, keeper, store) = runtime.block_on(assemble(path, sold, watcher, &metrics, &runtime))?;
    metrics.started();
    let gateway = Gateway {
        live: keeper.live(),
        server: Arc::clone(&server),
        metrics: Arc::clone(&metrics),
        connector: Arc::new(TransportConnector::new(None)),
    };
    let live = keeper.live();
    let admin = Admin {
        server: Arc::clone(&server),
        metrics: Arc::clone(&metrics),
        live: keeper.live(),
        register: Arc::<SqliteStore>::clone(&store),
        holders: store,
    };
    let books = Bookkeeper::new(Arc::clone(&server), keeper.live(), keeper.events(), &metrics)?;
    let drift = keeper.drift();
    runtime.spawn(keeper.keep());
    runtime.spawn(books.keep());
    runtime.spawn(follow(Arc::clone(&server)));
    runtime.spawn(hints::keep(Arc::clone(&server), Arc::clone(&live)));
    runtime.spawn(reconcile(Arc::clone(&server), live));
    runtime.spawn(sweep(Arc::clone(&server), drift));

    serve(&config, gateway, admin, stop.watch(Arc::clone(&metrics), config.server.shutdown_timeout))?;
    close(&runtime, &server, config.server.shutdown_timeout);
    Ok(())
}

async fn assemble(
    path: &Path,
    config: Config,
    watcher: Watcher,
    metrics: &Arc<Metrics>,
    runtime: &Runtime,
) -> Result<(Arc<ResourceServer>, Keeper, Arc<SqliteStore>), StartError> {
    let secret = Secrets::derive(&secret::load(&config.store.secret)?);
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let kept = &config.store.kept;
    let retention = Retention {
        responses_bytes_max: kept.replay_disk_bytes_max,
        payments: Some(kept.retention),
        usage: Some(config.subscriptions.usage_retention),
    };
    let store = Arc::new(SqliteStore::open(&config.store.path, retention, Arc::clone(&clock)).await?);
    let ledger: Arc<dyn Ledger> = Arc::<SqliteStore>::clone(&store);
    let keys = Arc::<SqliteStore>::clone(&store);
    let server = ResourceServer::new(ledger, keys, &secret, clock, runtime.handle().clone());
    server.accounts().learn_imported().await?;
    let door = Doorkeeper::new(metrics, runtime.handle().clone())?;
    let keeper = Keeper::start(path, config, watcher, Arc::clone(metrics), door).await?;
    Ok((Arc::new(server), keeper, store))
}

/// The public listeners and the operator's, until the watch says stop.
fn serve(config: &Config, gateway: Gateway, admin: Admin, watch: stop::Watch) -> Result<(), StartError> {
    let settings = ServerConf {
        threads: config.server.threads,
        // What is running has ended when the watch speaks.
        grace_period_seconds: Some(0),
        graceful_shutdown_timeout_seconds: Some(0),
        ..ServerConf::default()
    };
    let mut server = Server::new_with_opt_and_conf(None, settings);
    server.bootstrap();
    let entrances = config.server.listen.iter().map(entrance).collect::<Result<_, _>>()?;
    let reception = Reception::new(gateway, &server.configuration, entrances);
    let mut public = Service::new("public".to_owned(), reception);
    let (read, write) = BUFFERS;
    let sockets = config.server.listen.iter().map(|listen| Socket::open(listen.addr));
    let sockets = sockets.collect::<Result<Vec<_>, _>>()?;
    for (Socket { address, .. }, ListenAddr { tls, .. }) in sockets.iter().zip(&config.server.listen) {
        let buffers = L4BufferSettings::new(read, write);
        public.add_listener(ListenerConfig::tcp(address.to_string()).l4_buffer(buffers));
        let public_url = &*config.server.public_url;
        tracing::info!(addr = %address, tls = tls.is_some(), public_url, "listening");
    }
    let mut operator = Service::new("admin".to_owned(), admin);
    operator.threads = Some(1);
    let socket = Socket::open(config.server.admin)?;
    operator.add_tcp(&socket.address.to_string());
    server.add_service(Listening { service: public, sockets });
    server.add_service(Listening { service: operator, sockets: vec![socket] });
    server.run(RunArgs { shutdown_signal: Box::new(watch) });
    Ok(())
}

fn entrance(listen: &ListenAddr) -> Result<Entrance, StartError> {
    let Some(files) = &listen.tls else { return Ok(Entrance { addr: listen.addr, tls: None }) };
    let (cert, key) = (files.cert.display().to_string(), files.key.display().to_string());
    let mut settings = TlsSettings::intermediate(&cert, &key)
        .map_err(|error| StartError::Certificate(cert.clone(), error.to_string()))?;
    settings.enable_h2();
    Ok(Entrance { addr: listen.addr, tls: Some(settings.build()) })
}

async fn follow(server: Arc<ResourceServer>) {
    let mut every = tokio::time::interval(FOLLOW_EVERY);
    loop {
        every.tick().await;
        if let Some(Err(error)) = turn("following", server.accounts().follow()).await {
            tracing::error!(%error, "changes of keys and plans could not be read");
        }
    }
}

/// Ends payments of an unknown outcome, in the background.
async fn reconcile(server: Arc<ResourceServer>, live: Arc<ArcSwap<Snapshot>>) {
    loop {
        let market = Arc::clone(&live.load().market);
        match turn("reconciling", server.reconcile(&market)).await {
            // There may be more that are due.
            Some(Ok(done)) if done.settled + done.voided > 0 => {}
            Some(Ok(_)) | None => tokio::time::sleep(RECONCILE_EVERY).await,
            Some(Err(denial)) => {
                tracing::error!(?denial, "payments could not be reconciled");
                tokio::time::sleep(RECONCILE_EVERY).await;
            }
        }
    }
}

/// Lets go of what need not be kept any longer.
async fn sweep(server: Arc<ResourceServer>, drift: Arc<Drift>) {
    let mut every = tokio::time::interval(SWEEP_EVERY);
    loop {
        every.tick().await;
        match turn("sweeping", server.ledger().sweep()).await {
            Some(Ok(swept)) if swept.payments > 0 => tracing::info!(payments = swept.payments, "payments purged"),
            Some(Ok(_)) | None => {}
            Some(Err(error)) => tracing::error!(%error, "the store could not be swept"),
        }
        let _ = turn("looking at facilitators", async { drift.tick() }).await;
    }
}

/// Waits for payments under way, and closes the books.
fn close(runtime: &Runtime, server: &ResourceServer, patience: Duration) {
    runtime.block_on(async {
        if tokio::time::timeout(patience, server.payments_done()).await.is_err() {
            tracing::error!("payments were under way at the end; the next start finds them in the ledger");
        }
        if let Err(error) = server.accounts().close().await {
            tracing::error!(%error, "the units of the last second could not be written down");
        }
    });
    tracing::info!("stopped");
}
