//! Who could be given a task of a class in this moment, the best one first. Kept up to date so that nobody is asked twice.

use std::collections::{BTreeMap, BTreeSet};

use sp_types::{ResourceRow, TaskKind, WorkerId};

use crate::assigner::Assigner;
use crate::core::Core;
use crate::explain::Refusal;
use crate::queue::Class;
use crate::window::Window;
use crate::workers::Worker;

/// The smaller the better; a built-in worker is the last in choice.
pub(crate) type Score = (bool, u64);

/// Workers with an open window for a class, in the order of their scores.
#[derive(Debug, Clone, Default)]
pub(crate) struct Open {
    by_class: BTreeMap<Class, BTreeSet<(Score, WorkerId)>>,
    scores: BTreeMap<WorkerId, BTreeMap<Class, Score>>,
}

impl Open {
    pub(crate) fn of_class(&self, class: Class) -> impl Iterator<Item = &(Score, WorkerId)> {
        self.by_class.get(&class).into_iter().flatten()
    }

    pub(crate) fn score_of(&self, worker: &WorkerId, class: Class) -> Option<Score> {
        self.scores.get(worker)?.get(&class).copied()
    }

    fn set(&mut self, worker: &WorkerId, class: Class, score: Option<Score>) {
        let before = self.scores.get(worker).and_then(|s| s.get(&class)).copied();
        if before == score {
            return;
        }
        let of_class = self.by_class.entry(class).or_default();
        if let Some(before) = before {
            of_class.remove(&(before, worker.clone()));
        }
        let scores = self.scores.entry(worker.clone()).or_default();
        match score {
            Some(score) => {
                of_class.insert((score, worker.clone()));
                scores.insert(class, score);
            }
            None => drop(scores.remove(&class)),
        }
    }

    pub(crate) fn drop_worker(&mut self, worker: &WorkerId) {
        for (class, score) in self.scores.remove(worker).unwrap_or_default() {
            if let Some(of_class) = self.by_class.get_mut(&class) {
                of_class.remove(&(score, worker.clone()));
            }
        }
    }
}

impl Core {
    /// Works out for which classes the worker is open, and how good a choice it is.
    pub(crate) fn refresh_open(&mut self, id: &WorkerId) {
        let Some(worker) = self.workers.get(id) else { return self.open.drop_worker(id) };
        let mine = self.classes.iter().filter(|(kind, _)| worker.reg.tasks.contains(kind));
        let scores: Vec<(Class, Option<Score>)> = mine.map(|class| (*class, self.open_score(worker, *class))).collect();
        for (class, score) in scores {
            self.open.set(id, class, score);
        }
    }

    fn open_score(&self, worker: &Worker, class: Class) -> Option<Score> {
        let row = self.row(worker, class);
        self.gate(worker, class, &row).ok()?;
        self.window_for(worker, class, &row)?;
        Some((worker.reg.builtin, self.score(worker, class, &row)))
    }

    /// What the assigner goes by, before anything is known of the task's files.
    pub(crate) fn score(&self, worker: &Worker, class: Class, row: &ResourceRow) -> u64 {
        match self.config.assigner {
            Assigner::Utilization => self.cost_ms(worker, class, row),
            Assigner::Spread => worker.given,
            Assigner::SpreadQcount => {
                worker.counts.values().chain(worker.bound_counts.values()).copied().map(u64::from).sum()
            }
            Assigner::SpreadTasks => worker.given_by_kind.get(&class.0).copied().unwrap_or(0),
            Assigner::SpreadTasksQcount => u64::from(self.count(worker, class)),
            Assigner::Random => 0,
        }
    }

    /// When it would probably be done there: its own time, stretched by what the worker has to do already, and once more
    /// if it cannot start at once.
    pub(crate) fn cost_ms(&self, worker: &Worker, (kind, proof): Class, row: &ResourceRow) -> u64 {
        let run_ms = self.learned.expected_ms(kind, proof.size, &worker.reg.host);
        let waits = if self.short_now(worker, row).is_some() { 1.0 } else { 0.0 };
        (run_ms * (1.0 + self.utilisation(worker) + waits)) as u64
    }

    /// The window that takes such a task: one that was opened in this step and has room, or a new one.
    /// The high tier empties the pipe: it never waits for a window behind tasks that wait for room themselves.
    pub(crate) fn window_for(&self, worker: &Worker, class: Class, row: &ResourceRow) -> Option<usize> {
        if self.short_when_idle(worker, row).is_some() {
            return None;
        }
        if class.0.order() < 0 && !worker.windows.is_empty() {
            return Some(0);
        }
        let has_room = |w: &Window| !w.closed && w.takes(row, &worker.idle);
        let opened = worker.windows.iter().position(has_room);
        opened.or_else(|| (worker.windows.len() < self.config.windows).then_some(worker.windows.len()))
    }

    /// Everything that keeps a class of tasks from a worker whatever room it has.
    pub(crate) fn gate(&self, worker: &Worker, class: Class, row: &ResourceRow) -> Result<(), Refusal> {
        let kind = class.0;
        if !worker.accepts(kind) {
            // Nobody does it who was not told to, so that is worth a word.
            let hint = if kind == TaskKind::DownloadSector { "; start it with --download" } else { "" };
            return Err(Refusal::new("task", format!("does not take {kind}{hint}")));
        }
        let away = worker.away_reason(self.now, self.config.lease_ms);
        if !away.is_empty() {
            return Err(Refusal::new("away", away));
        }
        self.may_be_given(worker, kind)?;
        if let Some(refusal) = self.makes_way(worker) {
            return Err(refusal);
        }
        let count = self.count(worker, class);
        if row.max_concurrent > 0 && count >= row.max_concurrent {
            let text = format!("has {count} {kind} already, its limit is {}", row.max_concurrent);
            return Err(Refusal::new("limit", text));
        }
        match self.short_when_idle(worker, row) {
            Some(short) => Err(Refusal::short(short, "even idle it ")),
            None => Ok(()),
        }
    }
}
