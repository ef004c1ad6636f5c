//! What operators decide about workers: cordon, drain, kinds of tasks that are off, forgetting; and hosts put aside for
//! a kind of task that keeps failing there.

use std::collections::BTreeMap;

use sp_types::{ErrorCode, TaskKind, WorkerId};

use crate::core::Core;
use crate::effect::{Effect, Reply};
use crate::event::Request;
use crate::explain::Refusal;
use crate::model::{Task, UnixMs, WorkerRow};
use crate::queue::stays;
use crate::requests::Refused;
use crate::timers::Bell;
use crate::workers::Worker;

/// Failures in a row of one kind of task on one worker, the host's fault, before it is put aside for that kind.
const ASIDE_AFTER: u32 = 3;
/// For how long at first; doubles each time ...
const ASIDE_MS: u64 = 10 * 60_000;
/// ... up to this.
const ASIDE_MOST_MS: u64 = 4 * 3_600_000;

/// A kind of task that fails on a worker.
#[derive(Debug, Clone, Default)]
pub(crate) struct Aside {
    /// Failures since the last success.
    failures: u32,
    /// Nothing of the kind goes there before this.
    until: UnixMs,
    reason: String,
}

/// By worker and kind.
pub(crate) type Asides = BTreeMap<(WorkerId, TaskKind), Aside>;

impl Core {
    /// Nothing that an operator decided, or that the host did, speaks against giving it tasks of this kind.
    pub(crate) fn may_be_given(&self, worker: &Worker, kind: TaskKind) -> Result<(), Refusal> {
        if worker.row.cordoned && !worker.row.finish_pipelines {
            let text = if worker.row.draining { "is being drained" } else { "is cordoned" };
            return Err(Refusal::new("cordoned", text.to_owned()));
        }
        if worker.row.finish_pipelines && !continues(kind) {
            return Err(Refusal::new(
                "cordoned",
                "is being drained: it only finishes the sectors that it has".to_owned(),
            ));
        }
        if worker.row.disabled.contains(&kind) {
            return Err(Refusal::new("disabled", format!("{kind} is disabled there")));
        }
        match self.aside(&worker.reg.worker, kind) {
            // Where nobody else could do it, waiting helps nobody.
            Some(aside) if self.others_are_trusted(worker, kind) => {
                let left_s = aside.until.since(self.now).div_ceil(1_000);
                let text = format!(
                    "put aside for {kind} for {left_s} s after {} failures, last: {}",
                    aside.failures, aside.reason
                );
                Err(Refusal::new("aside", text))
            }
            _ => Ok(()),
        }
    }

    fn aside(&self, worker: &WorkerId, kind: TaskKind) -> Option<&Aside> {
        if self.asides.is_empty() {
            return None;
        }
        self.asides.get(&(worker.clone(), kind)).filter(|a| a.until > self.now)
    }

    /// Could somebody else do it instead? What stays where its files lie cannot go elsewhere.
    fn others_are_trusted(&self, worker: &Worker, kind: TaskKind) -> bool {
        if stays(kind) {
            return false;
        }
        let (now, lease_ms) = (self.now, self.config.lease_ms);
        let mut others = self.workers.values().filter(|w| w.reg.worker != worker.reg.worker);
        others.any(|w| w.accepts(kind) && w.available(now, lease_ms) && self.aside(&w.reg.worker, kind).is_none())
    }

    // === hosts at fault ===

    /// Counts a failure that is the host's own fault.
    pub(crate) fn blame(&mut self, worker: &WorkerId, kind: TaskKind, reason: &str) {
        let now = self.now;
        let aside = self.asides.entry((worker.clone(), kind)).or_default();
        aside.failures = aside.failures.saturating_add(1);
        reason.clone_into(&mut aside.reason);
        if aside.failures >= ASIDE_AFTER {
            let times = (aside.failures - ASIDE_AFTER).min(10);
            aside.until = now.plus((ASIDE_MS << times).min(ASIDE_MOST_MS));
            let until = aside.until;
            self.dirty.workers.insert(worker.clone());
            // Whoever waits for it asks again then.
            self.asides_until.insert((until, worker.clone()));
            self.wind(until, Bell::Asides);
        }
    }

    pub(crate) fn asides_bell(&mut self) {
        while let Some((until, worker)) = self.asides_until.first().cloned() {
            if until > self.now {
                return self.wind(until, Bell::Asides);
            }
            self.asides_until.pop_first();
            self.dirty.workers.insert(worker);
        }
    }

    pub(crate) fn praise(&mut self, worker: &WorkerId, kind: TaskKind) {
        self.asides.remove(&(worker.clone(), kind));
    }

