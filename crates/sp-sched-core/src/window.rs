//! Scheduling windows: buckets of tasks bound to a worker before it has room for them (`spec/lotus.md` 1.7).

use sp_invariants::HostUse;
use sp_types::{HostCapacity, ResourceRow, TaskId};

use crate::resources::{shortage, sum};

/// A task in a window, with what it takes on this worker.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Bound {
    pub(crate) task: TaskId,
    pub(crate) row: ResourceRow,
    pub(crate) takes: HostUse,
}

/// One window. What is in it fits an idle worker together.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Window {
    /// In the order of the queue.
    pub(crate) tasks: Vec<Bound>,
    used: HostUse,
    /// Filled in an earlier step: a bigger task that waits gets the next window whole, not what is left of this one.
    pub(crate) closed: bool,
}

impl Window {
    /// Has the bucket room for one more? `idle` is the worker with nothing on it.
    pub(crate) fn takes(&self, row: &ResourceRow, idle: &HostCapacity) -> bool {
        shortage(row, self.used, idle).is_none()
    }

    pub(crate) fn push(&mut self, bound: Bound) {
        self.used = sum(self.used, bound.takes);
        self.tasks.push(bound);
    }

    pub(crate) fn remove(&mut self, task: TaskId) {
        self.tasks.retain(|b| b.task != task);
        self.used = self.tasks.iter().fold(HostUse::default(), |used, b| sum(used, b.takes));
    }

    /// What its tasks take together.
    pub(crate) fn used(&self) -> HostUse {
        self.used
    }
}

/// The same machine with nothing on it: a window is a bucket of the whole worker.
pub(crate) fn idle(capacity: &HostCapacity) -> HostCapacity {
    HostCapacity { memory_used_bytes: 0, swap_used_bytes: 0, ..capacity.clone() }
}

/// Moves tasks to earlier windows that have room, and drops the windows that become empty.
pub(crate) fn compact(windows: &mut Vec<Window>, idle: &HostCapacity) {
    for at in 1..windows.len() {
        let moving = std::mem::take(&mut windows[at]);
        let closed = moving.closed;
        let mut kept = Window { closed, ..Window::default() };
        for bound in moving.tasks {
            let earlier = &mut windows[at - 1];
            if earlier.takes(&bound.row, idle) { earlier.push(bound) } else { kept.push(bound) }
        }
        windows[at] = kept;
    }
    windows.retain(|w| !w.tasks.is_empty());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::demand;
    use sp_types::TaskKind::{self, AddPiece, PreCommit1, PreCommit2};
    use sp_types::{ResourceTable, SectorSize};

    /// 128 GiB and 32 cores: two PC1, or one PC2 alone.
    fn capacity() -> HostCapacity {
        let gib = 1 << 30;
        HostCapacity { memory_bytes: 128 * gib, swap_bytes: 200 * gib, cpus: 32, ..HostCapacity::default() }
    }

    fn windows(kinds: &[&[TaskKind]]) -> Vec<Window> {
        let bound = |kind: &TaskKind| {
            let row = ResourceTable::default().row(*kind, SectorSize::GiB32);
            Bound { task: TaskId(kind.order() as u64), row, takes: demand(&row, &capacity()) }
        };
        let window = |kinds: &&[TaskKind]| {
            let mut window = Window { closed: true, ..Window::default() };
            kinds.iter().for_each(|kind| window.push(bound(kind)));
            window
        };
        kinds.iter().map(window).collect()
    }

    #[test]
    fn a_window_gives_back_what_leaves_it() {
        let mut window = windows(&[&[PreCommit1, PreCommit1]]).remove(0);
        let row = ResourceTable::default().row(PreCommit1, SectorSize::GiB32);
        assert!(!window.takes(&row, &capacity()));
        // Both have the id of their kind here.
        window.remove(TaskId(PreCommit1.order() as u64));
        assert_eq!(window.used(), HostUse::default());
        assert!(window.takes(&row, &capacity()));
    }

    #[test]
    fn lotus_scenario_seven() {
        type Kinds = &'static [&'static [TaskKind]];
        let cases: [(Kinds, Kinds); 4] = [
            (&[&[PreCommit1], &[PreCommit1]], &[&[PreCommit1, PreCommit1]]),
            (&[&[PreCommit2], &[PreCommit2]], &[&[PreCommit2], &[PreCommit2]]),
            (
                &[&[PreCommit1, PreCommit1], &[PreCommit1, AddPiece]],
                &[&[PreCommit1, PreCommit1, AddPiece], &[PreCommit1]],
            ),
            (
                &[&[PreCommit1, PreCommit1], &[PreCommit1, AddPiece, PreCommit2]],
                &[&[PreCommit1, PreCommit1, AddPiece], &[PreCommit1, PreCommit2]],
            ),
        ];
        for (given, wanted) in cases {
            let mut compacted = windows(given);
            compact(&mut compacted, &capacity());
            assert_eq!(compacted, windows(wanted));
        }
    }
}
