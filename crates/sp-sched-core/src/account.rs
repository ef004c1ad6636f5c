//! What a host has left (law L4): one account over all its workers, and one of each worker's own share.
//!
//! What computes, what brings its inputs and what proves are counted apart: the first never over-commits the host, the
//! second never delays the first, and proving looks at nothing but itself.

use std::collections::{BTreeMap, BTreeSet};

use sp_invariants::HostUse;
use sp_types::{GpuId, GpuShare, HostCapacity, HostId, Phase, ResourceRow, TaskKind, WorkerId};

use crate::core::Core;
use crate::devices::GpuUse;
use crate::queue::Class;
use crate::resources::{Shortage, demand, shortage, shortage_but_gpus, sum, utilisation};
use crate::window::idle;
use crate::workers::Worker;

/// What is in use, in three sums.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Account {
    /// Sealing attempts that compute or may.
    pub(crate) active: HostUse,
    /// Held attempts: they bring their inputs.
    pub(crate) preparing: HostUse,
    /// PoSt.
    pub(crate) proving: HostUse,
}

impl Account {
    /// What sealing has to leave alone.
    pub(crate) fn computing(&self) -> HostUse {
        sum(self.active, self.proving)
    }
}

/// A host: what it has, who works there, what that takes.
#[derive(Debug, Clone, Default)]
pub(crate) struct HostAccount {
    pub(crate) capacity: HostCapacity,
    pub(crate) workers: BTreeSet<WorkerId>,
    pub(crate) account: Account,
    pub(crate) gpus: GpuUse,
    /// Devices that do not answer, as any of its workers sees them.
    pub(crate) lost_gpus: BTreeSet<GpuId>,
}

/// How a task is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    Active,
    Preparing,
    Proving,
}

impl Account {
    pub(crate) fn add(&mut self, part: Use, takes: HostUse) {
        let part = match part {
            Use::Active => &mut self.active,
            Use::Preparing => &mut self.preparing,
            Use::Proving => &mut self.proving,
        };
        *part = sum(*part, takes);
    }
}

/// Everything that runs on one host, summed up anew.
struct Reckoning {
    host: Account,
    gpus: GpuUse,
    workers: BTreeMap<WorkerId, (Account, BTreeMap<Class, u32>)>,
}

impl Reckoning {
    fn enter(&mut self, worker: &WorkerId, class: Class, part: Use, takes: HostUse) {
        self.host.add(part, takes);
        let (account, counts) = self.workers.entry(worker.clone()).or_default();
        account.add(part, takes);
        *counts.entry(class).or_default() += 1;
    }
}

impl Core {
    /// Sums up the hosts on which something has changed, and marks their workers.
    pub(crate) fn freshen_accounts(&mut self) {
        for host in std::mem::take(&mut self.dirty.figures) {
            self.freshen_figures(&host);
        }
        for host in std::mem::take(&mut self.dirty.hosts) {
            self.freshen_figures(&host);
            let reckoning = self.reckon(&host);
            let Some(entry) = self.hosts.get_mut(&host) else { continue };
            entry.account = reckoning.host;
            entry.gpus = reckoning.gpus;
            let mut sums = reckoning.workers;
            for id in &entry.workers {
                let (account, counts) = sums.remove(id).unwrap_or_default();
                if let Some(worker) = self.workers.get_mut(id) {
                    worker.account = account;
                    worker.counts = counts;
                }
            }
            self.drop_empty_host(&host);
        }
    }

    /// What the host has, as its workers see it now, without what runs there.
    fn freshen_figures(&mut self, host: &HostId) {
        let capacity = self.host_capacity(host);
        let Some(entry) = self.hosts.get_mut(host) else { return };
        entry.lost_gpus = capacity.gpus.iter().filter(|gpu| !gpu.healthy).map(|gpu| gpu.id.clone()).collect();
        entry.capacity = capacity;
        for id in &entry.workers {
            if let Some(worker) = self.workers.get_mut(id) {
                worker.idle = idle(&worker.share);
            }
            self.dirty.workers.insert(id.clone());
        }
    }

