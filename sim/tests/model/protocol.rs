//! Leases, fences and leader change as a protocol: one task, its attempts, two schedulers, workers, the index.
//!
//! The network may lose, repeat, delay and reorder everything: what was ever sent can be delivered at any later time, any
//! number of times, or never. Rows of a scheduler are written whole, from its own memory, as the real one does it.

use stateright::{Model, Property};

/// Most attempts of the task in any configuration; the first has number 1.
pub(crate) const ATTEMPTS: usize = 3;
/// Workers.
pub(crate) const WORKERS: usize = 2;
/// Scheduler processes.
pub(crate) const SCHEDULERS: usize = 2;
/// A configuration, with the rules whose removal must be noticed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Protocol {
    /// Attempts that may be made.
    pub(crate) attempts: u8,
    /// Times that a scheduler becomes the leader.
    pub(crate) epochs: u8,
    /// A result counts only when its attempt lives, as far as the scheduler knows, and is its worker's.
    pub(crate) attempt_check: bool,
    /// Every batch demands that its writer is still the leader.
    pub(crate) epoch_precondition: bool,
    /// The index refuses what ended attempts write.
    pub(crate) index_fence: bool,
    /// A grant is durable before it is sent.
    pub(crate) durable_before_sent: bool,
}

/// All rules, as designed, in the smallest configuration that has a successor and a second leader.
pub(crate) const DESIGNED: Protocol = Protocol {
    attempts: 2,
    epochs: 3,
    attempt_check: true,
    epoch_precondition: true,
    index_fence: true,
    durable_before_sent: true,
};

/// A set of attempts, one bit each.
pub(crate) type Attempts = u8;

/// The row of the task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Task {
    pub(crate) open: bool,
    /// Number of the newest attempt.
    pub(crate) last: u8,
    /// Every attempt up to this has ended.
    pub(crate) fence: u8,
    /// The worker of each attempt that lives.
    pub(crate) live: [Option<u8>; ATTEMPTS],
}

/// What survives everything.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Durable {
    /// Of the leader.
    pub(crate) epoch: u8,
    pub(crate) task: Task,
    /// Times that the sector went on because of this task.
    pub(crate) completions: u8,
    /// Whose result counted last.
    pub(crate) winner: u8,
    /// A result counted whose attempt had ended, by the row as it was.
    pub(crate) ended_won: bool,
    /// A commit of a scheduler that was no longer the leader went through.
    pub(crate) deposed_wrote: bool,
}

/// A scheduler process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Scheduler {
    /// In which it was made leader; 0 when it knows that it is not.
    pub(crate) epoch: u8,
    /// Its memory of the row.
    pub(crate) task: Task,
    /// Attempts whose lease is lost.
    pub(crate) orphans: Attempts,
}

/// A worker. Results are on its disk and are sent for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct Worker {
    pub(crate) at_work: Attempts,
    pub(crate) results: Attempts,
}

/// The index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct Index {
    pub(crate) fence: u8,
    /// Attempts whose files it has taken.
    pub(crate) written: Attempts,
    /// It has taken a file of an attempt that it knew to have ended.
    pub(crate) took_ended: bool,
}

/// What was ever sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct Sent {
    /// Workers, one bit each, that each attempt was sent to.
    pub(crate) assigned: [u8; ATTEMPTS],
    pub(crate) declared: Attempts,
    /// Fences, by their number.
    pub(crate) fences: Attempts,
}

/// The whole system.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct System {
    pub(crate) durable: Durable,
    pub(crate) schedulers: [Scheduler; SCHEDULERS],
    pub(crate) workers: [Worker; WORKERS],
    pub(crate) index: Index,
    pub(crate) sent: Sent,
}

/// Something that can happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Action {
    /// A scheduler becomes the leader and reads the rows; the other one does not know.
    Elect(usize),
    /// A lease ends, as this scheduler sees it.
    Expire(usize, u8),
    /// The task is given to a worker.
    Grant(usize, usize),
    /// An attempt is ended, by a cancel or because its host is dead.
    End(usize, u8),
    /// A worker hears of its assignment.
    Assigned(usize, u8),
    /// A worker has published and declares.
    Declare(usize, u8),
    /// The index hears of it.
    Declared(u8),
    /// The worker hears that the index knows, and makes its result durable.
    Finish(usize, u8),
    /// A scheduler hears of a result.
    Result(usize, usize, u8),
    /// The index hears of a fence.
    Fenced(u8),
    /// A worker dies and forgets what it works on.
    Crash(usize),
}

