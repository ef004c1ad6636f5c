//! The life of a task given away: reserving, granted, orphaned, ended. An end is durable and covers all before it.

use sp_types::{AttemptId, ErrorCode, Fault, StoreId, TaskId, TaskKind, WorkerId};

use crate::account::Use;
use crate::core::{Core, Fence, Live, Orphan};
use crate::effect::{Assignment, Effect};
use crate::event::Failure;
use crate::groups::Filling;
use crate::model::{Attempt, AttemptState, FenceRow, Outcome, OutputSlot, Task, UnixMs};
use crate::timers::Bell;
use crate::turn::Go;

/// Attempts of one task that may vanish with their worker's process before that is charged to the task.
const FREE_LOSSES: u32 = 3;
/// Attempts that may fail for their inputs, with every holder there, before those are taken for lost.
pub(crate) const LOST_INPUTS: u32 = 3;
/// Times an attempt is sent again to a worker that never lists it.
const RESENDS_LIMIT: u32 = 5;

impl Core {
    /// Gives the task to the worker: from now on there is an attempt, and the index is asked for its space.
    pub(crate) fn begin_attempt(&mut self, task: TaskId, worker: &WorkerId, outputs: Vec<OutputSlot>, go: Go) {
        let held = go != Go::Start;
        let Some(host) = self.workers.get(worker).map(|w| w.reg.host.clone()) else { return };
        self.make_room_for_attempt(task);
        let now = self.now;
        let Some(number) = self.tasks.get(&task).map(|t| t.last_number.saturating_add(1)) else { return };
        let id = AttemptId { task, number };
        let upload_ticket = if self.wants_upload(task) { self.config.upload_ticket(id) } else { String::new() };
        let class = self.tasks.get(&task).and_then(|t| self.class_of(t));
        // Devices are given when the computation may begin, not before.
        let gpus = if held { Vec::new() } else { self.give_gpus(worker, class) };
        let given = gpus.clone();
        let worker_id = worker.clone();
        let (state, created, group) = (AttemptState::Reserving, now, Vec::new());
        let attempt =
            Attempt { id, worker: worker_id, host, state, outputs, created, upload_ticket, held, gpus, group };
        for slot in &attempt.outputs {
            *self.asked.entry(slot.store.clone()).or_default() += slot.reserved_bytes;
        }
        self.queue.remove(task);
        self.lookup.add_attempt(&attempt);
        let Some(row) = self.task_mut(task) else { return };
        row.last_number = number;
        row.attempts.push(attempt);
        let filling = (go == Go::Fill).then_some(Filling::Coming);
        self.live.insert(id, Live { filling, ..Live::new(now) });
        if let Some(class) = class {
            self.count_in(worker, class, if go == Go::Prepare { Use::Preparing } else { Use::Active }, &given);
            self.dirty.relief |= class.0 == TaskKind::PreCommit2;
        }
        self.ask_reservation(id);
        self.wind_attempt(id);
    }

    /// Orphans side by side are bounded: the oldest one gives way.
    fn make_room_for_attempt(&mut self, task: TaskId) {
        while let Some(row) = self.tasks.get(&task) {
            if row.attempts.len() < self.config.attempts_limit {
                return;
            }
            let oldest = row.attempts[0].id;
            self.end_attempt(oldest, "other workers do its task");
        }
    }

    pub(crate) fn ask_reservation(&mut self, id: AttemptId) {
        let now = self.now;
        let Some(live) = self.live.get_mut(&id) else { return };
        live.asked = now;
        let Some((sector, outputs, lock)) = self.attempt(id).and_then(|a| {
            let task = self.tasks.get(&id.task)?;
            Some((task.sector.unwrap_or_default(), a.outputs.clone(), self.lock_of_attempt(a)))
        }) else {
            return;
        };
        if self.facts.connected {
            if let Some(live) = self.live.get_mut(&id) {
                live.asks += 1;
            }
            self.out.push(Effect::Reserve { attempt: id, sector, outputs, lock, presented: false });
        }
    }

    /// The index has not answered: it is asked again, but not for ever.
    pub(crate) fn repeat_reservation(&mut self, id: AttemptId) {
        let asks = self.live.get(&id).map_or(0, |live| live.asks);
        if asks < self.config.soft_retry_limit {
            return self.ask_reservation(id);
        }
        self.end_attempt(id, "the index does not answer");
        self.charge(id.task, format!("the index did not answer {asks} requests for space"));
    }

