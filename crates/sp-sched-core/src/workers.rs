//! Workers: sessions, leases, and what becomes of the attempts that a worker brings along or has lost.

use sp_types::{AttemptId, HostCapacity, HostId, SessionId, TaskClass, TaskKind, WorkerId, WorkerLimits};

use crate::core::Core;
use crate::effect::Effect;
use crate::event::{Progress, Registration};
use crate::model::{AttemptState, UnixMs};

/// A worker that has registered since the scheduler started.
#[derive(Debug, Clone)]
pub(crate) struct Worker {
    /// As it presented itself, without what it held.
    pub(crate) reg: Registration,
    /// Its control stream is open.
    pub(crate) stream: bool,
    /// Last renewal.
    pub(crate) renewed: UnixMs,
    /// When this session registered.
    pub(crate) since: UnixMs,
    /// Why the stream ended.
    pub(crate) gone_reason: String,
}

impl Worker {
    pub(crate) fn lease_until(&self, lease_ms: u64) -> UnixMs {
        self.renewed.plus(lease_ms)
    }

    /// It can be given work.
    pub(crate) fn available(&self, now: UnixMs, lease_ms: u64) -> bool {
        self.stream && now < self.lease_until(lease_ms)
    }

    pub(crate) fn accepts(&self, kind: TaskKind) -> bool {
        self.reg.tasks.contains(&kind)
    }

    pub(crate) fn class(&self) -> TaskClass {
        self.reg.tasks.first().map_or(TaskClass::Sealing, |t| t.class())
    }

    /// Why it gets no work; empty when it does.
    pub(crate) fn away_reason(&self, now: UnixMs, lease_ms: u64) -> String {
        if now >= self.lease_until(lease_ms) {
            let lost = format!("lease lost: no renewal for {} s", now.since(self.renewed) / 1_000);
            return if self.stream { lost } else { format!("{lost}; disconnected: {}", self.gone_reason) };
        }
        if !self.stream {
            return format!("disconnected: {}", self.gone_reason);
        }
        String::new()
    }
}

impl Core {
    /// Is the worker there, so that it makes sense to send it something?
    pub(crate) fn is_available(&self, worker: &WorkerId) -> bool {
        self.workers.get(worker).is_some_and(|w| w.available(self.now, self.config.lease_ms))
    }

    /// When the lease of everything on this worker ends; a worker not seen since the start has one lease from there.
    pub(crate) fn lease_until(&self, worker: &WorkerId) -> UnixMs {
        let lease_ms = self.config.lease_ms;
        self.workers.get(worker).map_or_else(|| self.restored.plus(lease_ms), |w| w.lease_until(lease_ms))
    }

    pub(crate) fn on_registered(&mut self, mut reg: Registration) {
        let held = std::mem::take(&mut reg.held);
        let finished = std::mem::take(&mut reg.finished);
        let (id, session, host) = (reg.worker.clone(), reg.session.clone(), reg.host.clone());
        self.declare_older_boots_dead(&id, &host);
        let (now, stream, gone_reason) = (self.now, true, String::new());
        self.workers.insert(id.clone(), Worker { reg, stream, renewed: now, since: now, gone_reason });

        let returning: Vec<AttemptId> = finished.iter().map(|r| r.attempt).collect();
        let mut keep = Vec::new();
        let mut send = Vec::new();
        for attempt in self.granted_on(&id) {
            self.move_attempt(attempt, &host);
            let Some(live) = self.live.get_mut(&attempt) else { continue };
            if held.contains(&attempt) {
                live.orphan = None;
                live.seen = now;
                live.sent = Some((session.clone(), now));
                keep.push(attempt);
            } else if returning.contains(&attempt) || live.verifying.is_some() {
                live.orphan = None;
            } else if live.sent.as_ref().is_none_or(|(sent_to, _)| *sent_to == session) {
                live.orphan = None;
                send.push(attempt);
            } else {
                self.lose_attempt(attempt, "its worker restarted without it");
            }
        }
        keep.extend(self.reconcile_posts(&id, &held, &returning));
        // A worker hears the answer to its registration first; what it has lost may have been cancelled above.
        self.out.push_first(Effect::Registered { worker: id.clone(), session, keep });
        send.into_iter().for_each(|attempt| self.assign(attempt));
        finished.into_iter().for_each(|result| self.on_result(&id, result));
    }

