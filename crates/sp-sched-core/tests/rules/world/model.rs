//! The reference model: what may follow an event, judged from outside by rows, events and effects alone.
//!
//! It knows sessions, leases and what is durable, and none of the core's indexes: what it forbids is forbidden however
//! the core came to it. Every step of every simulated world goes through it.

use std::collections::{BTreeMap, BTreeSet};

use sp_invariants::HostUse;
use sp_sched_core::Config;
use sp_sched_core::effect::{Assignment, Effect, Reply};
use sp_sched_core::event::{Event, Registration, Request, RequestId, TaskResult};
use sp_sched_core::model::{Attempt, AttemptState, FenceRow, RowChange, Sector, Task, UnixMs, WorkerRow};
use sp_types::{AttemptId, HostCapacity, HostId, TaskId, TaskKind, WorkerId};

use super::Database;

/// A session as the events tell it.
struct Seat {
    reg: Registration,
    stream: bool,
    renewed: u64,
}

/// What was told and what was answered since the scheduler's process started.
#[derive(Default)]
pub struct Model {
    now: u64,
    restored: u64,
    seats: BTreeMap<WorkerId, Seat>,
    index: bool,
    asked: BTreeSet<RequestId>,
    /// Attempts whose lease was lost, or whose host booted again: another one may stand beside them.
    lost: BTreeSet<AttemptId>,
    /// Attempts whose work is done and with the verifier.
    verifying: BTreeSet<AttemptId>,
    /// What each attempt takes of its host, as its worker said when it began.
    takes: BTreeMap<AttemptId, HostUse>,
    /// PoSt attempts: they are in no row.
    proving: BTreeSet<AttemptId>,
}

/// The rows as they are once the batch is durable.
struct After<'a> {
    database: &'a Database,
    tasks: BTreeMap<TaskId, Option<&'a Task>>,
    fences: BTreeMap<TaskId, Option<FenceRow>>,
    workers: BTreeMap<WorkerId, Option<&'a WorkerRow>>,
}

impl<'a> After<'a> {
    fn new(database: &'a Database, effects: &'a [Effect]) -> Self {
        let (tasks, fences, workers) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let mut after = Self { database, tasks, fences, workers };
        for effect in effects {
            match effect {
                Effect::Persist(RowChange::PutTask(task)) => drop(after.tasks.insert(task.id, Some(task))),
                Effect::Persist(RowChange::DeleteTask(id)) => drop(after.tasks.insert(*id, None)),
                Effect::Persist(RowChange::PutFence(row)) => drop(after.fences.insert(row.task, Some(*row))),
                Effect::Persist(RowChange::DeleteFence(id)) => drop(after.fences.insert(*id, None)),
                Effect::Persist(RowChange::PutWorker(row)) => {
                    after.workers.insert(row.worker.clone(), Some(row));
                }
                Effect::Persist(RowChange::DeleteWorker(id)) => drop(after.workers.insert(id.clone(), None)),
                _ => {}
            }
        }
        after
    }

    fn task(&self, id: TaskId) -> Option<&'a Task> {
        self.tasks.get(&id).copied().unwrap_or_else(|| self.database.tasks.get(&id))
    }

    fn attempt(&self, id: AttemptId) -> Option<&'a Attempt> {
        self.task(id.task)?.attempts.iter().find(|a| a.id == id)
    }

    /// Every attempt ended up to this one.
    fn ended_up_to(&self, id: TaskId) -> u32 {
        let stored = || self.database.fences.get(&id).copied();
        self.fences.get(&id).copied().unwrap_or_else(stored).map_or(0, |row| row.up_to_number)
    }

    /// What operators decided about the worker.
    fn decided(&self, worker: &WorkerId) -> Option<&'a WorkerRow> {
        self.workers.get(worker).copied().unwrap_or_else(|| self.database.workers.get(worker))
    }

    fn all(&self) -> impl Iterator<Item = &'a Task> {
        let changed = self.tasks.values().filter_map(|t| *t);
        let kept = self.database.tasks.values().filter(|t| !self.tasks.contains_key(&t.id));
        changed.chain(kept)
    }
}

impl Model {
    /// The scheduler's process started with what is durable, and knows nobody. What is given away is taken as before.
    pub fn restored(self, now: u64, database: &Database) -> Self {
        let proving = database.partitions.values().flat_map(|row| &row.tries).map(|t| t.attempt).collect();
        Self { now, restored: now, takes: self.takes, proving, ..Self::default() }
    }

