//! The service put together: rows, driver, index link, chain, verifier, the two gRPC services.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sp_env::{BoxFuture, Monotonic};
use sp_net::metrics::MetricsPort;
use sp_net::server::{Server, Services};
use sp_net::{Env, NetError, sized};
use sp_proto::v1::scheduler_server::SchedulerServer;
use sp_proto::v1::worker_server::WorkerServer;
use sp_sched_core::{Assigner, Config};
use sp_state::State;
use sp_types::{ResourceTable, SectorSize, SessionId};
use tokio_util::sync::CancellationToken;

use crate::api::{About, Api, ComputeLimits};
use crate::chain::Chain;
use crate::driver::{Driver, DriverError, Handle, Parts, Recording, Tape};
use crate::index::{IndexLink, IndexView, Stores};
use crate::policy::SealingOptions;
use crate::rows::{self, History, RowError, SCHEMA_VERSION, Schema};
use crate::troubles::Troubles;
use crate::verify::Verifier;
use crate::workers::{Admittance, WorkerService};

/// How a scheduler behaves; `ServiceOptions::new` has the defaults.
#[derive(Debug, Clone)]
pub struct ServiceOptions {
    /// Address for workers and operators.
    pub listen: SocketAddr,
    /// The storage index.
    pub index_url: String,
    /// Name of the cluster.
    pub cluster: String,
    /// Network that proofs are for.
    pub network: String,
    /// Actor id of the miner.
    pub miner: u64,
    /// Size of its sectors.
    pub sector_size: SectorSize,
    /// Development parameters are in use.
    pub insecure_parameters: bool,
    /// A worker's lease ends this long after its last renewal.
    pub lease_ms: u64,
    /// Workers renew this often.
    pub heartbeat_ms: u64,
    /// What becomes of sectors, and how many there may be at once.
    pub sealing: SealingOptions,
    /// How work is placed.
    pub placement: Placement,
    /// Where `listen.json` goes; without it nothing is announced.
    pub announce: Option<PathBuf>,
    /// What `sp-ctl info` tells of the built-in workers.
    pub troubles: Troubles,
    /// Where metrics are answered; nowhere by default.
    pub metrics: Option<SocketAddr>,
    /// Finished attempts that are kept.
    pub history_limit: u64,
    /// Where the events that the core sees are recorded; nowhere by default.
    pub recording: Option<Recording>,
    /// The chain holds elections.
    pub elections: bool,
    /// Part of a worker's time that rehearsals of the proving day may take, in percent; 0: there are none.
    pub rehearse_percent: u64,
    /// Longest that one challenge may be read.
    pub read_timeout_ms: u64,
    /// Longest that all challenges of a partition may be read together.
    pub partition_timeout_ms: u64,
    /// Challenges that a worker reads at once; 0: as many as the worker says.
    pub parallel_reads: u32,
    /// The core checks its own laws; so it does where debug assertions are on.
    pub check_laws: bool,
}

/// How work is placed; the default is Lotus's.
#[derive(Debug, Clone)]
pub struct Placement {
    /// Who gets a task of several workers.
    pub assigner: Assigner,
    /// Seed of its draws.
    pub assigner_seed: u64,
    /// Scheduling windows of each worker.
    pub windows: usize,
    /// PC1 waits while so many sectors wait for PC2; 0: as many as its workers suggest.
    pub pc2_backlog: usize,
    /// A group of PC1 waits so long for more members once its first one could start.
    pub group_fill_ms: u64,
    /// Measured memory counts even where it is more than the resource table says.
    pub measured_above_table: bool,
    /// The built-in worker's resources count.
    pub filter_builtin_resources: bool,
    /// Rows of the resource table for the whole cluster.
    pub resources: ResourceTable,
}

impl Default for Placement {
    fn default() -> Self {
        Self {
            assigner: Assigner::default(),
            assigner_seed: 0,
            windows: 2,
            pc2_backlog: 0,
            group_fill_ms: 60_000,
            measured_above_table: false,
            filter_builtin_resources: true,
            resources: ResourceTable::default(),
        }
    }
}

impl Placement {
    fn apply(&self, config: &mut Config) {
        let Self {
            assigner,
            assigner_seed,
            windows,
            pc2_backlog,
            group_fill_ms,
            measured_above_table,
            filter_builtin_resources,
            resources,
        } = self;
        config.assigner = *assigner;
        config.assigner_seed = *assigner_seed;
        config.windows = *windows;
        config.pc2_backlog = *pc2_backlog;
        config.group_fill_ms = *group_fill_ms;
        config.measured_above_table = *measured_above_table;
        config.filter_builtin_resources = *filter_builtin_resources;
        config.resources = resources.clone();
    }
}

