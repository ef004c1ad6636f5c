//! What happens by time alone. A timer may ring early: whoever it rings for looks at the clock and winds it again.

use std::collections::{BTreeMap, BTreeSet};

use sp_types::{AttemptId, ErrorCode, TaskId, WorkerId};

use crate::core::Core;
use crate::event::Failure;
use crate::model::{AttemptState, UnixMs};

/// For whom a timer rings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Bell {
    /// An attempt: reservation, limit, listing, verifier.
    Attempt(AttemptId),
    /// A task may be offered (again).
    Task(TaskId),
    /// A chain call is to be repeated.
    Chain(u64),
    /// A sector has waited long enough after a failure.
    Sector(u64),
    /// Fences of tasks that are over may be forgotten.
    Fences,
    /// Some lease may be over, or some worker may be forgotten.
    Workers,
    /// Something of PoSt.
    Posts,
    /// Who waits for a DC may be gone.
    DataCid(TaskId),
    /// A delete is to be ordered again.
    Deletes,
    /// Somebody is no longer put aside.
    Asides,
    /// A group has waited for long enough.
    Groups,
    /// The last step left something to do.
    Again,
}

/// The bells that will ring, each once.
#[derive(Debug, Clone, Default)]
pub(crate) struct Timers {
    by_time: BTreeSet<(UnixMs, Bell)>,
    at: BTreeMap<Bell, UnixMs>,
}

impl Timers {
    /// Rings at this time at the latest; an earlier time stays.
    pub(crate) fn wind(&mut self, at: UnixMs, bell: Bell) {
        match self.at.get(&bell) {
            Some(before) if *before <= at => return,
            Some(before) => drop(self.by_time.remove(&(*before, bell))),
            None => {}
        }
        self.at.insert(bell, at);
        self.by_time.insert((at, bell));
    }

    pub(crate) fn stop(&mut self, bell: Bell) {
        if let Some(at) = self.at.remove(&bell) {
            self.by_time.remove(&(at, bell));
        }
    }

    fn ring(&mut self, now: UnixMs) -> Option<Bell> {
        let (at, bell) = *self.by_time.first()?;
        if at > now {
            return None;
        }
        self.stop(bell);
        Some(bell)
    }

