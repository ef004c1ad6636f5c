//! Workers: sessions, leases, and what becomes of the attempts that a worker brings along or has lost.

use std::collections::BTreeMap;

use sp_types::{
    AttemptId, HostCapacity, HostId, ResourceTable, SessionId, TaskClass, TaskKind, WorkerId, WorkerLimits,
};

use crate::account::Account;
use crate::core::Core;
use crate::effect::Effect;
use crate::event::{Progress, Registration};
use crate::model::{AttemptState, UnixMs, WorkerRow};
use crate::queue::Class;
use crate::reports::Reports;
use crate::timers::Bell;
use crate::window::{Window, idle};

/// A worker that has registered since the scheduler started.
#[derive(Debug, Clone)]
pub(crate) struct Worker {
    /// As it presented itself, without what it held.
    pub(crate) reg: Registration,
    /// What its tasks are accounted with: its rows, and the memory that was measured on its host.
    pub(crate) rows: ResourceTable,
    /// Its control stream is open.
    pub(crate) stream: bool,
    /// Last renewal.
    pub(crate) renewed: UnixMs,
    /// When this session registered.
    pub(crate) since: UnixMs,
    /// Why the stream ended.
    pub(crate) gone_reason: String,
    /// Its lease has ended, and everybody knows.
    pub(crate) lapsed: bool,
    /// What operators decided about it.
    pub(crate) row: WorkerRow,
    /// Tasks bound to it, in the order in which they go on.
    pub(crate) windows: Vec<Window>,
    /// What it says of its attempts.
    pub(crate) reports: Reports,
    /// What runs on it.
    pub(crate) account: Account,
    /// Attempts on it by class, and bound tasks by class.
    pub(crate) counts: BTreeMap<Class, u32>,
    pub(crate) bound_counts: BTreeMap<Class, u32>,
    /// What it may take of its host, and the same with nothing on it.
    pub(crate) share: HostCapacity,
    pub(crate) idle: HostCapacity,
    /// Tasks it was given since the youngest worker joined, in all and by kind.
    pub(crate) given: u64,
    pub(crate) given_by_kind: BTreeMap<TaskKind, u64>,
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

