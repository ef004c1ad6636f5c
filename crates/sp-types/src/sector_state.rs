//! States of a sector's life, with Lotus's names, and the published edges between them (law L7).

use std::fmt;
use std::str::FromStr;

use SectorState as S;
use serde::{Deserialize, Serialize};

/// Where a sector stands. A failure state waits, longer each time, and goes back to the state that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum SectorState {
    /// Waits for AP.
    Packing,
    /// In PC1.
    PreCommit1,
    /// In PC2.
    PreCommit2,
    /// Waits for the epoch of its seed.
    WaitSeed,
    /// In C1.
    Committing1,
    /// In C2.
    Committing2,
    /// In FIN before its proof is published (FinalizeEarly).
    CommitFinalize,
    /// Its proof is being published, its files are finalised already (FinalizeEarly).
    SubmitCommit,
    /// In FIN.
    FinalizeSector,
    /// Sealed, proof accepted; proven at every deadline.
    Proving,
    /// Proven, and may be updated with data.
    Available,
    /// Waits for AP of the new data.
    SnapDealsAddPiece,
    /// Its new data is whole.
    SnapDealsPacking,
    /// In RU.
    UpdateReplica,
    /// In PR1, then PR2.
    ProveReplicaUpdate,
    /// In FRU.
    FinalizeReplicaUpdate,
    /// The replica before the update is being let go.
    ReleaseSectorKey,
    /// What the update has made so far is being thrown away.
    AbortUpgrade,
    /// In DL: its finished files are downloaded from elsewhere.
    ReceiveSector,
    /// AP failed.
    AddPieceFailed,
    /// PC1 failed.
    SealPreCommit1Failed,
    /// PC2 failed.
    SealPreCommit2Failed,
    /// The chain refused the pre-commit.
    PreCommitFailed,
    /// C1 or C2 failed, or made a proof that the verifier refused.
    ComputeProofFailed,
    /// The chain refused the proof.
    CommitFailed,
    /// FIN before the publication failed.
    CommitFinalizeFailed,
    /// FIN failed.
    FinalizeFailed,
    /// AP of the new data failed.
    SnapDealsAddPieceFailed,
    /// RU, PR1 or PR2 failed.
    ReplicaUpdateFailed,
    /// FRU failed.
    FinalizeReplicaUpdateFailed,
    /// DL failed.
    ReceiveSectorFailed,
    /// A replica could not be deleted yet.
    RemoveFailed,
    /// A phase failed more often than its limit; waits for the operator.
    FailedUnrecoverable,
    /// What `FailedUnrecoverable` was called at first; found in old rows only.
    Failed,
    /// Its files are being deleted.
    Removing,
    /// Gone.
    Removed,
}

/// Each state with its name.
const NAMES: [(SectorState, &str); 36] = [
    (S::Packing, "Packing"),
    (S::PreCommit1, "PreCommit1"),
    (S::PreCommit2, "PreCommit2"),
    (S::WaitSeed, "WaitSeed"),
    (S::Committing1, "Committing1"),
    (S::Committing2, "Committing2"),
    (S::CommitFinalize, "CommitFinalize"),
    (S::SubmitCommit, "SubmitCommit"),
    (S::FinalizeSector, "FinalizeSector"),
    (S::Proving, "Proving"),
    (S::Available, "Available"),
    (S::SnapDealsAddPiece, "SnapDealsAddPiece"),
    (S::SnapDealsPacking, "SnapDealsPacking"),
    (S::UpdateReplica, "UpdateReplica"),
    (S::ProveReplicaUpdate, "ProveReplicaUpdate"),
    (S::FinalizeReplicaUpdate, "FinalizeReplicaUpdate"),
    (S::ReleaseSectorKey, "ReleaseSectorKey"),
    (S::AbortUpgrade, "AbortUpgrade"),
    (S::ReceiveSector, "ReceiveSector"),
    (S::AddPieceFailed, "AddPieceFailed"),
    (S::SealPreCommit1Failed, "SealPreCommit1Failed"),
    (S::SealPreCommit2Failed, "SealPreCommit2Failed"),
    (S::PreCommitFailed, "PreCommitFailed"),
    (S::ComputeProofFailed, "ComputeProofFailed"),
    (S::CommitFailed, "CommitFailed"),
    (S::CommitFinalizeFailed, "CommitFinalizeFailed"),
    (S::FinalizeFailed, "FinalizeFailed"),
    (S::SnapDealsAddPieceFailed, "SnapDealsAddPieceFailed"),
    (S::ReplicaUpdateFailed, "ReplicaUpdateFailed"),
    (S::FinalizeReplicaUpdateFailed, "FinalizeReplicaUpdateFailed"),
    (S::ReceiveSectorFailed, "ReceiveSectorFailed"),
    (S::RemoveFailed, "RemoveFailed"),
    (S::FailedUnrecoverable, "FailedUnrecoverable"),
    (S::Failed, "Failed"),
    (S::Removing, "Removing"),
    (S::Removed, "Removed"),
];