    /// When the next one rings.
    pub(crate) fn next(&self) -> Option<UnixMs> {
        self.by_time.first().map(|(at, _)| *at)
    }
}

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
    /// Winds a timer no sooner than in 10 ms, so that a mistake never becomes a busy loop.
    pub(crate) fn wind(&mut self, at: UnixMs, bell: Bell) {
        self.timers.wind(at.max(self.now.plus(10)), bell);
    }

    pub(crate) fn run_timers(&mut self) {
        while let Some(bell) = self.timers.ring(self.now) {
            match bell {
                Bell::Attempt(id) => self.attempt_bell(id),
                Bell::Task(id) => drop(self.dirty.tasks.insert(id)),
                Bell::Chain(number) => self.chain_bell(number),
                Bell::Sector(number) => self.sector_bell(number),
                Bell::Fences => self.forget_fences(),
                Bell::Workers => self.workers_bell(),
                Bell::Posts => {
                    self.post_timers();
                    self.replan = true;
                }
                Bell::Again => self.replan = true,
                Bell::DataCid(id) => self.data_cid_bell(id),
                Bell::Asides => self.asides_bell(),
                Bell::Groups => self.groups_bell(),
                // They are looked at in every step.
                Bell::Deletes => {}
            }
        }
    }

    // === attempts ===

    /// Winds the timer of an attempt for what is due next and what nobody else watches: no heartbeat moves that, so a
    /// timer that is wound rings once and not every few seconds of the hours that an attempt takes.
    pub(crate) fn wind_attempt(&mut self, id: AttemptId) {
        let Some(attempt) = self.attempt(id) else { return };
        let known = self.workers.get(&attempt.worker);
        let watched = |due: Due| match due {
            // The bell of the workers rings for all that a worker has when its lease is lost.
            Due::Orphan => known.is_some_and(|w| !w.lapsed),
            // The first heartbeat without it winds it.
            Due::Resend => known.is_none_or(|w| w.renewed <= self.seen(attempt)),
            _ => false,
        };
        let next = self.attempt_timers(id).into_iter().flatten().filter(|(_, due)| !watched(*due));
        if let Some(at) = next.map(|(at, _)| at).min() {
            self.wind(at, Bell::Attempt(id));
        }
    }

    /// Winds the timers of everything that a worker has.
    pub(crate) fn wind_attempts_on(&mut self, worker: &WorkerId) {
        for id in self.lookup.on_worker(worker).collect::<Vec<_>>() {
            self.wind_attempt(id);
        }
    }

    fn attempt_bell(&mut self, id: AttemptId) {
        let now = self.now;
        let due: Vec<Due> =
            self.attempt_timers(id).into_iter().flatten().filter(|(at, _)| *at <= now).map(|(_, due)| due).collect();
        due.into_iter().for_each(|due| self.attempt_due(id, due));
        self.wind_attempt(id);
    }

    fn attempt_timers(&self, id: AttemptId) -> [Option<(UnixMs, Due)>; 3] {
        let none = [None; 3];
        let (Some(attempt), Some(live), Some(task)) = (self.attempt(id), self.live.get(&id), self.tasks.get(&id.task))
        else {
            return none;
        };
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
        // Waiting for room is not the attempt's fault: the limit counts from the start of its computation.
        let limit = (!attempt.held).then(|| (live.started.plus(limit_ms), Due::Limit));
        if live.orphan.is_some() {
            return [limit, None, None];
        }
        let listed = self.seen(attempt).plus(2 * self.config.lease_ms);
        let resend = self.is_available(&attempt.worker).then_some((listed, Due::Resend));
        [limit, Some((lease_until, Due::Orphan)), resend]
    }

    fn attempt_due(&mut self, id: AttemptId, due: Due) {
        let Some(created) = self.attempt(id).map(|a| a.created) else { return };
        match due {
            Due::AskAgain => self.repeat_reservation(id),
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

    // === workers ===

    /// Leases that are over, workers that are forgotten, and the time to look again.
    fn workers_bell(&mut self) {
        let (now, lease_ms, keep_ms) = (self.now, self.config.lease_ms, self.config.worker_keep_ms);
        let over = |w: &crate::workers::Worker| !w.lapsed && w.lease_until(lease_ms) <= now;
        let lapsed: Vec<WorkerId> = self.workers.iter().filter(|(_, w)| over(w)).map(|(id, _)| id.clone()).collect();
        for id in lapsed {
            if let Some(worker) = self.workers.get_mut(&id) {
                worker.lapsed = true;
            }
            for attempt in self.lookup.on_worker(&id).collect::<Vec<_>>() {
                self.attempt_bell(attempt);
            }
            self.dirty.workers.insert(id);
            self.dirty.takers = true;
        }
        let gone = self.workers.iter().filter(|(_, w)| w.renewed.plus(keep_ms) <= now);
        let gone: Vec<WorkerId> = gone.map(|(id, _)| id.clone()).collect();
        gone.iter().for_each(|id| self.remove_worker(id));
        self.wind_workers();
    }

    pub(crate) fn wind_workers(&mut self) {
        let (lease_ms, keep_ms) = (self.config.lease_ms, self.config.worker_keep_ms);
        let due = |w: &crate::workers::Worker| {
            if w.lapsed { w.renewed.plus(keep_ms) } else { w.lease_until(lease_ms) }
        };
        if let Some(at) = self.workers.values().map(due).min() {
            self.wind(at, Bell::Workers);
        }
    }

    // === fences ===

    /// Fences of tasks that are over are not kept for ever, and never too many of them: the oldest go first.
    pub(crate) fn forget_fences(&mut self) {
        while let Some((since, id)) = self.over.first().copied() {
            let until = since.plus(self.config.fence_keep_ms);
            if until > self.now && self.over.len() <= self.config.fences_limit {
                return self.wind(until, Bell::Fences);
            }
            self.over.remove(&(since, id));
            self.fences.remove(&id);
            self.out.fences.insert(id);
        }
    }

    fn chain_bell(&mut self, number: u64) {
        let now = self.now;
        match self.chain.get(&number).map(|wait| wait.ask_at) {
            Some(at) if at <= now => self.ask_chain(number),
            Some(at) => self.wind(at, Bell::Chain(number)),
            None => {}
        }
    }
}