    pub(crate) fn on_reserved(&mut self, id: AttemptId, refused: Option<Failure>) {
        let Some(attempt) = self.attempt(id).filter(|a| a.state == AttemptState::Reserving) else { return };
        let (worker, name) = (attempt.worker.clone(), self.worker_name(&attempt.worker));
        if let Some(failure) = refused {
            if failure.code == ErrorCode::Locked {
                // Nobody's fault, and no limit: it is another task's turn.
                self.end_attempt(id, "its files are locked");
                return self.postpone(id.task, self.config.answer_wait_ms, format!("{name}: {}", failure.message));
            }
            let hints = self.hints.entry(id.task).or_default();
            hints.refusals += 1;
            let refusals = hints.refusals;
            let wait_ms = self.config.retry_wait_ms(refusals).min(self.config.answer_wait_ms);
            self.end_attempt(id, "its space was refused");
            let reason = format!("{name}: space refused: {}", failure.message);
            if refusals < self.config.soft_retry_limit {
                return self.postpone(id.task, wait_ms, reason);
            }
            self.hints.entry(id.task).or_default().refusals = 0;
            return self.charge(id.task, format!("{reason} ({refusals} times in a row)"));
        }
        self.hints.entry(id.task).or_default().refusals = 0;
        if !self.is_available(&worker) {
            self.end_attempt(id, "its worker went away");
            return;
        }
        self.forget_asked(id);
        if let Some(row) = self.task_mut(id.task) {
            row.attempts.iter_mut().filter(|a| a.id == id).for_each(|a| a.state = AttemptState::Granted);
        }
        let now = self.now;
        if let Some(live) = self.live.get_mut(&id) {
            live.started = now;
        }
        self.assign(id);
        self.wind_attempt(id);
        // A held attempt can be told to start once it was sent.
        self.dirty.workers.insert(worker);
    }

    /// Sends (or sends again) a granted attempt; a worker takes a repetition for what it is.
    pub(crate) fn assign(&mut self, id: AttemptId) {
        let Some(worker) = self.attempt(id).map(|a| a.worker.clone()) else { return };
        let session = self.workers.get(&worker).map(|w| w.reg.session.clone());
        let (Some(session), Some(live)) = (session, self.live.get_mut(&id)) else { return };
        let first = live.sent.replace((session, self.now)).is_none();
        live.seen = self.now;
        if first {
            self.observe_wait(id);
        }
        match self.assignment(id) {
            Ok(assignment) => {
                self.note_fetches(&assignment);
                self.out.push(Effect::Assign { worker, assignment: Box::new(assignment) });
            }
            Err(reason) => self.fail_attempt(id, &Failure { code: ErrorCode::Internal, message: reason }),
        }
    }

    /// Which host the bytes will come from, so that the speed of the way can be learned.
    fn note_fetches(&mut self, assignment: &Assignment) {
        let Some(own) = self.attempt(assignment.attempt).map(|a| a.worker.clone()) else { return };
        let remote = assignment.inputs.iter().filter(|i| !i.sources.iter().any(|(s, _)| self.has_store(&own, s)));
        let (mut from, mut bytes) = (None, 0);
        for input in remote {
            let holder = input.sources.first().and_then(|(store, _)| self.facts.store(store)?.holders.first());
            from = from.or_else(|| Some(self.workers.get(&holder?.0)?.reg.host.clone()));
            bytes += input.size_bytes;
        }
        if let Some(live) = self.live.get_mut(&assignment.attempt) {
            live.fetches = from.map(|host| (host, bytes));
        }
    }

    fn has_store(&self, worker: &WorkerId, store: &StoreId) -> bool {
        self.facts.store_ids_of(worker).any(|id| id == store)
    }

    /// Counts a failure that is its host's fault against the host.
    fn blame_for(&mut self, id: AttemptId, worker: &WorkerId, reason: &str) {
        if let Some(kind) = self.tasks.get(&id.task).map(|t| t.kind) {
            self.blame(worker, kind, reason);
        }
    }

    /// The attempt is over; whatever it does from now on counts for nothing.
    pub(crate) fn end_attempt(&mut self, id: AttemptId, reason: &str) {
        self.end_as(id, reason, Outcome::Ended, reason);
    }

    /// The worker hears the reason; the history keeps the outcome and why.
    fn end_as(&mut self, id: AttemptId, reason: &str, outcome: Outcome, why: &str) {
        if let Some((worker, true)) = self.close_attempt(id, outcome, why) {
            self.out.push(Effect::Cancel { worker, attempt: id, reason: reason.to_owned() });
        }
    }

