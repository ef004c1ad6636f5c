//! A small simulated world around the core: an index, workers, a chain and a verifier that can be slow, lost and wrong.
// Each test binary uses a part of it.
#![allow(dead_code, unused_imports, unreachable_pub, clippy::unwrap_used)]

mod index;
mod model;
mod outside;
mod worker;

use std::collections::{BTreeMap, VecDeque};

use sp_sched_core::effect::{Effect, Reply};
use sp_sched_core::event::{Event, Request, RequestId};
use sp_sched_core::model::{
    FenceRow, Finished, PartitionKey, PartitionRow, Pin, RowChange, Rows, Sector, Task, UnixMs, WinRow, WorkerRow,
};
use sp_sched_core::{Config, Core};
use sp_types::{ChainEpoch, SectorSize, SectorState, TaskId, WorkerId};

pub use index::Index;
pub use model::Model;
pub use outside::{BEGAN, Outside};
pub use worker::{Role, SimWorker};

/// Small random numbers from a seed; the world has no other source of chance.
#[derive(Clone)]
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n.max(1)
    }

    /// True `percent` times of a hundred.
    pub fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// So many cases, unless PROPTEST_CASES says otherwise.
pub fn cases(usual: u32) -> proptest::test_runner::Config {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(usual);
    proptest::test_runner::Config { cases, failure_persistence: None, ..Default::default() }
}

/// How much goes wrong, in percent.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    pub refuse_space: u64,
    pub chain_fails: u64,
    pub verifier_undecided: u64,
    pub task_fails: u64,
    pub result_twice: u64,
    /// A killed worker forgets an attempt that it was working on.
    pub forgets: u64,
}

/// Something that will happen.
pub enum Happening {
    /// An event on its way to this life of the scheduler.
    ToCore(u32, Box<Event>),
    /// An effect on its way from this life of the scheduler.
    FromCore(u32, Box<Effect>),
    /// A worker of this session has computed.
    Computed(WorkerId, u32, sp_types::AttemptId),
    /// A worker of this session renews.
    Heartbeat(WorkerId, u32),
    StartWorker(WorkerId),
    StartScheduler,
    ConnectIndex,
    Epoch,
}

/// Rows as a database would hold them.
#[derive(Default, Clone, PartialEq, Debug)]
pub struct Database {
    pub sectors: BTreeMap<u64, Sector>,
    pub tasks: BTreeMap<TaskId, Task>,
    pub fences: BTreeMap<TaskId, FenceRow>,
    pub counters: sp_sched_core::model::Counters,
    pub workers: BTreeMap<WorkerId, WorkerRow>,
    pub pins: BTreeMap<u64, Pin>,
    pub wins: BTreeMap<ChainEpoch, WinRow>,
    pub partitions: BTreeMap<PartitionKey, PartitionRow>,
    pub history: Vec<Finished>,
}

/// Sees every step: its time, the event, and what came of it.
pub type Watcher = Box<dyn FnMut(UnixMs, &Event, &[Effect])>;

pub struct World {
    pub now: u64,
    pub core: Option<Core>,
    pub watcher: Option<Watcher>,
    pub config: Config,
    pub database: Database,
    pub index: Index,
    pub outside: Outside,
    pub workers: BTreeMap<WorkerId, SimWorker>,
    pub faults: Faults,
    pub dice: Dice,
    pub replies: BTreeMap<u64, Reply>,
    pub alerts: Vec<String>,
    /// Every batch of effects, in words: the trace.
    pub trace: Vec<String>,
    pub keeps_trace: bool,
    /// The scheduler's clock is ahead of the world's by this much.
    pub clock_ahead_ms: i64,
    /// What was told last, oldest first: some of it may be told again.
    pub told: VecDeque<Event>,
    /// What must be true of every step.
    pub model: Model,
    /// A second core does everything the same; whatever it does differently is chance.
    pub twins: bool,
    /// Attempts whose result was accepted or refused for good.
    pub acknowledged: u64,
    twin: Option<Core>,
    life: u32,
    next_request: u64,
    sequence: u64,
    queue: BTreeMap<(u64, u64), Happening>,
    wake_at: Option<u64>,
}

