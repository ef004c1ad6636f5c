//! What became of openings and elections: the score that the chain keeps.

use std::collections::BTreeMap;

use sp_types::{ChainEpoch, DeadlineIndex};

/// One opening of a deadline that had sectors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpeningRecord {
    /// Which deadline.
    pub deadline: DeadlineIndex,
    /// First epoch of the opening.
    pub open: ChainEpoch,
    /// Its partitions by index; before it has closed only those with a proof.
    pub partitions: BTreeMap<u32, PartitionRecord>,
    /// Submissions that came after it had closed.
    pub late: u32,
    /// Submissions that did not count for another reason.
    pub refused: u32,
    /// It has closed, and the verdicts are final.
    pub closed: bool,
}

/// What became of a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionRecord {
    /// In a word.
    pub verdict: Verdict,
    /// When its proof came, or when it closed without one.
    pub at: ChainEpoch,
    /// Digest of the proof that counts, 32 bytes; zeros where there is none.
    pub digest: [u8; 32],
    /// Sectors that are proven.
    pub proven: u32,
    /// Sectors that were to be proven and are not, rising.
    pub skipped: Vec<u64>,
}

/// In a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// A proof came in time.
    Proven,
    /// None did: all that was to be proven is faulty.
    Missed,
    /// Every sector was faulty before, so that nothing was to be proven.
    Faulty,
}

/// An epoch that was won.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WinRecord {
    /// Which.
    pub epoch: ChainEpoch,
    /// The challenged sector.
    pub sector: u64,
    /// Digest of its proof, and when that came. None: there is none yet.
    pub block: Option<([u8; 32], ChainEpoch)>,
}

impl OpeningRecord {
    /// Of an opening that nothing has happened to.
    pub fn new(deadline: DeadlineIndex, open: ChainEpoch) -> Self {
        Self { deadline, open, partitions: BTreeMap::new(), late: 0, refused: 0, closed: false }
    }

    /// Partitions with this verdict.
    pub fn count(&self, verdict: Verdict) -> u32 {
        self.partitions.values().filter(|p| p.verdict == verdict).count() as u32
    }
}