pub(crate) fn bit(attempt: u8) -> Attempts {
    1 << (attempt - 1)
}

fn has(attempts: Attempts, attempt: u8) -> bool {
    attempts & bit(attempt) != 0
}

impl Task {
    fn worker_of(&self, attempt: u8) -> Option<u8> {
        self.live[usize::from(attempt) - 1]
    }

    fn living(&self) -> impl Iterator<Item = u8> + '_ {
        (1..=ATTEMPTS as u8).filter(|attempt| self.worker_of(*attempt).is_some())
    }

    /// The fence covers every attempt below the oldest that lives.
    fn raise_fence(&mut self) {
        let lowest = self.living().next();
        self.fence = self.fence.max(lowest.map_or(self.last, |lowest| lowest - 1));
    }
}

impl System {
    fn new() -> Self {
        let task = Task { open: true, last: 0, fence: 0, live: [None; ATTEMPTS] };
        let durable = Durable { epoch: 1, task, completions: 0, winner: 0, ended_won: false, deposed_wrote: false };
        let leader = Scheduler { epoch: 1, task, orphans: 0 };
        Self {
            durable,
            schedulers: [leader, Scheduler { epoch: 0, ..leader }],
            workers: [Worker::default(); WORKERS],
            index: Index::default(),
            sent: Sent::default(),
        }
    }

    /// Puts the row as this scheduler has it in mind; false when it learns that it is deposed.
    fn commit(&mut self, rules: &Protocol, who: usize, task: Task) -> bool {
        let is_leader = self.durable.epoch == self.schedulers[who].epoch;
        if !is_leader && rules.epoch_precondition {
            self.schedulers[who].epoch = 0;
            return false;
        }
        self.durable.deposed_wrote |= !is_leader;
        self.durable.task = task;
        self.schedulers[who].task = task;
        if task.fence > 0 {
            self.sent.fences |= bit(task.fence);
        }
        true
    }

    fn grant(&mut self, rules: &Protocol, who: usize, worker: usize) {
        let mut task = self.schedulers[who].task;
        task.last += 1;
        let at = usize::from(task.last) - 1;
        task.live[at] = Some(worker as u8);
        let durable = self.commit(rules, who, task);
        if durable || !rules.durable_before_sent {
            self.sent.assigned[at] |= 1 << worker;
        }
    }

    fn end(&mut self, rules: &Protocol, who: usize, attempt: u8) {
        let mut task = self.schedulers[who].task;
        task.live[usize::from(attempt) - 1] = None;
        task.raise_fence();
        self.commit(rules, who, task);
    }

    /// The first valid result of any attempt that has not ended.
    fn result(&mut self, rules: &Protocol, who: usize, worker: usize, attempt: u8) {
        let mut task = self.schedulers[who].task;
        let is_live = task.open && task.worker_of(attempt) == Some(worker as u8);
        if rules.attempt_check && !is_live {
            return;
        }
        let before = self.durable.task;
        (task.open, task.live) = (false, [None; ATTEMPTS]);
        task.raise_fence();
        if self.commit(rules, who, task) {
            self.durable.completions = (self.durable.completions + 1).min(2);
            self.durable.winner = attempt;
            self.durable.ended_won |= before.worker_of(attempt).is_none();
        }
    }
}

impl Model for Protocol {
    type State = System;
    type Action = Action;

    fn init_states(&self) -> Vec<System> {
        vec![System::new()]
    }

