//! Why a task is where it is, and why not elsewhere: the same questions that placement asks, answered in words.

use sp_types::{TaskId, TaskKind, WorkerId};

use crate::core::Core;
use crate::model::{AttemptState, Task, UnixMs};
use crate::place::Need;
use crate::resources::{Resource, Shortage};
use crate::view::{Explanation, Verdict, Where};
use crate::workers::Worker;

/// Why a worker does not get a task: a stable code, words, and amounts where they say more.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Refusal {
    pub(crate) code: &'static str,
    pub(crate) text: String,
    pub(crate) amounts: Option<(f64, f64)>,
}

impl Refusal {
    pub(crate) fn new(code: &'static str, text: String) -> Self {
        Self { code, text, amounts: None }
    }

    /// With what is needed and what is free.
    pub(crate) fn amounts(self, needed: f64, free: f64) -> Self {
        Self { amounts: Some((needed, free)), ..self }
    }

    pub(crate) fn short(short: Shortage, whose: &str) -> Self {
        Self::new(short.resource.name(), format!("{whose}{short}")).amounts(short.needed, short.free)
    }
}

impl Core {
    /// Where a task is and why, and for every worker of its class why it is not there. None: there is no such task.
    pub fn explain(&self, id: TaskId, now: UnixMs) -> Option<Explanation> {
        let now = now.max(self.now);
        let task = self.tasks.get(&id)?;
        Some(Explanation {
            task: id,
            kind: task.kind,
            sector: task.sector,
            priority: task.priority,
            waited_ms: now.since(task.queued),
            place: self.where_is(task, now),
            general: self.general_reason(task).map(|refusal| refusal.text).unwrap_or_default(),
            verdicts: self.verdicts(task),
            failures: task.failures,
            last_error: task.last_error.clone(),
        })
    }

    fn where_is(&self, task: &Task, now: UnixMs) -> Where {
        if let Some(binding) = self.bound.get(&task.id) {
            let window = self.window_of(&binding.worker, task.id).unwrap_or(0);
            return Where::Window {
                worker: self.worker_name(&binding.worker),
                window,
                reason: self.why_bound(task.id),
            };
        }
        let live = |a: &&crate::model::Attempt| self.live.get(&a.id).is_some_and(|l| l.orphan.is_none());
        match task.attempts.iter().find(live).or(task.attempts.last()) {
            None => Where::Queue,
            Some(attempt) => Where::Attempt {
                attempt: attempt.id,
                worker: self.worker_name(&attempt.worker),
                state: match (attempt.state, attempt.held) {
                    (AttemptState::Reserving, _) => "reserving",
                    (AttemptState::Granted, true) => "held",
                    (AttemptState::Granted, false) => "granted",
                },
                since_ms: now.since(attempt.created),
            },
        }
    }

    pub(crate) fn window_of(&self, worker: &WorkerId, task: TaskId) -> Option<usize> {
        let windows = &self.workers.get(worker)?.windows;
        windows.iter().position(|w| w.tasks.iter().any(|b| b.task == task)).map(|at| at + 1)
    }

    /// Why a bound task has not started.
    pub(crate) fn why_bound(&self, id: TaskId) -> String {
        let Some(binding) = self.bound.get(&id) else { return String::new() };
        let Some(worker) = self.workers.get(&binding.worker) else { return String::new() };
        if !self.facts.connected {
            return INDEX_AWAY.to_owned();
        }
        let row = self.row(worker, binding.class);
        match self.short_now(worker, &row) {
            Some(short) => self.short_in_words(worker, short).text,
            None => "waits behind tasks that came first and need more room".to_owned(),
        }
    }

    /// What keeps the task from every worker alike.
    pub(crate) fn general_reason(&self, task: &Task) -> Option<Refusal> {
        if task.not_before > self.now {
            let wait_s = task.not_before.since(self.now).div_ceil(1_000);
            return Some(Refusal::new("retry", format!("waits {wait_s} s after: {}", task.last_error)));
        }
        if !self.facts.connected {
            return Some(Refusal::new("index", INDEX_AWAY.to_owned()));
        }
        if let Err(reason) = self.need(task) {
            return Some(Refusal::new("inputs", reason));
        }
        if let Err(refusal) = self.may_go_on(task) {
            return Some(refusal);
        }
        let class = task.kind.class();
        let nobody = self.workers.values().all(|w| w.class() != class);
        let text = "no sealing worker has registered; start one with `sp-sealing-worker run`";
        nobody.then(|| Refusal::new("nobody", text.to_owned()))
    }

