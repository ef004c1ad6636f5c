//! Who has what: tasks by sector, attempts by worker and by host. Kept beside the rows so that nothing is searched for.

use std::collections::{BTreeMap, BTreeSet};

use sp_types::{AttemptId, HostId, TaskId, WorkerId};

use crate::core::Core;
use crate::model::{Attempt, Sector, Task};

/// The indexes. Whoever changes the rows of tasks changes them here.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lookup {
    by_sector: BTreeMap<u64, Vec<TaskId>>,
    by_worker: BTreeMap<WorkerId, BTreeSet<AttemptId>>,
    by_host: BTreeMap<HostId, BTreeSet<AttemptId>>,
    /// Those that wait for room to compute, by worker.
    held: BTreeMap<WorkerId, BTreeSet<AttemptId>>,
}

/// Removes from a set in a map, and the set when it is empty.
pub(crate) fn drop_from<K: Ord, V: Ord>(map: &mut BTreeMap<K, BTreeSet<V>>, key: &K, value: &V) {
    if let Some(set) = map.get_mut(key) {
        set.remove(value);
        if set.is_empty() {
            map.remove(key);
        }
    }
}

impl Lookup {
    pub(crate) fn add_task(&mut self, task: &Task) {
        if let Some(sector) = task.sector {
            self.by_sector.entry(sector).or_default().push(task.id);
        }
        task.attempts.iter().for_each(|a| self.add_attempt(a));
    }

    pub(crate) fn drop_task(&mut self, task: &Task) {
        if let Some(sector) = task.sector
            && let Some(ids) = self.by_sector.get_mut(&sector)
        {
            ids.retain(|id| *id != task.id);
            if ids.is_empty() {
                self.by_sector.remove(&sector);
            }
        }
        task.attempts.iter().for_each(|a| self.drop_attempt(a));
    }

    pub(crate) fn add_attempt(&mut self, attempt: &Attempt) {
        self.by_worker.entry(attempt.worker.clone()).or_default().insert(attempt.id);
        self.by_host.entry(attempt.host.clone()).or_default().insert(attempt.id);
        if attempt.held {
            self.held.entry(attempt.worker.clone()).or_default().insert(attempt.id);
        }
    }

    pub(crate) fn drop_attempt(&mut self, attempt: &Attempt) {
        drop_from(&mut self.by_worker, &attempt.worker, &attempt.id);
        drop_from(&mut self.by_host, &attempt.host, &attempt.id);
        self.set_computing(&attempt.worker, attempt.id);
    }

    /// It waits for room no longer.
    pub(crate) fn set_computing(&mut self, worker: &WorkerId, id: AttemptId) {
        drop_from(&mut self.held, worker, &id);
    }

    /// Attempts that wait for room on the worker, oldest first.
    pub(crate) fn held_on(&self, worker: &WorkerId) -> impl Iterator<Item = AttemptId> {
        self.held.get(worker).into_iter().flatten().copied()
    }

    pub(crate) fn on_worker(&self, worker: &WorkerId) -> impl Iterator<Item = AttemptId> {
        self.by_worker.get(worker).into_iter().flatten().copied()
    }

    /// How many.
    pub(crate) fn count_on(&self, worker: &WorkerId) -> usize {
        self.by_worker.get(worker).map_or(0, BTreeSet::len)
    }

    pub(crate) fn on_host(&self, host: &HostId) -> impl Iterator<Item = AttemptId> {
        self.by_host.get(host).into_iter().flatten().copied()
    }

    /// Hosts that run something.
    pub(crate) fn hosts(&self) -> impl Iterator<Item = &HostId> {
        self.by_host.keys()
    }

    pub(crate) fn task_ids(&self, sector: u64) -> impl Iterator<Item = TaskId> {
        self.by_sector.get(&sector).into_iter().flatten().copied()
    }
}

impl Core {
    /// The sector of a task; none where it is gone, and where the task is about none.
    pub(crate) fn sector_of(&self, task: &Task) -> Option<&Sector> {
        self.sectors.get(&task.sector?)
    }

    /// Is the task still of use to somebody?
    pub(crate) fn is_wanted(&self, task: &Task) -> bool {
        match task.sector {
            Some(_) => self.sector_of(task).is_some_and(|sector| sector.wants(task.kind)),
            None => self.data_cid_is_wanted(task.id),
        }
    }

    /// Tasks of a sector, oldest first.
    pub(crate) fn tasks_of(&self, sector: u64) -> impl Iterator<Item = &Task> {
        self.lookup.task_ids(sector).filter_map(|id| self.tasks.get(&id))
    }
}