    /// Ends it durably; the caller tells its worker, if that one has it and is there.
    pub(crate) fn close_attempt(&mut self, id: AttemptId, outcome: Outcome, why: &str) -> Option<(WorkerId, bool)> {
        let attempt = self.attempt(id)?.clone();
        self.note_end(&attempt, outcome, why);
        self.take_attempt(&attempt);
        let sent = self.live.remove(&id).is_some_and(|l| l.sent.is_some());
        self.raise_fence(id.task);
        self.release_uncovered(id);
        self.untidy.extend(self.tasks.get(&id.task).and_then(|task| task.sector));
        self.dirty.tasks.insert(id.task);
        let hears = self.hears(&attempt.worker);
        Some((attempt.worker, sent && hears))
    }

    /// Takes an attempt out of its task, its host's account and every index.
    fn take_attempt(&mut self, attempt: &Attempt) {
        self.forget_asked(attempt.id);
        if let Some(row) = self.task_mut(attempt.id.task) {
            row.attempts.retain(|a| a.id != attempt.id);
        }
        self.lookup.drop_attempt(attempt);
        self.drop_report(&attempt.worker, attempt.id);
        self.wake_others(attempt.id.task);
        self.timers.stop(Bell::Attempt(attempt.id));
        self.touch_host(&attempt.host);
        self.dirty.workers.insert(attempt.worker.clone());
    }

    /// The index has answered, or need not any more.
    fn forget_asked(&mut self, id: AttemptId) {
        let Some(attempt) = self.attempt(id).filter(|a| a.state == AttemptState::Reserving) else { return };
        attempt.outputs.clone().iter().for_each(|slot| self.release_asked(slot));
    }

    /// The task is done with: every attempt ends, `winner` without being told to stop.
    pub(crate) fn end_task(&mut self, id: TaskId, winner: Option<AttemptId>, reason: &str) {
        let Some(task) = self.tasks.get(&id).cloned() else { return };
        for attempt in &task.attempts {
            if Some(attempt.id) == winner {
                self.live.remove(&attempt.id);
                self.note_end(attempt, Outcome::Done, "");
                self.take_attempt(attempt);
            } else {
                self.end_attempt(attempt.id, reason);
            }
        }
        self.raise_fence(id);
        self.unbind(id);
        self.queue.remove(id);
        self.starved.remove(&id);
        self.timers.stop(Bell::Task(id));
        if let Some(task) = self.tasks.remove(&id) {
            self.lookup.drop_task(&task);
        }
        self.dirty.relief |= task.kind == TaskKind::PreCommit2;
        self.hints.remove(&id);
        self.out.tasks.insert(id);
        self.untidy.extend(task.sector);
        if let Some(fence) = self.fences.get(&id) {
            self.over.insert((fence.since, id));
        }
    }

    /// A fence covers every attempt below the oldest one that lives, so it names them all with one number.
    fn raise_fence(&mut self, task: TaskId) {
        let Some(row) = self.tasks.get(&task) else { return };
        let lowest = row.attempts.iter().map(|a| a.id.number).min();
        let up_to_number = lowest.map_or(row.last_number, |n| n.saturating_sub(1));
        let before = self.fences.get(&task).map_or(0, |f| f.row.up_to_number);
        if up_to_number <= before {
            return;
        }
        let row = FenceRow { task, up_to_number };
        // It is at most as old as what it covers: a task that is open is not among those that are over.
        self.fences.insert(task, Fence { row, since: self.now });
        self.out.fences.insert(task);
        if self.facts.connected {
            self.out.push(Effect::Fence(row));
        }
    }

    /// An ended attempt beside which an older one lives keeps no space for that.
    fn release_uncovered(&mut self, id: AttemptId) {
        let covered = self.fences.get(&id.task).map_or(0, |fence| fence.row.up_to_number);
        if self.facts.connected && covered < id.number {
            self.out.push(Effect::Release(id));
        }
    }

    /// The same for all of them, when the index may have missed it.
    pub(crate) fn release_all_uncovered(&mut self) {
        let ended = |task: &Task| {
            let lives = |number: &u32| task.attempts.iter().any(|a| a.id.number == *number);
            let oldest = task.attempts.iter().map(|a| a.id.number).min().unwrap_or(task.last_number);
            let ids = (oldest..=task.last_number).filter(|number| !lives(number));
            ids.map(|number| AttemptId { task: task.id, number }).collect::<Vec<_>>()
        };
        let ended: Vec<AttemptId> = self.tasks.values().flat_map(ended).collect();
        ended.into_iter().for_each(|id| self.release_uncovered(id));
    }

