//! What can happen to the scheduler.

use serde::{Deserialize, Serialize};
use sp_types::{
    AttemptId, ChainEpoch, Commitment, DeadlineIndex, ErrorCode, Filters, HostCapacity, HostId, Origin, PartitionIndex,
    PieceInfo, Randomness, ReplicaId, ResourceTable, SectorState, SessionId, Soundness, StoreId, TaskId, TaskKind,
    WorkerId, WorkerLimits,
};

use crate::data::{PieceData, SectorData};
pub use crate::import::{Import, SectorRecord, UpdateRecord};
use crate::proving::call::{ProvingId, ProvingReply};
pub use crate::receive::ReceiveOrder;
pub use sp_types::Phase;

/// Ties an answer to the caller who waits for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RequestId(pub u64);

/// A failure with its stable code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Code.
    pub code: ErrorCode,
    /// For people.
    pub message: String,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Event {
    /// An operator asks for something; every request gets exactly one `Effect::Reply`.
    Request(RequestId, Request),
    /// A worker opened its session (again).
    WorkerRegistered(Box<Registration>),
    /// The session's stream ended. Its leases run on until they end.
    WorkerDisconnected { worker: WorkerId, session: SessionId, reason: String },
    /// A lease renewal: what it holds, how far that is, and what has changed of its host and its share.
    Renewed {
        worker: WorkerId,
        session: SessionId,
        attempts: Vec<Progress>,
        capacity: Option<HostCapacity>,
        limits: Option<WorkerLimits>,
    },
    /// An attempt's outcome. Answered by `Effect::AckResult` once nothing more is needed from the worker.
    Result { worker: WorkerId, result: Box<TaskResult> },
    /// The index is connected and its snapshot begins: forget its facts.
    IndexSnapshotBegin,
    /// The snapshot is complete; live facts follow.
    IndexSnapshotEnd,
    /// The index is away.
    IndexLost,
    /// A store is there, or its figures changed.
    Store(Box<StoreFact>),
    /// A store is gone.
    StoreGone(StoreId),
    /// A replica exists. Its origin says which of the sectors of its number it was made for.
    Replica {
        id: ReplicaId,
        size_bytes: u64,
        primary: bool,
        #[serde(default)]
        origin: Option<Origin>,
        #[serde(default)]
        soundness: Soundness,
    },
    /// A replica is gone.
    ReplicaGone(ReplicaId),
    /// A worker has found work of others in its paths.
    StrayWork { worker: WorkerId, work: Vec<(AttemptId, WorkerId)> },
    /// The index could not delete a replica.
    DeleteFailed { id: ReplicaId, failure: Failure },
    /// The index answered a reservation.
    Reserved { attempt: AttemptId, refused: Option<Failure> },
    /// The verifier answered. `Err`: it could not decide.
    Verified { attempt: AttemptId, verdict: Result<bool, String> },
    /// The chain answered a call of this sector.
    Chain { sector: u64, reply: ChainReply },
    /// The chain answered a call about proving.
    Proving { id: ProvingId, reply: ProvingReply },
    /// The chain has a new head.
    Epoch(ChainEpoch),
    /// A time asked for with `Effect::WakeAt` has come.
    Wake,
}

/// What operators ask for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Request {
    /// Make CC sectors.
    Pledge { count: u32, priority: Option<i64> },
    /// Make a sector of pieces.
    AddPiece { data: SectorData, priority: Option<i64> },
    /// Compute the commitment of a piece that is for no sector, padded to this size or to the smallest that holds it.
    DataCid { data: PieceData, padded_bytes: Option<u64> },
    /// How far the commitment of a piece is, for whoever waits for it.
    GetDataCid { task: TaskId },
    /// Put pieces in place of the zeros of an Available sector. Asked again with the same pieces it changes nothing.
    Snap { sector: u64, data: SectorData, priority: Option<i64> },
    /// Make a proven CC sector Available for an update.
    MarkForUpdate { sector: u64 },
    /// Throw away what an update has made, or take an Available sector back.
    AbortUpgrade { sector: u64 },
    /// Get the replica before the update back.
    RegenSectorKey { sector: u64 },
    /// Delete every replica of the sector, for good.
    Remove { sector: u64 },
    /// Put the sector into a state, whatever the graph says.
    ForceState { sector: u64, state: SectorState },
    /// Go on with what failed, now and with all its tries.
    Retry { sector: u64 },
    /// Make an unsealed copy where there is none.
    Unseal { sector: u64 },
    /// Delete the unsealed copy of a Proving sector.
    ReleaseUnsealed { sector: u64 },
    /// Let go of the unsealed copy of a Proving sector but for the pieces with these commitments.
    TrimUnsealed { sector: u64, keep: Vec<Commitment> },
    /// Take the finished files of the sector to this path, and keep them there.
    MoveFiles { sector: u64, store: StoreId },
    /// Keep the files of a sector from being removed, until it is unpinned.
    Pin { sector: u64, reason: String },
    /// Take the pin off.
    Unpin { sector: u64 },
    /// Delete the files of a sector that the scheduler does not know.
    CleanUp { sector: u64 },
    /// Take over a sector that was sealed elsewhere.
    Import(Box<Import>),
    /// Download a sector that was sealed elsewhere, and take it over.
    Receive(Box<ReceiveOrder>),
    /// End an attempt (`task.number`) or a whole task (`task`).
    Abort { id: String, reason: String },
    /// Prove every partition of a deadline now.
    ComputeWindowPost { deadline: DeadlineIndex, randomness: Randomness },
    /// Prove the challenged sector: the one at index `pick % n` of the n Proving sectors in order of number.
    /// `pick` is the chain's draw (first 8 bytes, little-endian, of sha256(prover id, randomness, LE64 0)).
    ComputeWinningPost { randomness: Randomness, pick: u64 },
    /// Give a worker (by id, the start of one, or name) nothing new, or make it as before.
    Cordon { worker: String, cordoned: bool },
    /// Cordon it, so that it becomes empty; with `finish_pipelines` it goes on with the sectors that it has.
    Drain { worker: String, finish_pipelines: bool },
    /// Switch kinds of tasks on or off for a worker.
    EnableTasks { worker: String, tasks: Vec<TaskKind>, enabled: bool },
    /// Have an idle worker unregister everything and end.
    StopWorker { worker: String },
    /// A worker that is away will not come back.
    ForgetWorker { worker: String },
    /// Change the priority of a task.
    SetPriority { task: TaskId, priority: i64 },
    /// Read one challenge of each sector.
    CheckDeadline { deadline: DeadlineIndex, randomness: Randomness },
    /// Read one challenge of each of these sectors of a deadline.
    CheckSectors { deadline: DeadlineIndex, sectors: Vec<u64>, randomness: Randomness },
}

