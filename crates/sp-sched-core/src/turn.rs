//! A worker's turn: windows are compacted, what has room starts, what has to be fetched is fetched meanwhile
//! (`spec/lotus.md` 1.7).

use sp_types::{AttemptId, ResourceRow, TaskId, TaskKind, WorkerId};

use crate::account::Use;
use crate::core::Core;
use crate::effect::Effect;
use crate::resources::may_pass;
use crate::window::{Bound, compact};
use crate::workers::Worker;

/// How a bound task may go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Go {
    /// There is room to compute.
    Start,
    /// There is room to compute, and it starts with others.
    Fill,
    /// There is room to bring its inputs.
    Prepare,
}

impl Core {
    /// Gives a worker everything that it has room for.
    pub(crate) fn turn(&mut self, id: &WorkerId) {
        let makes_way = self.workers.get(id).is_some_and(|w| self.makes_way(w).is_some());
        match self.is_available(id) && !makes_way {
            true => self.unbind_refused(id),
            false => self.unbind_all(id),
        }
        if !makes_way {
            self.start_held(id);
        }
        loop {
            if let Some(worker) = self.workers.get_mut(id) {
                compact(&mut worker.windows, &worker.idle);
            }
            match self.facts.connected.then(|| self.next_to_go(id)).flatten() {
                Some((task, go)) => self.go(task, go),
                None => break,
            }
        }
        self.start_groups(id);
        self.refresh_open(id);
    }

    /// What an operator or the host's failures speak against by now goes back to the queue.
    fn unbind_refused(&mut self, id: &WorkerId) {
        let Some(worker) = self.workers.get(id) else { return };
        let refused = |b: &&Bound| {
            let kind = self.bound.get(&b.task).map(|binding| binding.class.0);
            kind.is_some_and(|kind| self.may_be_given(worker, kind).is_err())
        };
        let bound = worker.windows.iter().flat_map(|w| &w.tasks);
        for task in bound.filter(refused).map(|b| b.task).collect::<Vec<_>>() {
            self.unbind(task);
            self.dirty.tasks.insert(task);
        }
    }

    /// Held attempts compute as soon as there is room, the oldest first and none before it.
    fn start_held(&mut self, id: &WorkerId) {
        for attempt in self.held_on(id) {
            let Some((class, worker)) =
                self.tasks.get(&attempt.task).and_then(|t| self.class_of(t)).zip(self.workers.get(id))
            else {
                continue;
            };
            if self.short_now(worker, &self.row(worker, class)).is_some() {
                return;
            }
            match self.groups(worker, class) {
                true => self.join_group(attempt),
                false => self.start_attempt(attempt, Vec::new()),
            }
        }
    }

    fn held_on(&self, id: &WorkerId) -> Vec<AttemptId> {
        let live = |a: &AttemptId| {
            self.live.get(a).is_some_and(|l| l.orphan.is_none() && l.sent.is_some() && l.filling.is_none())
        };
        self.lookup.held_on(id).filter(live).collect()
    }

    /// The first bound task that can go on. A task that cannot keeps those behind it waiting, unless it loses nothing.
    fn next_to_go(&self, id: &WorkerId) -> Option<(TaskId, Go)> {
        let worker = self.workers.get(id).filter(|w| w.available(self.now, self.config.lease_ms))?;
        // Held attempts were there first; what they wait for is not given to others.
        let mut blocked: Option<ResourceRow> = self.held_on(id).first().and_then(|a| self.row_of(worker, *a));
        for bound in worker.windows.first().map(|w| w.tasks.as_slice()).unwrap_or_default() {
            let Some(go) = self.can_go(worker, bound, blocked.as_ref()) else {
                blocked.get_or_insert(bound.row);
                continue;
            };
            return Some((bound.task, go));
        }
        None
    }

    fn row_of(&self, worker: &Worker, attempt: AttemptId) -> Option<ResourceRow> {
        let class = self.class_of(self.tasks.get(&attempt.task)?)?;
        Some(self.row(worker, class))
    }

