//! The order of the queue: Lotus's, first difference wins (`spec/lotus.md` 1.2); and the queue, kept sorted by it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use sp_types::{FileKind, RegisteredSealProof, StoreId, TaskId, TaskKind};

use crate::core::{Core, Live};
use crate::lookup::drop_from;
use crate::model::{AttemptState, Task, UnixMs};
use crate::timers::Bell;

/// High tier first, then priority, then order number, then sector number; the task id only makes it a total order.
pub(crate) type Rank = (bool, Reverse<i64>, i32, u64, TaskId);

/// Tasks that need the same of a worker.
pub(crate) type Class = (TaskKind, RegisteredSealProof);

pub(crate) fn rank(task: &Task) -> Rank {
    (task.kind.order() >= 0, Reverse(task.priority), task.kind.order(), task.sector.unwrap_or_default(), task.id)
}

/// C1 and its like never move data: they run where it lies.
pub(crate) fn stays(kind: TaskKind) -> bool {
    matches!(
        kind,
        TaskKind::Commit1
            | TaskKind::Finalize
            | TaskKind::ProveReplicaUpdate1
            | TaskKind::FinalizeReplicaUpdate
            | TaskKind::FinalizeUnsealed
    )
}

/// Does the task run only where this file lies? PR1 reads the update and its cache where RU has put them, and fetches
/// what it reads of the replica before them.
pub(crate) fn stays_with(kind: TaskKind, file: FileKind) -> bool {
    let updated = matches!(file, FileKind::Update | FileKind::UpdateCache);
    stays(kind) && (kind != TaskKind::ProveReplicaUpdate1 || updated)
}

/// Tasks that may be given to a worker now: by class, and those that stay where their files lie by store.
#[derive(Debug, Clone, Default)]
pub(crate) struct Queue {
    anywhere: BTreeMap<Class, BTreeSet<Rank>>,
    at_store: BTreeMap<(StoreId, Class), BTreeSet<Rank>>,
    entries: BTreeMap<TaskId, Entry>,
    /// Entries of each class.
    counts: BTreeMap<Class, usize>,
}

#[derive(Debug, Clone, PartialEq)]
struct Entry {
    class: Class,
    rank: Rank,
    /// None: it may run anywhere.
    stores: Option<Vec<StoreId>>,
}

impl Queue {
    fn insert(&mut self, entry: Entry) {
        let Entry { class, rank, .. } = entry;
        // Tasks are looked at far more often than they move.
        if self.entries.get(&rank.4) == Some(&entry) {
            return;
        }
        self.remove(rank.4);
        match &entry.stores {
            None => drop(self.anywhere.entry(class).or_default().insert(rank)),
            Some(stores) => stores.iter().for_each(|store| {
                self.at_store.entry((store.clone(), class)).or_default().insert(rank);
            }),
        }
        *self.counts.entry(class).or_default() += 1;
        self.entries.insert(rank.4, entry);
    }

    pub(crate) fn remove(&mut self, id: TaskId) {
        let Some(Entry { class, rank, stores }) = self.entries.remove(&id) else { return };
        if let Some(count) = self.counts.get_mut(&class) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&class);
            }
        }
        match stores {
            None => drop_from(&mut self.anywhere, &class, &rank),
            Some(stores) => stores.into_iter().for_each(|store| drop_from(&mut self.at_store, &(store, class), &rank)),
        }
    }

    pub(crate) fn contains(&self, id: TaskId) -> bool {
        self.entries.contains_key(&id)
    }

    /// Tasks of a class that may run anywhere.
    pub(crate) fn len_of(&self, class: Class) -> usize {
        self.anywhere.get(&class).map_or(0, BTreeSet::len)
    }

    /// Every class that has tasks here: its first task, and how many there are.
    pub(crate) fn heads(&self) -> Vec<(Class, TaskId, usize)> {
        let anywhere = |class: &Class| self.anywhere.get(class).and_then(BTreeSet::first);
        let somewhere = |class: &Class| {
            let sets = self.at_store.iter().filter(|((_, of), _)| of == class);
            sets.filter_map(|(_, set)| set.first()).min()
        };
        // Where no store has its inputs, a task that stays is in no set at all.
        let any = |class: &Class| self.entries.values().find(|entry| entry.class == *class).map(|entry| &entry.rank);
        let first =
            |class: &Class| if stays(class.0) { somewhere(class) } else { anywhere(class) }.or_else(|| any(class));
        self.counts.iter().filter_map(|(class, count)| Some((*class, first(class)?.4, *count))).collect()
    }

    /// Tasks of a class that may run anywhere, or must run at one of these stores; the first one first.
    pub(crate) fn of_class<'a>(&'a self, class: Class, stores: &'a [StoreId]) -> impl Iterator<Item = Rank> {
        let anywhere = self.anywhere.get(&class).into_iter().flatten();
        let here = stores.iter().filter_map(move |s| self.at_store.get(&(s.clone(), class))).flatten();
        // A worker has few stores, and a class is either of the one sort or of the other.
        let mut here: Vec<Rank> = if stays(class.0) { here.copied().collect() } else { Vec::new() };
        here.sort();
        here.dedup();
        anywhere.copied().chain(here)
    }
}