    fn reckon(&self, host: &HostId) -> Reckoning {
        let mut reckoning = Reckoning { host: Account::default(), gpus: GpuUse::default(), workers: BTreeMap::new() };
        for id in self.lookup.on_host(host) {
            let (Some(attempt), Some(task)) = (self.attempt(id), self.tasks.get(&id.task)) else { continue };
            if self.live.get(&id).is_some_and(|l| l.verifying.is_some()) {
                // Its work is done; only the verifier is busy.
                continue;
            }
            let class = self.class_of(task).unwrap_or((task.kind, self.config.seal_proof()));
            // The room of a group is taken while it is filled.
            let fills = self.live.get(&id).is_some_and(|l| l.filling.is_some());
            let part = if attempt.held && !fills { Use::Preparing } else { Use::Active };
            let phase = self.progress_of(attempt).map(|progress| progress.phase);
            let takes = self.takes_in(&attempt.worker, host, class, phase);
            reckoning.enter(&attempt.worker, class, part, takes);
            reckoning.gpus.add(part, &attempt.gpus);
        }
        for (kind, run) in self.posts.values().flat_map(|j| j.running()).filter(|(_, run)| run.host == *host) {
            let class = (kind, self.config.seal_proof());
            reckoning.enter(&run.worker, class, Use::Proving, self.takes(&run.worker, host, class));
            reckoning.gpus.add(Use::Proving, &run.gpus);
        }
        reckoning
    }

    /// What a task takes on this worker. One that has not registered since the start may be at work all the same: it
    /// takes what the table says, on a host such as the others there see it.
    pub(crate) fn takes(&self, worker: &WorkerId, host: &HostId, class: Class) -> HostUse {
        self.takes_in(worker, host, class, None)
    }

    /// The same of one that has come so far.
    fn takes_in(&self, worker: &WorkerId, host: &HostId, class: Class, phase: Option<Phase>) -> HostUse {
        let from = |row: ResourceRow| phase.map_or(row, |phase| row.in_phase(phase));
        match self.workers.get(worker) {
            Some(worker) => demand(&from(self.row(worker, class)), &worker.share),
            None => demand(&from(self.config.resources.row(class.0, class.1.size)), &self.host_capacity(host)),
        }
    }

    pub(crate) fn takes_on(&self, worker: &Worker, class: Class) -> HostUse {
        demand(&self.row(worker, class), &worker.share)
    }

    /// Counts an attempt that has just been placed or moved on, without summing up its whole host.
    pub(crate) fn count_in(&mut self, worker: &WorkerId, class: Class, part: Use, gpus: &[GpuShare]) {
        let Some(takes) = self.workers.get(worker).map(|w| self.takes_on(w, class)) else { return };
        let Some(w) = self.workers.get_mut(worker) else { return };
        w.account.add(part, takes);
        *w.counts.entry(class).or_default() += 1;
        if let Some(host) = self.hosts.get_mut(&w.reg.host) {
            host.account.add(part, takes);
            host.gpus.add(part, gpus);
        }
    }

    /// Something on the host has changed; it is summed up before anything else is placed.
    pub(crate) fn touch_host(&mut self, host: &HostId) {
        if !self.dirty.hosts.contains(host) {
            self.dirty.hosts.insert(host.clone());
        }
    }

    pub(crate) fn settle_on_host(&mut self, worker: &WorkerId, host: &HostId) {
        self.hosts.entry(host.clone()).or_default().workers.insert(worker.clone());
        self.touch_host(host);
    }

    pub(crate) fn leave_host(&mut self, worker: &WorkerId, host: &HostId) {
        if let Some(entry) = self.hosts.get_mut(host) {
            entry.workers.remove(worker);
        }
        self.touch_host(host);
    }

    fn drop_empty_host(&mut self, host: &HostId) {
        let empty = self.hosts.get(host).is_some_and(|h| h.workers.is_empty());
        if empty && self.lookup.on_host(host).next().is_none() {
            self.hosts.remove(host);
        }
    }

    /// What the host has: the most that any of its workers sees of it.
    fn host_capacity(&self, host: &HostId) -> HostCapacity {
        let mut all = HostCapacity::default();
        let workers = self.hosts.get(host).into_iter().flat_map(|h| &h.workers);
        for w in workers.filter_map(|id| self.workers.get(id)) {
            all.join(&w.reg.capacity);
        }
        all
    }

    // === questions ===

