//! Attempts that are over, for the history.

use crate::core::Core;
use crate::model::{Attempt, AttemptState, Finished, Outcome};
use crate::proving::drive::Place;
use crate::proving::job::{Part, PostJob, PostKind, Try};

impl Core {
    /// A sealing attempt is over. One that no worker ever had is no part of the history.
    pub(crate) fn note_end(&mut self, attempt: &Attempt, outcome: Outcome, reason: &str) {
        let Some(task) = self.tasks.get(&attempt.id.task) else { return };
        if attempt.state != AttemptState::Granted {
            return;
        }
        let finished = Finished {
            attempt: attempt.id,
            kind: task.kind,
            sector: task.sector,
            worker: attempt.worker.clone(),
            worker_name: self.worker_name(&attempt.worker),
            queued: task.queued,
            started: attempt.created,
            ended: self.now,
            outcome,
            reason: reason.to_owned(),
        };
        self.out.finished.push(finished);
    }

    /// A try at a partition is over.
    pub(crate) fn note_try_end(&mut self, place: Place, tried: &Try, outcome: Outcome, reason: &str) {
        let Some((job, part)) = self.part(place).map(|(job, part)| (job.clone(), part.clone())) else { return };
        self.note_end_of_try(&job, &part, tried, outcome, reason);
    }

    /// The same for a PoSt that is no longer kept.
    pub(crate) fn note_end_of_try(&mut self, job: &PostJob, part: &Part, tried: &Try, outcome: Outcome, reason: &str) {
        let finished = Finished {
            attempt: tried.attempt,
            kind: job.kind.task(),
            sector: part.sectors.first().map(|(number, ..)| *number),
            worker: tried.worker.clone(),
            worker_name: self.worker_name(&tried.worker),
            queued: job.started,
            started: tried.since,
            ended: self.now,
            outcome,
            reason: reason.to_owned(),
        };
        self.out.finished.push(finished);
        if matches!(job.kind, PostKind::Rehearsal(_)) {
            self.rest_after(tried);
        }
    }
}
