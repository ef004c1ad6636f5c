//! What operators see of the core: plain figures, derived when asked for, never stored.

use sp_types::{
    AttemptId, GpuId, HostCapacity, HostId, RegisteredSealProof, SessionId, StoreId, TaskClass, TaskId, TaskKind,
    WorkerId, WorkerLimits,
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
    /// Since when, unix ms.
    pub connected_ms: u64,
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
    /// Sector.
    pub sector: u64,
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
    /// For a queued task: why not, per worker: "name: reason".
    pub reasons: Vec<String>,
    /// Failures so far.
    pub failures: u32,
    /// Last reason.
    pub last_error: String,
}

/// Where piece bytes of a sector are wanted.
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