    pub(crate) fn on_disconnected(&mut self, worker: &WorkerId, session: &SessionId, reason: &str) {
        let Some(known) = self.workers.get_mut(worker).filter(|w| w.reg.session == *session) else { return };
        known.stream = false;
        known.gone_reason = reason.to_owned();
        // Sealing waits for its lease; proving has no time for that.
        self.lose_posts(worker, &format!("connection lost: {reason}"));
    }

    pub(crate) fn on_renewed(
        &mut self,
        worker: &WorkerId,
        session: &SessionId,
        attempts: Vec<Progress>,
        (capacity, limits): (Option<HostCapacity>, Option<WorkerLimits>),
    ) {
        let (now, lease_ms) = (self.now, self.config.lease_ms);
        let Some(known) = self.workers.get_mut(worker).filter(|w| w.reg.session == *session) else { return };
        let was_available = known.available(now, lease_ms);
        known.renewed = now;
        let changed = capacity.as_ref().is_some_and(|new| *new != known.reg.capacity)
            || limits.as_ref().is_some_and(|new| *new != known.reg.limits);
        if let Some(capacity) = capacity {
            known.reg.capacity = capacity;
        }
        if let Some(limits) = limits {
            known.reg.limits = limits;
        }
        self.replan |= !was_available || changed;
        for progress in attempts {
            self.on_progress(worker, progress);
        }
    }

    fn on_progress(&mut self, worker: &WorkerId, progress: Progress) {
        let id = progress.attempt;
        if self.post_progress(worker, &progress) {
            return;
        }
        let granted = self.attempt(id).is_some_and(|a| a.worker == *worker && a.state == AttemptState::Granted);
        match self.live.get_mut(&id).filter(|_| granted) {
            Some(live) => {
                live.seen = self.now;
                live.resends = 0;
                live.progress = Some(progress);
                if live.orphan.take().is_some() {
                    self.log_attempt(id, "back", "its worker renews its lease again");
                }
            }
            None => {
                let reason = "this attempt has ended".to_owned();
                self.out.push(Effect::Cancel { worker: worker.clone(), attempt: id, reason });
            }
        }
    }

    fn granted_on(&self, worker: &WorkerId) -> Vec<AttemptId> {
        let attempts = self.tasks.values().flat_map(|t| &t.attempts);
        attempts.filter(|a| a.worker == *worker && a.state == AttemptState::Granted).map(|a| a.id).collect()
    }

    /// Its worker may have come back on another host, or on another boot of the same one.
    fn move_attempt(&mut self, id: AttemptId, host: &HostId) {
        if self.attempt(id).is_none_or(|a| a.host == *host) {
            return;
        }
        if let Some(row) = self.task_mut(id.task) {
            row.attempts.iter_mut().filter(|a| a.id == id).for_each(|a| host.clone_into(&mut a.host));
        }
    }

    /// A machine that booted again runs nothing of before: its orphans need not be waited for.
    fn declare_older_boots_dead(&mut self, worker: &WorkerId, host: &HostId) {
        let now = self.now;
        let Some((machine, _)) = host.as_str().split_once('-') else { return };
        let attempts = self.tasks.values().flat_map(|t| &t.attempts);
        let dead = attempts.filter(|a| a.worker != *worker && a.host != *host);
        let dead: Vec<AttemptId> =
            dead.filter(|a| a.host.as_str().split_once('-').is_some_and(|(m, _)| m == machine)).map(|a| a.id).collect();
        for id in dead {
            self.orphan_attempt(id, now, "its host has booted again");
        }
    }
}