    // === what is told ===

    /// Takes in what is about to be told to the core at this time.
    pub fn tell(&mut self, config: &Config, now: u64, event: &Event, database: &Database) {
        self.now = self.now.max(now);
        self.lose_leases(config, database);
        match event {
            Event::Request(id, _) => assert!(self.asked.insert(*id), "a request is asked once"),
            Event::WorkerRegistered(reg) => self.register(reg, database),
            Event::WorkerDisconnected { worker, session, .. } => {
                if let Some(seat) = self.seats.get_mut(worker).filter(|s| s.reg.session == *session) {
                    seat.stream = false;
                }
            }
            Event::Renewed { worker, session, attempts, capacity, limits } => {
                let Some(seat) = self.seats.get_mut(worker).filter(|s| s.reg.session == *session) else { return };
                seat.renewed = self.now;
                if let Some(capacity) = capacity {
                    seat.reg.capacity = capacity.clone();
                }
                if let Some(limits) = limits {
                    seat.reg.limits = limits.clone();
                }
                self.lost.retain(|id| !attempts.iter().any(|p| p.attempt == *id));
            }
            Event::IndexSnapshotEnd => self.index = true,
            Event::IndexSnapshotBegin | Event::IndexLost => self.index = false,
            // Undecided, the verifier is asked again.
            Event::Verified { attempt, verdict: Ok(_) } => drop(self.verifying.remove(attempt)),
            _ => {}
        }
    }

    fn register(&mut self, reg: &Registration, database: &Database) {
        let machine = |host: &HostId| host.as_str().split_once('-').map(|(m, _)| m.to_owned());
        let here = machine(&reg.host);
        for attempt in database.tasks.values().flat_map(|t| &t.attempts) {
            if attempt.worker == reg.worker {
                self.lost.remove(&attempt.id);
            } else if attempt.host != reg.host && machine(&attempt.host) == here {
                self.lost.insert(attempt.id);
            }
        }
        self.seats.insert(reg.worker.clone(), Seat { reg: reg.clone(), stream: true, renewed: self.now });
    }

    fn lose_leases(&mut self, config: &Config, database: &Database) {
        for attempt in database.tasks.values().flat_map(|t| &t.attempts) {
            let renewed = self.seats.get(&attempt.worker).map_or(self.restored, |s| s.renewed);
            if renewed + config.lease_ms <= self.now {
                self.lost.insert(attempt.id);
            }
        }
        let over = |seat: &Seat| seat.renewed + config.worker_keep_ms <= self.now;
        self.seats.retain(|_, seat| !over(seat));
    }

    /// What an operator was allowed to do with a session.
    fn hear(&mut self, event: Option<&Event>, effects: &[Effect], database: &Database) {
        let Some(Event::Request(_, request)) = event else { return };
        let allowed = effects.iter().find_map(|e| match e {
            Effect::Reply(_, Reply::Worker { worker }) => Some(worker),
            _ => None,
        });
        match (request, allowed) {
            (Request::StopWorker { .. }, Some(worker)) => {
                self.seats.get_mut(worker).into_iter().for_each(|seat| seat.stream = false);
            }
            (Request::ForgetWorker { .. }, Some(worker)) => {
                self.seats.remove(worker);
                let all = database.tasks.values().flat_map(|t| &t.attempts);
                self.lost.extend(all.filter(|a| a.worker == *worker).map(|a| a.id));
            }
            _ => {}
        }
    }

    /// Would the result count if it were told now? PoSt is judged by its answer.
    pub fn counts(&self, worker: &WorkerId, id: AttemptId, database: &Database) -> bool {
        let attempt = database.tasks.get(&id.task).and_then(|t| t.attempts.iter().find(|a| a.id == id));
        let own = attempt.is_some_and(|a| a.worker == *worker && a.state == AttemptState::Granted);
        own || self.proving.contains(&id)
    }

    /// The core's time when its machine shows this one: it never goes back.
    pub fn now(&self, clock: UnixMs) -> u64 {
        self.now.max(clock.0)
    }

    /// Was the worker's session there at that time, as far as the scheduler could know?
    pub fn was_available(&self, config: &Config, worker: &WorkerId, at: u64) -> bool {
        let there = |s: &Seat| s.stream && at < s.renewed + config.lease_ms;
        self.seats.get(worker).is_some_and(there)
    }

