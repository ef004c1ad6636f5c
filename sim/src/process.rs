//! The processes of a run: how each is started on its host, what of it outlives a kill, and how it is killed.

use std::collections::BTreeMap;
use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use scheduler::{LocalChain, LocalChainOptions};
use sp_net::Env;
use sp_sectors::{Loss, MemDisk};
use sp_state::{Memory, State};
use sp_types::{
    DeadlineIndex, HostCapacity, HostId, RegisteredSealProof, ResourceTable, SectorSize, TaskKind, WorkerLimits,
};
use sp_worker::Worker;
use tokio::sync::Notify;

use crate::env::env;
use crate::fake::{FakeExecutor, FakeVerifier, Made, Mishaps, Started};
use crate::rng::Rng;

/// The miner of every run.
pub const MINER: u64 = 1000;

/// Where services listen.
pub const INDEX_URL: &str = "http://index:1789";
/// The same for the scheduler.
pub const SCHEDULER_URL: &str = "http://scheduler:1790";
const WORKER_PORT: u16 = 1791;

/// Data directory of a worker on its simulated disk; its store lies below it.
pub const DATA_DIR: &str = "/data";
const CLUSTER: &str = "sim";
const EPOCH_MS: u64 = 500;

/// Clocks of hosts differ by up to this much.
const CLOCK_SKEW_MS: u64 = 30_000;

/// How a process ends.
pub type Ended = Result<(), Box<dyn Error>>;

/// What a process is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// The storage index.
    Index,
    /// The scheduler.
    Scheduler,
    /// A worker that does these tasks.
    Worker(Vec<TaskKind>),
}

/// What the processes of a run share that no process has: what the fakes know, and whether they misbehave.
#[derive(Clone, Default)]
pub struct Stage {
    /// Replicas made.
    pub made: Made,
    /// Executors die and lie while it is set.
    pub mishaps: Mishaps,
    /// Executor starts of the whole run.
    pub started: Started,
}

/// One host with its one process, which may be started many times.
pub struct Process {
    /// Name of the host.
    pub name: &'static str,
    /// What runs on it.
    pub role: Role,
    /// Disk of a worker.
    pub disk: MemDisk,
    rows: Memory,
    seed: u64,
    skew_ms: u64,
    stage: Stage,
    starts: AtomicU64,
    boots: AtomicU64,
    /// Of the run that is on.
    alive: Mutex<Arc<AtomicBool>>,
    stop: Notify,
}

impl Process {
    /// A process that has never been started.
    pub fn new(name: &'static str, role: Role, seed: u64, stage: &Stage) -> Arc<Self> {
        Arc::new(Self {
            name,
            role,
            disk: MemDisk::default(),
            rows: Memory::new(),
            seed,
            skew_ms: Rng::new(seed, name, 0).range(0, CLOCK_SKEW_MS),
            stage: stage.clone(),
            starts: AtomicU64::new(0),
            boots: AtomicU64::new(0),
            alive: Mutex::default(),
            stop: Notify::new(),
        })
    }

    /// How often it was started.
    pub fn starts(&self) -> u64 {
        self.starts.load(Ordering::SeqCst)
    }

    /// Asks it to stop in good order.
    pub fn ask_to_stop(&self) {
        self.stop.notify_waiters();
    }

    /// Call before the simulated kill: what destructors do from here on reaches neither state nor disk.
    pub fn die(&self) {
        self.alive.lock().unwrap_or_else(PoisonError::into_inner).store(false, Ordering::SeqCst);
        self.disk.fail_after(0);
    }

    /// Call after it: the disk is there again, less what is lost. A loss means that the machine has booted.
    pub fn lose(&self, loss: Loss) {
        self.boots.fetch_add(u64::from(loss != Loss::Nothing), Ordering::SeqCst);
        self.disk.crash(loss);
    }

    /// Runs it until it is asked to stop, or killed.
    pub async fn run(self: Arc<Self>) -> Ended {
        let start = self.starts.fetch_add(1, Ordering::SeqCst);
        let alive = Arc::new(AtomicBool::new(true));
        *self.alive.lock().unwrap_or_else(PoisonError::into_inner) = alive.clone();
        let env = env(self.name, Rng::new(self.seed, self.name, start + 1), self.skew_ms);
        let state = Arc::new(crate::state::Held::new(&self.rows, &alive));
        match self.role.clone() {
            Role::Index => self.index(env, state).await,
            Role::Scheduler => self.scheduler(env, state).await,
            Role::Worker(tasks) => self.worker(env, tasks).await,
        }
    }

