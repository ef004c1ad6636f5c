//! A door for measurements: the core alone, without service, network and disk. Nobody else has business here.

use sp_env::Monotonic;
use sp_types::{FileKind, FileKindSet, Filters, ReplicaInfo, SectorId, StoreId, WorkerId};

use crate::core::{
    Allocate, ConnId, Core, DeclareEnd, Fetch, Find, FromWorker, Health, PathUse, ReplicaCounts, Settings, Timing,
    WorkerHello,
};

/// The kinds that a measurement speaks of: those of a finished sector.
const KINDS: [FileKind; 2] = [FileKind::Sealed, FileKind::Cache];

/// A core and its time.
pub struct Bare {
    core: Core,
    now: Monotonic,
}

impl Default for Bare {
    fn default() -> Self {
        Self { core: Core::new(Timing::default()), now: Monotonic(1) }
    }
}

impl Bare {
    /// A worker connects.
    pub fn connect(&mut self, conn: u64, worker: WorkerId) {
        let data_url = format!("http://{worker}.example:1790");
        self.core.worker_open(self.now, ConnId(conn), WorkerHello { worker, data_url });
        self.settle();
    }

    /// It attaches a path for everything, with so much free.
    pub fn attach(&mut self, conn: u64, id: StoreId, weight: u64, available_bytes: u64) {
        let filters = Filters { allow_miners: vec!["t01000".to_owned()], ..Filters::default() };
        let (groups, allow_to) = (vec!["bench".to_owned()], vec!["bench".to_owned()]);
        let (can_seal, can_store, max_storage_bytes) = (true, true, 0);
        let local_path = format!("/paths/{id}");
        let settings =
            Settings { id, weight, can_seal, can_store, max_storage_bytes, groups, allow_to, filters, local_path };
        let health =
            Health { capacity_bytes: 1 << 50, fs_available_bytes: available_bytes, used_bytes: 0, ..Health::default() };
        self.say(conn, FromWorker::Attach(settings, health));
    }

    /// It declares replicas.
    pub fn declare(&mut self, conn: u64, replicas: Vec<ReplicaInfo>) {
        self.say(conn, FromWorker::Declare { request: 1, replicas, attempt: None });
    }

    /// It has declared all of the path.
    pub fn declare_end(&mut self, conn: u64, store: StoreId) {
        self.say(conn, FromWorker::DeclareEnd(DeclareEnd { store, keep_missing: false, request: 0, unread: vec![] }));
    }

    /// Replicas of a sector.
    pub fn find(&self, sector: SectorId) -> usize {
        self.core.find_sector(sector).len()
    }

    /// Stores that hold a sector, and at most so many that could fetch it.
    pub fn find_to_fetch(&self, sector: SectorId, sector_size: u64, limit: usize) -> usize {
        self.core
            .find_stores(&Find { sector, kinds: FileKindSet::of(&KINDS), fetch: Some(Fetch { sector_size, limit }) })
            .len()
    }

    /// Stores for a new sector, of at most so many.
    pub fn best_alloc(&self, sector_size: u64, limit: usize) -> usize {
        let (kinds, path_use) = (FileKindSet::of(&KINDS), PathUse::Sealing);
        self.core.best_alloc(&Allocate { miner: 1000, kinds, sector_size, path_use }, limit).stores.len()
    }

    /// Time passes.
    pub fn tick(&mut self, ms: u64) {
        self.now.0 += ms;
        self.core.tick(self.now);
        self.settle();
    }

    /// Replicas of all sectors.
    pub fn replicas(&self) -> u64 {
        let counts: ReplicaCounts = self.core.count_replicas();
        counts.values().sum()
    }

    fn say(&mut self, conn: u64, message: FromWorker) {
        self.core.worker(self.now, ConnId(conn), message);
        self.settle();
    }

    /// What would be made durable and sent is thrown away.
    fn settle(&mut self) {
        drop(self.core.take());
    }
}