    fn actions(&self, system: &System, actions: &mut Vec<Action>) {
        let attempts = || 1..=self.attempts;
        for (who, scheduler) in system.schedulers.iter().enumerate() {
            if system.durable.epoch < self.epochs {
                actions.push(Action::Elect(who));
            }
            if scheduler.epoch > 0 {
                self.scheduler_actions(system, who, actions);
            }
        }
        for (number, worker) in system.workers.iter().enumerate() {
            if worker.at_work != 0 {
                actions.push(Action::Crash(number));
            }
            for attempt in attempts() {
                let assigned = system.sent.assigned[usize::from(attempt) - 1] & (1 << number) != 0;
                if assigned && !has(worker.at_work | worker.results, attempt) {
                    actions.push(Action::Assigned(number, attempt));
                }
                if has(worker.at_work, attempt) {
                    actions.push(Action::Declare(number, attempt));
                    if has(system.index.written, attempt) {
                        actions.push(Action::Finish(number, attempt));
                    }
                }
            }
        }
        actions.extend(attempts().filter(|a| has(system.sent.declared, *a)).map(Action::Declared));
        actions.extend(attempts().filter(|a| has(system.sent.fences, *a)).map(Action::Fenced));
    }

    fn next_state(&self, before: &System, action: Action) -> Option<System> {
        let mut after = before.clone();
        match action {
            Action::Elect(who) => {
                after.durable.epoch += 1;
                let (epoch, task) = (after.durable.epoch, after.durable.task);
                after.schedulers[who] = Scheduler { epoch, task, orphans: 0 };
            }
            Action::Expire(who, attempt) => after.schedulers[who].orphans |= bit(attempt),
            Action::Grant(who, worker) => after.grant(self, who, worker),
            Action::End(who, attempt) => after.end(self, who, attempt),
            Action::Assigned(worker, attempt) => after.workers[worker].at_work |= bit(attempt),
            Action::Declare(_, attempt) => after.sent.declared |= bit(attempt),
            Action::Declared(attempt) => {
                let ended = attempt <= after.index.fence;
                if !ended || !self.index_fence {
                    after.index.written |= bit(attempt);
                    after.index.took_ended |= ended;
                }
            }
            Action::Finish(worker, attempt) => {
                after.workers[worker].at_work &= !bit(attempt);
                after.workers[worker].results |= bit(attempt);
            }
            Action::Result(who, worker, attempt) => after.result(self, who, worker, attempt),
            Action::Fenced(fence) => after.index.fence = after.index.fence.max(fence),
            Action::Crash(worker) => after.workers[worker].at_work = 0,
        }
        (after != *before).then_some(after)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("one effective completion", |_, s: &System| s.durable.completions <= 1),
            Property::always("what counts was written", |_, s: &System| {
                s.durable.winner == 0 || has(s.index.written, s.durable.winner)
            }),
            Property::always("no ended attempt counts", |_, s: &System| !s.durable.ended_won),
            Property::always("no write of an ended attempt is taken", |_, s: &System| !s.index.took_ended),
            Property::always("no deposed scheduler writes", |_, s: &System| !s.durable.deposed_wrote),
            Property::always("an attempt has one worker", |_, s: &System| {
                s.sent.assigned.iter().all(|workers| workers.count_ones() <= 1)
            }),
            Property::sometimes("an orphan wins", |_, s: &System| s.durable.winner == 1 && s.durable.task.last > 1),
            Property::sometimes("a successor wins", |_, s: &System| s.durable.winner > 1),
            Property::sometimes("a zombie's result is refused", |_, s: &System| {
                let results = s.workers.iter().fold(0, |all, worker| all | worker.results);
                s.durable.winner > 1 && has(results, 1)
            }),
        ]
    }
}

impl Protocol {
    fn scheduler_actions(&self, system: &System, who: usize, actions: &mut Vec<Action>) {
        let Scheduler { task, orphans, .. } = system.schedulers[who];
        let all_orphaned = task.living().all(|attempt| has(orphans, attempt));
        if task.open && all_orphaned && task.last < self.attempts {
            actions.extend((0..WORKERS).map(|worker| Action::Grant(who, worker)));
        }
        for attempt in task.living() {
            if !has(orphans, attempt) {
                actions.push(Action::Expire(who, attempt));
            }
            // The last attempt that the model can make is not ended, or it would run out of them.
            if attempt < self.attempts {
                actions.push(Action::End(who, attempt));
            }
        }
        for (number, worker) in system.workers.iter().enumerate() {
            let results = (1..=self.attempts).filter(|attempt| has(worker.results, *attempt));
            actions.extend(results.map(|attempt| Action::Result(who, number, attempt)));
        }
    }
}
