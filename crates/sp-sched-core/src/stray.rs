//! Work that lies in paths and whose worker is gone, for example as its machine was set up anew. Whoever has the path now
//! is told which of it may go.

use sp_types::{AttemptId, WorkerId};

use crate::core::Core;
use crate::effect::Effect;

/// A worker that has not been heard of for so long does not come back for what it has left. It may all the same: what
/// counts of an attempt that is over has been published.
const GONE_AFTER_MS: u64 = 10 * 60 * 1_000;

impl Core {
    /// A worker has found work of others in its paths. Of attempts that live, and of workers that may be at it, nothing
    /// goes.
    pub(crate) fn on_stray_work(&mut self, worker: WorkerId, work: Vec<(AttemptId, WorkerId)>) {
        let is_over = |(id, owner): &(AttemptId, WorkerId)| self.attempt(*id).is_none() && self.is_gone(owner);
        let attempts: Vec<AttemptId> = work.into_iter().filter(is_over).map(|(id, _)| id).collect();
        if !attempts.is_empty() {
            self.out.push(Effect::SweepWork { worker, attempts });
        }
    }

    /// Nothing has been heard of the worker for long. One that this scheduler has never heard of may work for another.
    fn is_gone(&self, worker: &WorkerId) -> bool {
        let known = self.workers.get(worker).filter(|known| !known.stream);
        known.is_some_and(|known| self.now.since(known.renewed) >= GONE_AFTER_MS)
    }
}