impl Core {
    /// The class of a task; none when its sector is gone.
    pub(crate) fn class_of(&self, task: &Task) -> Option<Class> {
        match task.sector {
            Some(number) => Some((task.kind, self.sectors.get(&number)?.seal_proof)),
            None => Some((task.kind, self.data_cid_proof())),
        }
    }

    /// Puts the task where it belongs: into the queue, behind a timer, or nowhere. True: it is in the queue.
    pub(crate) fn requeue(&mut self, id: TaskId) -> bool {
        let entry = self.queue_entry(id);
        let queued = entry.is_some();
        match entry {
            Some(entry) => self.queue.insert(entry),
            None => {
                self.queue.remove(id);
                // Put off, it is none of those that PC2 has waiting.
                let waits = self.tasks.get(&id).is_some_and(|t| t.kind == TaskKind::PreCommit2);
                self.dirty.relief |= waits && !self.bound.contains_key(&id);
            }
        }
        queued
    }

    fn queue_entry(&mut self, id: TaskId) -> Option<Entry> {
        if self.bound.contains_key(&id) {
            return None;
        }
        let task = self.tasks.get(&id)?;
        let (at, avoided_until) = (self.placeable_at(task)?, self.avoided_until(task));
        let class = self.class_of(task)?;
        if at > self.now {
            self.wind(at, Bell::Task(id));
            return None;
        }
        let entry = Entry { class, rank: rank(task), stores: stays(task.kind).then(|| self.stores_of_inputs(task)) };
        if avoided_until > self.now {
            // Whoever it failed on may have it then; nothing else might wake the scheduler up for it.
            self.wind(avoided_until, Bell::Task(id));
        }
        Some(entry)
    }

    /// Stores that have an input of the task; whether one worker has them all is judged when it is offered to him.
    fn stores_of_inputs(&self, task: &Task) -> Vec<StoreId> {
        let Some(sector) = self.sector_of(task) else { return Vec::new() };
        let files = self.inputs_of(sector, task.kind).unwrap_or_default();
        let bound = files.iter().filter(|f| stays_with(task.kind, f.kind));
        let replicas = bound.flat_map(|file| self.facts.replicas_of(sector.number, file));
        let stores: BTreeSet<StoreId> = replicas.map(|(id, _)| id.store.clone()).collect();
        stores.into_iter().collect()
    }

    /// From when on the task may be given to (another) worker. None: its attempts are as they should be.
    pub(crate) fn placeable_at(&self, task: &Task) -> Option<UnixMs> {
        let mut at = task.not_before;
        for attempt in &task.attempts {
            let live = self.live.get(&attempt.id)?;
            at = at.max(given_up_at(attempt.state, live)?);
        }
        Some(at)
    }
}

/// From when on the attempt no longer keeps its task from being given away again. None: it works, or its result is
/// being verified.
fn given_up_at(state: AttemptState, live: &Live) -> Option<UnixMs> {
    let orphan = live.orphan.filter(|_| state == AttemptState::Granted && live.verifying.is_none())?;
    Some(orphan.until)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sp_types::TaskKind::*;

    fn task(id: u64, kind: TaskKind, sector: u64, priority: i64) -> Task {
        Task::new(TaskId(id), kind, Some(sector), priority, UnixMs(0))
    }

    fn sorted(mut tasks: Vec<Task>) -> Vec<TaskKind> {
        tasks.sort_by_key(rank);
        tasks.into_iter().map(|t| t.kind).collect()
    }

    #[test]
    fn lotus_scenario_six() {
        let kinds = [AddPiece, PreCommit1, PreCommit2, PreCommit1, AddPiece];
        let tasks = kinds.into_iter().zip(1..).map(|(kind, n)| task(n, kind, 10 - n, 0)).collect();
        assert_eq!(sorted(tasks), [PreCommit2, PreCommit1, PreCommit1, AddPiece, AddPiece]);
    }

    #[test]
    fn tier_beats_priority_beats_order_beats_sector() {
        let high_tier = task(1, Finalize, 9, 0);
        let deal_high_tier = task(2, Fetch, 9, 1024);
        let deal = task(3, AddPiece, 9, 1024);
        let plain = [task(4, Commit1, 9, 0), task(5, Commit2, 2, 0), task(6, Commit2, 1, 0)];
        let all: Vec<Task> = plain.into_iter().chain([deal, high_tier, deal_high_tier]).collect();
        assert_eq!(sorted(all.clone()), [Fetch, Finalize, AddPiece, Commit1, Commit2, Commit2]);
        let mut tasks = all;
        tasks.sort_by_key(rank);
        assert_eq!(tasks[4].sector, Some(1));
    }
}
