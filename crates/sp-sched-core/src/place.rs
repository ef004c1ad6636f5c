//! Which worker a task is bound to, and for every other one the reason why not.

use std::collections::BTreeSet;

use sp_types::{ErrorCode, FileKind, HostId, StoreId, TaskId, TaskKind, WorkerId};

use crate::assigner::{Assigner, draw};
use crate::attempts::LOST_INPUTS;
use crate::core::Core;
use crate::explain::Refusal;
use crate::model::{OutputSlot, SectorFile, Task, UnixMs};
use crate::queue::{Class, Rank, rank, stays_with};
use crate::timers::Bell;
use crate::window::{Bound, Window};
use crate::workers::Worker;

/// Workers that are looked at for one task beyond those that have its files, and tasks for one worker and class.
const SCAN: usize = 64;
/// A task that failed on a worker is kept for the others at most this long.
const AVOID_MS: u64 = 60_000;

/// A worker that could take the task now.
#[derive(Debug, Clone)]
pub(crate) struct Candidate {
    pub(crate) worker: WorkerId,
    pub(crate) outputs: Vec<OutputSlot>,
    /// Failures of the task on this worker.
    pub(crate) failures: u32,
    pub(crate) builtin: bool,
    /// What the assigner goes by, the cost of fetching included.
    pub(crate) cost: u64,
    /// Bytes of inputs that it would have to fetch.
    pub(crate) missing_bytes: u64,
}

impl Candidate {
    fn key(&self) -> (u32, bool, u64, u64, &WorkerId) {
        (self.failures, self.builtin, self.cost, self.missing_bytes, &self.worker)
    }
}

/// What a task needs in files, found out once for all workers.
#[derive(Debug, Clone)]
pub(crate) struct Need {
    /// Of its inputs; says nothing where there are none.
    pub(crate) sector: u64,
    pub(crate) class: Class,
    pub(crate) inputs: Vec<SectorFile>,
}

/// Tasks that a worker cannot take, found while it looks through the queue.
#[derive(Debug, Default)]
struct Seen {
    passed: BTreeSet<TaskId>,
    /// Nobody could: nobody has their inputs now.
    starved: BTreeSet<TaskId>,
}

/// A task bound to a worker: it waits in a window there, and its space is promised.
#[derive(Debug, Clone)]
pub(crate) struct Binding {
    pub(crate) worker: WorkerId,
    pub(crate) class: Class,
    pub(crate) rank: Rank,
    pub(crate) outputs: Vec<OutputSlot>,
    pub(crate) missing_bytes: u64,
    /// The step in which it was judged.
    pub(crate) step: u64,
}

impl Core {
    // === a task looks for a worker ===

    /// Binds the task to the best worker that has a window for it; it stays in the queue when there is none.
    pub(crate) fn offer(&mut self, id: TaskId) {
        if !self.facts.connected || !self.queue.contains(id) {
            return;
        }
        let Some(task) = self.tasks.get(&id) else { return };
        let need = match self.need(task) {
            Ok(need) => need,
            Err(reason) => return self.wait_for_inputs(id, reason),
        };
        let best = self.best_worker(task, &need);
        self.found_inputs(id);
        if let Some(best) = best {
            let worker = best.worker.clone();
            self.bind(id, need.class, best);
            self.refresh_open(&worker);
        }
    }

    fn best_worker(&self, task: &Task, need: &Need) -> Option<Candidate> {
        let holders = self.open_holders(need);
        let open = self.open.of_class(need.class).map(|(score, id)| (*score, id));
        let mut best: Option<Candidate> = None;
        let mut drawn = Vec::new();
        let at_least = self.least_cost_of_strangers(need);
        let all = holders.iter().map(|(s, id)| (*s, id)).chain(open);
        for (judged, ((builtin, score), id)) in all.enumerate() {
            let cost = score.saturating_add(at_least);
            let settled = best.as_ref().is_some_and(|b| b.failures == 0 && b.builtin <= builtin && b.cost <= cost);
            if judged >= SCAN + holders.len() || (settled && judged >= holders.len() && !self.draws()) {
                break;
            }
            let Some(worker) = self.workers.get(id) else { continue };
            let Ok(candidate) = self.judge(task, need, worker, score) else { continue };
            if best.as_ref().is_none_or(|b| candidate.key() < b.key()) {
                best = Some(candidate.clone());
            }
            if self.draws() {
                drawn.push(candidate);
            }
        }
        let failures = best.as_ref()?.failures;
        drawn.retain(|c| c.failures == failures);
        match self.draws() {
            true => Some(drawn.swap_remove(draw(self.config.assigner_seed, self.drawn, drawn.len() as u64) as usize)),
            false => best,
        }
    }

