//! Sector states in rows: a number each, which never changes its meaning.

use sp_proto::convert::WireError;
use sp_proto::v1::StoredSectorState as Stored;
use sp_types::SectorState;

pub(super) fn encode(state: SectorState) -> Stored {
    match state {
        SectorState::Packing => Stored::Packing,
        SectorState::PreCommit1 => Stored::PreCommit1,
        SectorState::PreCommit2 => Stored::PreCommit2,
        SectorState::WaitSeed => Stored::WaitSeed,
        SectorState::Committing1 => Stored::Committing1,
        SectorState::Committing2 => Stored::Committing2,
        SectorState::CommitFinalize => Stored::CommitFinalize,
        SectorState::SubmitCommit => Stored::SubmitCommit,
        SectorState::FinalizeSector => Stored::FinalizeSector,
        SectorState::Proving => Stored::Proving,
        SectorState::Available => Stored::Available,
        SectorState::SnapDealsAddPiece => Stored::SnapDealsAddPiece,
        SectorState::SnapDealsPacking => Stored::SnapDealsPacking,
        SectorState::UpdateReplica => Stored::UpdateReplica,
        SectorState::ProveReplicaUpdate => Stored::ProveReplicaUpdate,
        SectorState::FinalizeReplicaUpdate => Stored::FinalizeReplicaUpdate,
        SectorState::ReleaseSectorKey => Stored::ReleaseSectorKey,
        SectorState::AbortUpgrade => Stored::AbortUpgrade,
        SectorState::ReceiveSector => Stored::ReceiveSector,
        SectorState::AddPieceFailed => Stored::AddPieceFailed,
        SectorState::SealPreCommit1Failed => Stored::SealPreCommit1Failed,
        SectorState::SealPreCommit2Failed => Stored::SealPreCommit2Failed,
        SectorState::PreCommitFailed => Stored::PreCommitFailed,
        SectorState::ComputeProofFailed => Stored::ComputeProofFailed,
        SectorState::CommitFailed => Stored::CommitFailed,
        SectorState::CommitFinalizeFailed => Stored::CommitFinalizeFailed,
        SectorState::FinalizeFailed => Stored::FinalizeFailed,
        SectorState::SnapDealsAddPieceFailed => Stored::SnapDealsAddPieceFailed,
        SectorState::ReplicaUpdateFailed => Stored::ReplicaUpdateFailed,
        SectorState::FinalizeReplicaUpdateFailed => Stored::FinalizeReplicaUpdateFailed,
        SectorState::ReceiveSectorFailed => Stored::ReceiveSectorFailed,
        SectorState::RemoveFailed => Stored::RemoveFailed,
        SectorState::FailedUnrecoverable => Stored::FailedUnrecoverable,
        SectorState::Failed => Stored::Failed,
        SectorState::Removing => Stored::Removing,
        SectorState::Removed => Stored::Removed,
    }
}

pub(super) fn decode(number: i32) -> Result<SectorState, WireError> {
    let known = SectorState::ALL.into_iter().find(|s| encode(*s) as i32 == number);
    known.ok_or_else(|| WireError::Invalid { field: "state", reason: format!("unknown sector state {number}") })
}
