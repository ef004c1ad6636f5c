//! The index of the simulated world, and the disks behind it.

use std::collections::{BTreeMap, BTreeSet};

use sp_sched_core::event::{Event, Failure, StoreFact};
use sp_sched_core::model::{FenceRow, OutputSlot};
use sp_types::{AttemptId, ErrorCode, FileKind, FileLock, Filters, ReplicaId, Soundness, StoreId, TaskId, WorkerId};

use super::{Happening, World};

#[derive(Default)]
pub struct Index {
    pub connected: bool,
    pub replicas: BTreeMap<ReplicaId, u64>,
    pub reservations: BTreeMap<AttemptId, Vec<OutputSlot>>,
    /// What attempts have locked, and of which sector.
    pub locks: BTreeMap<AttemptId, (u64, FileLock)>,
    /// Attempts that were presented since it was connected.
    presented: BTreeSet<AttemptId>,
    pub fences: BTreeMap<TaskId, u32>,
    pub deleted: Vec<ReplicaId>,
    /// What an attempt has published, and what stood there: kept until its result is dealt with.
    pub replaced: BTreeMap<AttemptId, Vec<(ReplicaId, ReplicaId, u64)>>,
    /// Roots of files that a disk has lost.
    pub lost: BTreeSet<[u8; 32]>,
    /// Takes requests for space and never answers them.
    pub silent: bool,
    /// Cannot delete anything.
    pub keeps_all: bool,
}

impl Index {
    pub fn fence(&mut self, row: FenceRow) {
        let up_to = self.fences.entry(row.task).or_default();
        *up_to = (*up_to).max(row.up_to_number);
        let ended = |id: &AttemptId| id.task == row.task && id.number <= row.up_to_number;
        self.reservations.retain(|id, _| !ended(id));
        self.locks.retain(|id, _| !ended(id));
    }

    pub fn release(&mut self, attempt: AttemptId) {
        self.reservations.remove(&attempt);
        self.locks.remove(&attempt);
    }

    /// Everything that goes on has been presented: the rest is of attempts that ended long ago.
    pub fn forget_unpresented(&mut self) {
        self.reservations.retain(|id, _| self.presented.contains(id));
        self.locks.retain(|id, _| self.presented.contains(id));
    }

    /// Does nothing hold space or files any more?
    pub fn holds_nothing(&self) -> bool {
        self.reservations.is_empty() && self.locks.is_empty()
    }

    /// Another task's lock that conflicts with this one.
    fn in_the_way(&self, attempt: AttemptId, sector: u64, lock: FileLock) -> Option<AttemptId> {
        let conflicts = |other: &FileLock| {
            lock.write.meets(other.write) || lock.write.meets(other.read) || lock.read.meets(other.write)
        };
        let against = |(id, (of, held)): (&AttemptId, &(u64, FileLock))| {
            id.task != attempt.task && *of == sector && conflicts(held)
        };
        self.locks.iter().find(|(id, held)| against((id, held))).map(|(id, _)| *id)
    }

    pub fn has_ended(&self, attempt: AttemptId) -> bool {
        self.fences.get(&attempt.task).is_some_and(|up_to| attempt.number <= *up_to)
    }

    pub fn of_sector(&self, number: u64) -> BTreeSet<(FileKind, [u8; 32])> {
        self.replicas.keys().filter(|r| r.sector.number == number).map(|r| (r.kind, r.root)).collect()
    }
}

impl World {
    pub fn store_of(worker: &WorkerId) -> StoreId {
        StoreId::new(format!("store-{worker}")).unwrap()
    }

    fn store_fact(&self, worker: &WorkerId) -> StoreFact {
        let w = &self.workers[worker];
        let id = Self::store_of(worker);
        let reserved: u64 =
            self.index.reservations.values().flatten().filter(|o| o.store == id).map(|o| o.reserved_bytes).sum();
        StoreFact {
            id,
            weight: 10,
            can_seal: w.uses.0,
            can_store: w.uses.1,
            available_bytes: w.space_bytes.saturating_sub(reserved),
            healthy: w.up,
            unhealthy_reason: if w.up { String::new() } else { "its worker is away".to_owned() },
            holders: if w.up { vec![(worker.clone(), format!("http://{worker}"))] } else { vec![] },
            filters: Filters::default(),
            groups: vec![],
            allow_to: vec![],
        }
    }

    pub fn tell_store(&mut self, worker: &WorkerId) {
        if self.index.connected && self.workers[worker].has_store() {
            let fact = self.store_fact(worker);
            self.tell(Event::Store(Box::new(fact)));
        }
    }

