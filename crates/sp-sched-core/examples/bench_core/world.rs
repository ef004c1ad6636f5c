//! What is around the core in a measurement: an index, workers, a chain and a verifier that answer at once.
//!
//! Only `Core::step` is timed; answers wait until `settle` hands them in, so that a caller decides what it measures.

use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

use sp_sched_core::Core;
use sp_sched_core::effect::{Assignment, ChainCall, Effect};
use sp_sched_core::event::{ChainReply, Event, Phase, Progress, Request, RequestId};
use sp_sched_core::model::UnixMs;
use sp_types::{AttemptId, ChainEpoch, DeadlineIndex, HostCapacity, PartitionIndex, TaskKind, WorkerId};

use crate::clock::{Cost, timed};
use crate::fleet::{SIZE, Site};
use crate::plan::{self, Planned};
use crate::work;

/// What a step leaves over is taken up this much later at most.
const PUT_OFF_MS: u64 = 10;

/// Kinds of events, as the tables name them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// `Request::Pledge` or `Request::AddPiece`.
    NewTask,
    /// `Renewed` with every attempt held and the same figures as before.
    Heartbeat,
    /// The same with other figures of the host.
    LiveFigures,
    /// `Result`.
    Result,
    /// `Reserved`.
    Granted,
    /// `Store`, `Replica`, `ReplicaGone`.
    Fact,
    /// `Verified`.
    Verdict,
    /// `Chain`.
    Chain,
    /// `Wake`.
    Wake,
    /// `WorkerRegistered`.
    Registered,
    /// Anything else.
    Other,
}

/// The core and everything that answers it.
#[derive(Clone)]
pub(crate) struct World {
    core: Core,
    now: UnixMs,
    sites: Rc<Vec<Site>>,
    plan: Rc<Vec<Planned>>,
    numbers: Rc<HashMap<WorkerId, usize>>,
    /// What each worker has, the oldest first; `hold` is taken off what may compute.
    running: Vec<VecDeque<Assignment>>,
    answers: VecDeque<Event>,
    wake_at: Option<UnixMs>,
    last_request: u64,
    generation: u32,
    /// Attempts that were made.
    pub(crate) placed: usize,
    /// Every timed step.
    pub(crate) log: Vec<(Kind, Cost)>,
    /// Results among them, by the task.
    pub(crate) results: Vec<(TaskKind, Cost)>,
}

impl World {
    /// Takes up where the rows of the plan leave off; nobody has connected yet.
    pub(crate) fn new(sites: Vec<Site>, plan: Vec<Planned>) -> Self {
        let config = plan::config();
        let rows = plan::rows(&config, &plan);
        let (core, effects) = Core::restore(config, rows, plan::START);
        let numbers = sites.iter().enumerate().map(|(at, site)| (site.worker(), at)).collect();
        let mut world = Self {
            core,
            now: plan::START,
            running: vec![VecDeque::new(); sites.len()],
            sites: Rc::new(sites),
            plan: Rc::new(plan),
            numbers: Rc::new(numbers),
            answers: VecDeque::new(),
            wake_at: None,
            last_request: 0,
            generation: 0,
            placed: 0,
            log: Vec::new(),
            results: Vec::new(),
        };
        world.take(effects);
        world
    }

    /// Everything connected, everything that can be placed placed: every worker is full and the rest waits.
    pub(crate) fn full(sites: Vec<Site>, plan: Vec<Planned>) -> Self {
        let mut world = Self::new(sites, plan);
        world.register_all(|site| site.capacity.clone());
        world.connect_index();
        world.let_it_end();
        world.settle();
        world.log.clear();
        world
    }

    /// The core alone.
    pub(crate) fn into_core(self) -> Core {
        self.core
    }

    /// Tasks that nobody has.
    pub(crate) fn queued(&self) -> usize {
        let running: usize = self.running.iter().map(VecDeque::len).sum();
        self.plan.iter().filter(|p| !p.idle).count().saturating_sub(running)
    }

