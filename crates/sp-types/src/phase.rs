//! Phases of an attempt, and the memory that a task still needs in each: a table beside that of its resources.

use serde::{Deserialize, Serialize};

use crate::ResourceRow;

/// Phases of an attempt on its worker, in their order, as shown to users.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Phase {
    /// Waits for its turn or for an upload.
    Waiting,
    /// Fetches inputs.
    Preparing,
    /// Its inputs are there; waits for its host to have room.
    Prepared,
    /// Computes.
    Running,
    /// Digests and publishes.
    Publishing,
    /// Its result waits for the acknowledgement.
    Returning,
}

/// Digesting reads sixteen chunks of 1 MiB at once and keeps 32 bytes for each: 22 MiB for the largest cache there is
/// (704 GiB of layers), and that three times over while the manifest is put together.
const PUBLISHING_BYTES: u64 = 128 << 20;

impl Phase {
    /// Most memory that any task needs from this phase on; none: what its row says.
    ///
    /// The layers of PC1, the columns of PC2 and the witnesses of C2 (`spec/proofs.md` A.5) are gone with the
    /// computation; parameters stay, but those are the base, which no task is charged with. Before it everything has to
    /// be kept: what is given away could not be had back.
    pub fn memory_most_bytes(self) -> Option<u64> {
        match self {
            Self::Waiting | Self::Preparing | Self::Prepared | Self::Running => None,
            Self::Publishing => Some(PUBLISHING_BYTES),
            // Its result lies on the worker's disk.
            Self::Returning => Some(0),
        }
    }
}

impl ResourceRow {
    /// What the task needs from this phase on: less memory than its row says, or as much, never more.
    pub fn in_phase(&self, phase: Phase) -> Self {
        let most = phase.memory_most_bytes().unwrap_or(u64::MAX);
        Self {
            min_memory_bytes: self.min_memory_bytes.min(most),
            max_memory_bytes: self.max_memory_bytes.min(most),
            ..*self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ResourceTable, SectorSize, TaskKind};

    #[test]
    fn memory_shrinks_with_the_phases_and_never_grows_beyond_the_row() {
        let phases =
            [Phase::Waiting, Phase::Preparing, Phase::Prepared, Phase::Running, Phase::Publishing, Phase::Returning];
        let table = ResourceTable::default();
        for (kind, size) in TaskKind::ALL.iter().flat_map(|kind| SectorSize::ALL.map(|size| (*kind, size))) {
            let row = table.row(kind, size);
            let memory =
                phases.map(|phase| row.in_phase(phase)).map(|row| (row.min_memory_bytes, row.max_memory_bytes));
            assert!(memory.is_sorted_by(|a, b| a.0 >= b.0 && a.1 >= b.1), "{kind} {size}: {memory:?}");
            assert_eq!(memory[3], (row.min_memory_bytes, row.max_memory_bytes), "{kind} computes with all of it");
            assert_eq!(memory[5], (0, 0));
        }
        let pc1 = table.row(TaskKind::PreCommit1, SectorSize::GiB32).in_phase(Phase::Publishing);
        assert_eq!((pc1.min_memory_bytes, pc1.max_parallelism), (128 << 20, 1));
    }
}