    fn is_available(&self, config: &Config, worker: &WorkerId) -> bool {
        self.was_available(config, worker, self.now)
    }

    // === what follows ===

    /// Judges the effects of the event that was told last; `database` is as it was before them.
    pub fn judge(&mut self, config: &Config, event: Option<&Event>, effects: &[Effect], database: &Database) {
        let rows = effects.iter().take_while(|e| matches!(e, Effect::Persist(_))).count();
        assert!(!effects[rows..].iter().any(|e| matches!(e, Effect::Persist(_))), "rows come first");
        self.hear(event, effects, database);
        self.verifying.extend(effects.iter().filter_map(|e| match e {
            Effect::VerifySeal(seal) => Some(seal.attempt),
            Effect::VerifyUpdate(update) => Some(update.attempt),
            _ => None,
        }));
        let after = After::new(database, effects);
        for effect in effects {
            match effect {
                Effect::Persist(row) => {
                    self.judge_row(config, event, row, &after, effects);
                    if let RowChange::PutTask(task) = row {
                        self.remember(config, task);
                    }
                }
                Effect::Reply(id, _) => assert!(self.asked.remove(id), "{id:?}: answered twice, or never asked"),
                Effect::Reserve { attempt, presented, .. } => {
                    let state = after.attempt(*attempt).map(|a| a.state);
                    let wanted = if *presented { AttemptState::Granted } else { AttemptState::Reserving };
                    assert!(state == Some(wanted) && self.index, "space is asked for {attempt}, which is {state:?}");
                }
                Effect::Assign { worker, assignment } => {
                    let starts =
                        |e: &Effect| matches!(e, Effect::Start { attempt, .. } if *attempt == assignment.attempt);
                    let starts = effects.iter().any(starts);
                    self.judge_assignment(config, worker, (assignment, starts), &after);
                }
                Effect::Start { worker, attempt, .. } => {
                    let starts = after.attempt(*attempt).is_some_and(|a| !a.held && a.worker == *worker);
                    assert!(starts, "{attempt} may start on {worker}, but that is not durable");
                }
                Effect::Cancel { worker, attempt, .. } => {
                    let lives = |a: &Attempt| a.worker == *worker && a.state == AttemptState::Granted;
                    assert!(!after.attempt(*attempt).is_some_and(lives), "{attempt} is cancelled and lives on");
                    self.proving.remove(attempt);
                }
                Effect::VerifySeal(seal) => {
                    assert!(after.attempt(seal.attempt).is_some(), "{} is verified and gone", seal.attempt);
                }
                Effect::VerifyUpdate(update) => {
                    assert!(after.attempt(update.attempt).is_some(), "{} is verified and gone", update.attempt);
                }
                Effect::Fence(row) => {
                    let durable = after.ended_up_to(row.task);
                    assert!(durable >= row.up_to_number, "{row:?} is told, {durable} is durable");
                }
                Effect::Release(attempt) => {
                    assert!(after.attempt(*attempt).is_none(), "{attempt} lives and loses its space");
                }
                _ => {}
            }
        }
        if let Some(Event::Result { worker, result }) = event {
            self.judge_acknowledgement(worker, result, &after, effects);
        }
    }

    fn judge_row(
        &self,
        config: &Config,
        event: Option<&Event>,
        row: &RowChange,
        after: &After<'_>,
        effects: &[Effect],
    ) {
        match row {
            RowChange::PutTask(task) => self.judge_task(config, task, after),
            RowChange::DeleteTask(id) => {
                let last = after.database.tasks.get(id).map_or(0, |t| t.last_number);
                let ended = after.ended_up_to(*id);
                assert!(ended >= last, "task {id} is over, its attempts are ended up to {ended} of {last} only");
            }
            RowChange::PutFence(row) if self.index => {
                assert!(effects.contains(&Effect::Fence(*row)), "the index is not told of {row:?}");
            }
            RowChange::PutSector(sector) => self.judge_sector(event, sector, after.database),
            _ => {}
        }
    }