    /// Attempts that compute.
    pub(crate) fn computing(&self) -> impl Iterator<Item = &Assignment> {
        self.running.iter().flatten().filter(|a| !a.hold)
    }

    // === events ===

    /// One timed step; what it asks for is answered by the next `settle`.
    pub(crate) fn step(&mut self, kind: Kind, event: Event) -> Cost {
        let now = self.now;
        let (effects, cost) = timed(|| self.core.step(now, event));
        self.log.push((kind, cost));
        self.take(effects);
        cost
    }

    /// Hands in every answer, and the answers to what follows from them.
    pub(crate) fn settle(&mut self) {
        while let Some(event) = self.answers.pop_front() {
            self.step(kind_of(&event), event);
        }
    }

    /// Lets the core end what it has put off to a later step because one step had too much of it.
    pub(crate) fn let_it_end(&mut self) -> Cost {
        let mut cost = Cost::default();
        while let Some(at) = self.wake_at.filter(|at| *at <= self.now.plus(PUT_OFF_MS)) {
            (self.now, self.wake_at) = (self.now.max(at), None);
            cost = [cost, self.step(Kind::Wake, Event::Wake)].into_iter().sum();
        }
        cost
    }

    /// The index connects: every store, every file, and the end of its snapshot, which is what is returned.
    pub(crate) fn connect_index(&mut self) -> Cost {
        self.step(Kind::Other, Event::IndexSnapshotBegin);
        let (sites, plan) = (self.sites.clone(), self.plan.clone());
        for site in sites.iter() {
            self.step(Kind::Fact, Event::Store(Box::new(site.store_fact())));
        }
        for (planned, number) in plan.iter().zip(0u64..) {
            let store = sites[planned.holder].store();
            for event in plan::facts(number, *planned, &store) {
                self.step(Kind::Fact, event);
            }
        }
        self.step(Kind::Other, Event::IndexSnapshotEnd)
    }

    /// Every worker registers, with the capacity that it is said to have; what those steps took.
    pub(crate) fn register_all(&mut self, capacity: impl Fn(&Site) -> HostCapacity) -> Cost {
        let sites = self.sites.clone();
        let register = |site: &Site| {
            let registration = site.registration(capacity(site));
            self.step(Kind::Registered, Event::WorkerRegistered(Box::new(registration)))
        };
        sites.iter().map(register).sum()
    }

    /// A worker renews its lease and lists what it holds.
    pub(crate) fn renew(&mut self, worker: usize, kind: Kind, capacity: HostCapacity) -> Cost {
        let attempts = self.running[worker].iter().map(progress).collect();
        let site = &self.sites[worker];
        let (worker, session) = (site.worker(), site.session());
        self.step(kind, Event::Renewed { worker, session, attempts, capacity: Some(capacity), limits: None })
    }

    /// What its host has when nothing else runs there.
    pub(crate) fn capacity(&self, worker: usize) -> HostCapacity {
        self.sites[worker].capacity.clone()
    }

    /// An operator wants a sector: every second one for a piece.
    pub(crate) fn ask_for_sector(&mut self) {
        self.last_request += 1;
        let id = self.last_request;
        let request = match id % 2 {
            0 => Request::Pledge { count: 1, priority: None },
            _ => Request::AddPiece { data: plan::data([6; 32], format!("new-{id}.car")), priority: None },
        };
        self.step(Kind::NewTask, Event::Request(RequestId(id), request));
    }

