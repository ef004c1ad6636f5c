//! What the chain has made durable of proofs: the verdicts on openings that have closed, and who was in time for a block.

use std::collections::BTreeMap;

use prost::Message;
use sp_proto::v1;
use sp_state::Batch;

/// An opening that has closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed {
    /// First epoch.
    pub open: i64,
    /// Deadline.
    pub deadline: u32,
    /// Its partitions.
    pub partitions: Vec<Judged>,
    /// Proofs that came after it had closed.
    pub late: u32,
    /// Proofs that did not count for another reason.
    pub refused: u32,
}

/// What became of a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// Index in the deadline.
    pub index: u32,
    /// In a word.
    pub verdict: v1::PartitionVerdict,
    /// Sectors that were left out.
    pub skipped: Vec<u64>,
}

/// Everything so far.
#[derive(Debug, Clone, Default)]
pub struct Score {
    /// Openings that have closed, by their first epoch.
    pub closed: BTreeMap<i64, Closed>,
    /// Epochs that were won, with the challenged sector and whether its proof has come.
    pub wins: BTreeMap<i64, (u64, bool)>,
}

impl Score {
    pub(super) fn commit(&mut self, batch: &Batch) {
        for (key, value) in batch.writes() {
            let Some(value) = value else { continue };
            let number = |prefix: &[u8]| {
                let tail = key.strip_prefix(prefix).and_then(|tail| <[u8; 8]>::try_from(tail).ok());
                tail.map(|tail| u64::from_be_bytes(tail) as i64)
            };
            if let Some(open) = number(b"chain/opening/") {
                self.note_opening(open, value);
            } else if let Some((epoch, win)) = number(b"chain/win/").zip(v1::StoredChainWin::decode(value).ok()) {
                self.wins.insert(epoch, (win.sector, !win.digest.is_empty()));
            }
        }
    }

    fn note_opening(&mut self, open: i64, row: &[u8]) {
        let Ok(row) = v1::StoredOpening::decode(row) else { return };
        if !row.closed {
            return;
        }
        let judged = |partition: &v1::StoredProvenPartition| Judged {
            index: partition.index,
            verdict: partition.verdict(),
            skipped: partition.skipped.clone(),
        };
        let partitions = row.partitions.iter().map(judged).collect();
        let v1::StoredOpening { deadline, late, refused, .. } = row;
        self.closed.insert(open, Closed { open, deadline, partitions, late, refused });
    }
}
