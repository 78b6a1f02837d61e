//! The server as a whole: what is opened in which order, and how it ends.
//!
//! Place in the flow: the binary and tests start one. Invariant: the address is bound before anything else is touched, so a second
//! server on the same port harms nothing; a data directory belongs to one server at a time.

use std::fs::{File, TryLockError};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;
use weir_model::meter::INTERVAL_SECONDS;
use weir_runtime::checkpoint::store::{Location, Options};
use weir_runtime::connector::log::LogStore;
use weir_runtime::time::{SharedClock, SystemClock};

use crate::catalog::CatalogService;
use crate::config::ServerConfig;
use crate::environment;
use crate::error::{Error, Result};
use crate::http::{self, App};
use crate::meter::Meter;
use crate::statement::{CheckpointPlace, Components, Statements};
use crate::store::Store;

/// How often what waits for time to pass is looked at.
const HOUSEKEEPING: Duration = Duration::from_secs(1);

/// Seconds between two looks for records past their topic's retention (guess, unmeasured).
const RETENTION_SECONDS: u64 = 60;

/// How long requests that are being answered may take when the server ends (guess, unmeasured).
const REQUESTS_END_MAX: Duration = Duration::from_secs(5);

/// Starts servers.
#[derive(Debug)]
pub struct Server;

/// A server that listens.
#[derive(Debug)]
pub struct RunningServer {
    /// Where it listens.
    local_addr: SocketAddr,
    /// What it serves.
    app: App,
    /// Told to end.
    ending: watch::Sender<bool>,
    /// Answers requests.
    serving: JoinHandle<()>,
    /// Looks at the time.
    housekeeping: JoinHandle<()>,
    /// Held as long as the data directory is in use.
    _lock: File,
}

impl Server {
    /// Binds the address, opens the data directory, continues every statement and begins to serve.
    ///
    /// # Errors
    /// `Start` for an address that is in use or not allowed, and for a data directory that is in use or was written by a newer
    /// version; `Storage` for one that cannot be written.
    pub async fn start(config: ServerConfig) -> Result<RunningServer> {
        config.validate()?;
        let listener = bind(config.listen).await?;
        let local_addr = listener
            .local_addr()
            .map_err(|error| Error::Start(format!("cannot listen: {error}")))?;
        let clock = SystemClock::shared();
        let runtime = tokio::runtime::Handle::current();
        let opened = tokio::task::spawn_blocking(move || open(&config, &clock, runtime))
            .await
            .map_err(|error| Error::Internal(format!("the start ended: {error}")))??;
        let (ending, mut told) = watch::channel(false);
        let router = http::router(opened.app.clone(), opened.schema_registry);
        let serving = tokio::spawn(async move {
            let until = async move {
                // An error means that the sender is gone, which is an end too.
                while !*told.borrow_and_update() && told.changed().await.is_ok() {}
            };
            if let Err(error) = axum::serve(listener, router)
                .with_graceful_shutdown(until)
                .await
            {
                tracing::error!(%error, "the listener ended");
            }
        });
        let housekeeping = tokio::spawn(housekeep(opened.app.clone(), ending.subscribe()));
        Ok(RunningServer {
            local_addr,
            app: opened.app,
            ending,
            serving,
            housekeeping,
            _lock: opened.lock,
        })
    }
}

impl RunningServer {
    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// The embedded log, unless topics are in Kafka.
    pub fn log(&self) -> Option<Arc<LogStore>> {
        self.app.catalog.topics().log().cloned()
    }

    /// Statements and pools.
    pub fn statements(&self) -> &Statements {
        &self.app.statements
    }

    /// Ends: every statement takes a last checkpoint and stays wanted, so that the next start continues it.
    pub async fn shutdown(self) {
        let statements = self.app.statements.clone();
        if let Err(error) = tokio::task::spawn_blocking(move || statements.end()).await {
            tracing::error!(%error, "statements could not be stopped");
        }
        self.ending.send_replace(true);
        if let Err(error) = self.housekeeping.await {
            tracing::error!(%error, "housekeeping ended early");
        }
        let abort = self.serving.abort_handle();
        if tokio::time::timeout(REQUESTS_END_MAX, self.serving)
            .await
            .is_err()
        {
            abort.abort();
        }
    }
}

/// What is open.
struct Opened {
    /// What handlers work with.
    app: App,
    /// The Schema Registry's API.
    schema_registry: axum::Router,
    /// Held as long as the data directory is in use.
    lock: File,
}