/// Streams keep their order, so every message takes the same time.
const DELAY_MS: u64 = 5;
/// Events remembered.
const TOLD_LIMIT: usize = 100;

impl World {
    pub fn new(seed: u64) -> Self {
        let config = Config::new(1000, SectorSize::KiB2, [7; 32]);
        let mut world = Self {
            now: outside::BEGAN,
            core: None,
            watcher: None,
            config,
            database: Database::default(),
            index: Index::default(),
            outside: Outside::default(),
            workers: BTreeMap::new(),
            faults: Faults::default(),
            dice: Dice::new(seed),
            replies: BTreeMap::new(),
            alerts: Vec::new(),
            trace: Vec::new(),
            keeps_trace: true,
            clock_ahead_ms: 0,
            told: VecDeque::new(),
            model: Model::default(),
            twins: false,
            twin: None,
            acknowledged: 0,
            life: 0,
            next_request: 0,
            sequence: 0,
            queue: BTreeMap::new(),
            wake_at: None,
        };
        world.start_scheduler();
        world.after(1_000, Happening::Epoch);
        world
    }

    pub fn core(&self) -> &Core {
        self.core.as_ref().unwrap()
    }

    pub fn after(&mut self, ms: u64, what: Happening) {
        self.sequence += 1;
        self.queue.insert((self.now + ms, self.sequence), what);
    }

    /// To the scheduler as it runs now; a later life never sees it.
    pub fn tell(&mut self, event: Event) {
        self.after(DELAY_MS, Happening::ToCore(self.life, Box::new(event)));
    }

    pub fn ask(&mut self, request: Request) -> u64 {
        self.next_request += 1;
        self.tell(Event::Request(RequestId(self.next_request), request));
        self.next_request
    }

    /// Asks and waits for the answer.
    pub fn answer(&mut self, request: Request) -> Reply {
        let id = self.ask(request);
        self.run_until(2_000_000, |w| w.replies.contains_key(&id));
        self.replies.remove(&id).expect("a request is answered")
    }

    // === running ===

    pub fn run_for(&mut self, ms: u64) {
        let end = self.now + ms;
        self.run_until(ms, |w| w.now >= end);
    }

    /// Runs until the condition holds; false when that took longer than the limit.
    pub fn run_until(&mut self, limit_ms: u64, done: impl Fn(&Self) -> bool) -> bool {
        let end = self.now + limit_ms;
        while !done(self) {
            let next = self.queue.first_key_value().map(|((at, _), _)| *at);
            let wake = self.wake_at.filter(|_| self.core.is_some());
            let wake = wake.map(|at| at.saturating_add_signed(-self.clock_ahead_ms));
            let at = next.into_iter().chain(wake).min().unwrap_or(end);
            if at > end {
                self.now = end;
                return done(self);
            }
            self.now = self.now.max(at);
            if wake == Some(at) {
                self.wake_at = None;
                self.step(Event::Wake);
            } else {
                let (_, what) = self.queue.pop_first().unwrap();
                self.happen(what);
            }
        }
        true
    }

    fn happen(&mut self, what: Happening) {
        match what {
            Happening::ToCore(life, event) if life == self.life && self.core.is_some() => self.step(*event),
            Happening::FromCore(life, effect) if life == self.life => self.carry_out(*effect),
            Happening::ToCore(..) | Happening::FromCore(..) => {}
            Happening::Computed(worker, session, attempt) => self.computed(&worker, session, attempt),
            Happening::Heartbeat(worker, session) => self.heartbeat(&worker, session),
            Happening::StartWorker(worker) => self.start_worker(&worker),
            Happening::StartScheduler => self.start_scheduler(),
            Happening::ConnectIndex => self.connect_index(),
            Happening::Epoch => self.next_epoch(),
        }
    }