    /// The attempt failed: it ends, its failure is counted, and the task waits; too many, and the sector is Failed.
    pub(crate) fn fail_attempt(&mut self, id: AttemptId, failure: &Failure) {
        let Some(attempt) = self.attempt(id) else { return };
        let worker = attempt.worker.clone();
        let why = format!("{}: {}", failure.code, failure.message);
        self.log_attempt(id, "failed", &why);
        self.end_as(id, "it failed", Outcome::Failed, &why);
        let reason = format!("{}: {}", self.worker_name(&worker), failure.message);
        let for_inputs = matches!(failure.code, ErrorCode::FileMissing | ErrorCode::DigestMismatch);
        let all_there = for_inputs && self.all_holders_there(id.task);
        if self.download_is_hopeless(id.task, failure.code) {
            return self.give_up(id.task, &reason);
        }
        let passes = matches!(failure.code, ErrorCode::Unavailable | ErrorCode::NoSpace);
        let soft = (for_inputs && !all_there) || (passes && !self.source_is_away(id.task, failure.code));
        let hints = self.hints.entry(id.task).or_default();
        let worker_of_failure = worker.clone();
        *hints.here.entry(worker).or_default() += 1;
        hints.input_failures += u32::from(all_there);
        hints.soft_failures += u32::from(soft);
        let soft_failures = hints.soft_failures;
        if failure.code.fault() == Fault::Host {
            self.blame_for(id, &worker_of_failure, &reason);
        }
        if soft && soft_failures < self.config.soft_retry_limit {
            self.postpone(id.task, self.config.retry_wait_ms(soft_failures), reason);
            return;
        }
        self.charge(id.task, reason);
    }

    /// Is everybody there who should have the task's inputs? If not, that one cannot read them proves nothing.
    fn all_holders_there(&self, id: TaskId) -> bool {
        let Some(task) = self.tasks.get(&id) else { return false };
        let Some(sector) = self.sector_of(task) else { return false };
        let files = self.inputs_of(sector, task.kind).unwrap_or_default();
        self.facts.connected
            && files.iter().all(|f| {
                let holders = self.holders(sector.number, f);
                !holders.is_empty() && holders.iter().all(|w| self.is_available(w))
            })
    }

    /// A stored task that its sector does not ask for is of no use to anybody; nor is a DC of before a restart.
    pub(crate) fn drop_unwanted_tasks(&mut self) {
        let unwanted: Vec<TaskId> = self.tasks.values().filter(|t| !self.is_wanted(t)).map(|t| t.id).collect();
        unwanted.into_iter().for_each(|id| self.end_task(id, None, "nobody needs it any more"));
    }

    pub(crate) fn postpone(&mut self, id: TaskId, wait_ms: u64, reason: String) {
        let until = self.now.plus(wait_ms);
        self.dirty.tasks.insert(id);
        if let Some(row) = self.task_mut(id) {
            row.not_before = until;
            row.last_error = reason;
        }
    }

    /// The attempt did not survive its worker's process. That is nobody's fault, unless it happens again and again.
    pub(crate) fn lose_attempt(&mut self, id: AttemptId, reason: &str) {
        if self.attempt(id).is_none() {
            return;
        }
        self.log_attempt(id, "lost", reason);
        self.end_as(id, reason, Outcome::Lost, reason);
        let hints = self.hints.entry(id.task).or_default();
        hints.losses += 1;
        if hints.losses > FREE_LOSSES {
            self.charge(id.task, format!("lost {} times, last: {reason}", FREE_LOSSES + 1));
        }
    }

    /// Nobody renews its lease: its task may go elsewhere at `until`, its result is still welcome until then and after.
    pub(crate) fn orphan_attempt(&mut self, id: AttemptId, until: UnixMs, reason: &str) {
        let Some(live) = self.live.get_mut(&id) else { return };
        let before = live.orphan.replace(Orphan { until });
        if before.is_none() {
            self.log_attempt(id, "orphaned", reason);
            self.observe_loss(id);
        }
        self.leave_group(id);
        self.dirty.tasks.insert(id.task);
        if let Some(worker) = self.attempt(id).map(|a| a.worker.clone()) {
            self.unsettle_report(&worker, id);
            self.dirty.workers.insert(worker);
        }
    }

    /// A worker that is there but does not list what it was sent has missed it, or is broken.
    pub(crate) fn resend(&mut self, id: AttemptId) {
        let Some(live) = self.live.get_mut(&id) else { return };
        live.resends += 1;
        let again = live.resends <= RESENDS_LIMIT;
        if let Some(worker) = self.attempt(id).map(|a| a.worker.clone()).filter(|_| again) {
            self.unsettle_report(&worker, id);
            return self.assign(id);
        }
        let message = "the worker never took it up".to_owned();
        self.fail_attempt(id, &Failure { code: ErrorCode::Unavailable, message });
    }
}