/// The way of a sector when nothing goes wrong, and the ways back to an earlier phase.
const EDGES: [(SectorState, SectorState); 34] = [
    // Sealing.
    (S::Packing, S::PreCommit1),
    (S::PreCommit1, S::PreCommit2),
    (S::PreCommit2, S::WaitSeed),
    (S::WaitSeed, S::Committing1),
    (S::Committing1, S::Committing2),
    (S::Committing2, S::FinalizeSector),
    (S::FinalizeSector, S::Proving),
    (S::FinalizeSector, S::Available),
    // FinalizeEarly.
    (S::Committing2, S::CommitFinalize),
    (S::CommitFinalize, S::SubmitCommit),
    (S::SubmitCommit, S::Proving),
    (S::SubmitCommit, S::Available),
    // Updating.
    (S::Proving, S::Available),
    (S::Available, S::Proving),
    (S::Available, S::SnapDealsAddPiece),
    (S::SnapDealsAddPiece, S::SnapDealsPacking),
    (S::SnapDealsPacking, S::UpdateReplica),
    (S::UpdateReplica, S::ProveReplicaUpdate),
    (S::ProveReplicaUpdate, S::FinalizeReplicaUpdate),
    (S::FinalizeReplicaUpdate, S::ReleaseSectorKey),
    (S::FinalizeReplicaUpdate, S::Proving),
    (S::ReleaseSectorKey, S::Proving),
    (S::AbortUpgrade, S::Proving),
    (S::Removing, S::Removed),
    // Sealed elsewhere.
    (S::ReceiveSector, S::Proving),
    // A phase whose inputs are gone goes back to the phase that makes them.
    (S::PreCommit2, S::PreCommit1),
    (S::Committing1, S::PreCommit1),
    (S::Committing2, S::Committing1),
    (S::ProveReplicaUpdate, S::UpdateReplica),
    (S::FinalizeReplicaUpdate, S::UpdateReplica),
    (S::FinalizeReplicaUpdateFailed, S::UpdateReplica),
    // What keeps failing may have been handed bad files by the phase before.
    (S::SealPreCommit2Failed, S::PreCommit1),
    (S::ComputeProofFailed, S::PreCommit1),
    (S::ComputeProofFailed, S::Committing1),
];

/// A state at work and the state that its failure leads to, which leads back to it.
const FAILURES: [(SectorState, SectorState); 16] = [
    (S::Packing, S::AddPieceFailed),
    (S::PreCommit1, S::SealPreCommit1Failed),
    (S::PreCommit2, S::SealPreCommit2Failed),
    (S::WaitSeed, S::PreCommitFailed),
    (S::Committing1, S::ComputeProofFailed),
    (S::Committing2, S::ComputeProofFailed),
    (S::Committing2, S::CommitFailed),
    (S::SubmitCommit, S::CommitFailed),
    (S::CommitFinalize, S::CommitFinalizeFailed),
    (S::FinalizeSector, S::FinalizeFailed),
    (S::SnapDealsAddPiece, S::SnapDealsAddPieceFailed),
    (S::UpdateReplica, S::ReplicaUpdateFailed),
    (S::ProveReplicaUpdate, S::ReplicaUpdateFailed),
    (S::FinalizeReplicaUpdate, S::FinalizeReplicaUpdateFailed),
    (S::ReceiveSector, S::ReceiveSectorFailed),
    (S::Removing, S::RemoveFailed),
];

