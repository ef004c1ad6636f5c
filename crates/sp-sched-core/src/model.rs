//! What the scheduler knows for good: sectors, tasks, attempts, fences. Each is one durable row.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use serde::{Deserialize, Serialize};
use sp_types::{
    AttemptId, ChainEpoch, Commitment, DeadlineIndex, FileKind, GpuShare, HostId, Origin, PartitionIndex, PieceInfo,
    Randomness, RegisteredSealProof, SectorState, StoreId, TaskId, TaskKind, WorkerId,
};

use crate::data::SectorData;
use crate::proving::call::PostSector;
pub use crate::proving::row::{PartitionKey, PartitionRow, TryRow};
pub use crate::receive::Receive;

/// Milliseconds since the Unix epoch, UTC: the core's only notion of time, passed in with every event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct UnixMs(pub u64);

impl UnixMs {
    /// So much later.
    pub fn plus(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Milliseconds since `earlier`; 0 when that is not earlier.
    pub fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// Priority of sectors with data, unless their operator says otherwise (Lotus's).
pub const DATA_PRIORITY: i64 = 1024;

/// A sector on its way and in its life.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sector {
    /// Sector number.
    pub number: u64,
    /// Registered seal proof.
    pub seal_proof: RegisteredSealProof,
    /// Where it stands.
    pub state: SectorState,
    /// Of its tasks; higher goes first.
    pub priority: i64,
    /// The data, when it is not a CC sector.
    pub data: Option<SectorData>,
    /// Pieces as sealed, fillers included; empty until AP is accepted.
    pub pieces: Vec<PieceInfo>,
    /// Set by AP.
    pub comm_d: Option<Commitment>,
    /// Set by PC2.
    pub comm_r: Option<Commitment>,
    /// Ticket and its epoch, from the chain, before PC1; immutable once used.
    pub ticket: Option<([u8; 32], ChainEpoch)>,
    /// Seed and its epoch, from the chain, after the pre-commit; immutable once used.
    pub seed: Option<([u8; 32], ChainEpoch)>,
    /// Epoch at which the seed will be known; set by the pre-commit.
    pub seed_epoch: Option<ChainEpoch>,
    /// Opaque output of PC1.
    pub phase1: Vec<u8>,
    /// The seal proof that the verifier accepted.
    pub proof: Vec<u8>,
    /// Where it is proven; set when the chain takes its proof, so a little before it is Proving.
    pub location: Option<(DeadlineIndex, PartitionIndex)>,
    /// The replicas that count: kind and root, as made by accepted results.
    pub files: Vec<SectorFile>,
    /// The path that an operator wants its finished files on; none: any that stores.
    pub home: Option<StoreId>,
    /// What an operator has put or is putting in place of its zeros.
    pub update: Option<Update>,
    /// Failures of the present state, and the last reason.
    pub failures: u32,
    /// Reason of the last failure.
    pub last_error: String,
    /// What went wrong so far, and what follows from it.
    pub trouble: Trouble,
    /// When it was made.
    pub created: UnixMs,
    /// When it reached Proving.
    pub proving_since: Option<UnixMs>,
    /// The last 1,000 log entries.
    pub log: Vec<LogEntry>,
    /// Whose files are its own. None: those of which it is not known whose they are (it was taken over with a Lotus path,
    /// or is older than that).
    #[serde(default)]
    pub origin: Option<Origin>,
    /// Origins of other sectors of its number whose files an operator has let go.
    #[serde(default)]
    pub let_go: BTreeSet<Option<Origin>>,
    /// Where its files come from, until they are here.
    #[serde(default)]
    pub receive: Option<Receive>,
    /// What FUS is to leave of the unsealed copy, in bytes of the padded file; none while there is no FUS.
    #[serde(default)]
    pub keep: Vec<Range<u64>>,
}

/// Data that takes the place of a sealed CC sector's zeros (SnapDeals).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Update {
    /// The new data. None: the sector was taken over without its record, so nobody knows what is in it.
    pub data: Option<SectorData>,
    /// Pieces as encoded, fillers included; empty until AP is accepted.
    pub pieces: Vec<PieceInfo>,
    /// Set by AP.
    pub comm_d: Option<Commitment>,
    /// Set by RU.
    pub comm_r: Option<Commitment>,
    /// The update proof that the verifier accepted.
    pub proof: Vec<u8>,
    /// Since when it counts, and is what the sector proves. Until then the replica before it does.
    pub accepted: Option<UnixMs>,
    /// The sector was taken over while no path had all of the replica before the update. What of it comes with a path
    /// later is no garbage: the data may not come out of the update without it.
    #[serde(default)]
    pub key_awaited: bool,
}