    /// The oldest attempt of this kind (or, if there is none, of any kind) that a worker computes ends well: its files
    /// appear in the index, then comes its result.
    pub(crate) fn finish(&mut self, worker: usize, kind: TaskKind) {
        let held = &mut self.running[worker];
        let oldest = |of: &dyn Fn(&Assignment) -> bool| held.iter().position(|a| !a.hold && of(a));
        let Some(oldest) = oldest(&|a| a.task == kind).or_else(|| oldest(&|_| true)) else { return };
        let Some(assignment) = held.remove(oldest) else { return };
        self.generation += 1;
        let (facts, result) = work::done(&assignment, self.generation);
        for event in facts {
            self.step(Kind::Fact, event);
        }
        let (worker, task) = (self.sites[worker].worker(), assignment.task);
        let cost = self.step(Kind::Result, Event::Result { worker, result: Box::new(result) });
        self.results.push((task, cost));
    }

    /// Time goes on; what was to happen by then happens.
    pub(crate) fn advance(&mut self, ms: u64) {
        self.now = self.now.plus(ms);
        if self.wake_at.is_some_and(|at| at <= self.now) {
            self.wake_at = None;
            self.step(Kind::Wake, Event::Wake);
        }
    }

    // === effects ===

    fn take(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Reserve { attempt, presented: false, .. } => {
                    self.placed += 1;
                    self.answers.push_back(Event::Reserved { attempt, refused: None });
                }
                Effect::Assign { worker, assignment } => {
                    self.running[self.numbers[&worker]].push_back(*assignment);
                }
                Effect::Start { worker, attempt, .. } => self.start(&worker, attempt),
                Effect::Cancel { worker, attempt, .. } | Effect::Yield { worker, attempt, .. } => {
                    self.forget(&worker, attempt)
                }
                Effect::VerifySeal(seal) => {
                    self.answers.push_back(Event::Verified { attempt: seal.attempt, verdict: Ok(true) });
                }
                Effect::Chain { sector, call } => {
                    self.answers.push_back(Event::Chain { sector, reply: chain_reply(sector, &call) });
                }
                Effect::DeleteReplica { replica, .. } => self.answers.push_back(Event::ReplicaGone(replica)),
                Effect::WakeAt(at) => self.wake_at = Some(at),
                _ => {}
            }
        }
    }

    fn start(&mut self, worker: &WorkerId, attempt: AttemptId) {
        let held = &mut self.running[self.numbers[worker]];
        held.iter_mut().filter(|a| a.attempt == attempt).for_each(|a| a.hold = false);
    }

    fn forget(&mut self, worker: &WorkerId, attempt: AttemptId) {
        if let Some(number) = self.numbers.get(worker) {
            self.running[*number].retain(|a| a.attempt != attempt);
        }
    }
}

fn progress(assignment: &Assignment) -> Progress {
    let phase = if assignment.hold { Phase::Prepared } else { Phase::Running };
    Progress { attempt: assignment.attempt, phase, fraction: 0.5, detail: String::new() }
}

fn kind_of(event: &Event) -> Kind {
    match event {
        Event::Reserved { .. } => Kind::Granted,
        Event::Verified { .. } => Kind::Verdict,
        Event::Chain { .. } => Kind::Chain,
        Event::Replica { .. } | Event::ReplicaGone(_) | Event::Store(_) => Kind::Fact,
        _ => Kind::Other,
    }
}

fn chain_reply(sector: u64, call: &ChainCall) -> ChainReply {
    match call {
        ChainCall::Ticket => ChainReply::Ticket { ticket: [3; 32], epoch: ChainEpoch(1_000) },
        ChainCall::PreCommit { .. } => ChainReply::PreCommitted { seed_epoch: ChainEpoch(1_150) },
        ChainCall::Seed { epoch } => ChainReply::Seed { seed: [4; 32], epoch: *epoch },
        ChainCall::Commit { .. } => {
            let deadline = DeadlineIndex((sector % u64::from(DeadlineIndex::COUNT)) as u32);
            let partition = sector / u64::from(DeadlineIndex::COUNT) / SIZE.sectors_per_partition() as u64;
            ChainReply::Committed { deadline, partition: PartitionIndex(partition as u32) }
        }
    }
}