    pub(crate) fn row(&self, worker: &Worker, (kind, proof): Class) -> ResourceRow {
        worker.rows.row(kind, proof.size)
    }

    /// Could the worker compute one more task of this class now? If not, what is short; true when it is the host's.
    pub(crate) fn short_now(&self, worker: &Worker, row: &ResourceRow) -> Option<(bool, Shortage)> {
        if self.ignores_resources(worker) {
            return None;
        }
        if let Some(short) = shortage_but_gpus(row, worker.account.computing(), &worker.share) {
            return Some((false, short));
        }
        let host = self.hosts.get(&worker.reg.host)?;
        if let Some(short) = shortage_but_gpus(row, host.account.computing(), &host.capacity) {
            return Some((true, short));
        }
        self.short_of_gpus(worker, row).map(|short| (false, short))
    }

    /// The same for bringing inputs.
    pub(crate) fn short_to_prepare(&self, worker: &Worker, row: &ResourceRow) -> Option<Shortage> {
        if self.ignores_resources(worker) {
            return None;
        }
        let own = || shortage(row, worker.account.preparing, &worker.idle);
        let host = self.hosts.get(&worker.reg.host)?;
        own().or_else(|| shortage(row, host.account.preparing, &idle(&host.capacity)))
    }

    /// Could the worker ever compute such a task, with nothing else on it?
    pub(crate) fn short_when_idle(&self, worker: &Worker, row: &ResourceRow) -> Option<Shortage> {
        if self.ignores_resources(worker) {
            return None;
        }
        shortage(row, HostUse::default(), &worker.idle)
    }

    /// Lotus's ResourceFiltering = disabled, for the built-in worker.
    pub(crate) fn ignores_resources(&self, worker: &Worker) -> bool {
        worker.reg.builtin && !self.config.filter_builtin_resources
    }

    /// Lotus's utilisation of a worker: what computes, what prepares, and every window, so it may be more than 1.
    pub(crate) fn utilisation(&self, worker: &Worker) -> f64 {
        let capacity = &worker.share;
        let windows: f64 = worker.windows.iter().map(|w| utilisation(w.used(), &worker.idle)).sum();
        utilisation(worker.account.computing(), capacity)
            + utilisation(worker.account.preparing, &worker.idle)
            + windows
    }

    /// Tasks of this class bound to the worker, preparing or running there: all of them count against its limit.
    pub(crate) fn count(&self, worker: &Worker, class: Class) -> u32 {
        let running = worker.counts.get(&class).copied().unwrap_or(0);
        let bound = worker.bound_counts.get(&class).copied().unwrap_or(0);
        running.saturating_add(bound)
    }

    /// PoSt looks at PoSt only: sealing never delays it.
    pub(crate) fn post_shortage(&self, worker: &Worker, kind: TaskKind, used: HostUse) -> Option<Shortage> {
        let row = worker.rows.row(kind, self.config.sector_size);
        shortage(&row, used, &idle(&worker.share))
    }

    /// Does what sealing takes of the host fit it? False may be the host's doing: it can shrink while it works.
    pub(crate) fn host_fits(&self, host: &HostId) -> bool {
        let fits = |h: &HostAccount| {
            let gpus = h.gpus.sealing.values().all(|given| sp_invariants::fits_gpu(*given));
            gpus && sp_invariants::fits_host(h.account.active, &h.capacity)
        };
        self.hosts.get(host).is_none_or(fits)
    }

    /// The sums kept on the way are those that a new sum gives.
    pub(crate) fn check_accounts(&self) {
        for (host, entry) in self.hosts.iter().filter(|(h, _)| !self.dirty.hosts.contains(*h)) {
            let kept = entry.account;
            let reckoning = self.reckon(host);
            let anew = reckoning.host;
            let same = |a: HostUse, b: HostUse| {
                (a.gpus - b.gpus).abs() < 1e-6 && HostUse { gpus: 0.0, ..a } == HostUse { gpus: 0.0, ..b }
            };
            let all = same(kept.active, anew.active)
                && same(kept.preparing, anew.preparing)
                && entry.gpus.equals(&reckoning.gpus);
            sp_invariants::check!(sp_invariants::Law::L4, all, "host {host}: {kept:?} kept, {anew:?} counted");
        }
    }
}