/// Failures of a sector, kept until the phase succeeds.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Trouble {
    /// Times the sector came into each failure state since its phase last succeeded.
    pub counts: BTreeMap<SectorState, u32>,
    /// Proofs that the verifier refused since the replica was last made.
    pub invalid_proofs: u32,
    /// Times it went back to an earlier phase since it was last proven.
    pub steps_back: u32,
    /// In a failure state, or stopped: the state in which it goes on.
    pub resume: Option<SectorState>,
    /// In a failure state: when it goes on. None: only an operator can say.
    pub retry_at: Option<UnixMs>,
}

/// A file of a sector that an accepted result made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SectorFile {
    /// Which kind.
    pub kind: FileKind,
    /// Its root; a replica with another root is never a source.
    pub root: [u8; 32],
    /// Total length, bytes.
    pub size_bytes: u64,
    /// Of an unsealed copy that data was let go of: what is left, in bytes of the padded file, rising.
    #[serde(default)]
    pub held: Option<Vec<Range<u64>>>,
}

/// One line of a sector's log.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LogEntry {
    /// When.
    pub at: UnixMs,
    /// What happened: `PreCommit1 -> PreCommit2`, `PC1 failed`, `PC1 orphaned`.
    pub event: String,
    /// Which attempt did it.
    pub attempt: Option<AttemptId>,
    /// Which task.
    pub task: Option<TaskKind>,
    /// Name of the worker.
    pub worker_name: String,
    /// How long the task took, from grant to acceptance.
    pub took_ms: u64,
    /// Details.
    pub message: String,
}

/// A unit of work that is durable (PoSt work lives in memory: it is asked for again).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Task {
    /// Id.
    pub id: TaskId,
    /// Kind.
    pub kind: TaskKind,
    /// Sector; none for DC, which is about a piece that is in none.
    pub sector: Option<u64>,
    /// Higher goes first.
    pub priority: i64,
    /// When it was queued.
    pub queued: UnixMs,
    /// Not before this time (growing wait after a failure).
    pub not_before: UnixMs,
    /// Attempts that are not ended, oldest first. Number of the last attempt ever made: `last_number`.
    pub attempts: Vec<Attempt>,
    /// Number of the newest attempt, 0 when none was made.
    pub last_number: u32,
    /// Failed attempts so far.
    pub failures: u32,
    /// Reason of the last failure.
    pub last_error: String,
}

impl Task {
    /// One that is queued now.
    pub(crate) fn new(id: TaskId, kind: TaskKind, sector: Option<u64>, priority: i64, now: UnixMs) -> Self {
        Self {
            id,
            kind,
            sector,
            priority,
            queued: now,
            not_before: now,
            attempts: Vec::new(),
            last_number: 0,
            failures: 0,
            last_error: String::new(),
        }
    }

    /// For a row that was just read: the machine's clock may have been set back since it was written, and a wait of
    /// seconds must not become one of hours by that.
    pub(crate) fn fit_clock(&mut self, now: UnixMs, longest_wait_ms: u64) {
        self.not_before = self.not_before.min(now.plus(longest_wait_ms));
        self.queued = self.queued.min(now);
        self.attempts.iter_mut().for_each(|attempt| attempt.created = attempt.created.min(now));
    }
}

/// A task given to one worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    /// Id.
    pub id: AttemptId,
    /// Who.
    pub worker: WorkerId,
    /// His host at the time.
    pub host: HostId,
    /// Where it stands.
    pub state: AttemptState,
    /// Where outputs go and how much is reserved.
    pub outputs: Vec<OutputSlot>,
    /// When it was made.
    pub created: UnixMs,
    /// What an uploader must show (AP of data and DC only).
    pub upload_ticket: String,
    /// It brings its inputs and waits for room before it computes.
    pub held: bool,
    /// GPUs that it was given when it could compute; its until it ends.
    pub gpus: Vec<GpuShare>,
    /// Attempts that it was started with as one, itself included; empty: it computes by itself.
    pub group: Vec<AttemptId>,
}

