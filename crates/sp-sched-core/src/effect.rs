//! What the scheduler wants done. Rows first, in one batch; then the rest in order.

use std::ops::Range;

use serde::{Deserialize, Serialize};
use sp_types::{
    AttemptId, ChainEpoch, Commitment, ErrorCode, FileKind, FileLock, GpuShare, HttpHeader, Origin, PieceInfo,
    PostProof, Randomness, RegisteredSealProof, ReplicaId, SectorState, SessionId, StoreId, TaskId, TaskKind, WorkerId,
};

use crate::data_cid::DataCidState;
use crate::event::RequestId;
use crate::model::{FenceRow, OutputSlot, RowChange, UnixMs};
use crate::proving::call::ProvingCall;

/// Something to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Effect {
    /// Make this durable, together with every other row of the step, before anything else of the step is done.
    Persist(RowChange),
    /// Answer an operator.
    Reply(RequestId, Reply),
    /// Answer a registration: the attempts it may keep.
    Registered { worker: WorkerId, session: SessionId, keep: Vec<AttemptId> },
    /// Ask the index for space and locks; idempotent under the attempt. Presented: the attempt has had them, and goes on.
    Reserve { attempt: AttemptId, sector: u64, outputs: Vec<OutputSlot>, lock: FileLock, presented: bool },
    /// Tell the index that every attempt that goes on has been presented.
    Presented,
    /// Give a task to a worker.
    Assign { worker: WorkerId, assignment: Box<Assignment> },
    /// A held attempt may compute, on these devices, and as one with this group (itself included) if that is not empty.
    Start { worker: WorkerId, attempt: AttemptId, gpus: Vec<GpuShare>, group: Vec<AttemptId> },
    /// Have the worker end; it has nothing left to do.
    Stop { worker: WorkerId },
    /// Stop an attempt.
    Cancel { worker: WorkerId, attempt: AttemptId, reason: String },
    /// Have an attempt make way for a PoSt: at once, as no build resumes anything yet. It has ended.
    Yield { worker: WorkerId, attempt: AttemptId, reason: String },
    /// The result is dealt with; the worker may forget it. What the files of a refused one have replaced comes back, but
    /// for those that count, as when a result is told again that was accepted.
    AckResult { worker: WorkerId, attempt: AttemptId, refused: bool, counting: Vec<FileKind> },
    /// Tell the index that attempts have ended; it ends their reservations.
    Fence(FenceRow),
    /// Tell the index that an attempt has ended which no fence covers yet, since an older one of its task lives: its space
    /// is free.
    Release(AttemptId),
    /// Have a replica deleted.
    DeleteReplica { replica: ReplicaId, reason: String },
    /// Have a worker remove work of attempts of others, which are over.
    SweepWork { worker: WorkerId, attempts: Vec<AttemptId> },
    /// Ask the verifier about a seal proof.
    VerifySeal(Box<SealToVerify>),
    /// Ask the verifier about an update proof.
    VerifyUpdate(Box<UpdateToVerify>),
    /// Ask the verifier about a PoSt proof.
    VerifyPost(Box<PostToVerify>),
    /// Call the chain; the reply comes as `Event::Chain`. Calls are repeated after a restart.
    Chain { sector: u64, call: ChainCall },
    /// Call the chain about proving; the reply comes as `Event::Proving`.
    Proving(ProvingCall),
    /// Tell people what costs money if nobody looks after it.
    Alert { message: String },
    /// Send `Event::Wake` at this time (or earlier). The latest one replaces the one before.
    WakeAt(UnixMs),
}

