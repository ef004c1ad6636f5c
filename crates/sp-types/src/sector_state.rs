//! States of a sector's life and the published edges between them (law L7).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Where a sector stands. Snap states follow with the scheduler issue.
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
    /// In FIN.
    FinalizeSector,
    /// Sealed, proof accepted; proven at every deadline.
    Proving,
    /// A phase failed more often than its limit; waits for the operator.
    Failed,
    /// Its files are being deleted.
    Removing,
    /// Gone.
    Removed,
}

impl SectorState {
    /// Every state.
    pub const ALL: [Self; 11] = [
        Self::Packing,
        Self::PreCommit1,
        Self::PreCommit2,
        Self::WaitSeed,
        Self::Committing1,
        Self::Committing2,
        Self::FinalizeSector,
        Self::Proving,
        Self::Failed,
        Self::Removing,
        Self::Removed,
    ];

    /// May a sector go from `self` to `to`? The published graph.
    pub fn may_become(self, to: Self) -> bool {
        use SectorState as S;
        match (self, to) {
            (S::Packing, S::PreCommit1)
            | (S::PreCommit1, S::PreCommit2)
            | (S::PreCommit2, S::WaitSeed)
            | (S::WaitSeed, S::Committing1)
            | (S::Committing1, S::Committing2)
            | (S::Committing2, S::FinalizeSector)
            | (S::FinalizeSector, S::Proving)
            | (S::Removing, S::Removed) => true,
            // A phase whose inputs are gone goes back to the phase that makes them.
            (S::PreCommit2 | S::Committing1, S::PreCommit1) | (S::Committing2, S::Committing1) => true,
            (S::Proving | S::Removing | S::Removed, S::Failed) => false,
            (_, S::Failed) => true,
            (S::Failed, _) => !matches!(to, S::Removed),
            (S::Removed, S::Removing) => false,
            (_, S::Removing) => true,
            _ => false,
        }
    }

    /// No task of the pipeline is under way or follows by itself.
    pub fn is_settled(self) -> bool {
        matches!(self, Self::Proving | Self::Failed | Self::Removing | Self::Removed)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Packing => "Packing",
            Self::PreCommit1 => "PreCommit1",
            Self::PreCommit2 => "PreCommit2",
            Self::WaitSeed => "WaitSeed",
            Self::Committing1 => "Committing1",
            Self::Committing2 => "Committing2",
            Self::FinalizeSector => "FinalizeSector",
            Self::Proving => "Proving",
            Self::Failed => "Failed",
            Self::Removing => "Removing",
            Self::Removed => "Removed",
        }
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
        Self::ALL
            .into_iter()
            .find(|s| s.name().eq_ignore_ascii_case(text))
            .ok_or_else(|| format!("unknown sector state `{text}`"))
    }
}
