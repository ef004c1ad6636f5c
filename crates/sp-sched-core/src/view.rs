//! What operators see of the core: plain figures, derived when asked for, never stored.

use crate::model::{Pin, WorkerRow};
use sp_types::{
    AttemptId, FileKind, GpuId, GpuShare, HostCapacity, HostId, RegisteredSealProof, ResourceRow, SectorSize,
    SessionId, StoreId, TaskClass, TaskId, TaskKind, WorkerId, WorkerLimits,
};

/// Who can hand out a file: stores, each with the data plane of a worker that has it attached.
pub type Sources = Vec<(StoreId, String)>;

/// A worker as `sp-ctl workers` shows it.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkerView {
    /// Who.
    pub worker: WorkerId,
    /// Which run.
    pub session: SessionId,
    /// Host.
    pub host: HostId,
    /// Name.
    pub name: String,
    /// Build.
    pub build: String,
    /// Class.
    pub class: TaskClass,
    /// Child of the scheduler's host.
    pub builtin: bool,
    /// Its lease is alive.
    pub connected: bool,
    /// Why it gets no work, empty when it does.
    pub disabled_reason: String,
    /// Tasks it accepts.
    pub tasks: Vec<TaskKind>,
    /// What its host has.
    pub capacity: HostCapacity,
    /// What the worker may take of it.
    pub limits: WorkerLimits,
    /// Cores used by what runs on it.
    pub cpus_used: u32,
    /// Physical memory of what runs on it.
    pub memory_min_used_bytes: u64,
    /// Virtual memory of what runs on it.
    pub memory_max_used_bytes: u64,
    /// GPU share used; none where tasks run on the cores instead.
    pub gpus_used: f64,
    /// GPUs that what runs on it computes on.
    pub gpus_in_use: Vec<GpuId>,
    /// Count and limit per task and proof.
    pub counts: Vec<(TaskKind, RegisteredSealProof, u32, u32)>,
    /// Stores.
    pub stores: Vec<StoreId>,
    /// Data plane.
    pub data_url: String,
    /// Process id.
    pub pid: u32,
    /// What operators decided about it.
    pub row: WorkerRow,
    /// Tasks in its windows.
    pub windows: Vec<Vec<TaskId>>,
    /// How many windows it may have.
    pub windows_limit: usize,
    /// Nothing is on it.
    pub empty: bool,
    /// How long its session has been registered.
    pub connected_ms: u64,
}

/// A part of the queue: tasks that need the same of a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WaitView {
    /// Their kind.
    pub kind: TaskKind,
    /// So many are in the queue.
    pub queued: usize,
    /// So many more are bound to a worker and not started.
    pub bound: usize,
    /// What keeps the first of them: a code of `Verdict`, or retry, index, inputs, backlog, nobody, soon.
    pub reason: &'static str,
}

/// A row of the resource table as it applies.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ResourceView {
    /// Of this kind of task ...
    pub kind: TaskKind,
    /// ... at this size.
    pub size: SectorSize,
    /// What it needs.
    pub row: ResourceRow,
    /// Who says so: `lotus`, `cluster` (`[resources]` of the scheduler) or `worker` (its environment).
    pub from: &'static str,
}

/// A task or attempt as `sp-ctl sealing jobs` shows it.
#[derive(Debug, Clone, PartialEq)]
pub struct JobView {
    /// Task.
    pub task_id: TaskId,
    /// Attempt, if any.
    pub attempt: Option<AttemptId>,
    /// Kind.
    pub task: TaskKind,
    /// Sector (the first one for PoSt); none for DC.
    pub sector: Option<u64>,
    /// Worker.
    pub worker: Option<WorkerId>,
    /// Its name.
    pub host_name: String,
    /// queued, reserving, waiting, preparing, running, publishing, returning, verifying, orphaned.
    pub state: &'static str,
    /// Age.
    pub age_ms: u64,
    /// 0 to 1.
    pub fraction: f64,
    /// In words.
    pub detail: String,
    /// GPUs that it computes on.
    pub gpus: Vec<GpuShare>,
    /// For a queued task: why not, per worker: "name: reason".
    pub reasons: Vec<String>,
    /// Failures so far.
    pub failures: u32,
    /// Last reason.
    pub last_error: String,
}