    fn verdicts(&self, task: &Task) -> Vec<Verdict> {
        let need = self.need(task);
        let peers = self.workers.values().filter(|w| w.class() == task.kind.class());
        peers.map(|w| self.verdict(task, need.as_ref().ok(), w)).collect()
    }

    fn verdict(&self, task: &Task, need: Option<&Need>, worker: &Worker) -> Verdict {
        let class = self.class_of(task).unwrap_or((task.kind, self.config.seal_proof()));
        let run_ms = self.learned.expected_ms(class.0, class.1.size, &worker.reg.host);
        let samples = self.learned.duration(class.0, class.1.size, &worker.reg.host).map_or(0, |e| e.samples);
        let missing: Vec<_> = need.into_iter().flat_map(|n| &n.inputs).collect();
        let number = task.sector.unwrap_or_default();
        let missing: Vec<_> = missing.into_iter().filter(|f| !self.holds(&worker.reg.worker, number, f)).collect();
        let refusal = need.and_then(|need| self.refusal(task, need, worker));
        Verdict {
            worker: worker.reg.worker.clone(),
            name: worker.reg.name.clone(),
            score: self.score(worker, class, &self.row(worker, class)),
            utilisation: self.utilisation(worker),
            expected_ms: run_ms as u64,
            samples,
            missing_bytes: missing.iter().map(|f| f.size_bytes).sum(),
            fetch_ms: self.fetch_ms(number, &missing, &worker.reg.host) as u64,
            failures: self.failures_on(task.id, &worker.reg.worker),
            code: refusal.as_ref().map_or("", |r| r.code),
            amounts: refusal.as_ref().and_then(|r| r.amounts),
            users: refusal.as_ref().map(|r| self.users_of(worker, r.code)).unwrap_or_default(),
            reason: refusal.map(|r| r.text).unwrap_or_default(),
        }
    }

    /// Why this worker does not have the task now; none when nothing keeps it from it.
    pub(crate) fn refusal(&self, task: &Task, need: &Need, worker: &Worker) -> Option<Refusal> {
        let row = self.row(worker, need.class);
        if let Err(refusal) = self.gate(worker, need.class, &row) {
            return Some(refusal);
        }
        if let Err(refusal) = self.judge(task, need, worker, 0) {
            return Some(refusal);
        }
        match self.short_now(worker, &row) {
            Some(short) => Some(self.short_in_words(worker, short)),
            None if self.window_for(worker, need.class, &row).is_none() => {
                Some(Refusal::new("windows", "its windows are full of tasks that came first".to_owned()))
            }
            None => None,
        }
    }

    /// What is short now, and whose it is; of GPUs each one by name.
    fn short_in_words(&self, worker: &Worker, (of_host, short): (bool, Shortage)) -> Refusal {
        let mut refusal = Refusal::short(short, if of_host { "its host " } else { "" });
        if short.resource == Resource::Gpus {
            refusal.text = format!("{}: {}", refusal.text, self.gpus_in_words(worker));
        }
        refusal
    }

    /// What runs on the worker's host and so takes what is short there.
    fn users_of(&self, worker: &Worker, code: &str) -> Vec<(TaskId, TaskKind)> {
        if !matches!(code, "memory" | "virtual-memory" | "cores" | "gpus") {
            return Vec::new();
        }
        let takes = |a: &crate::model::Attempt| !a.held && (code != Resource::Gpus.name() || !a.gpus.is_empty());
        let running = self.lookup.on_host(&worker.reg.host).filter(|a| self.attempt(*a).is_some_and(takes));
        running.filter_map(|a| Some((a.task, self.tasks.get(&a.task)?.kind))).collect()
    }

    /// For a task that waits: why. One line for what concerns every worker, else one per worker: `name: reason`.
    pub(crate) fn why_queued(&self, task: &Task) -> Vec<String> {
        if let Some(refusal) = self.general_reason(task) {
            return vec![refusal.text];
        }
        let Ok(need) = self.need(task) else { return Vec::new() };
        let peers = self.workers.values().filter(|w| w.class() == task.kind.class());
        let reason = |w: &Worker| Some(format!("{}: {}", w.reg.name, self.refusal(task, &need, w)?.text));
        peers.filter_map(reason).collect()
    }
}

const INDEX_AWAY: &str = "index away: new sealing placements wait";
