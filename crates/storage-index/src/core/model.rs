//! The words of the index: stores, health, facts, and what goes to whom.

use std::collections::BTreeMap;

use super::locks::Lock;
use sp_env::Monotonic;
use sp_types::{AttemptId, ErrorCode, FileKind, Filters, ReplicaInfo, SectorId, StoreId, TaskId, WorkerId};

/// One connection to this service, worker or scheduler. Never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ConnId(pub u64);

/// Why not, with a stable code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) code: ErrorCode,
    pub(crate) message: String,
}

impl Refusal {
    pub(crate) fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

/// A store as its `sectorstore.json` describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) id: StoreId,
    pub(crate) weight: u64,
    pub(crate) can_seal: bool,
    pub(crate) can_store: bool,
    /// 0 for no limit.
    pub(crate) max_storage_bytes: u64,
    pub(crate) groups: Vec<String>,
    pub(crate) allow_to: Vec<String>,
    pub(crate) filters: Filters,
    /// Where it is mounted, for people.
    pub(crate) local_path: String,
}

/// What a worker measured.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Health {
    pub(crate) capacity_bytes: u64,
    pub(crate) fs_available_bytes: u64,
    pub(crate) used_bytes: u64,
    /// Empty when healthy.
    pub(crate) error: String,
    /// What its attempts have taken so far, measured no later than what is free.
    pub(crate) work: BTreeMap<AttemptId, u64>,
}

impl Health {
    /// Without what is only counted here.
    pub(crate) fn in_short(&self) -> Self {
        let Self { capacity_bytes, fs_available_bytes, used_bytes, error, work: _ } = self;
        let (capacity_bytes, fs_available_bytes, used_bytes) = (*capacity_bytes, *fs_available_bytes, *used_bytes);
        Self { capacity_bytes, fs_available_bytes, used_bytes, error: error.clone(), work: BTreeMap::new() }
    }
}

/// A store as the scheduler sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoreFact {
    pub(crate) settings: Settings,
    pub(crate) health: Health,
    pub(crate) available_bytes: u64,
    pub(crate) reserved_bytes: u64,
    pub(crate) holders: Vec<(WorkerId, String)>,
    /// None when healthy.
    pub(crate) unhealthy: Option<String>,
}

/// One line of a reservation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ReserveItem {
    pub(crate) store: StoreId,
    pub(crate) sector: SectorId,
    pub(crate) kind: FileKind,
    pub(crate) size_bytes: u64,
}

/// What an attempt wants, all or nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wish {
    pub(crate) attempt: AttemptId,
    /// Space for what it writes.
    pub(crate) items: Vec<ReserveItem>,
    /// Files of its sector that it reads or writes.
    pub(crate) lock: Option<Lock>,
    /// It has had all this, maybe from an index that has lost its state.
    pub(crate) is_presented: bool,
}

/// Who a worker is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WorkerHello {
    pub(crate) worker: WorkerId,
    pub(crate) data_url: String,
}

/// What a worker says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FromWorker {
    Attach(Settings, Health),
    Declare { request: u64, replicas: Vec<ReplicaInfo>, attempt: Option<AttemptId> },
    DeclareEnd(DeclareEnd),
    Undeclare(Vec<ReplicaInfo>),
    Health(StoreId, Health),
    DeleteDone { request: u64, failed: Option<Refusal> },
    Detach { store: StoreId, request: u64 },
    Leave,
}

/// A store has been named whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DeclareEnd {
    pub(crate) store: StoreId,
    /// What was not named stays known all the same.
    pub(crate) keep_missing: bool,
    /// 0: no answer is wanted.
    pub(crate) request: u64,
    /// Nobody can say what lies at these places; something does.
    pub(crate) unread: Vec<Place>,
}

/// What a worker is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ToWorker {
    Welcome,
    DeclareAck {
        request: u64,
        refused: Option<Refusal>,
    },
    Delete {
        request: u64,
        replica: ReplicaInfo,
        reason: String,
    },
    Fence {
        task: TaskId,
        up_to: u32,
    },
    /// Answers a `DeclareEnd` or a `Detach`.
    StoreAck {
        request: u64,
        missing: u64,
    },
}

/// What the scheduler says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FromScheduler {
    Reserve(Wish),
    /// Every attempt that goes on has been presented.
    Presented,
    Release(AttemptId),
    Fence {
        task: TaskId,
        up_to: u32,
    },
    Delete {
        request: u64,
        replica: ReplicaInfo,
        reason: String,
    },
}

/// What the scheduler is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fact {
    SnapshotBegin,
    Store(Box<StoreFact>),
    Replica(ReplicaInfo),
    ReplicaGone(ReplicaInfo),
    StoreGone(StoreId),
    SnapshotEnd,
    ReserveReply { attempt: AttemptId, refused: Option<Refusal> },
    DeleteDone { request: u64, failed: Option<Refusal> },
}

/// A durable row that changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RowChange {
    PutStore(Settings),
    DeleteStore(StoreId),
    PutReplica(ReplicaInfo),
    DeleteReplica(Place),
    PutReservation(AttemptId, Vec<ReserveItem>),
    DeleteReservation(AttemptId),
    PutFence(TaskId, u32),
    DeleteFence(TaskId),
    PutLock(Lock),
    DeleteLock(AttemptId, SectorId),
}

/// To be done once the rows are durable, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Effect {
    Worker(ConnId, ToWorker),
    /// Several facts in one message: a snapshot, or one live fact.
    Scheduler(ConnId, Vec<Fact>),
    Close(ConnId, Refusal),
}

/// Where a replica lies: a store has at most one of each kind of a sector.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) sector: SectorId,
    pub(crate) kind: FileKind,
    pub(crate) store: StoreId,
}

impl Place {
    pub(crate) fn of(replica: &ReplicaInfo) -> Self {
        let id = &replica.id;
        Self { sector: id.sector, kind: id.kind, store: id.store.clone() }
    }
}

/// Replicas by store and kind.
pub(crate) type ReplicaCounts = BTreeMap<(StoreId, FileKind), u64>;

/// A row that has survived a restart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stored {
    Store(Settings),
    Replica(ReplicaInfo),
    Reservation(AttemptId, Vec<ReserveItem>),
    Fence(TaskId, u32),
    Lock(Lock),
}

/// What a holder has measured, and when.
#[derive(Debug, Clone)]
pub(super) struct Report {
    pub(super) health: Health,
    pub(super) at: Monotonic,
}

/// A store and what is known of it in this run.
#[derive(Debug, Clone)]
pub(super) struct Store {
    pub(super) settings: Settings,
    /// Workers that have it attached, each with its own last report: the same directory may be well on one host and
    /// hang on another.
    pub(super) holders: BTreeMap<ConnId, Option<Report>>,
    /// The last report of all; none since the start of this service.
    pub(super) last: Option<Health>,
    /// What attempts have taken here of what they have reserved, bytes.
    pub(super) taken_bytes: u64,
    /// What the scheduler was told last.
    pub(super) told: Option<StoreFact>,
}

impl Store {
    /// One that nobody has yet.
    pub(super) fn new(settings: Settings) -> Self {
        Self { settings, holders: BTreeMap::new(), last: None, taken_bytes: 0, told: None }
    }
}

/// A connected worker.
#[derive(Debug, Clone)]
pub(super) struct Worker {
    pub(super) hello: WorkerHello,
    /// Stores that it is declaring, and in which turn it began.
    pub(super) declaring: BTreeMap<StoreId, u64>,
}