    /// A sector goes on only by a result that counts, once.
    fn judge_sector(&self, event: Option<&Event>, sector: &Sector, database: &Database) {
        let known = database.sectors.get(&sector.number).map_or(0, |s| s.log.len());
        let accepts = |event: &str| event.contains(" -> ") || event.ends_with(" accepted");
        let new = sector.log.iter().skip(known).filter(|e| accepts(&e.event));
        let accepted: Vec<AttemptId> = new.filter_map(|e| e.attempt).collect();
        let brings = |result: &TaskResult, id| result.attempt == id && result.outcome.is_ok();
        assert!(accepted.len() <= 1, "L2: sector {} goes on twice in one step: {accepted:?}", sector.number);
        for id in accepted {
            let live = database.tasks.get(&id.task).and_then(|t| t.attempts.iter().find(|a| a.id == id));
            let valid = live.is_some_and(|a| match event {
                Some(Event::Result { worker, result }) => a.worker == *worker && brings(result, id),
                Some(Event::WorkerRegistered(reg)) => {
                    a.worker == reg.worker && reg.finished.iter().any(|result| brings(result, id))
                }
                Some(Event::Verified { attempt, verdict }) => *attempt == id && *verdict == Ok(true),
                _ => false,
            });
            assert!(valid, "L2: sector {} goes on by {id} after {event:?}", sector.number);
        }
    }

    fn judge_task(&self, config: &Config, task: &Task, after: &After<'_>) {
        let before = after.database.tasks.get(&task.id);
        let last = before.map_or(0, |t| t.last_number);
        let was_there = |id: AttemptId| before.is_some_and(|t| t.attempts.iter().any(|a| a.id == id));
        let new: Vec<&Attempt> = task.attempts.iter().filter(|a| !was_there(a.id)).collect();
        let held_before = |id: AttemptId| before.is_some_and(|t| t.attempts.iter().any(|a| a.id == id && a.held));
        for attempt in task.attempts.iter().filter(|a| !a.held && held_before(a.id)) {
            self.judge_room(config, attempt, after);
        }
        assert!(task.last_number >= last, "task {}: the number goes back", task.id);
        assert!(task.attempts.len() <= config.attempts_limit, "L12: task {} has too many attempts", task.id);
        for attempt in new {
            let id = attempt.id;
            assert!(id.task == task.id && id.number > last, "L2: {id} was there before, {last} was the last");
            assert!(id.number <= task.last_number, "{id} is not counted");
            self.judge_beginning(config, task, attempt, after);
        }
        let lowest = task.attempts.iter().map(|a| a.id.number).min();
        let ended = after.ended_up_to(task.id);
        let expected = lowest.map_or(task.last_number, |n| n - 1);
        assert!(ended == expected, "L5: task {} is ended up to {ended}, not {expected}", task.id);
    }

    /// An attempt begins: somebody who is there, who may have it, with room for it, and nobody else works on its task.
    fn judge_beginning(&self, config: &Config, task: &Task, attempt: &Attempt, after: &After<'_>) {
        let (id, worker) = (attempt.id, &attempt.worker);
        assert!(self.is_available(config, worker), "{id} goes to {worker}, who is away");
        assert!(self.index, "{id} is given away while the index is away");
        let seat = &self.seats[worker];
        assert!(seat.reg.tasks.contains(&task.kind), "{worker} does not take {}", task.kind);
        assert!(attempt.host == seat.reg.host, "{id} is on {}, {worker} on {}", attempt.host, seat.reg.host);
        if let Some(row) = after.decided(worker) {
            assert!(!row.disabled.contains(&task.kind), "{} is disabled on {worker}", task.kind);
            let begins = matches!(task.kind, TaskKind::AddPiece | TaskKind::DataCid);
            let finishes = row.finish_pipelines && !begins;
            assert!(!row.cordoned || finishes, "{worker} is cordoned and gets {id}");
        }
        let others = task.attempts.iter().filter(|a| a.id != id);
        let working: Vec<AttemptId> = others.map(|a| a.id).filter(|a| !self.lost.contains(a)).collect();
        assert!(working.is_empty(), "{id} begins beside {working:?}, whose leases are alive");
        self.judge_limit(config, task, attempt, after);
        if !attempt.held {
            self.judge_room(config, attempt, after);
        }
    }

    fn judge_limit(&self, config: &Config, task: &Task, attempt: &Attempt, after: &After<'_>) {
        let row = self.seats[&attempt.worker].reg.resources.over(&config.resources).row(task.kind, config.sector_size);
        let of_kind = after.all().filter(|t| t.kind == task.kind).flat_map(|t| &t.attempts);
        let count = of_kind.filter(|a| a.worker == attempt.worker && !self.verifying.contains(&a.id)).count();
        let limit = row.max_concurrent as usize;
        assert!(limit == 0 || count <= limit, "{} has {count} {}, its limit is {limit}", attempt.worker, task.kind);
    }