    // === backpressure ===

    /// A stage that is full stops the intake: PC1 does not start while PC2 has more waiting than its workers take.
    pub(crate) fn may_go_on(&self, task: &Task) -> Result<(), Refusal> {
        if !feeds_pc2(task.kind) {
            return Ok(());
        }
        let (backlog, limit) = (self.backlog(), self.backlog_limit());
        if backlog < limit {
            return Ok(());
        }
        let text = format!("{backlog} sectors wait for PC2 already; PC1 goes on below {limit}");
        Err(Refusal::new("backlog", text).amounts(1.0, 0.0))
    }

    fn backlog(&self) -> usize {
        let pc2 = |class: &&crate::queue::Class| class.0 == TaskKind::PreCommit2;
        let classes = self.classes.iter().filter(pc2);
        classes.map(|c| self.queue.len_of(*c) + self.waiting.get(c).map_or(0, |w| w.len())).sum()
    }

    fn backlog_limit(&self) -> usize {
        match self.config.pc2_backlog {
            0 => 2 + 4 * self.takers_of_pc2,
            limit => limit,
        }
    }

    /// Counted anew when a worker comes or goes.
    pub(crate) fn count_takers(&mut self) {
        let (now, lease_ms) = (self.now, self.config.lease_ms);
        let takes = |w: &&Worker| w.available(now, lease_ms) && w.accepts(TaskKind::PreCommit2);
        self.takers_of_pc2 = self.workers.values().filter(takes).count();
    }

    /// Room behind PC1: as many of those that wait for it as there is room for are offered again.
    pub(crate) fn relieve(&mut self) {
        if !self.facts.connected {
            // Everybody is offered anew when the index is back.
            return;
        }
        let room = self.backlog_limit().saturating_sub(self.backlog());
        if room == 0 {
            return;
        }
        // Where nobody has an open window, an offer is in vain: whoever gets one looks through the queue himself.
        let open = |class: &crate::queue::Class| self.open.of_class(*class).next().is_some();
        for class in self.classes.iter().copied().filter(|c| feeds_pc2(c.0)).filter(open) {
            let waiting: Vec<_> = self.queue.of_class(class, &[]).take(room).map(|rank| rank.4).collect();
            self.dirty.tasks.extend(waiting);
        }
    }

    // === requests ===

    pub(crate) fn control(&mut self, request: Request) -> Result<Reply, Refused> {
        match request {
            Request::Cordon { worker, cordoned } => self.edit_worker(&worker, |row| {
                row.cordoned = cordoned;
                row.draining = false;
                row.finish_pipelines = false;
            }),
            Request::Drain { worker, finish_pipelines } => self.edit_worker(&worker, |row| {
                row.cordoned = true;
                row.draining = true;
                row.finish_pipelines = finish_pipelines;
            }),
            Request::EnableTasks { worker, tasks, enabled } => self.enable_tasks(&worker, &tasks, enabled),
            Request::StopWorker { worker } => self.stop_worker(&worker),
            Request::ForgetWorker { worker } => self.forget_worker(&worker),
            Request::SetPriority { task, priority } => self.set_priority(task, priority),
            _ => Err((ErrorCode::BadRequest, "not a request about workers".to_owned())),
        }
    }

    pub(crate) fn row_of_worker(&self, id: &WorkerId) -> WorkerRow {
        self.worker_rows.get(id).cloned().unwrap_or_else(|| WorkerRow::new(id.clone()))
    }

    /// The worker with this id or this name.
    pub(crate) fn named(&self, text: &str) -> Result<WorkerId, Refused> {
        named(self.workers.iter().map(|(id, worker)| (id, worker.reg.name.as_str())), text).cloned()
    }

    /// A worker that has attempts and has not registered since the scheduler started, by its full id.
    fn unseen(&self, text: &str) -> Option<WorkerId> {
        let id = WorkerId::new(text).ok()?;
        let known = self.lookup.on_worker(&id).next().is_some();
        known.then_some(id)
    }

    /// Everything that the worker works on, proofs included.
    pub(crate) fn load_of(&self, worker: &WorkerId) -> usize {
        self.lookup.on_worker(worker).count() + self.post_load(worker)
    }

    fn edit_worker(&mut self, text: &str, edit: impl FnOnce(&mut WorkerRow)) -> Result<Reply, Refused> {
        let id = self.named(text)?;
        let mut row = self.row_of_worker(&id);
        edit(&mut row);
        if let Some(worker) = self.workers.get_mut(&id) {
            worker.row = row.clone();
        }
        match row == WorkerRow::new(id.clone()) {
            true => drop(self.worker_rows.remove(&id)),
            false => drop(self.worker_rows.insert(id.clone(), row)),
        }
        self.out.workers.insert(id.clone());
        self.dirty.workers.insert(id.clone());
        Ok(Reply::Worker { worker: id })
    }

