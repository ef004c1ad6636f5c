//! The order of the queue: Lotus's, first difference wins (`spec/lotus.md` 1.2).

use std::cmp::Reverse;

use sp_types::TaskId;

use crate::core::{Core, Live};
use crate::model::{AttemptState, Task, UnixMs};

/// High tier first, then priority, then order number, then sector number; the task id only makes it a total order.
type Rank = (bool, Reverse<i64>, i32, u64, TaskId);

fn rank(task: &Task) -> Rank {
    (task.kind.order() >= 0, Reverse(task.priority), task.kind.order(), task.sector, task.id)
}

impl Core {
    /// Tasks that may be given to a worker now, the first one first.
    pub(crate) fn queue(&self) -> Vec<TaskId> {
        let placeable = |t: &&Task| self.placeable_at(t).is_some_and(|at| at <= self.now);
        let mut due: Vec<&Task> = self.tasks.values().filter(placeable).collect();
        due.sort_by_key(|t| rank(t));
        due.into_iter().map(|t| t.id).collect()
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
    use sp_types::TaskKind::{self, *};

    fn task(id: u64, kind: TaskKind, sector: u64, priority: i64) -> Task {
        Task {
            id: TaskId(id),
            kind,
            sector,
            priority,
            queued: UnixMs(0),
            not_before: UnixMs(0),
            attempts: vec![],
            last_number: 0,
            failures: 0,
            last_error: String::new(),
        }
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
        assert_eq!(tasks[4].sector, 1);
    }
}