    /// Machine and boot, as real workers say it.
    fn host_id(&self) -> Result<HostId, sp_types::BadId> {
        let machine = self.name.replace('-', "");
        HostId::new(format!("{machine}-{}", self.boots.load(Ordering::SeqCst)))
    }

    fn stopped(self: &Arc<Self>) -> impl Future<Output = ()> + Send + 'static {
        let this = self.clone();
        async move { this.stop.notified().await }
    }

    async fn index(self: Arc<Self>, env: Env, state: Arc<dyn State>) -> Ended {
        let options = storage_index::Options::new(CLUSTER, any(1789));
        let running = storage_index::Service::new(env, state, options)?.bind().await?;
        Ok(running.serve(self.stopped()).await?)
    }

    async fn scheduler(self: Arc<Self>, env: Env, state: Arc<dyn State>) -> Ended {
        let chain = LocalChainOptions {
            miner: MINER,
            epoch_ms: EPOCH_MS,
            seed_delay_epochs: 4,
            pack_deadline: Some(DeadlineIndex(3)),
        };
        let chain = Arc::new(LocalChain::open(&env, state.clone(), chain).await?);
        let verifier = Arc::new(FakeVerifier { env: env.clone(), made: self.stage.made.clone() });
        let options = scheduler::ServiceOptions {
            cluster: CLUSTER.into(),
            miner: MINER,
            ..scheduler::ServiceOptions::new(any(1790), INDEX_URL)
        };
        let service = scheduler::Service::new(env, state, verifier, chain, options).await?;
        Ok(service.run(self.stopped()).await?)
    }

    async fn worker(self: Arc<Self>, env: Env, tasks: Vec<TaskKind>) -> Ended {
        let Stage { made, mishaps, started } = self.stage.clone();
        let disk = Arc::new(self.disk.clone());
        let executor = FakeExecutor { env: env.clone(), disk: disk.clone(), made, mishaps, started };
        let options = sp_worker::Options {
            service: "sp-sealing-worker",
            name: self.name.into(),
            cluster: CLUSTER.into(),
            scheduler: SCHEDULER_URL.into(),
            index: INDEX_URL.into(),
            data_dir: PathBuf::from(DATA_DIR),
            home: PathBuf::from("/home"),
            listen: any(WORKER_PORT),
            announce: false,
            local_storage: true,
            parallel_fetch_limit: 5,
            tasks,
            seal_proofs: vec![RegisteredSealProof::v1_1(SectorSize::KiB2)],
            resources: ResourceTable::default(),
            builtin: false,
            post_parallel_reads: 0,
            post_read_timeout: Duration::ZERO,
            host: self.host_id()?,
            pid: 1,
            build: "sim".into(),
            capacity: Arc::new(|| HostCapacity { memory_bytes: 64 << 30, cpus: 8, ..HostCapacity::default() }),
            limits: WorkerLimits::default(),
        };
        let worker = Worker::new(env, disk, Arc::new(executor), options).await?;
        Ok(worker.run(self.stopped()).await?)
    }
}

fn any(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))
}

/// The processes of a run by name. In one run of two the workers share the phases, so that data must move; in the other
/// each does all.
pub fn cast(seed: u64, stage: &Stage) -> BTreeMap<&'static str, Arc<Process>> {
    use TaskKind as T;
    let all = vec![T::AddPiece, T::PreCommit1, T::PreCommit2, T::Commit1, T::Commit2, T::Finalize];
    let (a, b) = if seed.is_multiple_of(2) { (all[..2].to_vec(), all[2..].to_vec()) } else { (all.clone(), all) };
    let roles = [
        ("index", Role::Index),
        ("scheduler", Role::Scheduler),
        ("worker-a", Role::Worker(a)),
        ("worker-b", Role::Worker(b)),
    ];
    roles.map(|(name, role)| (name, Process::new(name, role, seed, stage))).into()
}