/// Answers to operators.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Reply {
    /// It did not work.
    Failed { code: ErrorCode, message: String },
    /// Sectors that were made (pledge, add).
    Sectors(Vec<u64>),
    /// DataCid: its task, and the padded size of the piece.
    DataCid { task: TaskId, padded_bytes: u64 },
    /// GetDataCid.
    DataCidState(DataCidState),
    /// Unseal: true when an unsealed copy exists already.
    Unsealing { ready: bool },
    /// ReleaseUnsealed: replicas whose deletion was ordered.
    Released { replicas: u32 },
    /// TrimUnsealed: so many of the pieces stay. Not under way: there is nothing to let go of.
    Trimming { kept: u32, pieces: u32, under_way: bool },
    /// MoveFiles: so many files are going to be moved; the others are there already, or belong elsewhere.
    Moving { files: u32 },
    /// Import, snap, mark for update, abort upgrade, remove, force, retry: the state that the sector is in now.
    Moved(SectorState),
    /// RegenSectorKey: true when the replica before the update is there already.
    Regenerating { ready: bool },
    /// A decision about this worker is durable.
    Worker { worker: WorkerId },
    /// It is done.
    Done,
    /// Abort: what was ended, in words.
    Aborted { description: String },
    /// Window or winning PoSt, verified.
    Post(PostReply),
    /// Check: partition, sector, problem (empty when good).
    Checked(Vec<(u32, u64, String)>),
}

/// A finished PoSt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PostReply {
    /// Which proof.
    pub proof_type: PostProof,
    /// Deadline (0 for winning).
    pub deadline: u32,
    /// Randomness proven.
    pub randomness: Randomness,
    /// Partitions, rising.
    pub partitions: Vec<ProvenPartition>,
    /// From request to answer.
    pub took_ms: u64,
}

/// One proven partition.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProvenPartition {
    /// Index.
    pub index: u32,
    /// Name of the worker.
    pub worker: String,
    /// He is built-in.
    pub builtin: bool,
    /// Sectors proven, rising, with their comm_r.
    pub sectors: Vec<(u64, Commitment, RegisteredSealProof)>,
    /// Sectors left out, with the reason.
    pub skipped: Vec<(u64, String)>,
    /// 192 bytes; empty when every sector was skipped.
    pub proof: Vec<u8>,
    /// From queueing to acceptance.
    pub took_ms: u64,
    /// Attempts that failed before: "worker: reason".
    pub retries: Vec<String>,
}

/// A task as the worker needs it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Assignment {
    /// Which attempt.
    pub attempt: AttemptId,
    /// Kind.
    pub task: TaskKind,
    /// Sector (the first one for PoSt; 0 for DC, which is about none).
    pub sector: u64,
    /// Whose its outputs are, of the sectors that have had this number.
    pub origin: Option<Origin>,
    /// Registered seal proof of it.
    pub seal_proof: RegisteredSealProof,
    /// Files it reads, with holders, best first.
    pub inputs: Vec<InputFile>,
    /// Where outputs go.
    pub outputs: Vec<OutputSlot>,
    /// Parameters.
    pub params: TaskParams,
    /// Limit.
    pub time_limit_ms: u64,
    /// Bring the inputs, then wait for `Effect::Start`.
    pub hold: bool,
    /// GPUs that it computes on; empty while it holds, and where it computes on cores.
    pub gpus: Vec<GpuShare>,
    /// Attempts that it computes as one with, itself included; empty: it computes by itself.
    pub group: Vec<AttemptId>,
}

/// A file that a task reads.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InputFile {
    /// Of which sector.
    pub sector: u64,
    /// Kind.
    pub kind: FileKind,
    /// Root that counts.
    pub root: [u8; 32],
    /// Length.
    pub size_bytes: u64,
    /// Store and data plane of each holder.
    pub sources: Vec<(StoreId, String)>,
}

