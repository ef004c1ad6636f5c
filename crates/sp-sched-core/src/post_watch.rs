//! PoSt workers that are lost or take too long: nothing here waits for a lease if it knows better.

use sp_types::{AttemptId, ErrorCode, WorkerId};

use crate::core::Core;
use crate::effect::Effect;
use crate::event::RequestId;
use crate::model::UnixMs;
use crate::observe::Observation;
use crate::post::Place;
use crate::post_job::{Part, PostJob, Try};

impl Core {
    // === lost workers ===

    /// Everything that the worker proves goes elsewhere, now. What is with the verifier already stays.
    pub(crate) fn lose_posts(&mut self, worker: &WorkerId, reason: &str) {
        for place in self.proven_by(worker) {
            self.fail_try(place, reason);
        }
    }

    /// A worker is back: what it still holds goes on, what it does not hold goes elsewhere.
    pub(crate) fn reconcile_posts(
        &mut self,
        worker: &WorkerId,
        held: &[AttemptId],
        finished: &[AttemptId],
    ) -> Vec<AttemptId> {
        let mut keep = Vec::new();
        for place in self.proven_by(worker) {
            let attempt = self.part(place).and_then(|(_, p)| p.running.as_ref()).map(|t| t.attempt);
            match attempt {
                Some(attempt) if held.contains(&attempt) => keep.push(attempt),
                Some(attempt) if finished.contains(&attempt) => {}
                _ => self.fail_try(place, "the worker came back without it"),
            }
        }
        keep
    }

    fn proven_by(&self, worker: &WorkerId) -> Vec<Place> {
        let mine = |p: &Part| p.running.as_ref().is_some_and(|t| t.worker == *worker && t.verifying.is_none());
        let places = self.posts.iter().flat_map(|(id, job)| (0..job.parts.len()).map(move |at| (*id, at)));
        places.filter(|place| self.part(*place).is_some_and(|(_, p)| mine(p))).collect()
    }

    // === time ===

    pub(crate) fn post_timers(&mut self) {
        let now = self.now;
        let late: Vec<RequestId> = self.posts.iter().filter(|(_, j)| j.until <= now).map(|(id, _)| *id).collect();
        for id in late {
            self.fail_post(id, ErrorCode::TimedOut, "not finished within its time limit");
        }
        let places = self.posts.iter().flat_map(|(id, job)| (0..job.parts.len()).map(move |at| (*id, at)));
        for place in places.collect::<Vec<Place>>() {
            self.part_timers(place);
        }
    }

    fn part_timers(&mut self, place: Place) {
        let now = self.now;
        let Some((job, part)) = self.part(place) else { return };
        if let Some(since) = part.nobody_since.filter(|since| since.plus(self.config.post_worker_wait_ms) <= now) {
            let waited_s = now.since(since) / 1_000;
            let (name, flag) = (job.kind.task(), job.kind.flag());
            let message = format!("no worker for {name} connected for {waited_s} s; start `sp-post-worker run {flag}`");
            return self.fail_post(place.0, ErrorCode::Unavailable, &message);
        }
        let Some(running) = &part.running else { return };
        if let Some(verifying) = &running.verifying {
            if verifying.ask_at <= now {
                self.ask_post_verifier(place);
            }
        } else if self.lease_until(&running.worker) <= now {
            let (kind, worker, attempt) = (job.kind.task(), running.worker.clone(), running.attempt);
            self.observed.push(Observation::LeaseLost { kind });
            if self.hears(&worker) {
                // Its clock or ours stood still: it need not go on with what is proven elsewhere.
                self.out.push(Effect::Cancel { worker, attempt, reason: "its lease was lost".to_owned() });
            }
            self.fail_try(place, "lease lost");
        } else if self.try_limit(job, running) <= now {
            let (worker, attempt) = (running.worker.clone(), running.attempt);
            self.out.push(Effect::Cancel { worker, attempt, reason: "it took too long".to_owned() });
            self.fail_try(place, "no result within its time limit");
        }
    }

    /// The worker reports a time-out itself; a hung one is given up a lease later.
    fn try_limit(&self, job: &PostJob, running: &Try) -> UnixMs {
        running.since.plus(self.config.time_limit_ms(job.kind.task())).plus(self.config.lease_ms)
    }

    pub(crate) fn post_due(&self) -> Option<UnixMs> {
        let jobs = self.posts.values().map(|j| j.until);
        let parts = self.posts.values().flat_map(|job| job.parts.iter().map(move |p| (job, p)));
        let parts = parts.filter_map(|(job, part)| {
            let Some(running) = &part.running else {
                let again = Some(part.again_at).filter(|at| part.done.is_none() && *at > self.now);
                let nobody = part.nobody_since.map(|since| since.plus(self.config.post_worker_wait_ms));
                return nobody.into_iter().chain(again).min();
            };
            Some(match &running.verifying {
                Some(verifying) => verifying.ask_at,
                None => self.lease_until(&running.worker).min(self.try_limit(job, running)),
            })
        });
        let slack = self.posts.values().filter_map(|job| self.slack_ends_at(job));
        jobs.chain(parts).chain(slack).min()
    }
}