    /// L4: with it the host is not over-committed, unless it was before.
    fn judge_room(&self, config: &Config, attempt: &Attempt, after: &After<'_>) {
        let mut capacity = HostCapacity::default();
        let here = self.seats.values().filter(|s| s.reg.host == attempt.host);
        here.for_each(|s| capacity.join(&s.reg.capacity));
        let computing = |a: &&Attempt| a.host == attempt.host && !a.held && !self.verifying.contains(&a.id);
        let sum = |with: bool| {
            let each = after.all().flat_map(|t| t.attempts.iter().map(move |a| (t.kind, a)));
            let each = each.filter(|(_, a)| computing(a) && (with || a.id != attempt.id));
            each.fold(HostUse::default(), |used, (kind, a)| {
                add(used, self.takes.get(&a.id).copied().unwrap_or_else(|| self.demand(config, kind, a)))
            })
        };
        let fits = |used| sp_invariants::fits_host(used, &capacity);
        assert!(!fits(sum(false)) || fits(sum(true)), "L4: {} is over-committed by {}", attempt.host, attempt.id);
    }

    fn demand(&self, config: &Config, kind: TaskKind, attempt: &Attempt) -> HostUse {
        let (table, share) = match self.seats.get(&attempt.worker) {
            Some(seat) => (seat.reg.resources.over(&config.resources), seat.reg.capacity.limited(&seat.reg.limits)),
            None => (sp_types::ResourceTable::default(), HostCapacity::default()),
        };
        let row = table.row(kind, config.sector_size);
        HostUse {
            cpus: row.threads(share.cpus, share.usable_gpus().count()),
            memory_min_bytes: row.min_memory_bytes,
            memory_max_bytes: row.max_memory_bytes,
            gpus: row.gpu_utilization,
        }
    }

    fn remember(&mut self, config: &Config, task: &Task) {
        for attempt in &task.attempts {
            let takes = self.demand(config, task.kind, attempt);
            self.takes.entry(attempt.id).or_insert(takes);
        }
    }

    /// What is given away is durable as given to this very worker.
    fn judge_assignment(
        &mut self,
        config: &Config,
        worker: &WorkerId,
        (given, starts): (&Assignment, bool),
        after: &After<'_>,
    ) {
        let id = given.attempt;
        assert!(self.is_available(config, worker), "{id} is sent to {worker}, who is away");
        if matches!(given.task, TaskKind::GenerateWindowPost | TaskKind::GenerateWinningPost) {
            self.proving.insert(id);
            return;
        }
        let durable = after.attempt(id).is_some_and(|a| {
            a.worker == *worker
                && a.state == AttemptState::Granted
                && a.held == (given.hold && !starts)
                && a.outputs == given.outputs
        });
        assert!(durable, "{id} is sent to {worker}, but that is not durable");
        let fits =
            after.task(id.task).is_some_and(|t| t.kind == given.task && t.sector.unwrap_or_default() == given.sector);
        assert!(fits, "{id} is sent as another task than it is");
    }

    /// Whoever brings a result may forget it at once, unless it is a proof that has to be verified first.
    fn judge_acknowledgement(&self, worker: &WorkerId, result: &TaskResult, after: &After<'_>, effects: &[Effect]) {
        let id = result.attempt;
        if self.verifying.contains(&id) || self.proving.contains(&id) {
            return;
        }
        let said =
            |e: &Effect| matches!(e, Effect::AckResult { worker: w, attempt, .. } if (w, *attempt) == (worker, id));
        assert!(effects.iter().any(said), "{worker} is not told that the result of {id} is dealt with");
        assert!(!self.counts(worker, id, after.database) || after.attempt(id).is_none(), "{id} is done and lives on");
    }
}

fn add(one: HostUse, other: HostUse) -> HostUse {
    HostUse {
        cpus: one.cpus + other.cpus,
        memory_min_bytes: one.memory_min_bytes + other.memory_min_bytes,
        memory_max_bytes: one.memory_max_bytes + other.memory_max_bytes,
        gpus: one.gpus + other.gpus,
    }
}