    fn draws(&self) -> bool {
        self.config.assigner == Assigner::Random
    }

    /// What a worker that has none of the inputs costs at least, besides its score.
    fn least_cost_of_strangers(&self, need: &Need) -> u64 {
        match self.config.assigner {
            Assigner::Utilization => {
                need.inputs.iter().map(|file| self.learned.least_fetch_ms(file.size_bytes)).sum::<f64>() as u64
            }
            _ => 0,
        }
    }

    /// Open workers that have some of the inputs: they may be a better choice than their scores say.
    fn open_holders(&self, need: &Need) -> Vec<((bool, u64), WorkerId)> {
        let mut holders: BTreeSet<WorkerId> = BTreeSet::new();
        need.inputs.iter().for_each(|file| holders.extend(self.holders(need.sector, file)));
        let score = |id: WorkerId| Some((self.open.score_of(&id, need.class)?, id));
        holders.into_iter().filter_map(score).collect()
    }

    // === a worker looks for tasks ===

    /// Fills the open windows of a worker in the order of the queue, then takes over what others cannot start yet.
    pub(crate) fn fill(&mut self, id: &WorkerId) {
        if !self.facts.connected {
            return;
        }
        let stores = self.facts.stores_of(id);
        let mut seen = Seen::default();
        while let Some((task, class, candidate)) = self.next_for(id, &stores, &mut seen) {
            seen.passed.insert(task);
            self.found_inputs(task);
            self.bind(task, class, candidate);
        }
        // An offer finds out what nobody has; when it is back they are offered again, also to this worker.
        self.dirty.tasks.extend(seen.starved.difference(&self.starved));
        self.take_over(id);
    }

    /// The first task of the queue that the worker can take.
    fn next_for(&self, id: &WorkerId, stores: &[StoreId], seen: &mut Seen) -> Option<(TaskId, Class, Candidate)> {
        let worker = self.workers.get(id)?;
        let mut best: Option<(Rank, Class, Candidate)> = None;
        for class in self.classes.iter().copied() {
            let row = self.row(worker, class);
            if self.window_for(worker, class, &row).is_none() || self.gate(worker, class, &row).is_err() {
                continue;
            }
            let score = self.score(worker, class, &row);
            let mut looked_at = 0;
            for rank in self.queue.of_class(class, stores) {
                if looked_at == SCAN || best.as_ref().is_some_and(|(b, ..)| rank >= *b) {
                    break;
                }
                if seen.passed.contains(&rank.4) {
                    continue;
                }
                looked_at += 1;
                let Some((task, need)) = self.tasks.get(&rank.4).map(|task| (task, self.need(task))) else { continue };
                if let Some(candidate) = need.as_ref().ok().and_then(|need| self.wants(task, need, worker, score)) {
                    best = Some((rank, class, candidate));
                    break;
                }
                seen.passed.insert(rank.4);
                if need.is_err() {
                    seen.starved.insert(rank.4);
                }
            }
        }
        best.map(|(rank, class, candidate)| (rank.4, class, candidate))
    }

    /// The worker as a candidate for the task, unless others are to have it first.
    fn wants(&self, task: &Task, need: &Need, worker: &Worker, score: u64) -> Option<Candidate> {
        let candidate = self.judge(task, need, worker, score).ok()?;
        let avoided = candidate.failures > 0 && self.now < self.avoided_until(task) && self.others_take(task, worker);
        (!avoided).then_some(candidate)
    }

    /// Until when the task is kept for workers that it has not failed on.
    pub(crate) fn avoided_until(&self, task: &Task) -> UnixMs {
        let failed = self.hints.get(&task.id).is_some_and(|h| !h.here.is_empty());
        if failed { task.not_before.plus(AVOID_MS) } else { task.not_before }
    }

    fn others_take(&self, task: &Task, worker: &Worker) -> bool {
        let failed = |w: &WorkerId| self.failures_on(task.id, w) > 0;
        let able = |w: &&Worker| w.accepts(task.kind) && self.may_be_given(w, task.kind).is_ok();
        let others = self.workers.values().filter(|w| w.reg.worker != worker.reg.worker && !failed(&w.reg.worker));
        others.filter(|w| w.available(self.now, self.config.lease_ms)).any(|w| able(&w))
    }

