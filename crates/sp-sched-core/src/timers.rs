//! What happens by time alone, and when that is next: leases, limits, repetitions, forgetting.

use sp_types::{AttemptId, ErrorCode, TaskId, WorkerId};

use crate::core::Core;
use crate::event::Failure;
use crate::model::{Attempt, AttemptState, Task, UnixMs};

/// What time brings to an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    /// Its reservation is not answered.
    AskAgain,
    /// Its worker was lost before it was sent.
    NeverSent,
    /// Its lease is lost.
    Orphan,
    /// Its worker does not list it.
    Resend,
    /// It took longer than it may.
    Limit,
    /// The verifier is to be asked again.
    Verify,
}

impl Core {
    pub(crate) fn run_timers(&mut self) {
        let now = self.now;
        let attempts = self.tasks.values().flat_map(|t| t.attempts.iter().map(move |a| (t, a)));
        let due: Vec<(AttemptId, Due)> = attempts
            .flat_map(|(t, a)| self.attempt_timers(t, a).into_iter().flatten().map(|(at, due)| (a.id, at, due)))
            .filter(|(_, at, _)| *at <= now)
            .map(|(id, _, due)| (id, due))
            .collect();
        for (id, due) in due {
            self.attempt_due(id, due);
        }
        let calls: Vec<u64> = self.chain.iter().filter(|(_, wait)| wait.ask_at <= now).map(|(n, _)| *n).collect();
        calls.into_iter().for_each(|number| self.ask_chain(number));
        self.run_retries();
        self.post_timers();
        self.forget();
    }

    /// The earliest time at which anything is due.
    pub(crate) fn earliest_due(&self) -> Option<UnixMs> {
        let attempts = self.tasks.values().flat_map(|t| t.attempts.iter().map(move |a| (t, a)));
        let timers = attempts.flat_map(|(t, a)| self.attempt_timers(t, a)).flatten().map(|(at, _)| at);
        let queue = self.tasks.values().filter_map(|t| self.placeable_at(t)).filter(|at| *at > self.now);
        let inputs = self.hints.values().filter_map(|h| h.inputs_missing_since);
        let chain = self.chain.values().map(|wait| wait.ask_at);
        timers
            .chain(queue)
            .chain(inputs.map(|since| since.plus(self.config.input_wait_ms)))
            .chain(chain)
            .chain(self.retry_due())
            .chain(self.post_due())
            .chain(self.facts_due())
            .chain(self.forget_due())
            .min()
    }

    fn attempt_timers(&self, task: &Task, attempt: &Attempt) -> [Option<(UnixMs, Due)>; 3] {
        let Some(live) = self.live.get(&attempt.id) else { return [None; 3] };
        let lease_until = self.lease_until(&attempt.worker);
        if attempt.state == AttemptState::Reserving {
            let again = live.asked.plus(self.config.answer_wait_ms);
            let ask = self.facts.connected.then_some((again, Due::AskAgain));
            return [Some((lease_until, Due::NeverSent)), ask, None];
        }
        if let Some(verifying) = &live.verifying {
            return [Some((verifying.ask_at, Due::Verify)), None, None];
        }
        let limit_ms = self.config.time_limit_ms(task.kind).saturating_add(self.config.orphan_wait_max_ms);
        let limit = Some((attempt.created.plus(limit_ms), Due::Limit));
        if live.orphan.is_some() {
            return [limit, None, None];
        }
        let listed = live.seen.plus(2 * self.config.lease_ms);
        let resend = self.is_available(&attempt.worker).then_some((listed, Due::Resend));
        [limit, Some((lease_until, Due::Orphan)), resend]
    }

    fn attempt_due(&mut self, id: AttemptId, due: Due) {
        let Some(created) = self.attempt(id).map(|a| a.created) else { return };
        match due {
            Due::AskAgain => self.ask_reservation(id),
            Due::NeverSent => self.end_attempt(id, "its worker went away before it was sent"),
            Due::Orphan => {
                let until = self.now.plus(self.config.orphan_wait_ms(self.now.since(created)));
                self.orphan_attempt(id, until, "its worker lost its lease");
            }
            Due::Resend => self.resend(id),
            Due::Limit => {
                let took_s = self.now.since(created) / 1_000;
                let message = format!("no result after {took_s} s, its time limit");
                self.fail_attempt(id, &Failure { code: ErrorCode::TimedOut, message });
            }
            Due::Verify => self.ask_verifier(id),
        }
    }

    // === forgetting ===

    /// Fences of tasks that are over, and workers that are away, are not kept for ever.
    fn forget(&mut self) {
        let (now, keep_ms) = (self.now, self.config.fence_keep_ms);
        let over = |core: &Self, id: &TaskId| !core.tasks.contains_key(id);
        let mut old: Vec<TaskId> = self
            .fences
            .iter()
            .filter(|(id, f)| f.since.plus(keep_ms) <= now && over(self, id))
            .map(|(id, _)| *id)
            .collect();
        let too_many = self.fences.len().saturating_sub(self.config.fences_limit);
        old.extend(self.fences.keys().filter(|id| over(self, id)).take(too_many));
        for id in old {
            self.fences.remove(&id);
            self.out.fences.insert(id);
        }
        let keep_ms = self.config.worker_keep_ms;
        let gone = self.workers.iter().filter(|(_, w)| w.renewed.plus(keep_ms) <= now);
        let gone: Vec<WorkerId> = gone.map(|(id, _)| id.clone()).collect();
        for id in gone {
            self.workers.remove(&id);
        }
    }

    fn forget_due(&self) -> Option<UnixMs> {
        let fence = self.fences.iter().filter(|(id, _)| !self.tasks.contains_key(id)).map(|(_, f)| f.since).min();
        let worker = self.workers.values().map(|w| w.renewed).min();
        let fence = fence.map(|since| since.plus(self.config.fence_keep_ms));
        fence.into_iter().chain(worker.map(|at| at.plus(self.config.worker_keep_ms))).min()
    }
}