/// A worker as it presents itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Registration {
    /// Who.
    pub worker: WorkerId,
    /// Which run of it.
    pub session: SessionId,
    /// Which host.
    pub host: HostId,
    /// Display name.
    pub name: String,
    /// Build.
    pub build: String,
    /// Tasks it accepts.
    pub tasks: Vec<TaskKind>,
    /// What the host has.
    pub capacity: HostCapacity,
    /// What the worker may take of that.
    pub limits: WorkerLimits,
    /// Its resource table.
    pub resources: ResourceTable,
    /// Its data plane.
    pub data_url: String,
    /// Stores attached to it.
    pub stores: Vec<StoreId>,
    /// A child of the scheduler's host: last in choice.
    pub builtin: bool,
    /// Attempts it still holds. The core answers `Effect::Registered` with those to keep.
    pub held: Vec<AttemptId>,
    /// Results that nobody has acknowledged; handled like `Event::Result` each.
    pub finished: Vec<TaskResult>,
    /// Process id, for people.
    pub pid: u32,
    /// Streams of PC1 that it interleaves as one group; 0 and 1: it runs each by itself.
    pub pc1_streams: u32,
}

/// How far an attempt is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Which.
    pub attempt: AttemptId,
    /// Phase.
    pub phase: Phase,
    /// 0 to 1, 0 when unknown.
    pub fraction: f64,
    /// In words.
    pub detail: String,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskResult {
    /// Which.
    pub attempt: AttemptId,
    /// Kind of its task.
    pub task: TaskKind,
    /// What came of it.
    pub outcome: Result<TaskDone, Failure>,
    /// Time its inputs took.
    pub fetch_ms: u64,
    /// Time it computed.
    pub compute_ms: u64,
    /// Most memory of its executor meanwhile; 0: not measured.
    pub peak_memory_bytes: u64,
}

/// What a finished attempt made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskDone {
    /// Replicas, published and declared.
    pub replicas: Vec<(ReplicaId, u64)>,
    /// The rest.
    pub output: TaskOutput,
}

/// What a finished attempt reports besides files.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum TaskOutput {
    /// FIN, UNS, PR1, FRU, GSK, GET.
    None,
    /// AP.
    AddPiece { pieces: Vec<PieceInfo>, comm_d: Commitment },
    /// PC1.
    PreCommit1 { phase1: Vec<u8>, comm_d: Commitment },
    /// PC2.
    PreCommit2 { comm_r: Commitment, comm_d: Commitment },
    /// RU.
    ReplicaUpdate { comm_r: Commitment, comm_d: Commitment },
    /// DC.
    DataCid(PieceInfo),
    /// DL: commitment of the replica that came; a challenge of it was answered. `comm_r_old`: that of the one before it,
    /// where it is an update.
    Download { comm_r: Commitment, comm_r_old: Option<Commitment> },
    /// C2, PR2. Counts only after the verifier's yes.
    Proof { proof: Vec<u8> },
    /// WDP, WNP, check. The proof counts only after the verifier's yes.
    Post { proof: Vec<u8>, skipped: Vec<(u64, String)> },
}

/// A store as the index sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StoreFact {
    /// Which.
    pub id: StoreId,
    /// Preference; 0 sorts last.
    pub weight: u64,
    /// May hold data in the making.
    pub can_seal: bool,
    /// May hold finalised sectors.
    pub can_store: bool,
    /// Room for new data, bytes, reservations taken off.
    pub available_bytes: u64,
    /// Fresh and without error.
    pub healthy: bool,
    /// Why not.
    pub unhealthy_reason: String,
    /// Workers that have it attached, with their data planes.
    pub holders: Vec<(WorkerId, String)>,
    /// What may be put here.
    #[serde(flatten)]
    pub filters: Filters,
    /// Groups that it belongs to as a place that files are fetched to for sealing.
    #[serde(default)]
    pub groups: Vec<String>,
    /// Groups to whose paths its files may be fetched for sealing; empty: to any.
    #[serde(default)]
    pub allow_to: Vec<String>,
}

/// The chain's answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum ChainReply {
    /// To `ChainCall::Ticket`.
    Ticket { ticket: [u8; 32], epoch: ChainEpoch },
    /// To `ChainCall::PreCommit`: the pre-commit is on chain, its seed comes at this epoch.
    PreCommitted { seed_epoch: ChainEpoch },
    /// To `ChainCall::Seed`.
    Seed { seed: [u8; 32], epoch: ChainEpoch },
    /// To `ChainCall::Commit`: the sector is active and proven there.
    Committed { deadline: DeadlineIndex, partition: PartitionIndex },
    /// It did not work; the core asks again after a wait.
    Failed { reason: String },
}
