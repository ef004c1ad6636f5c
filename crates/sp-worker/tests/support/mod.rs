//! A worker among fakes: scheduler and index that record and obey the test, an executor that pretends.

pub mod executor;
pub mod hang;
pub mod services;

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use sp_net::Env;
use sp_net::refusals::{Refusals, Refused};
use sp_proto::v1;
use sp_sectors::{Disk, MemDisk, Store, StoreMeta};
use sp_types::{ErrorCode, FileKind, HostCapacity, HostId, ReplicaInfo, ResourceTable, SectorId, StoreId, TaskKind};
use sp_worker::{Options, Worker};

pub use executor::{FORGED, FakeExecutor, TREE_D};
pub use hang::HangingDisk;
pub use services::{Fakes, serve};

/// A worker process: its disk outlives its runs.
pub struct Machine {
    pub disk: MemDisk,
    pub executor: Arc<FakeExecutor>,
    pub options: Options,
    running: Option<tokio::runtime::Runtime>,
    refusals: Arc<OnceLock<Refusals>>,
}

/// What a worker's data directory is called.
pub const DATA_DIR: &str = "/data";

pub const SECTOR: SectorId = SectorId { miner: 1000, number: 3 };

impl Machine {
    pub fn new(fakes: &Fakes, tasks: &[TaskKind]) -> Self {
        let disk = MemDisk::default();
        let executor = Arc::new(FakeExecutor::new(disk.clone()));
        let capacity = HostCapacity { memory_bytes: 1 << 30, cpus: 2, ..Default::default() };
        let options = Options {
            service: "test-worker",
            name: "w".into(),
            cluster: "test".into(),
            scheduler: fakes.scheduler.clone(),
            index: fakes.index.clone(),
            data_dir: DATA_DIR.into(),
            home: "/".into(),
            listen: ([127, 0, 0, 1], 0).into(),
            metrics: None,
            announce: false,
            local_storage: true,
            parallel_fetch_limit: 5,
            transfers: Default::default(),
            tasks: tasks.to_vec(),
            seal_proofs: vec![],
            resources: ResourceTable::default(),
            builtin: false,
            post_parallel_reads: 32,
            post_read_timeout: Duration::ZERO,
            host: HostId::new("host-boot").unwrap(),
            pid: 1,
            build: "test".into(),
            capacity: Arc::new(move || capacity.clone()),
            limits: Default::default(),
        };
        Self { disk, executor, options, running: None, refusals: Arc::default() }
    }

    /// Starts the worker on a runtime of its own, so that it can be killed whole.
    pub fn start(&mut self) {
        self.start_on(Arc::new(self.disk.clone()));
    }

    /// Starts it on its disk as somebody else shows it.
    pub fn start_on(&mut self, disk: Arc<dyn Disk>) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let (executor, options) = (self.executor.clone(), self.options.clone());
        self.refusals = Arc::default();
        let refusals = self.refusals.clone();
        runtime.spawn(async move {
            let worker = Worker::open(Env::real(), disk, executor, options).await.unwrap();
            refusals.set(worker.refusals()).ok();
            worker.run(Box::pin(std::future::pending())).await.unwrap();
        });
        self.running = Some(runtime);
    }

    /// How much of a kind it has refused since it was started.
    pub fn refused(&self, what: Refused, code: ErrorCode) -> u64 {
        self.refusals.get().unwrap().count(what, code)
    }

    /// SIGKILL: every task ends where it is. What was not synced is lost.
    pub fn kill(&mut self) {
        let runtime = self.running.take().unwrap();
        // A runtime refuses to wait for another one.
        std::thread::spawn(move || runtime.shutdown_timeout(Duration::from_secs(5))).join().unwrap();
        self.disk.crash(sp_sectors::Loss::Unsynced);
        self.executor.revive();
    }

    /// The store that a worker makes on its first run, made beforehand.
    pub fn store(&self) -> Store {
        let path = PathBuf::from(DATA_DIR).join("storage");
        let disk: Arc<dyn Disk> = Arc::new(self.disk.clone());
        let meta = StoreMeta::new(&StoreId::new(format!("store-{:p}", self)).unwrap(), true, true);
        match Store::init(disk.clone(), &path, &meta) {
            Ok(store) => store,
            Err(_) => Store::open(disk, &path, &Default::default()).unwrap(),
        }
    }

    /// Publishes a replica of the test sector in its store; of a directory these bytes are its `p_aux`.
    pub fn publish(&self, kind: FileKind, bytes: &[u8]) -> ReplicaInfo {
        let store = self.store();
        let attempt = "900.1".parse().unwrap();
        let path = store.work(attempt).unwrap().path(SECTOR, kind);
        let (path, file) = match kind.is_directory() {
            true => (path.clone(), path.join("p_aux")),
            false => (path.parent().unwrap().to_owned(), path),
        };
        self.disk.create_dir_all(&path).unwrap();
        self.disk.create_new(&file).unwrap().write_at(bytes, 0).unwrap();
        let made = store.publish(attempt, &[(SECTOR, kind)]).unwrap().remove(0);
        store.discard(attempt).unwrap();
        made
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if let Some(runtime) = self.running.take() {
            runtime.shutdown_background();
        }
    }
}

/// An assignment without files.
pub fn assign(id: &str, task: TaskKind, params: v1::assign::Params) -> v1::Assign {
    v1::Assign {
        attempt: Some(id.parse::<sp_types::AttemptId>().unwrap().into()),
        task: v1::TaskKind::from(task) as i32,
        miner: SECTOR.miner,
        sector: SECTOR.number,
        seal_proof: 5,
        params: Some(params),
        time_limit_ms: 60_000,
        ..Default::default()
    }
}

/// A pledge into this store.
pub fn pledge(id: &str, store: &str) -> v1::Assign {
    let params = v1::AddPieceParams { data_bytes: 0, padded_bytes: 2048, ..Default::default() };
    with_output(assign(id, TaskKind::AddPiece, v1::assign::Params::AddPiece(params)), FileKind::Unsealed, store)
}

pub fn with_output(mut assign: v1::Assign, kind: FileKind, store: &str) -> v1::Assign {
    let kind = v1::FileKind::from(kind) as i32;
    assign.outputs.push(v1::Output { kind, store: store.to_owned(), reserved_bytes: 4096 });
    assign
}

pub fn with_input(mut assign: v1::Assign, replica: &ReplicaInfo, data_urls: &[&str]) -> v1::Assign {
    let store = replica.id.store.to_string();
    let source = |url: &&str| v1::Source { store: store.clone(), data_url: (*url).to_owned() };
    assign.inputs.push(v1::Input {
        kind: v1::FileKind::from(replica.id.kind) as i32,
        root: replica.id.root.to_vec(),
        size_bytes: replica.size_bytes,
        sources: data_urls.iter().map(source).collect(),
        sector: SECTOR.number,
    });
    assign
}

/// Polls until something holds; panics after half a minute.
pub async fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    for _ in 0..3000 {
        if let Some(found) = look() {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("waited in vain for {what}");
}