    fn can_go(&self, worker: &Worker, bound: &Bound, blocked: Option<&ResourceRow>) -> Option<Go> {
        let binding = self.bound.get(&bound.task)?;
        let passes = |waiting: &ResourceRow| {
            passes_always(binding.class.0)
                || (may_pass(&bound.row, waiting, worker.account.computing(), &worker.share)
                    && self.gpus_let_pass(worker, &bound.row, waiting))
        };
        if self.short_now(worker, &bound.row).is_none() && blocked.is_none_or(passes) {
            return Some(if self.groups(worker, binding.class) { Go::Fill } else { Go::Start });
        }
        // To bring its inputs is all that GET does.
        let ahead = binding.missing_bytes > 0 && binding.class.0 != TaskKind::Fetch;
        let fetches = ahead && blocked.is_none_or(|_| passes_always(binding.class.0));
        let fetches = fetches && self.prepares_left(worker, binding.class.1) > 0;
        (fetches && self.short_to_prepare(worker, &bound.row).is_none()).then_some(Go::Prepare)
    }

    /// GET's limit bounds how many attempts of a worker may bring inputs ahead of their turn.
    fn prepares_left(&self, worker: &Worker, proof: sp_types::RegisteredSealProof) -> usize {
        let limit = self.row(worker, (TaskKind::Fetch, proof)).max_concurrent;
        let held = self.held_on(&worker.reg.worker).len();
        if limit == 0 { usize::MAX } else { (limit as usize).saturating_sub(held) }
    }

    fn go(&mut self, id: TaskId, go: Go) {
        let Some(binding) = self.unbind(id) else { return };
        let Some((task, worker)) = self.tasks.get(&id).zip(self.workers.get(&binding.worker)) else { return };
        // Where it was to write may have changed since it was bound, but not within one step.
        let outputs = match binding.step == self.steps {
            true => Some(binding.outputs),
            false => self.need(task).ok().and_then(|need| Some(self.judge(task, &need, worker, 0).ok()?.outputs)),
        };
        let Some(outputs) = outputs else {
            self.dirty.tasks.insert(id);
            return;
        };
        let host = worker.reg.host.clone();
        let fitted = self.host_fits(&host);
        self.begin_attempt(id, &binding.worker, outputs, go);
        let ignored = self.workers.get(&binding.worker).is_some_and(|w| self.ignores_resources(w));
        let fits = !fitted || ignored || self.host_fits(&host);
        sp_invariants::check!(sp_invariants::Law::L4, fits, "task {id} on host {host}");
    }

    /// A held attempt may compute, alone or with a group that it is one of: durable first, then said.
    pub(crate) fn start_attempt(&mut self, id: AttemptId, group: Vec<AttemptId>) {
        let Some(attempt) = self.attempt(id) else { return };
        let (worker, host) = (attempt.worker.clone(), attempt.host.clone());
        let class = self.tasks.get(&id.task).and_then(|t| self.class_of(t));
        let gpus = self.give_gpus(&worker, class);
        if let Some(attempt) = self.attempt_mut(id) {
            attempt.held = false;
            attempt.gpus.clone_from(&gpus);
            attempt.group.clone_from(&group);
        }
        self.lookup.set_computing(&worker, id);
        let now = self.now;
        let filled = self.live.get_mut(&id).and_then(|live| {
            live.started = now;
            live.filling.take()
        });
        // A member of a group is counted already.
        if let Some(class) = class.filter(|_| filled.is_none()) {
            self.count_in(&worker, class, Use::Active, &gpus);
        }
        // Its part among those that prepare is taken back when the host is summed up next.
        self.touch_host(&host);
        self.out.push(Effect::Start { worker, attempt: id, gpus, group });
        self.wind_attempt(id);
    }
}

/// Proofs go on whatever waits (their inputs are small and local), and so does the high tier: they empty the pipe.
fn passes_always(kind: TaskKind) -> bool {
    kind.order() < 0 || matches!(kind, TaskKind::Commit1 | TaskKind::Commit2)
}
