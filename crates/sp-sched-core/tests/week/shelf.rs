//! What is durable: the rows of the scheduler, and the files, all on one path that every sealing worker has.

use std::collections::{BTreeMap, BTreeSet};

use sp_sched_core::event::{Event, Failure, StoreFact};
use sp_sched_core::model::{Counters, FenceRow, PartitionKey, PartitionRow, RowChange, Rows, Sector, Task};
use sp_types::{AttemptId, ErrorCode, FileKind, Filters, ReplicaId, SectorState, Soundness, StoreId, TaskId};

use crate::world::World;

#[derive(Default)]
pub struct Shelf {
    pub sectors: BTreeMap<u64, Sector>,
    pub counters: Counters,
    tasks: BTreeMap<TaskId, Task>,
    fences: BTreeMap<TaskId, FenceRow>,
    partitions: BTreeMap<PartitionKey, PartitionRow>,
    replicas: BTreeSet<ReplicaId>,
    /// What an attempt has published, and what stood there.
    replaced: BTreeMap<AttemptId, Vec<(ReplicaId, ReplicaId)>>,
    /// Every end that was ever told.
    ended: BTreeMap<TaskId, u32>,
}

pub fn store() -> StoreId {
    StoreId::new("shelf").unwrap()
}

impl Shelf {
    pub fn rows(&self) -> Rows {
        Rows {
            sectors: self.sectors.values().cloned().collect(),
            tasks: self.tasks.values().cloned().collect(),
            fences: self.fences.values().copied().collect(),
            counters: self.counters,
            partitions: self.partitions.values().cloned().collect(),
            ..Rows::default()
        }
    }

    pub fn fence(&mut self, row: FenceRow) {
        let up_to = self.ended.entry(row.task).or_default();
        *up_to = (*up_to).max(row.up_to_number);
    }

    fn has_ended(&self, attempt: AttemptId) -> bool {
        self.ended.get(&attempt.task).is_some_and(|up_to| attempt.number <= *up_to)
    }
}

impl World {
    pub fn keep(&mut self, row: RowChange) {
        let shelf = &mut self.shelf;
        match row {
            RowChange::PutSector(sector) => {
                let is_new = sector.state == SectorState::Proving;
                let before = shelf.sectors.insert(sector.number, *sector);
                if is_new && before.is_some_and(|before| before.state != SectorState::Proving) {
                    self.pledge_another();
                }
            }
            RowChange::PutTask(task) => drop(shelf.tasks.insert(task.id, *task)),
            RowChange::DeleteTask(id) => drop(shelf.tasks.remove(&id)),
            RowChange::PutFence(fence) => drop(shelf.fences.insert(fence.task, fence)),
            RowChange::DeleteFence(id) => drop(shelf.fences.remove(&id)),
            RowChange::PutPartition(row) => drop(shelf.partitions.insert(row.key(), *row)),
            RowChange::DeletePartition(key) => drop(shelf.partitions.remove(&key)),
            RowChange::PutCounters(counters) => shelf.counters = counters,
            // Nobody decides anything about workers, pins anything or wins anything here.
            _ => {}
        }
    }

    // === the index ===

    pub fn tell_snapshot(&mut self) {
        self.tell(Event::IndexSnapshotBegin);
        let holders = self.fleet.iter().filter(|w| w.seals).map(|w| (w.id.clone(), format!("http://{}", w.id)));
        let fact = StoreFact {
            id: store(),
            weight: 10,
            can_seal: true,
            can_store: true,
            available_bytes: 1 << 60,
            healthy: true,
            unhealthy_reason: String::new(),
            holders: holders.collect(),
            filters: Filters::default(),
            groups: vec![],
            allow_to: vec![],
        };
        self.tell(Event::Store(Box::new(fact)));
        let replicas: Vec<ReplicaId> = self.shelf.replicas.iter().cloned().collect();
        replicas.into_iter().for_each(|id| self.tell_replica(id));
        self.tell(Event::IndexSnapshotEnd);
    }

    fn tell_replica(&mut self, id: ReplicaId) {
        let origin = self.shelf.sectors.get(&id.sector.number).and_then(|sector| sector.origin);
        let soundness = Soundness::Unknown;
        self.tell(Event::Replica { id, size_bytes: 1 << 30, primary: true, origin, soundness });
    }

    pub fn reserve(&mut self, attempt: AttemptId) {
        let failure = || Failure { code: ErrorCode::AttemptEnded, message: "it has ended".to_owned() };
        let refused = self.shelf.has_ended(attempt).then(failure);
        self.tell(Event::Reserved { attempt, refused });
    }

    /// A file appears, in place of the one that was there.
    pub fn publish(&mut self, attempt: AttemptId, id: &ReplicaId) {
        if self.shelf.has_ended(attempt) {
            return;
        }
        let same = |other: &&ReplicaId| (other.sector, other.kind) == (id.sector, id.kind);
        if let Some(old) = self.shelf.replicas.iter().find(same).cloned().filter(|old| old != id) {
            self.remove(&old);
            self.shelf.replaced.entry(attempt).or_default().push((id.clone(), old));
        }
        self.shelf.replicas.insert(id.clone());
        self.tell_replica(id.clone());
    }

    /// The result of an attempt is dealt with: of a refused one, what it has replaced comes back.
    pub fn settle(&mut self, attempt: AttemptId, refused: Option<Vec<FileKind>>) {
        let replaced = self.shelf.replaced.remove(&attempt).unwrap_or_default();
        let Some(counting) = refused else { return };
        for (new, old) in replaced.into_iter().filter(|(new, _)| !counting.contains(&new.kind)) {
            if self.remove(&new) {
                self.shelf.replicas.insert(old.clone());
                self.tell_replica(old);
            }
        }
    }

    pub fn delete(&mut self, id: &ReplicaId) {
        self.remove(id);
    }

    fn remove(&mut self, id: &ReplicaId) -> bool {
        let there = self.shelf.replicas.remove(id);
        if there {
            self.tell(Event::ReplicaGone(id.clone()));
        }
        there
    }
}