    /// The time that the scheduler's machine shows.
    pub fn clock(&self) -> UnixMs {
        UnixMs(self.now.saturating_add_signed(self.clock_ahead_ms))
    }

    pub fn step(&mut self, event: Event) {
        if self.core.is_none() {
            return;
        }
        let in_vain = match &event {
            Event::Result { worker, result } => !self.model.counts(worker, result.attempt, &self.database),
            _ => false,
        };
        if in_vain {
            // What is due by now is not the result's doing.
            self.step_once(Event::Wake);
        }
        let told = event.clone();
        let effects = self.step_once(event);
        if in_vain {
            let nothing = |e: &Effect| matches!(e, Effect::AckResult { .. } | Effect::WakeAt(_));
            assert!(effects.iter().all(nothing), "{told:?} does not count and changes something: {effects:?}");
        }
        self.told.push_back(told);
        if self.told.len() > TOLD_LIMIT {
            self.told.pop_front();
        }
    }

    fn step_once(&mut self, event: Event) -> Vec<Effect> {
        let now = self.clock();
        let Some(core) = self.core.as_mut() else { return vec![] };
        self.model.tell(&self.config, now.0, &event, &self.database);
        let effects = core.step(now, event.clone());
        if let Some(watcher) = &mut self.watcher {
            watcher(now, &event, &effects);
        }
        if let Some(twin) = &mut self.twin {
            assert!(twin.step(now, event.clone()) == effects, "L13: the same events, other effects");
        }
        self.take(Some(&event), effects.clone());
        effects
    }

    /// Persists first, then sends.
    fn take(&mut self, event: Option<&Event>, effects: Vec<Effect>) {
        if self.keeps_trace {
            self.trace.push(format!("{} {effects:?}", self.now));
        }
        self.model.judge(&self.config, event, &effects, &self.database);
        for effect in effects {
            match effect {
                Effect::Persist(row) => self.database.apply(row),
                Effect::WakeAt(at) => self.wake_at = Some(at.0),
                effect => self.after(DELAY_MS, Happening::FromCore(self.life, Box::new(effect))),
            }
        }
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Reply(id, reply) => {
                assert!(self.replies.insert(id.0, reply).is_none(), "one answer per request");
            }
            Effect::Registered { worker, session: _, keep } => self.registered(&worker, &keep),
            Effect::Reserve { attempt, sector, outputs, lock, presented } => {
                self.reserve(attempt, sector, outputs, lock, presented);
            }
            Effect::Presented => self.index.forget_unpresented(),
            Effect::Assign { worker, assignment } => self.assigned(&worker, *assignment),
            Effect::Start { worker, attempt, gpus: _, group: _ } => self.started(&worker, attempt),
            Effect::Stop { worker } => self.stopped(&worker),
            // No worker here finds any.
            Effect::SweepWork { .. } => {}
            Effect::Cancel { worker, attempt, reason: _ } | Effect::Yield { worker, attempt, reason: _ } => {
                self.cancelled(&worker, attempt);
            }
            Effect::AckResult { worker, attempt, refused, counting } => {
                self.acknowledged(&worker, attempt, refused.then_some(counting));
            }
            Effect::Proving(call) => self.proving_call(call),
            Effect::Alert { message } => self.alerts.push(message),
            Effect::Fence(row) => self.index.fence(row),
            Effect::Release(attempt) => self.index.release(attempt),
            Effect::DeleteReplica { replica, reason: _ } => self.delete(&replica),
            Effect::VerifySeal(seal) => self.verify_seal(*seal),
            Effect::VerifyUpdate(update) => self.verify_update(*update),
            Effect::VerifyPost(post) => self.verify_post(*post),
            Effect::Chain { sector, call } => self.chain_call(sector, call),
            Effect::Persist(_) | Effect::WakeAt(_) => unreachable!("handled in the batch"),
        }
    }

    // === the scheduler's process ===

    pub fn kill_scheduler(&mut self) {
        self.core = None;
        self.wake_at = None;
        self.life += 1;
    }

    pub fn start_scheduler(&mut self) {
        if self.core.is_some() {
            return;
        }
        self.life += 1;
        let now = self.clock();
        let (core, effects) = Core::restore(self.config.clone(), self.database.rows(), now);
        self.twin = self.twins.then(|| Core::restore(self.config.clone(), self.database.rows(), now).0);
        self.core = Some(core);
        self.model = std::mem::take(&mut self.model).restored(now.0, &self.database);
        self.told.clear();
        self.take(None, effects);
        self.after(50, Happening::ConnectIndex);
        let up: Vec<WorkerId> = self.workers.iter().filter(|(_, w)| w.up).map(|(id, _)| id.clone()).collect();
        up.iter().for_each(|id| self.register(id));
    }

    // === what is asserted of it ===

    pub fn state(&self, sector: u64) -> SectorState {
        self.database.sectors[&sector].state
    }

    pub fn all_proving(&self, count: usize) -> bool {
        let sectors = &self.database.sectors;
        sectors.len() == count && sectors.values().all(|s| s.state == SectorState::Proving)
    }

    /// How often the sector took this edge.
    pub fn edges(&self, sector: u64, edge: &str) -> usize {
        self.database.sectors[&sector].log.iter().filter(|e| e.event == edge).count()
    }

    pub fn describe(&self) -> String {
        let now = self.clock();
        let sectors = self.core().sectors();
        let lines = sectors.map(|s| format!("{} {}: {}", s.number, s.state, self.core().waiting_for(s.number, now)));
        lines.collect::<Vec<_>>().join("\n")
    }
}

