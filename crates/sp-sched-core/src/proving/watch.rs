//! PoSt workers that are lost or take too long: nothing here waits for a lease if it knows better.

use sp_types::{AttemptId, ErrorCode, WorkerId};

use crate::core::Core;
use crate::effect::Effect;
use crate::model::UnixMs;
use crate::observe::Observation;
use crate::proving::drive::Place;
use crate::proving::job::{Handed, Part, PostId, PostJob, Try};

/// Why an opening ends that is not wholly proven.
pub(crate) const CLOSED: &str = "the deadline has closed";

impl Core {
    // === lost workers ===

    /// Everything that the worker proves goes elsewhere, now. What is with the verifier already stays.
    pub(crate) fn lose_posts(&mut self, worker: &WorkerId, reason: &str) {
        for (place, attempt) in self.proven_by(worker) {
            self.fail_try(place, attempt, reason);
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
        for (place, attempt) in self.proven_by(worker) {
            match attempt {
                attempt if held.contains(&attempt) => keep.push(attempt),
                attempt if finished.contains(&attempt) => {}
                _ if self.send_again(place, attempt) => {}
                _ => self.fail_try(place, attempt, "the worker came back without it"),
            }
        }
        keep
    }

    /// The scheduler died when it had written the try down and before the worker had heard of it, perhaps.
    fn send_again(&mut self, place: Place, attempt: AttemptId) -> bool {
        let (now, restored) = (self.now, self.restored);
        let Some(part) = self.part_mut(place) else { return false };
        let index = part.index;
        let unheard = |tried: &&mut Try| tried.since <= restored && tried.progress.is_none();
        let Some(tried) = part.find_mut(attempt).filter(unheard) else { return false };
        // Once: whoever comes back without it another time has lost it.
        tried.since = now;
        let (worker, gpus) = (tried.worker.clone(), tried.gpus.clone());
        self.note_part(place.0, index);
        if let Some(assignment) = self.post_assignment(place, attempt, &worker, gpus) {
            self.out.push(Effect::Assign { worker, assignment: Box::new(assignment) });
        }
        true
    }

    fn proven_by(&self, worker: &WorkerId) -> Vec<(Place, AttemptId)> {
        let mine = |p: &Part| p.try_of(worker).filter(|t| t.verifying.is_none()).map(|t| t.attempt);
        let places = self.posts.iter().flat_map(|(id, job)| (0..job.parts.len()).map(move |at| (*id, at)));
        places.filter_map(|place| Some((place, mine(self.part(place)?.1)?))).collect()
    }

    // === time ===

    pub(crate) fn post_timers(&mut self) {
        let now = self.now;
        self.hand_in_wins();
        let late: Vec<PostId> = self.posts.iter().filter(|(_, j)| j.until <= now).map(|(id, _)| *id).collect();
        for id in late {
            let message = match id {
                PostId::Asked(_) | PostId::Won(_) | PostId::Rehearsal(..) => "not finished within its time limit",
                PostId::Opening(_) | PostId::Recovery(_) => CLOSED,
            };
            self.fail_post(id, ErrorCode::TimedOut, message);
        }
        let places = self.posts.iter().flat_map(|(id, job)| (0..job.parts.len()).map(move |at| (*id, at)));
        for place in places.collect::<Vec<Place>>() {
            self.part_timers(place);
        }
    }

    fn part_timers(&mut self, place: Place) {
        let now = self.now;
        let Some((job, part)) = self.part(place) else { return };
        if part.done.is_some() {
            return self.hand_in_again(place);
        }
        if let Some(since) = self.given_up_at(place.0, part).filter(|at| *at <= now).and(part.nobody_since) {
            let waited_s = now.since(since) / 1_000;
            let (name, flag) = (job.kind.task(), job.kind.flag());
            let message = format!("no worker for {name} connected for {waited_s} s; start `sp-post-worker run {flag}`");
            return self.fail_post(place.0, ErrorCode::Unavailable, &message);
        }
        for attempt in part.tries.iter().map(|t| t.attempt).collect::<Vec<_>>() {
            self.try_timers(place, attempt);
        }
    }

    fn try_timers(&mut self, place: Place, attempt: AttemptId) {
        let now = self.now;
        let Some((job, part)) = self.part(place) else { return };
        let Some(running) = part.find(attempt).cloned() else { return };
        if let Some(verifying) = &running.verifying {
            if verifying.ask_at <= now {
                self.ask_post_verifier(place, attempt);
            }
        } else if self.lease_until(&running.worker) <= now {
            let kind = job.kind.task();
            self.observed.push(Observation::LeaseLost { kind });
            // Its clock or ours stood still: it need not go on with what is proven elsewhere.
            self.cancel_try(&running, "its lease was lost");
            self.fail_try(place, attempt, "lease lost");
        } else if self.try_limit(job, &running) <= now {
            let worker = running.worker.clone();
            self.out.push(Effect::Cancel { worker, attempt, reason: "it took too long".to_owned() });
            self.fail_try(place, attempt, "no result within its time limit");
        }
    }

    /// When an operator is told that nobody proves. For the chain somebody may still come.
    fn given_up_at(&self, id: PostId, part: &Part) -> Option<UnixMs> {
        part.nobody_since.filter(|_| !id.is_for_the_chain()).map(|since| since.plus(self.config.post_worker_wait_ms))
    }

    /// The worker reports a time-out itself; a hung one is given up a lease later.
    fn try_limit(&self, job: &PostJob, running: &Try) -> UnixMs {
        running.since.plus(self.try_limit_ms(job, running)).plus(self.config.lease_ms)
    }

    /// What is read ahead waits for another partition to be proven before it.
    pub(crate) fn try_limit_ms(&self, job: &PostJob, running: &Try) -> u64 {
        let limit_ms = self.config.time_limit_ms(job.kind.task());
        if running.ahead { limit_ms.saturating_mul(2) } else { limit_ms }
    }

    fn is_to_be_handed_in(&self, id: PostId, part: &Part) -> bool {
        matches!(id, PostId::Opening(_)) && part.handed == Handed::No
    }

    pub(crate) fn post_due(&self) -> Option<UnixMs> {
        let jobs = self.posts.values().map(|j| j.until);
        let parts = self.posts.iter().flat_map(|(id, job)| job.parts.iter().map(move |p| (*id, job, p)));
        let parts = parts.filter_map(|(id, job, part)| {
            if part.tries.is_empty() {
                let again = Some(part.again_at).filter(|at| *at > self.now);
                let again = again.filter(|_| part.done.is_none() || self.is_to_be_handed_in(id, part));
                let unanswered = match part.handed {
                    Handed::Asked { again } => Some(again),
                    Handed::No | Handed::Accepted => None,
                };
                let nobody = self.given_up_at(id, part).filter(|_| part.done.is_none());
                return nobody.into_iter().chain(again).chain(unanswered).min();
            }
            let tries = part.tries.iter().map(|running| match &running.verifying {
                Some(verifying) => verifying.ask_at,
                None => self.lease_until(&running.worker).min(self.try_limit(job, running)),
            });
            let first = part.tries.first().filter(|_| part.tries.len() == 1);
            let second = first.and_then(|first| self.raced_from(job, first));
            // Whoever has failed may be the second one a little later.
            let second = second.into_iter().flat_map(|from| [from, from.max(part.again_at)]);
            tries.chain(second.filter(|from| *from > self.now)).min()
        });
        let slack = self.posts.values().filter_map(|job| self.slack_ends_at(job));
        jobs.chain(parts).chain(slack).chain(self.day.wins_due()).min()
    }
}
