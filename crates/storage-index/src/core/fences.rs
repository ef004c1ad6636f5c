//! Fences: which attempts have ended for good.
//!
//! The scheduler is their source and tells those that it still knows with every connection. It forgets a task some time
//! after it is over; what an attempt of such a task still writes wastes space and is cleaned up, never believed. So a
//! bound on what is kept here costs nothing but that.

use std::collections::{BTreeMap, BTreeSet};

use sp_types::{AttemptId, TaskId};

use super::{ConnId, Core, RowChange, ToWorker};

/// Tasks with fences. Ten times as many as the scheduler keeps of tasks that are over.
const FENCES_MAX: usize = 100_000;

/// Fences told to a worker that connects: those of the newest tasks. Older ones have no readers left.
const FENCES_TOLD_MAX: usize = 1000;

/// The fences, and in which order they came.
#[derive(Debug, Default)]
pub(super) struct Fences {
    by_task: BTreeMap<TaskId, Fence>,
    by_age: BTreeSet<(u64, TaskId)>,
    last: u64,
}

#[derive(Debug, Clone, Copy)]
struct Fence {
    up_to: u32,
    /// Where it is in the order.
    age: u64,
}

// === impl Fences ===

impl Fences {
    /// The highest attempt of the task that has ended; 0 for none.
    fn up_to(&self, task: TaskId) -> u32 {
        self.by_task.get(&task).map_or(0, |fence| fence.up_to)
    }

    fn covers(&self, attempt: AttemptId) -> bool {
        self.by_task.get(&attempt.task).is_some_and(|fence| attempt.number <= fence.up_to)
    }

    /// Raises a fence; false if it was as high already.
    fn raise(&mut self, task: TaskId, up_to: u32) -> bool {
        if up_to <= self.up_to(task) {
            return false;
        }
        self.last += 1;
        let fence = Fence { up_to, age: self.last };
        if let Some(before) = self.by_task.insert(task, fence) {
            self.by_age.remove(&(before.age, task));
        }
        self.by_age.insert((fence.age, task));
        true
    }

    /// A fence that was durable. Nobody knows any more which came first: newer tasks count as later.
    pub(super) fn restore(&mut self, task: TaskId, up_to: u32) {
        self.raise(task, up_to);
    }

    /// Forgets the oldest one if there are more than `limit`.
    fn forget_oldest(&mut self, limit: usize) -> Option<TaskId> {
        if self.by_task.len() <= limit {
            return None;
        }
        let (_, task) = self.by_age.pop_first()?;
        self.by_task.remove(&task);
        Some(task)
    }

    fn newest(&self) -> impl Iterator<Item = (TaskId, u32)> {
        self.by_task.iter().rev().take(FENCES_TOLD_MAX).map(|(task, fence)| (*task, fence.up_to))
    }
}

// === impl Core ===

impl Core {
    /// Attempts of the task up to this number are ended, for good. Every worker hears of it.
    pub(super) fn fence(&mut self, task: TaskId, up_to: u32) {
        if self.fences.raise(task, up_to) {
            self.rows.push(RowChange::PutFence(task, up_to));
        }
        while let Some(oldest) = self.fences.forget_oldest(FENCES_MAX) {
            self.rows.push(RowChange::DeleteFence(oldest));
        }
        self.release_up_to(task, up_to);
        self.unlock_up_to(task, up_to);
        let up_to = self.fences.up_to(task).max(up_to);
        for conn in self.workers.keys().copied().collect::<Vec<ConnId>>() {
            self.tell_worker(conn, ToWorker::Fence { task, up_to });
        }
    }

    /// A worker has connected: what it may have missed.
    pub(super) fn tell_fences(&mut self, conn: ConnId) {
        for (task, up_to) in self.fences.newest().collect::<Vec<_>>() {
            self.tell_worker(conn, ToWorker::Fence { task, up_to });
        }
    }

    pub(super) fn is_ended(&self, attempt: AttemptId) -> bool {
        self.fences.covers(attempt)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_fence_is_forgotten_first_however_low_its_task() {
        let mut fences = Fences::default();
        for (task, up_to) in [(7, 1), (3, 1), (9, 1), (7, 2)] {
            assert!(fences.raise(TaskId(task), up_to));
        }
        assert!(!fences.raise(TaskId(7), 1) && !fences.raise(TaskId(7), 2));
        assert_eq!(fences.forget_oldest(3), None);
        assert_eq!(fences.forget_oldest(2), Some(TaskId(3)));
        assert_eq!((fences.up_to(TaskId(3)), fences.up_to(TaskId(7)), fences.up_to(TaskId(9))), (0, 2, 1));
        assert_eq!(fences.forget_oldest(0), Some(TaskId(9)));
        assert_eq!(fences.forget_oldest(0), Some(TaskId(7)));
        assert_eq!((fences.forget_oldest(0), fences.by_age.len()), (None, 0));
    }
}