/// What a task needs to know.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum TaskParams {
    /// AP of zeros alone.
    Pledge,
    /// AP of an upload of `data_bytes`. `pieces`: length and padded size of each, in the order of the upload.
    AddPiece { data_bytes: u64, data_digest: [u8; 32], ticket: String, pieces: Vec<(u64, u64)> },
    /// DC.
    DataCid { data_bytes: u64, data_digest: [u8; 32], ticket: String, padded_bytes: u64 },
    /// PC1.
    PreCommit1 { ticket: [u8; 32], pieces: Vec<PieceInfo> },
    /// PC2.
    PreCommit2 { phase1: Vec<u8> },
    /// C1.
    Commit1 { ticket: [u8; 32], seed: [u8; 32], comm_r: Commitment, comm_d: Commitment, pieces: Vec<PieceInfo> },
    /// C2.
    Commit2,
    /// FIN.
    Finalize { keep_unsealed: bool },
    /// FUS: what stays of the unsealed file, in bytes of it.
    FinalizeUnsealed { keep: Vec<Range<u64>> },
    /// UNS. `updated`: the data lies in the update.
    Unseal { comm_d: Commitment, ticket: [u8; 32], updated: bool },
    /// RU.
    ReplicaUpdate { pieces: Vec<PieceInfo> },
    /// PR1.
    ProveReplicaUpdate1 { comm_r_old: Commitment, comm_r_new: Commitment, comm_d_new: Commitment },
    /// PR2.
    ProveReplicaUpdate2 { comm_r_old: Commitment, comm_r_new: Commitment, comm_d_new: Commitment },
    /// FRU.
    FinalizeReplicaUpdate,
    /// GET: the inputs go where the outputs say, as they are.
    Fetch,
    /// DL: the outputs are downloaded. The replica has to be that of `comm_r`, and the unsealed file that of `comm_d`, where
    /// those are known.
    Download { url: String, headers: Vec<HttpHeader>, comm_r: Option<Commitment>, comm_d: Option<Commitment> },
    /// GSK.
    RegenSectorKey { comm_d_new: Commitment },
    /// WDP.
    WindowPost {
        randomness: Randomness,
        deadline: u32,
        partition: u32,
        sectors: Vec<(u64, Commitment, RegisteredSealProof)>,
        reads: ReadLimits,
    },
    /// WNP: the one challenged sector.
    WinningPost { randomness: Randomness, sector: (u64, Commitment, RegisteredSealProof), read_timeout_ms: u64 },
    /// One challenge read of each sector (sent to a window PoSt worker as a WDP task).
    Check { randomness: Randomness, sectors: Vec<(u64, Commitment, RegisteredSealProof)>, reads: ReadLimits },
}

/// How the challenges of a partition are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadLimits {
    /// Longest for one of them.
    pub one_ms: u64,
    /// Longest for all of them together: what is not read by then is left out.
    pub all_ms: u64,
    /// So many at once; 0: as many as the worker says.
    pub at_once: u32,
}

/// A seal proof to judge.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SealToVerify {
    /// Whose result.
    pub attempt: AttemptId,
    /// Sector.
    pub sector: u64,
    /// Proof type.
    pub seal_proof: RegisteredSealProof,
    /// Ticket.
    pub ticket: [u8; 32],
    /// Seed.
    pub seed: [u8; 32],
    /// comm_d.
    pub comm_d: Commitment,
    /// comm_r.
    pub comm_r: Commitment,
    /// The proof.
    pub proof: Vec<u8>,
}

/// An update proof to judge.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UpdateToVerify {
    /// Whose result.
    pub attempt: AttemptId,
    /// Sector.
    pub sector: u64,
    /// Proof type of its sealing.
    pub seal_proof: RegisteredSealProof,
    /// comm_r of the replica before the update.
    pub comm_r_old: Commitment,
    /// comm_r of the update.
    pub comm_r_new: Commitment,
    /// comm_d of the new data.
    pub comm_d_new: Commitment,
    /// The proof.
    pub proof: Vec<u8>,
}

/// A PoSt proof to judge: one window partition, or one winning proof.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PostToVerify {
    /// Whose result.
    pub attempt: AttemptId,
    /// Proof type.
    pub post_proof: PostProof,
    /// Randomness.
    pub randomness: Randomness,
    /// Partition (0 for winning).
    pub partition: u32,
    /// Sectors, rising.
    pub sectors: Vec<(u64, Commitment, RegisteredSealProof)>,
    /// The proof.
    pub proof: Vec<u8>,
}

/// What the chain is asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum ChainCall {
    /// A ticket for PC1.
    Ticket,
    /// Publish the pre-commitment.
    PreCommit { comm_r: Commitment, comm_d: Commitment },
    /// The seed of this epoch (the chain answers once the epoch is reached).
    Seed { epoch: ChainEpoch },
    /// Publish the proof.
    Commit { proof: Vec<u8> },
}

/// Which task a fence names; kept here so that callers need not build rows.
pub fn fence(task: TaskId, up_to_number: u32) -> FenceRow {
    FenceRow { task, up_to_number }
}