/// Why a scheduler cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// Its state cannot be used.
    #[error("the scheduler's state cannot be used: {0}")]
    State(String),
    /// It cannot listen.
    #[error(transparent)]
    Net(#[from] NetError),
    /// What it was asked to record cannot be written.
    #[error("events cannot be recorded to {file}: {source}; name another file, or leave --record-events out")]
    Record {
        /// Where to.
        file: String,
        /// Why not.
        source: std::io::Error,
    },
    /// It must stop: what it decides cannot be made durable.
    #[error("{0}")]
    Driver(String),
}

/// A scheduler that has its state and its port, and does nothing yet.
pub struct Service {
    env: Env,
    options: ServiceOptions,
    session: SessionId,
    compute_limits: ComputeLimits,
    chain: Arc<dyn Chain>,
    state: Arc<dyn State>,
    driver: Driver,
    handle: Handle,
    server: Server,
    metrics: Option<MetricsPort>,
    started: Monotonic,
}

impl ServiceOptions {
    /// The defaults, for a scheduler that listens here and knows this index.
    pub fn new(listen: SocketAddr, index_url: impl Into<String>) -> Self {
        Self {
            listen,
            index_url: index_url.into(),
            cluster: "dev".into(),
            network: "dev".into(),
            miner: 1000,
            sector_size: SectorSize::KiB2,
            insecure_parameters: false,
            lease_ms: 15_000,
            heartbeat_ms: 2_000,
            sealing: SealingOptions::default(),
            placement: Placement::default(),
            announce: None,
            troubles: Troubles::default(),
            metrics: None,
            history_limit: 10_000,
            recording: None,
            elections: false,
            rehearse_percent: 0,
            read_timeout_ms: 60_000,
            partition_timeout_ms: 20 * 60_000,
            parallel_reads: 0,
            check_laws: cfg!(debug_assertions),
        }
    }
}

impl From<RowError> for ServiceError {
    fn from(error: RowError) -> Self {
        Self::State(error.to_string())
    }
}

impl From<DriverError> for ServiceError {
    fn from(error: DriverError) -> Self {
        Self::Driver(error.to_string())
    }
}

impl Service {
    /// Reads the state and takes the port. Boxed, as `run` is: it is compiled here once, and not into every program that
    /// starts a scheduler.
    pub fn open(
        env: Env,
        state: Arc<dyn State>,
        verifier: Arc<dyn Verifier>,
        chain: Arc<dyn Chain>,
        options: ServiceOptions,
    ) -> BoxFuture<Result<Self, ServiceError>> {
        Box::pin(Self::opened(env, state, verifier, chain, options))
    }

    /// Serves until `shutdown` completes, then drains. Ends early, with an error, when a decision cannot be made durable.
    pub fn run(self, shutdown: BoxFuture<()>) -> BoxFuture<Result<(), ServiceError>> {
        Box::pin(self.serve(shutdown))
    }

    async fn opened(
        env: Env,
        state: Arc<dyn State>,
        verifier: Arc<dyn Verifier>,
        chain: Arc<dyn Chain>,
        options: ServiceOptions,
    ) -> Result<Self, ServiceError> {
        let started = env.clock.monotonic();
        let mut ticket_secret = [0; 32];
        env.entropy.fill(&mut ticket_secret);
        let ServiceOptions { cluster, miner, sector_size, .. } = options.clone();
        let owner = Schema { version: SCHEMA_VERSION, cluster, miner, sector_size, ticket_secret };
        let reading = state.clone();
        let keep = options.history_limit;
        let open = move || {
            let (schema, rows) = rows::open(reading.as_ref(), owner)?;
            Ok::<_, RowError>((schema, rows, History::open(reading.as_ref(), keep)?))
        };
        let (schema, rows, history) = env.blocking(open).await?;
        let mut config = Config::new(miner, sector_size, schema.ticket_secret);
        config.lease_ms = options.lease_ms;
        config.check_laws = options.check_laws;
        config.elections = options.elections;
        config.rehearse_percent = options.rehearse_percent;
        config.read_timeout_ms = options.read_timeout_ms;
        config.partition_timeout_ms = options.partition_timeout_ms;
        config.parallel_reads = options.parallel_reads;
        options.sealing.set(&mut config);
        options.placement.apply(&mut config);
        let compute_limits = ComputeLimits::of(&config);
        let session = SessionId::new(env.uuid()).expect("a UUID is a valid id");
        let heartbeat_ms = options.heartbeat_ms;
        tracing::info!(%session, sectors = rows.sectors.len(), tasks = rows.tasks.len(), "state read");
        let tape = match options.recording.clone() {
            None => None,
            Some(recording) => {
                let file = recording.file.display().to_string();
                Some(Tape::open(&env, recording).await.map_err(|source| ServiceError::Record { file, source })?)
            }
        };
        let parts = Parts {
            env: env.clone(),
            config,
            rows,
            history,
            session: session.clone(),
            state: state.clone(),
            verifier,
            chain: chain.clone(),
            heartbeat_ms,
            tape,
        };
        let (driver, handle) = Driver::new(parts);
        let refusals = driver.metrics().refusals().clone();
        let mut builder = Server::builder(&env, "sp-scheduler", options.listen).refusals(&refusals);
        if let Some(dir) = &options.announce {
            builder = builder.announce(Some(dir.clone()));
        }
        let server = builder.bind().await?;
        let metrics = match options.metrics {
            None => None,
            Some(address) => Some(MetricsPort::bind(&env, address).await?),
        };
        Ok(Self { env, options, session, compute_limits, chain, state, driver, handle, server, metrics, started })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Where metrics are answered.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics.as_ref().map(MetricsPort::address)
    }