/// Files on paths that belong to no sector that the scheduler knows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Unclaimed {
    /// The sector that they say they are of.
    pub sector: u64,
    /// Kinds of them, rising.
    pub kinds: Vec<FileKind>,
    /// How many bytes lie on each path.
    pub stores: Vec<(StoreId, u64)>,
    /// An operator keeps them.
    pub pin: Option<Pin>,
    /// There is a sector of this number, and they were not made for it.
    pub is_of_another: bool,
}

/// Where the bytes of a piece are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UploadView {
    /// Nobody waits for them yet.
    NotYet {
        /// What is being waited for.
        detail: String,
    },
    /// Send them here.
    Here {
        /// Data plane.
        data_url: String,
        /// Ticket.
        ticket: String,
    },
    /// They are in the sector.
    Accepted,
}

/// Where a task is and why, as `sp-ctl explain` shows it.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation {
    /// Which task.
    pub task: TaskId,
    /// Its kind.
    pub kind: TaskKind,
    /// Its sector; none for DC.
    pub sector: Option<u64>,
    /// Its priority.
    pub priority: i64,
    /// Since it was queued.
    pub waited_ms: u64,
    /// Where it is now.
    pub place: Where,
    /// What keeps it from every worker alike; empty when nothing does.
    pub general: String,
    /// One for every worker of its class, by id.
    pub verdicts: Vec<Verdict>,
    /// Failures so far.
    pub failures: u32,
    /// Reason of the last one.
    pub last_error: String,
}

/// Where a task is.
#[derive(Debug, Clone, PartialEq)]
pub enum Where {
    /// In the queue.
    Queue,
    /// Bound to a worker, not started.
    Window {
        /// Name of the worker.
        worker: String,
        /// Which window, 1 for the first.
        window: usize,
        /// Why it has not started.
        reason: String,
    },
    /// With a worker.
    Attempt {
        /// Which attempt.
        attempt: AttemptId,
        /// Name of the worker.
        worker: String,
        /// reserving, held or granted.
        state: &'static str,
        /// For how long.
        since_ms: u64,
    },
}

/// What placement thinks of one worker for one task.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// Who.
    pub worker: WorkerId,
    /// Its name.
    pub name: String,
    /// Why it does not get the task; empty when nothing keeps it from it.
    pub reason: String,
    /// The same as a stable word: task, away, cordoned, disabled, aside, limit, memory, virtual-memory, cores, gpus,
    /// orphan, files, store, space, leftover, backlog, windows.
    pub code: &'static str,
    /// What is needed and what is free, where the reason is an amount: bytes, threads or shares.
    pub amounts: Option<(f64, f64)>,
    /// Tasks that take what is short.
    pub users: Vec<(TaskId, TaskKind)>,
    /// What the assigner goes by, the smaller the better; milliseconds for `utilization`.
    pub score: u64,
    /// Lotus's utilisation, windows included.
    pub utilisation: f64,
    /// How long the task will probably compute there.
    pub expected_ms: u64,
    /// Measured tasks of its kind and size on that host; 0: the expectation comes from other hosts, or from usual figures.
    pub samples: u32,
    /// Bytes that it would have to fetch.
    pub missing_bytes: u64,
    /// How long that would probably take.
    pub fetch_ms: u64,
    /// Failures of this task there.
    pub failures: u32,
}

/// How much time a deadline has to spare, by measured times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slack {
    /// What is left of its opening when its last partition is proven; negative: it will be late.
    pub ms: i64,
    /// How long its proofs take from now on, or from its opening on.
    pub needed_ms: u64,
    /// Workers that prove.
    pub provers: usize,
    /// Measured proofs that this goes by; 0: usual figures.
    pub samples: u32,
}
