//! The processes of a run: how each is started on its host, what of it outlives a kill, and how it is killed.

use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use scheduler::{Assignment, LocalChain, LocalChainOptions};
use sp_net::Env;
use sp_sectors::{Disk, LocalPath, Loss, MemDisk, StorageConfig, Store, StoreError, StoreMeta};
use sp_state::Batch;
use sp_types::{DeadlineIndex, HostCapacity, RegisteredSealProof, SectorSize, StoreId, WorkerLimits};
use sp_worker::Worker;
use tokio::sync::Notify;

use crate::cast::{Part, Sealing, Uses};
use crate::day::Day;
use crate::disk::{FlakyDisk, Trouble};
use crate::env::{env, with_clock_of};
use crate::fake::{FakeExecutor, FakeVerifier, MoodyChain};
use crate::machine::Machine;
use crate::relay::relayed;
use crate::rng::Rng;
use crate::stage::{Mood, Stage};
use crate::vault::Vault;

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

/// Streams of chance for relays are numbered from here, apart from those of their processes.
const RELAY: u64 = 1 << 32;

/// How a process ends.
pub type Ended = Result<(), Box<dyn Error>>;

/// What a process is.
#[derive(Debug, Clone)]
pub enum Role {
    /// The storage index.
    Index,
    /// The scheduler, in a run or in a day.
    Scheduler(Sealing, Option<Day>),
    /// A worker.
    Worker(Part, HostCapacity),
}

/// What the processes of a run have in common.
#[derive(Clone, Copy)]
pub struct Run<'a> {
    /// Its seed.
    pub seed: u64,
    /// Messages pass through relays.
    pub is_relayed: bool,
    /// Everything shared.
    pub stage: &'a Stage,
}

/// One host with its one process, which may be started many times.
pub struct Process {
    /// Name of the host.
    pub name: &'static str,
    /// The machine that it runs on.
    pub machine: Arc<Machine>,
    /// What is wrong with its disk.
    pub trouble: Arc<Trouble>,
    role: Role,
    /// Disk of a worker.
    disk: FlakyDisk,
    /// State of a service.
    vault: Arc<Vault>,
    seed: u64,
    /// What it says and hears passes through a relay.
    is_relayed: bool,
    stage: Stage,
    starts: AtomicU64,
    stop: Notify,
}

impl Process {
    /// A process that has never been started.
    pub fn new(name: &'static str, machine: &Arc<Machine>, role: Role, run: &Run<'_>) -> Arc<Self> {
        let Run { seed, is_relayed, stage } = *run;
        let trouble = Arc::new(Trouble::default());
        Arc::new(Self {
            name,
            machine: machine.clone(),
            role,
            disk: FlakyDisk { below: MemDisk::default(), trouble: trouble.clone() },
            vault: Vault::new(name, &trouble, &stage.watch),
            trouble,
            seed,
            is_relayed,
            stage: stage.clone(),
            starts: AtomicU64::new(0),
            stop: Notify::new(),
        })
    }

    /// How often it was started.
    pub fn starts(&self) -> u64 {
        self.starts.load(Ordering::SeqCst)
    }

    /// Its files, as they are, whether the process lives or not.
    pub fn files(&self) -> &MemDisk {
        &self.disk.below
    }

    /// Its state is lost as a whole. Only that of the index may be.
    pub fn lose_state(&self) {
        self.vault.remove();
        self.stage.watch.forget_index();
    }

    /// Its state has these rows when it starts for the first time.
    pub fn begin_with(&self, batch: Batch) -> Result<(), String> {
        self.vault.begin_with(batch, scheduler::SCHEMA_VERSION)
    }

    /// Opens its state once more, after the end of everything.
    pub fn reopen(&self) -> Result<(), String> {
        self.trouble.set_full(false);
        self.trouble.revive();
        let version = match self.role {
            Role::Index => storage_index::SCHEMA_VERSION,
            _ => scheduler::SCHEMA_VERSION,
        };
        self.vault.open(version).map(drop).map_err(|error| format!("{}: {error}", self.name))
    }

    /// Is it a worker?
    pub fn is_worker(&self) -> bool {
        matches!(self.role, Role::Worker(..))
    }

    /// Asks it to stop in good order.
    pub fn ask_to_stop(&self) {
        self.stop.notify_waiters();
    }

    /// Call before the simulated kill: what destructors do from here on reaches neither state nor disk.
    pub fn die(&self) {
        self.trouble.kill();
    }

    /// Call after it: the disk is there again, less what is lost.
    pub fn lose(&self, loss: Loss) {
        self.disk.below.crash(loss);
        self.vault.crash(loss);
    }

    /// Runs it until it is asked to stop, or killed. One whose disk refuses may end by itself; no other may.
    pub async fn run(self: Arc<Self>) -> Ended {
        self.trouble.revive();
        let start = self.starts.fetch_add(1, Ordering::SeqCst);
        self.stage.watch.starts(self.name);
        let mut env = env(self.name, &self.machine, Rng::new(self.seed, self.name, start + 1));
        if self.is_relayed {
            env = relayed(env, self.stage.clone(), Rng::new(self.seed, self.name, RELAY + start));
        }
        let ended = match self.role.clone() {
            Role::Index => self.clone().index(env).await,
            Role::Scheduler(sealing, day) => self.clone().scheduler(env, sealing, day).await,
            Role::Worker(part, capacity) => self.clone().worker(env, part, capacity).await,
        };
        match ended {
            Ok(()) => self.stage.watch.note(format!("{} stops", self.name)),
            Err(error) if self.trouble.has_refused() => {
                self.stage.watch.note(format!("{} ends, for its disk refuses: {error}", self.name));
            }
            Err(error) => self.stage.watch.failed(format!("{} ends without need: {error}", self.name)),
        }
        Ok(())
    }