    fn enable_tasks(&mut self, text: &str, tasks: &[TaskKind], enabled: bool) -> Result<Reply, Refused> {
        if let Some(kind) = tasks.iter().find(|k| !k.can_be_switched()) {
            let message = format!("{kind} cannot be switched; every sealing worker does it, or none does");
            return Err((ErrorCode::BadRequest, message));
        }
        let tasks = tasks.to_vec();
        self.edit_worker(text, move |row| {
            row.disabled.retain(|k| !tasks.contains(k));
            if !enabled {
                row.disabled.extend(tasks);
                row.disabled.sort();
            }
        })
    }

    fn stop_worker(&mut self, text: &str) -> Result<Reply, Refused> {
        let id = self.named(text)?;
        if self.workers.get(&id).is_some_and(|w| w.reg.builtin) {
            let message = format!(
                "{} is built-in and would be started again; switch it off in the scheduler's configuration \
                 (DisableBuiltinWindowPoSt, DisableBuiltinWinningPoSt, no-builtin-sealing)",
                self.worker_name(&id)
            );
            return Err((ErrorCode::WrongState, message));
        }
        let busy = self.load_of(&id);
        if busy > 0 {
            let message = format!(
                "{busy} attempts are on it; `sp-ctl workers drain` it and wait, or `sp-ctl sealing abort` them first"
            );
            return Err((ErrorCode::WrongState, message));
        }
        self.unbind_all(&id);
        if let Some(worker) = self.workers.get_mut(&id) {
            // Nothing is given to it while it leaves.
            worker.stream = false;
            worker.gone_reason = "an operator has stopped it".to_owned();
        }
        self.dirty.workers.insert(id.clone());
        self.dirty.takers = true;
        self.out.push(Effect::Stop { worker: id.clone() });
        Ok(Reply::Worker { worker: id })
    }

    /// The worker will not come back: its attempts are given up at once, its row goes.
    fn forget_worker(&mut self, text: &str) -> Result<Reply, Refused> {
        let id = self.named(text).or_else(|unknown| self.unseen(text).ok_or(unknown))?;
        if self.is_available(&id) {
            return Err((ErrorCode::WrongState, format!("{} is connected; stop it first", self.worker_name(&id))));
        }
        let now = self.now;
        for attempt in self.lookup.on_worker(&id).collect::<Vec<_>>() {
            self.orphan_attempt(attempt, now, "its worker was forgotten by an operator");
        }
        self.remove_worker(&id);
        self.worker_rows.remove(&id);
        self.out.workers.insert(id.clone());
        Ok(Reply::Worker { worker: id })
    }

    fn set_priority(&mut self, id: sp_types::TaskId, priority: i64) -> Result<Reply, Refused> {
        let missing = || (ErrorCode::NotFound, format!("there is no task {id}; see `sp-ctl sealing jobs`"));
        let row = self.task_mut(id).ok_or_else(missing)?;
        row.priority = priority;
        self.unbind(id);
        self.dirty.tasks.insert(id);
        Ok(Reply::Done)
    }
}

/// The worker that is called so: by its id, by the start of it if that is enough, or by name.
pub(crate) fn named<'a>(
    workers: impl Iterator<Item = (&'a WorkerId, &'a str)> + Clone,
    text: &str,
) -> Result<&'a WorkerId, Refused> {
    let exact = workers.clone().find(|(id, _)| id.as_str() == text);
    let mut named = workers.filter(|(id, name)| *name == text || id.as_str().starts_with(text));
    match (exact, named.next(), named.next()) {
        (Some((id, _)), ..) | (None, Some((id, _)), None) => Ok(id),
        (None, Some(_), Some(_)) => {
            Err((ErrorCode::BadRequest, format!("more than one worker is called `{text}`; use its id")))
        }
        (None, None, _) => Err((ErrorCode::NotFound, format!("there is no worker `{text}`; see `sp-ctl workers`"))),
    }
}

/// The kind that makes work for PC2; it is held back while PC2 has too much.
fn feeds_pc2(kind: TaskKind) -> bool {
    kind == TaskKind::PreCommit1
}

/// Kinds that go on with a sector that has begun.
fn continues(kind: TaskKind) -> bool {
    !matches!(kind, TaskKind::AddPiece | TaskKind::DataCid | TaskKind::DownloadSector | TaskKind::ReplicaUpdate)
}