/// Binds an address.
async fn bind(listen: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(listen).await.map_err(|error| {
        let way_out = if error.kind() == std::io::ErrorKind::AddrInUse {
            "is another weir running? Stop it or choose another port with --listen"
        } else {
            "choose another address with --listen"
        };
        Error::Start(format!("cannot listen on {listen}: {error}; {way_out}"))
    })
}

/// Where checkpoints are kept. Whether the place answers is found out when the first statement starts.
fn checkpoint_place(
    config: &ServerConfig,
    runtime: &tokio::runtime::Handle,
) -> Result<CheckpointPlace> {
    let location = match &config.checkpoint_dir {
        Some(text) => Location::parse(text),
        None => Ok(Location::Local(config.data_dir.join("checkpoints"))),
    };
    let pairs = config.checkpoint_options.iter();
    let options = Options::from_pairs(pairs.map(|(key, value)| (key.as_str(), value.as_str())));
    let unfit = |error: weir_runtime::Error| Error::Start(error.to_string());
    Ok(CheckpointPlace {
        location: location.map_err(unfit)?,
        options: Arc::new(options.map_err(unfit)?),
        runtime: runtime.clone(),
    })
}

/// Opens everything under the data directory. Waits for the disk.
fn open(
    config: &ServerConfig,
    clock: &SharedClock,
    runtime: tokio::runtime::Handle,
) -> Result<Opened> {
    let data_dir = &config.data_dir;
    let lock = lock_data_dir(data_dir)?;
    let checkpoints = checkpoint_place(config, &runtime)?;
    let imports = data_dir.join("imports");
    forget_imports(&imports);
    let store = Arc::new(Store::open(data_dir)?);
    let topics = environment::open_topics(config, clock)?;
    let (registry, schema_registry) = environment::open_registry(config)?;
    let catalog = Arc::new(CatalogService::open(
        Arc::clone(&store),
        topics,
        Arc::clone(&registry),
    )?);
    let environment = environment::build(config, clock, &catalog, registry);
    let statements = Statements::open(
        Components {
            store,
            catalog: Arc::clone(&catalog),
            environment,
            job: config.job.clone(),
            limits: config.state_limits,
            checkpoints,
            spill: data_dir.join("spill"),
            imports,
            clock: Arc::clone(clock),
            runtime,
        },
        config.max_cfu,
    )?;
    Ok(Opened {
        app: App {
            statements,
            catalog,
            meter: Arc::new(Meter::new(clock.now_ms())),
            clock: Arc::clone(clock),
        },
        schema_registry,
        lock,
    })
}

/// Makes the data directory and takes it for this process.
fn lock_data_dir(dir: &Path) -> Result<File> {
    std::fs::create_dir_all(dir).map_err(|error| unwritable(dir, &error))?;
    let path = dir.join("weir.lock");
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(|error| unwritable(dir, &error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::Start(format!(
            "data directory \"{}\" is in use by another weir: stop it or choose another one with --data-dir",
            dir.display()
        ))),
        Err(TryLockError::Error(error)) => Err(unwritable(dir, &error)),
    }
}

/// Removes imports that an earlier server did not finish.
fn forget_imports(dir: &Path) {
    if let Err(error) = std::fs::remove_dir_all(dir)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::warn!(directory = %dir.display(), %error, "unfinished imports are left behind");
    }
}

/// A data directory that refuses.
fn unwritable(dir: &Path, error: &std::io::Error) -> Error {
    Error::Storage(format!(
        "cannot write data directory \"{}\": {error}; choose another one with --data-dir",
        dir.display()
    ))
}

/// Looks at the time until the server ends.
async fn housekeep(app: App, mut ending: watch::Receiver<bool>) {
    let mut ticks = tokio::time::interval(HOUSEKEEPING);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut seconds = 0u64;
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            // An error means that the server is gone, which is an end too.
            _ = ending.changed() => return,
        }
        let looked = app
            .blocking(move |app| {
                app.statements.tick();
                if seconds.is_multiple_of(INTERVAL_SECONDS) {
                    app.statements.observe();
                    app.statements.charge();
                    app.meter.tick(&app.statements);
                }
                if seconds.is_multiple_of(RETENTION_SECONDS)
                    && let Some(log) = app.catalog.topics().log()
                {
                    log.run_retention(app.clock.now_ms())?;
                }
                Ok(())
            })
            .await;
        if let Err(error) = looked {
            tracing::error!(%error, "housekeeping failed");
        }
        seconds += 1;
    }
}