impl SectorState {
    /// Every state.
    pub const ALL: [Self; NAMES.len()] = {
        let mut all = [S::Packing; NAMES.len()];
        let mut at = 0;
        while at < all.len() {
            all[at] = NAMES[at].0;
            at += 1;
        }
        all
    };

    /// May a sector go from `self` to `to` by itself or as an operator asks? The published graph. (An operator may
    /// force more with `sectors update-state`; that is logged as such.)
    pub fn may_become(self, to: Self) -> bool {
        if EDGES.contains(&(self, to)) || FAILURES.contains(&(self, to)) || FAILURES.contains(&(to, self)) {
            return true;
        }
        match (self, to) {
            (S::Removed | S::Removing, S::Removing) => false,
            (_, S::Removing) => true,
            // Who is proven at every deadline stays where he failed; the others stop in a state of its own.
            (_, S::FailedUnrecoverable) => self.is_sealing() && !self.is_stopped() && !self.is_update(),
            (S::FailedUnrecoverable | S::Failed, _) => to.fails_to().is_some() && !to.is_update() && !to.is_received(),
            (_, S::AbortUpgrade) => self.is_update() && self != S::AbortUpgrade,
            _ => false,
        }
    }

    /// The state that a failure of its work leads to; none for a state that does no work.
    pub fn fails_to(self) -> Option<Self> {
        FAILURES.into_iter().find(|(at_work, _)| *at_work == self).map(|(_, failure)| failure)
    }

    /// A state that waits to try again.
    pub fn is_failure(self) -> bool {
        FAILURES.iter().any(|(_, failure)| *failure == self)
    }

    /// Waits for the operator, whatever happens.
    pub fn is_stopped(self) -> bool {
        matches!(self, S::FailedUnrecoverable | S::Failed)
    }

    /// No task of the pipeline is under way or follows by itself.
    pub fn is_settled(self) -> bool {
        self.is_stopped() || self.is_gone() || matches!(self, S::Proving | S::Available)
    }

    /// On the way from Available to the acceptance of an update.
    pub fn is_update(self) -> bool {
        matches!(
            self,
            S::SnapDealsAddPiece
                | S::SnapDealsPacking
                | S::UpdateReplica
                | S::ProveReplicaUpdate
                | S::FinalizeReplicaUpdate
                | S::AbortUpgrade
                | S::SnapDealsAddPieceFailed
                | S::ReplicaUpdateFailed
                | S::FinalizeReplicaUpdateFailed
        )
    }

    /// It was sealed elsewhere and its files are still to come.
    pub fn is_received(self) -> bool {
        matches!(self, S::ReceiveSector | S::ReceiveSectorFailed)
    }

    /// Its files are deleted, or are going to be.
    pub fn is_gone(self) -> bool {
        matches!(self, S::Removing | S::RemoveFailed | S::Removed)
    }

    /// Counts for MaxSealingSectors and its like: sealing, updating, failed. Waiting for the publication of a proof
    /// does not, when the files are finalised already; nor does a sector that was sealed elsewhere.
    pub fn is_sealing(self) -> bool {
        let is_done = matches!(self, S::Proving | S::Available | S::SubmitCommit | S::ReleaseSectorKey);
        !self.is_gone() && !self.is_received() && !is_done
    }

    fn name(self) -> &'static str {
        NAMES.into_iter().find(|(state, _)| *state == self).map_or("", |(_, name)| name)
    }
}

