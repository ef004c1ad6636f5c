//! The vocabulary of sp-cluster: typed ids, registered proofs, task and file kinds, resource rows, error codes.
//!
//! No I/O, no async, no protobuf. Every other crate speaks in these words.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod capacity;
mod chain;
mod error_code;
mod file_kind;
mod file_lock;
mod http_header;
mod ids;
mod path_rules;
mod phase;
mod piece;
mod proof;
mod resources;
mod sector;
mod sector_state;
mod size;
mod source_url;
mod task;

pub use capacity::{GpuDevice, GpuShare, HostCapacity, WorkerLimits};
pub use chain::{ChainEpoch, DeadlineIndex, PartitionIndex, Randomness};
pub use error_code::{ErrorCode, Fault};
pub use file_kind::{FileKind, FileKindSet, UnknownFileKind};
pub use file_lock::FileLock;
pub use http_header::{BadHeader, HttpHeader, Secret};
pub use ids::{
    AttemptId, BadId, GpuId, HostId, Origin, ReplicaId, ReplicaInfo, SessionId, Soundness, StoreId, TaskId, WorkerId,
};
pub use path_rules::{Filters, may_be_fetched};
pub use phase::Phase;
pub use piece::{PieceInfo, fillers, padded_for, starts, with_fillers};
pub use proof::{
    PostProof, PostType, RegisteredSealProof, RegisteredUpdateProof, SealFeature, SectorSize, UnknownProof,
};
pub use resources::{BadOverride, ResourceRow, ResourceTable};
pub use sector::{BadSectorName, Commitment, ProverId, SectorId};
pub use sector_state::SectorState;
pub use size::{BadByteSize, ByteSize};
pub use source_url::{BadSourceUrl, SourceUrl};
pub use task::{TaskClass, TaskKind, UnknownTask};
