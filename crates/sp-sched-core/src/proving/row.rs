//! Partitions that are being proven for the chain, as they are durable: who was given them, and their proofs. A scheduler
//! that dies costs nothing of what its workers do or have done.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sp_chain::Opening;
use sp_types::{AttemptId, ChainEpoch, GpuShare, HostId, Randomness, TaskId, WorkerId};

use super::call::PostSector;
use super::job::{Part, PostId, PostJob, PostKind, Try};
use crate::core::Core;
use crate::effect::ProvenPartition;
use crate::model::{RowChange, UnixMs};

/// Which partition of which opening, named by its first epoch.
pub type PartitionKey = (ChainEpoch, u32);

/// A partition that somebody proves or has proven. It goes with its opening, or once the chain has the proof.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PartitionRow {
    /// First epoch of the opening.
    pub open: ChainEpoch,
    /// Index in the deadline.
    pub partition: u32,
    /// What it is proven under.
    pub randomness: Randomness,
    /// When it was set going.
    pub started: UnixMs,
    /// When the opening closes.
    pub until: UnixMs,
    /// Its task.
    pub task: TaskId,
    /// Number of the newest attempt.
    pub last_number: u32,
    /// Sectors to prove, rising.
    pub sectors: Vec<PostSector>,
    /// Sectors that should be proven with it and that nobody can prove, with the reason.
    pub lost: Vec<(u64, String)>,
    /// Who has it.
    pub tries: Vec<TryRow>,
    /// Its proof, verified.
    pub proven: Option<ProvenPartition>,
}

/// A partition given to a worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TryRow {
    /// Which attempt.
    pub attempt: AttemptId,
    /// Whose.
    pub worker: WorkerId,
    /// Where.
    pub host: HostId,
    /// Devices that it computes on.
    pub gpus: Vec<GpuShare>,
    /// Since when.
    pub since: UnixMs,
    /// The worker proves another partition and only reads this one.
    pub ahead: bool,
}

impl PartitionRow {
    /// What tells it from all others.
    pub fn key(&self) -> PartitionKey {
        (self.open, self.partition)
    }
}

impl Core {
    /// What becomes of this partition has to outlive the scheduler. Only what the chain waits for does.
    pub(super) fn note_part(&mut self, id: PostId, index: u32) {
        if let PostId::Opening(open) = id {
            self.out.partitions.insert((open, index));
        }
    }

    /// The same for all partitions of a PoSt.
    pub(super) fn note_parts(&mut self, id: PostId) {
        let indexes: Vec<u32> = self.posts.get(&id).into_iter().flat_map(|j| &j.parts).map(|p| p.index).collect();
        indexes.into_iter().for_each(|index| self.note_part(id, index));
    }

    /// The row as it is now. None: there is none, and was none.
    pub(crate) fn partition_change(&mut self, key: PartitionKey) -> Option<RowChange> {
        match self.partition_row(key) {
            Some(row) => {
                self.durable_parts.insert(key);
                Some(RowChange::PutPartition(Box::new(row)))
            }
            None => self.durable_parts.remove(&key).then_some(RowChange::DeletePartition(key)),
        }
    }

    /// Nobody has it, and it is not proven: nothing would be lost.
    fn partition_row(&self, (open, index): PartitionKey) -> Option<PartitionRow> {
        let job = self.posts.get(&PostId::Opening(open))?;
        let part = job.parts.iter().find(|part| part.index == index)?;
        (part.done.is_some() || !part.tries.is_empty()).then(|| row_of(open, job, part))
    }

    /// Takes up what was being proven. Nothing is handed in before the chain has said what it has.
    pub(crate) fn restore_partitions(&mut self, rows: Vec<PartitionRow>) {
        let mut jobs: BTreeMap<ChainEpoch, PostJob> = BTreeMap::new();
        for row in rows {
            self.durable_parts.insert(row.key());
            let job = jobs.entry(row.open).or_insert_with(|| job_of(&row));
            // Nobody writes two kinds; what does not fit is proven again.
            match job.randomness == row.randomness {
                true => job.parts.push(part_of(row, self.now)),
                false => drop(self.out.partitions.insert(row.key())),
            }
        }
        self.posts.extend(jobs.into_iter().map(|(open, job)| (PostId::Opening(open), job)));
    }
}

fn row_of(open: ChainEpoch, job: &PostJob, part: &Part) -> PartitionRow {
    let try_row = |t: &Try| {
        let Try { attempt, worker, host, gpus, since, ahead, .. } = t.clone();
        TryRow { attempt, worker, host, gpus, since, ahead }
    };
    PartitionRow {
        open,
        partition: part.index,
        randomness: job.randomness,
        started: job.started,
        until: job.until,
        task: part.task,
        last_number: part.last_number,
        sectors: part.sectors.clone(),
        lost: part.lost.clone(),
        tries: part.tries.iter().map(try_row).collect(),
        proven: part.done.clone(),
    }
}

fn job_of(row: &PartitionRow) -> PostJob {
    let kind = PostKind::Window(Opening::current(row.open).index);
    let PartitionRow { randomness, started, until, .. } = *row;
    PostJob { kind, randomness, started, until, alerted: false, parts: Vec::new() }
}

fn part_of(row: PartitionRow, now: UnixMs) -> Part {
    let PartitionRow { partition, task, last_number, sectors, lost, tries, proven, .. } = row;
    let restored = |t: TryRow| {
        let TryRow { attempt, worker, host, gpus, since, ahead } = t;
        // The machine's clock may have been set back.
        Try { attempt, worker, host, gpus, since: since.min(now), ahead, progress: None, verifying: None }
    };
    Part {
        last_number,
        lost,
        tries: tries.into_iter().map(restored).collect(),
        problems: proven.as_ref().map(|done| done.skipped.clone()).unwrap_or_default(),
        done: proven,
        ..Part::new(task, partition, sectors)
    }
}