impl Database {
    fn apply(&mut self, row: RowChange) {
        match row {
            RowChange::PutSector(sector) => drop(self.sectors.insert(sector.number, *sector)),
            RowChange::PutTask(task) => drop(self.tasks.insert(task.id, *task)),
            RowChange::DeleteTask(id) => drop(self.tasks.remove(&id)),
            RowChange::PutFence(fence) => {
                let before = self.fences.insert(fence.task, fence);
                assert!(before.is_none_or(|b| b.up_to_number <= fence.up_to_number), "a fence never goes back");
            }
            RowChange::DeleteFence(id) => drop(self.fences.remove(&id)),
            RowChange::PutWorker(row) => drop(self.workers.insert(row.worker.clone(), row)),
            RowChange::DeleteWorker(id) => drop(self.workers.remove(&id)),
            RowChange::PutPin(pin) => drop(self.pins.insert(pin.sector, pin)),
            RowChange::DeletePin(sector) => drop(self.pins.remove(&sector)),
            RowChange::PutWin(win) => assert!(self.wins.insert(win.epoch, *win).is_none(), "one proof for an epoch"),
            RowChange::DeleteWin(epoch) => drop(self.wins.remove(&epoch)),
            RowChange::PutPartition(row) => drop(self.partitions.insert(row.key(), *row)),
            RowChange::DeletePartition(key) => {
                assert!(self.partitions.remove(&key).is_some(), "only what is there is deleted");
            }
            RowChange::AddFinished(finished) => self.history.push(*finished),
            RowChange::PutCounters(counters) => {
                assert!(counters.next_task >= self.counters.next_task, "counters never go back");
                self.counters = counters;
            }
        }
    }

    pub fn rows(&self) -> Rows {
        Rows {
            sectors: self.sectors.values().cloned().collect(),
            tasks: self.tasks.values().cloned().collect(),
            fences: self.fences.values().copied().collect(),
            counters: self.counters,
            workers: self.workers.values().cloned().collect(),
            pins: self.pins.values().cloned().collect(),
            wins: self.wins.values().cloned().collect(),
            partitions: self.partitions.values().cloned().collect(),
        }
    }
}