    /// Takes tasks out of the windows of others if they could start here at once and would be done earlier.
    fn take_over(&mut self, id: &WorkerId) {
        for class in self.classes.clone() {
            if let Some((task, candidate)) = self.overdue_for(id, class) {
                self.unbind(task);
                self.requeue(task);
                self.bind(task, class, candidate);
            }
        }
    }

    fn overdue_for(&self, id: &WorkerId, class: Class) -> Option<(TaskId, Candidate)> {
        let worker = self.workers.get(id)?;
        let row = self.row(worker, class);
        if self.window_for(worker, class, &row).is_none() || self.short_now(worker, &row).is_some() {
            return None;
        }
        self.gate(worker, class, &row).ok()?;
        let score = self.cost_ms(worker, class, &row);
        let waiting = self.waiting.get(&class)?.iter().take(SCAN);
        waiting
            .filter_map(|rank| {
                let (task, binding) = (self.tasks.get(&rank.4)?, self.bound.get(&rank.4)?);
                let other = self.workers.get(&binding.worker).filter(|w| w.reg.worker != *id)?;
                let there = self.cost_ms(other, class, &self.row(other, class));
                // Fetching only adds to it, and the rest of the question costs more than this one.
                if score >= there {
                    return None;
                }
                let candidate = self.wants(task, &self.need(task).ok()?, worker, score).filter(|c| c.failures == 0)?;
                (candidate.cost < there).then_some((rank.4, candidate))
            })
            .next()
    }

    // === binding ===

    /// Puts the task into a window of the worker and promises its space. The caller sees to it that the worker's scores
    /// are worked out anew before anybody goes by them.
    pub(crate) fn bind(&mut self, id: TaskId, class: Class, candidate: Candidate) {
        let Candidate { worker: worker_id, outputs, missing_bytes, .. } = candidate;
        let (Some(task), Some(worker)) = (self.tasks.get(&id), self.workers.get(&worker_id)) else { return };
        let row = self.row(worker, class);
        let Some(at) = self.window_for(worker, class, &row) else { return };
        let (rank, takes) = (rank(task), self.takes_on(worker, class));
        self.queue.remove(id);
        outputs.iter().for_each(|slot| *self.asked.entry(slot.store.clone()).or_default() += slot.reserved_bytes);
        self.waiting.entry(class).or_default().insert(rank);
        if let Some(worker) = self.workers.get_mut(&worker_id) {
            if at == worker.windows.len() {
                worker.windows.push(Window::default());
            }
            worker.windows[at].push(Bound { task: id, row, takes });
            *worker.bound_counts.entry(class).or_default() += 1;
            worker.given += 1;
            *worker.given_by_kind.entry(class.0).or_default() += 1;
        }
        self.drawn += 1;
        self.dirty.turns.insert(worker_id.clone());
        let step = self.steps;
        self.bound.insert(id, Binding { worker: worker_id, class, rank, outputs, missing_bytes, step });
    }

    /// Takes the task out of its window; the caller decides what becomes of it.
    pub(crate) fn unbind(&mut self, id: TaskId) -> Option<Binding> {
        let binding = self.bound.remove(&id)?;
        crate::lookup::drop_from(&mut self.waiting, &binding.class, &binding.rank);
        binding.outputs.iter().for_each(|slot| self.release_asked(slot));
        self.wake_others(id);
        if let Some(worker) = self.workers.get_mut(&binding.worker) {
            for window in &mut worker.windows {
                window.remove(id);
            }
            if let Some(count) = worker.bound_counts.get_mut(&binding.class) {
                *count = count.saturating_sub(1);
            }
            self.dirty.workers.insert(binding.worker.clone());
        }
        Some(binding)
    }

    /// Everything in the windows of the worker goes back to the queue.
    pub(crate) fn unbind_all(&mut self, worker: &WorkerId) {
        let Some(w) = self.workers.get(worker) else { return };
        let ids: Vec<TaskId> = w.windows.iter().flat_map(|w| w.tasks.iter().map(|b| b.task)).collect();
        for id in ids {
            self.unbind(id);
            self.dirty.tasks.insert(id);
        }
    }

    pub(crate) fn release_asked(&mut self, slot: &OutputSlot) {
        if let Some(bytes) = self.asked.get_mut(&slot.store) {
            *bytes = bytes.saturating_sub(slot.reserved_bytes);
            if *bytes == 0 {
                self.asked.remove(&slot.store);
            }
        }
    }

    // === judging ===