/// An attempt that a worker had and that is over. Written once, for people; decisions do not depend on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finished {
    /// Which.
    pub attempt: AttemptId,
    /// Kind of its task.
    pub kind: TaskKind,
    /// Sector (the first one for PoSt); none for DC.
    pub sector: Option<u64>,
    /// Who had it.
    pub worker: WorkerId,
    /// Name of it.
    pub worker_name: String,
    /// When its task was queued.
    pub queued: UnixMs,
    /// When the attempt was made.
    pub started: UnixMs,
    /// When it was over.
    pub ended: UnixMs,
    /// How it ended.
    pub outcome: Outcome,
    /// Why, in words; empty when it is done.
    pub reason: String,
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Outcome {
    /// Its result counts.
    Done,
    /// It failed, or its result was refused.
    Failed,
    /// It vanished with its worker's process.
    Lost,
    /// It was stopped: by an operator, by another attempt that was first, by what became of its sector.
    Ended,
}

impl Outcome {
    /// Every outcome.
    pub const ALL: [Self; 4] = [Self::Done, Self::Failed, Self::Lost, Self::Ended];

    /// In a word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Lost => "lost",
            Self::Ended => "ended",
        }
    }
}

/// What operators decided about a worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerRow {
    /// Which.
    pub worker: WorkerId,
    /// It gets nothing new.
    pub cordoned: bool,
    /// It is cordoned so that it becomes empty.
    pub draining: bool,
    /// While it is drained it goes on with the sectors whose files it has.
    pub finish_pipelines: bool,
    /// Kinds of tasks that it does not get, rising.
    pub disabled: Vec<TaskKind>,
}

impl WorkerRow {
    /// Nothing decided.
    pub fn new(worker: WorkerId) -> Self {
        Self { worker, cordoned: false, draining: false, finish_pipelines: false, disabled: Vec::new() }
    }
}

/// A sector whose files are kept from being removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    /// Which.
    pub sector: u64,
    /// Why, in the operator's words; may be empty.
    pub reason: String,
    /// Since when.
    pub at: UnixMs,
}

/// The proof of an epoch that was won. For that epoch there is never another one: whoever signs two is slashed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WinRow {
    /// Which epoch.
    pub epoch: ChainEpoch,
    /// What it was proven under.
    pub randomness: Randomness,
    /// The challenged sector.
    pub sector: PostSector,
    /// 192 bytes, verified.
    pub proof: Vec<u8>,
}

/// Durable states of an attempt. Ended attempts are removed; their fence stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum AttemptState {
    /// The index has been asked to reserve its space, or is to be asked again.
    Reserving,
    /// Reserved; the worker has it or gets it.
    Granted,
}

/// One output of an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputSlot {
    /// Kind.
    pub kind: FileKind,
    /// Store.
    pub store: StoreId,
    /// Bytes reserved.
    pub reserved_bytes: u64,
}

/// Every attempt of the task up to this number has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FenceRow {
    /// Task.
    pub task: TaskId,
    /// Highest ended attempt.
    pub up_to_number: u32,
}

/// Counters that must never go back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counters {
    /// Next task id.
    pub next_task: u64,
    /// Next sector number.
    pub next_sector: u64,
}

/// A change of durable state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum RowChange {
    /// Insert or replace.
    PutSector(Box<Sector>),
    /// Insert or replace.
    PutTask(Box<Task>),
    /// The task is over.
    DeleteTask(TaskId),
    /// Insert or replace.
    PutFence(FenceRow),
    /// The index has confirmed every consequence; the fence is history.
    DeleteFence(TaskId),
    /// Replace.
    PutCounters(Counters),
    /// Insert or replace.
    PutWorker(WorkerRow),
    /// Nothing is decided about the worker any more.
    DeleteWorker(WorkerId),
    /// Insert or replace.
    PutPin(Pin),
    /// The sector is not pinned any more.
    DeletePin(u64),
    /// Insert.
    PutWin(Box<WinRow>),
    /// So long ago that nobody asks any more.
    DeleteWin(ChainEpoch),
    /// Insert or replace.
    PutPartition(Box<PartitionRow>),
    /// The chain has it, or nobody proves it any more.
    DeletePartition(PartitionKey),
    /// Append to the history; whoever keeps it forgets the oldest.
    AddFinished(Box<Finished>),
}

/// Everything durable, as read at start.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Rows {
    /// Sectors.
    pub sectors: Vec<Sector>,
    /// Tasks.
    pub tasks: Vec<Task>,
    /// Fences.
    pub fences: Vec<FenceRow>,
    /// Counters.
    pub counters: Counters,
    /// Decisions about workers.
    pub workers: Vec<WorkerRow>,
    /// Pinned sectors. Records of older builds have none.
    #[serde(default)]
    pub pins: Vec<Pin>,
    /// Proofs of epochs that were won, the newest of them.
    #[serde(default)]
    pub wins: Vec<WinRow>,
    /// Partitions that were being proven or are proven.
    #[serde(default)]
    pub partitions: Vec<PartitionRow>,
}
