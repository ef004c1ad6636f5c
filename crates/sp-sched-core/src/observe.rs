//! What a step has seen that is worth counting. For figures alone: no decision depends on it, and nothing of it is kept.

use sp_types::{AttemptId, TaskKind};

use crate::core::Core;

/// Something to count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Observation {
    /// A task has left the queue for a worker: so long had it been ready.
    Waited {
        /// Its kind.
        kind: TaskKind,
        /// From being queued, or from the end of the wait after a failure.
        ms: u64,
    },
    /// An attempt's lease was lost.
    LeaseLost {
        /// Kind of its task.
        kind: TaskKind,
    },
}

impl Core {
    /// What the last step has seen.
    pub fn observed(&self) -> &[Observation] {
        &self.observed
    }

    /// A sealing attempt goes to its worker for the first time.
    pub(crate) fn observe_wait(&mut self, id: AttemptId) {
        let Some(attempt) = self.attempt(id) else { return };
        let Some(task) = self.tasks.get(&id.task) else { return };
        let ms = attempt.created.since(task.queued.max(task.not_before));
        self.observed.push(Observation::Waited { kind: task.kind, ms });
    }

    /// A sealing attempt is an orphan.
    pub(crate) fn observe_loss(&mut self, id: AttemptId) {
        if let Some(kind) = self.tasks.get(&id.task).map(|task| task.kind) {
            self.observed.push(Observation::LeaseLost { kind });
        }
    }
}