    fn stopped(self: &Arc<Self>) -> impl Future<Output = ()> + Send + 'static {
        let this = self.clone();
        async move { this.stop.notified().await }
    }

    async fn index(self: Arc<Self>, env: Env) -> Ended {
        let state = Arc::new(self.vault.open(storage_index::SCHEMA_VERSION)?);
        let options = storage_index::Options::new(CLUSTER, any(1789));
        let running = storage_index::Service::new(env, state, options)?.bind().await?;
        Ok(running.serve(Box::pin(self.stopped())).await?)
    }

    async fn scheduler(self: Arc<Self>, env: Env, sealing: Sealing, day: Option<Day>) -> Ended {
        let state = Arc::new(self.vault.open(scheduler::SCHEMA_VERSION)?);
        let mut chain = LocalChainOptions {
            miner: MINER,
            epoch_ms: EPOCH_MS,
            seed_delay_epochs: 4,
            sector_size: SectorSize::KiB2,
            assignment: Assignment::Pack(DeadlineIndex(3)),
            win_one_in: 0,
        };
        // A chain has a time of its own, which no clock of this machine moves.
        let mut chain_env = with_clock_of(&env, &Machine::new("chain", self.seed));
        if let Some(day) = &day {
            // When a deadline closes is told by the clock, which is right where days are simulated.
            chain_env = env.clone();
            day.set_chain(&mut chain);
        }
        let stage = self.stage.clone();
        let verifier = FakeVerifier { env: env.clone(), made: stage.made.clone(), mood: stage.mood.clone() };
        // The chain has one of its own, of which nobody here hears.
        let of_chain = FakeVerifier { mood: Mood::default(), ..verifier.clone() };
        let local = LocalChain::open(&chain_env, state.clone(), Arc::new(of_chain), chain).await?;
        let chain = MoodyChain::new(env.clone(), local, stage);
        let mut options = scheduler::ServiceOptions {
            cluster: CLUSTER.into(),
            miner: MINER,
            sealing: scheduler::SealingOptions {
                release_sector_key: sealing.release_key,
                make_cc_sectors_available: sealing.make_available,
                ..scheduler::SealingOptions::default()
            },
            ..scheduler::ServiceOptions::new(any(1790), INDEX_URL)
        };
        if let Some(day) = &day {
            day.set_scheduler(&mut options);
        }
        let service = scheduler::Service::open(env, state, Arc::new(verifier), Arc::new(chain), options).await?;
        Ok(service.run(Box::pin(self.stopped())).await?)
    }

    async fn worker(self: Arc<Self>, env: Env, part: Part, capacity: HostCapacity) -> Ended {
        let disk = Arc::new(self.disk.clone());
        self.make_paths(&disk, &part.paths)?;
        let executor = FakeExecutor {
            env: env.clone(),
            disk: disk.clone(),
            stage: self.stage.clone(),
            machine: self.machine.name,
            capacity: capacity.clone(),
            part: part.clone(),
        };
        let options = sp_worker::Options {
            service: "sp-sealing-worker",
            name: self.name.into(),
            cluster: CLUSTER.into(),
            scheduler: SCHEDULER_URL.into(),
            index: INDEX_URL.into(),
            data_dir: PathBuf::from(DATA_DIR),
            home: PathBuf::from("/home"),
            listen: any(WORKER_PORT),
            metrics: None,
            announce: false,
            local_storage: !part.paths.is_empty(),
            parallel_fetch_limit: 5,
            transfers: Default::default(),
            tasks: part.tasks,
            seal_proofs: vec![RegisteredSealProof::v1_1(SectorSize::KiB2)],
            resources: part.resources,
            builtin: false,
            post_parallel_reads: 0,
            post_read_timeout: Duration::ZERO,
            host: self.machine.host_id()?,
            pid: 1,
            build: "sim".into(),
            capacity: Arc::new(move || capacity.clone()),
            limits: WorkerLimits::default(),
        };
        let worker = Worker::open(env, disk, Arc::new(executor), options).await?;
        Ok(worker.run(Box::pin(self.stopped())).await?)
    }
}

impl Process {
    /// The paths that the cast says, made before the worker would make one for itself on its first start.
    fn make_paths(&self, disk: &Arc<FlakyDisk>, paths: &[Uses]) -> Ended {
        if paths.is_empty() {
            return Ok(());
        }
        let data_dir = Path::new(DATA_DIR);
        let mut list = StorageConfig::default();
        for Uses { name, seals, stores } in paths {
            let id = StoreId::new(format!("{}-{}", name.replace("storage", "store"), self.name))?;
            let path = data_dir.join(name);
            match Store::init(disk.clone(), &path, &StoreMeta::new(&id, *seals, *stores)) {
                Ok(_) | Err(StoreError::AlreadyStore(_)) => {}
                Err(error) => return Err(error.into()),
            }
            list.storage_paths.push(LocalPath { path: path.display().to_string() });
        }
        let file = data_dir.join("storage.json");
        if disk.metadata(&file).is_err() {
            list.write(&**disk, &file)?;
        }
        Ok(())
    }
}

fn any(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))
}