    pub fn connect_index(&mut self) {
        self.index.connected = true;
        self.index.presented.clear();
        self.tell(Event::IndexSnapshotBegin);
        let workers: Vec<WorkerId> = self.workers.keys().cloned().collect();
        workers.iter().for_each(|w| self.tell_store(w));
        for (id, size_bytes) in self.index.replicas.clone() {
            let fact = self.replica_fact(id, size_bytes);
            self.tell(fact);
        }
        self.tell(Event::IndexSnapshotEnd);
    }

    pub fn lose_index(&mut self, for_ms: u64) {
        self.index.connected = false;
        self.tell(Event::IndexLost);
        self.after(for_ms, Happening::ConnectIndex);
    }

    pub fn reserve(
        &mut self,
        attempt: AttemptId,
        sector: u64,
        outputs: Vec<OutputSlot>,
        lock: FileLock,
        presented: bool,
    ) {
        if !self.index.connected || self.index.silent {
            return;
        }
        let ended = self.index.has_ended(attempt);
        let other = self.index.in_the_way(attempt, sector, lock);
        assert_eq!(other, None, "{attempt} is begun though its files are locked");
        let refused = ended || !presented && self.dice.percent(self.faults.refuse_space);
        let failure = || Failure { code: ErrorCode::NoSpace, message: "the store is full".to_owned() };
        if !refused {
            self.index.locks.insert(attempt, (sector, lock));
            self.index.presented.extend(presented.then_some(attempt));
            if !outputs.is_empty() {
                self.index.reservations.insert(attempt, outputs);
            }
        }
        self.tell(Event::Reserved { attempt, refused: refused.then(failure) });
    }

    /// Whatever lies there was made for the sector that has the number.
    pub fn replica_fact(&self, id: ReplicaId, size_bytes: u64) -> Event {
        let origin = self.database.sectors.get(&id.sector.number).and_then(|sector| sector.origin);
        Event::Replica { id, size_bytes, primary: true, origin, soundness: Soundness::Unknown }
    }

    /// A replica appears, in place of one of the same kind on the same store. False: the attempt has ended.
    pub fn publish(&mut self, attempt: AttemptId, id: ReplicaId, size_bytes: u64) -> bool {
        if self.index.has_ended(attempt) {
            return false;
        }
        let same_file = |r: &ReplicaId| (r.sector, r.kind, &r.store) == (id.sector, id.kind, &id.store);
        let old: Vec<ReplicaId> = self.index.replicas.keys().filter(|r| same_file(r)).cloned().collect();
        for replica in old {
            let size_bytes = self.index.replicas.remove(&replica).unwrap_or(0);
            self.tell_if_connected(Event::ReplicaGone(replica.clone()));
            if replica.root != id.root {
                self.index.replaced.entry(attempt).or_default().push((id.clone(), replica, size_bytes));
            }
        }
        self.index.replicas.insert(id.clone(), size_bytes);
        let fact = self.replica_fact(id, size_bytes);
        self.tell_if_connected(fact);
        true
    }

    /// The result of an attempt is dealt with: of a refused one, what it replaced comes back.
    pub fn settle(&mut self, attempt: AttemptId, refused: Option<Vec<FileKind>>) {
        let replaced = self.index.replaced.remove(&attempt).unwrap_or_default();
        let Some(counting) = refused else { return };
        for (new, old, size_bytes) in replaced.into_iter().filter(|(new, ..)| !counting.contains(&new.kind)) {
            if self.index.replicas.remove(&new).is_some() {
                self.tell_if_connected(Event::ReplicaGone(new));
                self.index.replicas.insert(old.clone(), size_bytes);
                let fact = self.replica_fact(old, size_bytes);
                self.tell_if_connected(fact);
            }
        }
    }

    pub fn delete(&mut self, id: &ReplicaId) {
        if self.index.keeps_all {
            let failure = Failure { code: ErrorCode::Unavailable, message: "the disk is read-only".to_owned() };
            return self.tell_if_connected(Event::DeleteFailed { id: id.clone(), failure });
        }
        let up = self.workers.iter().any(|(w, state)| state.up && Self::store_of(w) == id.store);
        if self.index.connected && up && self.index.replicas.remove(id).is_some() {
            self.index.deleted.push(id.clone());
            self.tell_if_connected(Event::ReplicaGone(id.clone()));
        }
    }

    /// A disk loses a file, and the index finds out.
    pub fn lose_file(&mut self, id: &ReplicaId) {
        self.index.replicas.remove(id);
        self.index.lost.insert(id.root);
        self.tell_if_connected(Event::ReplicaGone(id.clone()));
    }

    fn tell_if_connected(&mut self, event: Event) {
        if self.index.connected {
            self.tell(event);
        }
    }
}