impl fmt::Display for SectorState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for SectorState {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let known = NAMES.into_iter().find(|(_, name)| name.eq_ignore_ascii_case(text));
        known.map(|(state, _)| state).ok_or_else(|| {
            let names: Vec<_> = NAMES.iter().map(|(_, name)| *name).collect();
            format!("unknown sector state `{text}` (known: {})", names.join(" "))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The whole graph, one line per state. A change here is a change of what operators rely on.
    #[test]
    fn the_published_edges() {
        let of = |from: SectorState| {
            let to: Vec<_> =
                SectorState::ALL.into_iter().filter(|to| from.may_become(*to)).map(|s| s.to_string()).collect();
            format!("{from}: {}", to.join(" "))
        };
        let all: Vec<String> = SectorState::ALL.into_iter().map(of).collect();
        let anew = "Packing PreCommit1 PreCommit2 WaitSeed Committing1 Committing2 CommitFinalize SubmitCommit \
                    FinalizeSector Removing";
        let expected = [
            "Packing: PreCommit1 AddPieceFailed FailedUnrecoverable Removing",
            "PreCommit1: PreCommit2 SealPreCommit1Failed FailedUnrecoverable Removing",
            "PreCommit2: PreCommit1 WaitSeed SealPreCommit2Failed FailedUnrecoverable Removing",
            "WaitSeed: Committing1 PreCommitFailed FailedUnrecoverable Removing",
            "Committing1: PreCommit1 Committing2 ComputeProofFailed FailedUnrecoverable Removing",
            "Committing2: Committing1 CommitFinalize FinalizeSector ComputeProofFailed CommitFailed \
             FailedUnrecoverable Removing",
            "CommitFinalize: SubmitCommit CommitFinalizeFailed FailedUnrecoverable Removing",
            "SubmitCommit: Proving Available CommitFailed Removing",
            "FinalizeSector: Proving Available FinalizeFailed FailedUnrecoverable Removing",
            "Proving: Available Removing",
            "Available: Proving SnapDealsAddPiece Removing",
            "SnapDealsAddPiece: SnapDealsPacking AbortUpgrade SnapDealsAddPieceFailed Removing",
            "SnapDealsPacking: UpdateReplica AbortUpgrade Removing",
            "UpdateReplica: ProveReplicaUpdate AbortUpgrade ReplicaUpdateFailed Removing",
            "ProveReplicaUpdate: UpdateReplica FinalizeReplicaUpdate AbortUpgrade ReplicaUpdateFailed Removing",
            "FinalizeReplicaUpdate: Proving UpdateReplica ReleaseSectorKey AbortUpgrade \
             FinalizeReplicaUpdateFailed Removing",
            "ReleaseSectorKey: Proving Removing",
            "AbortUpgrade: Proving Removing",
            "ReceiveSector: Proving ReceiveSectorFailed Removing",
            "AddPieceFailed: Packing FailedUnrecoverable Removing",
            "SealPreCommit1Failed: PreCommit1 FailedUnrecoverable Removing",
            "SealPreCommit2Failed: PreCommit1 PreCommit2 FailedUnrecoverable Removing",
            "PreCommitFailed: WaitSeed FailedUnrecoverable Removing",
            "ComputeProofFailed: PreCommit1 Committing1 Committing2 FailedUnrecoverable Removing",
            "CommitFailed: Committing2 SubmitCommit FailedUnrecoverable Removing",
            "CommitFinalizeFailed: CommitFinalize FailedUnrecoverable Removing",
            "FinalizeFailed: FinalizeSector FailedUnrecoverable Removing",
            "SnapDealsAddPieceFailed: SnapDealsAddPiece AbortUpgrade Removing",
            "ReplicaUpdateFailed: UpdateReplica ProveReplicaUpdate AbortUpgrade Removing",
            "FinalizeReplicaUpdateFailed: UpdateReplica FinalizeReplicaUpdate AbortUpgrade Removing",
            "ReceiveSectorFailed: ReceiveSector Removing",
            "RemoveFailed: Removing",
            &format!("FailedUnrecoverable: {anew}"),
            &format!("Failed: {anew}"),
            "Removing: RemoveFailed Removed",
            "Removed: ",
        ];
        assert_eq!(all, expected);
    }

    #[test]
    fn names_round_trip_and_every_state_has_one() {
        for (at, state) in SectorState::ALL.into_iter().enumerate() {
            assert_eq!((state as usize, state.to_string().to_uppercase().parse()), (at, Ok(state)));
        }
        assert!("Sealed".parse::<SectorState>().is_err_and(|e| e.contains("`Sealed`") && e.contains("WaitSeed")));
    }

    #[test]
    fn failures_lead_back_and_only_who_works_fails() {
        for state in SectorState::ALL.into_iter() {
            assert!(!(state.is_failure() && state.fails_to().is_some()), "{state}");
            if let Some(failure) = state.fails_to() {
                assert!(failure.is_failure() && failure.may_become(state) && state.may_become(failure), "{state}");
            }
        }
        assert_eq!(S::FinalizeReplicaUpdate.fails_to(), Some(S::FinalizeReplicaUpdateFailed));
        assert_eq!(S::Proving.fails_to(), None);
    }
}