    /// Does what it is told reach it? It may, though its lease is lost.
    pub(crate) fn hears(&self, worker: &WorkerId) -> bool {
        self.workers.get(worker).is_some_and(|w| w.stream)
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
        let now = self.now;
        let before = self.workers.get(&id).map(|w| w.reg.capacity.clone());
        self.take_in(reg);
        if let Some(before) = before {
            self.report_gpus(&id, &before);
        }

        let returning: Vec<AttemptId> = finished.iter().map(|r| r.attempt).collect();
        let mut keep = Vec::new();
        let mut send = Vec::new();
        let mut moved = Vec::new();
        // Those that still wait for their space move too: they will run where the worker is now.
        for attempt in self.lookup.on_worker(&id).collect::<Vec<_>>() {
            if held.contains(&attempt) {
                self.forget_progress(&id, attempt, &session);
            }
            if self.move_attempt(attempt, &host) {
                moved.push(attempt);
            }
        }
        moved.retain(|attempt| !returning.contains(attempt));
        self.drop_those_without_room(&id, moved);
        for attempt in self.granted_on(&id) {
            if let Some(gpu) = self.gone_gpu(attempt).filter(|_| held.contains(&attempt)) {
                self.lose_attempt(attempt, &format!("its worker restarted without {gpu}"));
                continue;
            }
            let Some(live) = self.live.get_mut(&attempt) else { continue };
            if held.contains(&attempt) {
                live.seen = now;
                live.sent = Some((session.clone(), now));
                self.bring_back(attempt);
                keep.push(attempt);
            } else if returning.contains(&attempt) || live.verifying.is_some() {
                self.bring_back(attempt);
            } else if live.sent.as_ref().is_none_or(|(sent_to, _)| *sent_to == session) {
                self.bring_back(attempt);
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

    /// A session begins: whatever was bound to the worker is bound anew, by what it accepts now.
    fn take_in(&mut self, mut reg: Registration) {
        reg.resources = reg.resources.over(&self.config.resources);
        let (id, host, now) = (reg.worker.clone(), reg.host.clone(), self.now);
        self.unbind_all(&id);
        let before = self.workers.remove(&id);
        if let Some(old) = before.as_ref().filter(|w| w.reg.host != host) {
            self.leave_host(&id, &old.reg.host);
        }
        // Whoever joins is not flooded for having been given nothing yet.
        let least = self.workers.values().map(|w| w.given).min().unwrap_or(0);
        let new = || (Reports::default(), least, BTreeMap::new());
        let (reports, given, given_by_kind) = before.map_or_else(new, |w| (w.reports, w.given, w.given_by_kind));
        self.open.drop_worker(&id);
        let rows = self.measured_rows(&reg.resources, &host);
        let worker = Worker {
            rows,
            idle: idle(&reg.capacity.limited(&reg.limits)),
            share: reg.capacity.limited(&reg.limits),
            reg,
            stream: true,
            renewed: now,
            since: now,
            gone_reason: String::new(),
            lapsed: false,
            row: self.row_of_worker(&id),
            windows: Vec::new(),
            reports,
            account: Account::default(),
            counts: BTreeMap::new(),
            bound_counts: BTreeMap::new(),
            given,
            given_by_kind,
        };
        self.workers.insert(id.clone(), worker);
        self.settle_on_host(&id, &host);
        self.dirty.workers.insert(id);
        self.dirty.takers = true;
        self.dirty.tasks.extend(&self.starved);
        self.wind_workers();
    }

    /// Forgets a worker; what was bound to it goes back to the queue.
    pub(crate) fn remove_worker(&mut self, id: &WorkerId) {
        self.unbind_all(id);
        let Some(worker) = self.workers.remove(id) else { return };
        self.open.drop_worker(id);
        self.leave_host(id, &worker.reg.host);
        self.wind_attempts_on(id);
        self.asides.retain(|(w, _), _| w != id);
        if self.hosts.get(&worker.reg.host).is_none_or(|h| h.workers.is_empty()) {
            self.learned.forget(&worker.reg.host);
        }
        self.dirty.takers = true;
    }

    pub(crate) fn on_disconnected(&mut self, worker: &WorkerId, session: &SessionId, reason: &str) {
        let Some(known) = self.workers.get_mut(worker).filter(|w| w.reg.session == *session) else { return };
        known.stream = false;
        known.gone_reason = reason.to_owned();
        self.dirty.workers.insert(worker.clone());
        self.dirty.takers = true;
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
        known.lapsed = false;
        let capacity = capacity.filter(|new| *new != known.reg.capacity);
        let limits = limits.filter(|new| *new != known.reg.limits);
        let changed = capacity.is_some() || limits.is_some();
        let before = capacity.map(|new| std::mem::replace(&mut known.reg.capacity, new));
        let same_units = limits.is_none() && before.as_ref().is_none_or(|b| b.same_units(&known.reg.capacity));
        if let Some(limits) = limits {
            known.reg.limits = limits;
        }
        self.replan |= !was_available || changed;
        if changed {
            known.share = known.reg.capacity.limited(&known.reg.limits);
            let host = known.reg.host.clone();
            match same_units {
                true => drop(self.dirty.figures.insert(host)),
                false => self.touch_host(&host),
            }
        }
        if let Some(before) = before.filter(|_| !same_units) {
            self.report_gpus(worker, &before);
        }
        if !was_available {
            // While it was away nobody looked at its lease.
            self.wind(now.plus(lease_ms), Bell::Workers);
            self.dirty.workers.insert(worker.clone());
            self.dirty.takers = true;
        }
        self.on_reports(worker, attempts);
    }

    /// Its worker has it: nobody else may get its task, not even he to whom it is bound already. True: it was an orphan.
    pub(crate) fn bring_back(&mut self, id: AttemptId) -> bool {
        let back = self.live.get_mut(&id).is_some_and(|live| live.orphan.take().is_some());
        if back {
            self.unbind(id.task);
            self.dirty.tasks.insert(id.task);
        }
        back
    }

    fn granted_on(&self, worker: &WorkerId) -> Vec<AttemptId> {
        let attempts = self.lookup.on_worker(worker).filter_map(|id| self.attempt(id));
        attempts.filter(|a| a.state == AttemptState::Granted).map(|a| a.id).collect()
    }

    /// Attempts that have come to another host with their worker, where others may have got the room meanwhile: those
    /// that nobody has begun with go first.
    fn drop_those_without_room(&mut self, worker: &WorkerId, mut moved: Vec<AttemptId>) {
        let Some(known) = self.workers.get(worker).filter(|w| !self.ignores_resources(w)) else { return };
        let host = known.reg.host.clone();
        let computes = |id: &AttemptId| {
            self.attempt(*id).is_some_and(|a| !a.held) && self.live.get(id).is_some_and(|l| l.verifying.is_none())
        };
        moved.retain(computes);
        moved.sort_by_key(|id| self.attempt(*id).is_some_and(|a| a.state == AttemptState::Granted));
        for id in moved {
            self.freshen_accounts();
            if self.host_fits(&host) {
                return;
            }
            self.lose_attempt(id, "others have taken its room since its host was left");
        }
    }

    /// Its worker may have come back on another host, or on another boot of the same one; true when it has.
    fn move_attempt(&mut self, id: AttemptId, host: &HostId) -> bool {
        let Some(before) = self.attempt(id).filter(|a| a.host != *host).cloned() else { return false };
        self.lookup.drop_attempt(&before);
        self.lookup.add_attempt(&crate::model::Attempt { host: host.clone(), ..before.clone() });
        self.touch_host(&before.host);
        self.touch_host(host);
        if let Some(attempt) = self.attempt_mut(id) {
            host.clone_into(&mut attempt.host);
        }
        true
    }

    /// A machine that booted again runs nothing of before: its orphans need not be waited for.
    fn declare_older_boots_dead(&mut self, worker: &WorkerId, host: &HostId) {
        let now = self.now;
        let Some((machine, _)) = host.as_str().split_once('-') else { return };
        let older =
            self.lookup.hosts().filter(|h| *h != host && h.as_str().split_once('-').is_some_and(|(m, _)| m == machine));
        let ids: Vec<AttemptId> = older.flat_map(|h| self.lookup.on_host(h)).collect();
        let dead = ids.iter().filter_map(|id| self.attempt(*id)).filter(|a| a.worker != *worker);
        let dead: Vec<AttemptId> = dead.map(|a| a.id).collect();
        for id in dead {
            self.orphan_attempt(id, now, "its host has booted again");
        }
    }
}