    /// What the task reads, or why nobody can read it now.
    pub(crate) fn need(&self, task: &Task) -> Result<Need, String> {
        let Some(number) = task.sector else {
            // Its data comes from its client.
            return Ok(Need { sector: 0, class: (task.kind, self.data_cid_proof()), inputs: Vec::new() });
        };
        let sector = self.sectors.get(&number).ok_or("its sector is gone")?;
        let inputs = self.inputs_of(sector, task.kind).map_err(|kind| format!("the sector has no {kind} file"))?;
        if let Some(file) = inputs.iter().find(|f| !self.reachable(sector.number, f)) {
            return Err(format!("nobody who is connected has its {} file", file.kind));
        }
        if task.kind == TaskKind::Fetch && inputs.is_empty() {
            return Err("nothing of it is where it does not belong".to_owned());
        }
        Ok(Need { sector: sector.number, class: (task.kind, sector.seal_proof), inputs })
    }

    /// Inputs that stay away for too long are lost: the phase that makes them has to run again, if there is one.
    fn wait_for_inputs(&mut self, id: TaskId, reason: String) {
        let now = self.now;
        let hints = self.hints.entry(id).or_default();
        let since = *hints.inputs_missing_since.get_or_insert(now);
        let until = since.plus(self.config.input_wait_ms);
        self.starved.insert(id);
        if now < until {
            return self.wind(until, Bell::Task(id));
        }
        let hints = self.hints.entry(id).or_default();
        hints.inputs_missing_since = None;
        hints.input_failures += LOST_INPUTS;
        self.starved.remove(&id);
        let waited_s = now.since(since) / 1_000;
        self.charge(id, format!("{}: {reason} for {waited_s} s", ErrorCode::FileMissing));
    }

    fn found_inputs(&mut self, id: TaskId) {
        if self.starved.remove(&id)
            && let Some(hints) = self.hints.get_mut(&id)
        {
            hints.inputs_missing_since = None;
        }
    }

    /// The worker as a candidate for this very task, or why not. That it is open for the class is known already.
    pub(crate) fn judge(&self, task: &Task, need: &Need, worker: &Worker, score: u64) -> Result<Candidate, Refusal> {
        let id = &worker.reg.worker;
        if task.attempts.iter().any(|a| a.worker == *id) {
            return Err(Refusal::new("orphan", "had it when its lease was lost".to_owned()));
        }
        let missing: Vec<&SectorFile> = need.inputs.iter().filter(|f| !self.holds(id, need.sector, f)).collect();
        if missing.iter().any(|f| stays_with(task.kind, f.kind)) {
            return Err(Refusal::new("files", format!("does not hold {}", names(missing.iter().map(|f| f.kind)))));
        }
        self.may_go_on(task)?;
        self.may_lock(task, need)?;
        self.may_fetch_home(need, !missing.is_empty())?;
        if worker.row.finish_pipelines && !missing.is_empty() {
            return Err(Refusal::new("cordoned", "is being drained: it fetches nothing more".to_owned()));
        }
        let missing_bytes: u64 = missing.iter().map(|f| f.size_bytes).sum();
        let fetch_ms = match self.config.assigner {
            Assigner::Utilization if missing_bytes > 0 => self.fetch_ms(need.sector, &missing, &worker.reg.host),
            _ => 0.0,
        };
        Ok(Candidate {
            worker: id.clone(),
            outputs: self.outputs_for(task, need, id, &missing)?,
            failures: self.failures_on(task.id, id),
            builtin: worker.reg.builtin,
            cost: score.saturating_add(fetch_ms as u64).saturating_add(self.apart_ms(need, worker)),
            missing_bytes,
        })
    }

    pub(crate) fn failures_on(&self, task: TaskId, worker: &WorkerId) -> u32 {
        self.hints.get(&task).and_then(|h| h.here.get(worker)).copied().unwrap_or(0)
    }

    /// How long the worker would fetch, by the speeds measured between hosts.
    pub(crate) fn fetch_ms(&self, sector: u64, missing: &[&SectorFile], to: &HostId) -> f64 {
        let of_file = |file: &&SectorFile| {
            let holders = self.holders(sector, file);
            let hosts: Vec<&HostId> = holders.iter().filter_map(|w| Some(&self.workers.get(w)?.reg.host)).collect();
            self.learned.fetch_ms(hosts.into_iter(), to, file.size_bytes)
        };
        missing.iter().map(of_file).sum()
    }
}

pub(crate) fn names(kinds: impl IntoIterator<Item = FileKind>) -> String {
    kinds.into_iter().map(FileKind::name).collect::<Vec<_>>().join(", ")
}