    async fn serve(self, shutdown: BoxFuture<()>) -> Result<(), ServiceError> {
        let Self { env, options, session, compute_limits, chain, state, driver, handle, server, metrics, started } =
            self;
        let stopping = CancellationToken::new();
        let _stop = stopping.clone().drop_guard();
        let stores = Stores::default();
        let link = IndexLink {
            env: env.clone(),
            url: options.index_url.clone(),
            cluster: options.cluster.clone(),
            session,
            miner: options.miner,
            driver: handle.clone(),
            stores: stores.clone(),
            stopping: stopping.clone(),
        };
        drop(env.tasks.spawn("index link", Box::pin(link.run())));
        drop(env.tasks.spawn("epochs", Box::pin(feed_epochs(chain.clone(), handle.clone(), stopping.clone()))));
        if let Some(port) = metrics {
            let serve = port.serve(driver.metrics().page(), stopping.clone());
            drop(env.tasks.spawn("metrics", Box::pin(serve)));
        }
        let admittance = Admittance {
            cluster: options.cluster.clone(),
            protocol_minor: sp_proto::PROTOCOL_MINOR,
            sector_size: options.sector_size,
        };
        let workers = WorkerService::new(env.clone(), handle.clone(), admittance, stopping.clone());
        let about = About::new(&options, started);
        let index = IndexView::new(env.clone(), options.index_url.clone(), stores);
        let api = Api::new(env.clone(), handle, chain, state, index, about, compute_limits);
        let services = Services::new().with(sized!(WorkerServer::new(workers))).with(sized!(SchedulerServer::new(api)));

        // The driver outlives the drain a little, so that calls in progress get their answers.
        let driving = CancellationToken::new();
        let _drive = driving.clone().drop_guard();
        let (ended, mut driver_end) = tokio::sync::oneshot::channel();
        let drive = driver.run(driving.clone());
        let run = async move {
            // Received below, unless the whole service was dropped.
            let _ = ended.send(drive.await);
        };
        drop(env.tasks.spawn("driver", Box::pin(run)));
        let stop = stopping.clone();
        let signal = async move {
            tokio::select! {
                biased;
                () = shutdown => {}
                () = stop.cancelled() => {}
            }
            stop.cancel();
        };
        let mut serving = std::pin::pin!(server.serve(services, signal));
        tokio::select! {
            biased;
            served = &mut serving => {
                served?;
                driving.cancel();
                let end = env.timeout(Duration::from_secs(30), driver_end).await;
                end.map_err(|e| ServiceError::Driver(format!("the last commit hangs: {e}")))?
            }
            // Nothing that was not made durable may be answered: no drain.
            end = &mut driver_end => end,
        }
        .map_err(|_| ServiceError::Driver("the driver panicked; its log says where".into()))?
        .map_err(ServiceError::from)
    }
}

/// Tells the core of every new epoch.
async fn feed_epochs(chain: Arc<dyn Chain>, driver: Handle, stopping: CancellationToken) {
    let mut head = chain.head();
    loop {
        if driver.event(sp_sched_core::event::Event::Epoch(head)).await.is_err() {
            return;
        }
        tokio::select! {
            biased;
            () = stopping.cancelled() => return,
            newer = chain.after(head) => head = newer,
        }
    }
}
