//! The state of the scheduler, and the way an event takes through it.

use std::collections::{BTreeMap, BTreeSet};

use sp_types::{AttemptId, ChainEpoch, HostId, SessionId, StoreId, TaskId, WorkerId};

use crate::account::HostAccount;
use crate::chain::ChainWait;
use crate::config::Config;
use crate::control::Asides;
use crate::data_cid::DataCid;
use crate::effect::Effect;
use crate::event::{Event, TaskDone};
use crate::facts::{Facts, Replica};
use crate::groups::Filling;
use crate::homes::Homes;
use crate::learn::Learned;
use crate::lookup::Lookup;
use crate::model::{Attempt, AttemptState, Counters, FenceRow, Pin, Rows, Sector, Task, UnixMs, WinRow, WorkerRow};
use crate::observe::Observation;
use crate::open::Open;
use crate::out::Out;
use crate::place::Binding;
use crate::proving::day::Day;
use crate::proving::job::{PostId, PostJob};
use crate::proving::row::PartitionKey;
use crate::queue::{Class, Queue, Rank};
use crate::timers::{Bell, Timers};
use crate::workers::Worker;

/// The scheduler. Feed it events with `step`; look at it through the views.
///
/// Sectors, tasks, fences and counters are durable rows; everything else is memory and is learned anew after a restart.
#[derive(Debug, Clone)]
pub struct Core {
    pub(crate) config: Config,
    pub(crate) now: UnixMs,
    pub(crate) restored: UnixMs,
    pub(crate) epoch: ChainEpoch,
    pub(crate) counters: Counters,
    pub(crate) sectors: BTreeMap<u64, Sector>,
    pub(crate) tasks: BTreeMap<TaskId, Task>,
    pub(crate) fences: BTreeMap<TaskId, Fence>,
    pub(crate) live: BTreeMap<AttemptId, Live>,
    pub(crate) hints: BTreeMap<TaskId, Hints>,
    pub(crate) worker_rows: BTreeMap<WorkerId, WorkerRow>,
    pub(crate) pins: BTreeMap<u64, Pin>,
    pub(crate) wins: BTreeMap<ChainEpoch, WinRow>,
    pub(crate) workers: BTreeMap<WorkerId, Worker>,
    pub(crate) facts: Facts,
    pub(crate) chain: BTreeMap<u64, ChainWait>,
    /// Openings that are watched.
    pub(crate) day: Day,
    pub(crate) posts: BTreeMap<PostId, PostJob>,
    /// Partitions that have a row.
    pub(crate) durable_parts: BTreeSet<PartitionKey>,
    pub(crate) data_cids: BTreeMap<TaskId, DataCid>,
    pub(crate) untidy: BTreeSet<u64>,
    pub(crate) homes: Homes,
    pub(crate) lookup: Lookup,
    pub(crate) timers: Timers,
    pub(crate) queue: Queue,
    /// Classes of tasks seen since the start.
    pub(crate) classes: BTreeSet<Class>,
    pub(crate) open: Open,
    pub(crate) hosts: BTreeMap<HostId, HostAccount>,
    /// Tasks in windows, and the same in the order of the queue by class.
    pub(crate) bound: BTreeMap<TaskId, Binding>,
    pub(crate) waiting: BTreeMap<Class, BTreeSet<Rank>>,
    /// Bytes promised on stores whose figures do not know of them yet.
    pub(crate) asked: BTreeMap<StoreId, u64>,
    /// Tasks whose inputs nobody has at the moment.
    pub(crate) starved: BTreeSet<TaskId>,
    pub(crate) asides: Asides,
    pub(crate) asides_until: BTreeSet<(UnixMs, WorkerId)>,
    pub(crate) learned: Learned,
    /// When groups that are being filled start at the latest.
    pub(crate) groups_until: BTreeSet<(UnixMs, WorkerId)>,
    /// Hosts on which sealing makes way for a PoSt, and why.
    pub(crate) yielding: BTreeMap<HostId, String>,
    pub(crate) takers_of_pc2: usize,
    /// Choices made so far, for seeded draws.
    pub(crate) drawn: u64,
    /// Events handled since the start.
    pub(crate) steps: u64,
    /// Fences of tasks that are over, by age.
    pub(crate) over: BTreeSet<(UnixMs, TaskId)>,
    pub(crate) dirty: Dirty,
    pub(crate) out: Out,
    /// PoSt has to be looked at.
    pub(crate) replan: bool,
    /// What this step has seen, for figures.
    pub(crate) observed: Vec<Observation>,
}

/// What has changed in this step, so that only that is looked at again.
#[derive(Debug, Clone, Default)]
pub(crate) struct Dirty {
    /// Tasks that may have to be queued, offered or left alone.
    pub(crate) tasks: BTreeSet<TaskId>,
    /// Workers that may take more, or less.
    pub(crate) workers: BTreeSet<WorkerId>,
    /// Workers that were given something.
    pub(crate) turns: BTreeSet<WorkerId>,
    /// Hosts whose account has to be summed up.
    pub(crate) hosts: BTreeSet<HostId>,
    /// Hosts of which only the live figures are others: what runs there takes of them what it took.
    pub(crate) figures: BTreeSet<HostId>,
    /// A worker came or went.
    pub(crate) takers: bool,
    /// Fewer tasks wait for PC2.
    pub(crate) relief: bool,
}

/// Rounds of placement in one step at most; what is left then is taken up 10 ms later.
const ROUNDS: usize = 64;

/// What memory adds to a durable attempt.
#[derive(Debug, Clone)]
pub(crate) struct Live {
    /// The session that it was sent to, and when.
    pub(crate) sent: Option<(SessionId, UnixMs)>,
    /// Times it was sent again because its worker did not list it.
    pub(crate) resends: u32,
    /// When it last came to the worker that has it: reports are newer.
    pub(crate) seen: UnixMs,
    /// When the index was last asked to reserve for it.
    pub(crate) asked: UnixMs,
    /// Times it was asked.
    pub(crate) asks: u32,
    /// Its lease is lost.
    pub(crate) orphan: Option<Orphan>,
    /// Its result waits for the verifier.
    pub(crate) verifying: Option<Box<Verifying>>,
    /// When it might begin to compute.
    pub(crate) started: UnixMs,
    /// The host that it fetches from, and how many bytes.
    pub(crate) fetches: Option<(HostId, u64)>,
    /// It waits for its group.
    pub(crate) filling: Option<Filling>,
}

/// An attempt whose worker does not renew its lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Orphan {
    /// From this time on another worker may have its task.
    pub(crate) until: UnixMs,
}

/// A result on its way through the verifier.
#[derive(Debug, Clone)]
pub(crate) struct Verifying {
    pub(crate) done: TaskDone,
    /// When to ask (again).
    pub(crate) ask_at: UnixMs,
    /// Times the verifier could not decide.
    pub(crate) failures: u32,
    pub(crate) reason: String,
}

/// What memory adds to a durable task.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hints {
    /// Failures by worker: others are preferred.
    pub(crate) here: BTreeMap<WorkerId, u32>,
    /// Refused reservations in a row.
    pub(crate) refusals: u32,
    /// Attempts that vanished with their worker's process.
    pub(crate) losses: u32,
    /// Attempts that failed for their inputs though every holder was there.
    pub(crate) input_failures: u32,
    /// Attempts that failed because somebody else was away or full.
    pub(crate) soft_failures: u32,
    /// Since when nobody has its inputs.
    pub(crate) inputs_missing_since: Option<UnixMs>,
    /// Its last attempt made way for a PoSt: which, and what that cost.
    pub(crate) yielded: Option<String>,
}

/// A fence and since when it has been there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fence {
    pub(crate) row: FenceRow,
    pub(crate) since: UnixMs,
}

impl Live {
    pub(crate) fn new(now: UnixMs) -> Self {
        Self {
            sent: None,
            resends: 0,
            seen: now,
            asked: now,
            orphan: None,
            verifying: None,
            started: now,
            fetches: None,
            filling: None,
            asks: 0,
        }
    }
}

impl Core {
    /// Takes up where the rows leave off. Every lease counts from now. The effects ask the chain again for the sectors
    /// that wait for it; reservations and fences are repeated when the index connects.
    pub fn restore(config: Config, rows: Rows, now: UnixMs) -> (Self, Vec<Effect>) {
        let Rows { mut sectors, mut tasks, fences, counters, workers, pins, wins, partitions } = rows;
        tasks.iter_mut().for_each(|task| task.fit_clock(now, config.retry_wait_max_ms));
        sectors.iter_mut().for_each(|sector| sector.fit_clock(now, &config));
        let live = tasks.iter().flat_map(|t| t.attempts.iter().map(|a| (a.id, Live::new(now)))).collect();
        let mut core = Self {
            config,
            now,
            restored: now,
            epoch: ChainEpoch::default(),
            counters: Counters { next_task: counters.next_task.max(1), next_sector: counters.next_sector },
            sectors: sectors.into_iter().map(|s| (s.number, s)).collect(),
            tasks: tasks.into_iter().map(|t| (t.id, t)).collect(),
            fences: fences.into_iter().map(|row| (row.task, Fence { row, since: now })).collect(),
            live,
            hints: BTreeMap::new(),
            worker_rows: workers.into_iter().map(|w| (w.worker.clone(), w)).collect(),
            pins: pins.into_iter().map(|pin| (pin.sector, pin)).collect(),
            wins: wins.into_iter().map(|win| (win.epoch, win)).collect(),
            workers: BTreeMap::new(),
            facts: Facts::default(),
            chain: BTreeMap::new(),
            day: Day::default(),
            posts: BTreeMap::new(),
            durable_parts: BTreeSet::new(),
            data_cids: BTreeMap::new(),
            untidy: BTreeSet::new(),
            homes: Homes::default(),
            lookup: Lookup::default(),
            timers: Timers::default(),
            queue: Queue::default(),
            classes: BTreeSet::new(),
            open: Open::default(),
            hosts: BTreeMap::new(),
            bound: BTreeMap::new(),
            waiting: BTreeMap::new(),
            asked: BTreeMap::new(),
            starved: BTreeSet::new(),
            asides: Asides::new(),
            asides_until: BTreeSet::new(),
            learned: Learned::default(),
            groups_until: BTreeSet::new(),
            yielding: BTreeMap::new(),
            takers_of_pc2: 0,
            drawn: 0,
            steps: 0,
            over: BTreeSet::new(),
            dirty: Dirty::default(),
            out: Out::default(),
            replan: true,
            observed: Vec::new(),
        };
        core.index_rows();
        core.restore_partitions(partitions);
        core.drop_unwanted_tasks();
        let numbers: Vec<u64> = core.sectors.keys().copied().collect();
        numbers.into_iter().for_each(|number| core.drive(number));
        let effects = core.settle();
        (core, effects)
    }

    /// Takes an event and returns what is to be done for it: rows first, in one batch, then the rest in order.
    pub fn step(&mut self, now: UnixMs, event: Event) -> Vec<Effect> {
        // The machine's clock may be set back; time here never is.
        self.now = self.now.max(now);
        self.observed.clear();
        self.steps += 1;
        self.handle(event);
        self.settle()
    }

    fn handle(&mut self, event: Event) {
        // Renewals and epochs come often and seldom change what can be placed; they say so themselves when they do.
        self.replan |= !matches!(event, Event::Renewed { .. } | Event::Epoch(_) | Event::Wake);
        match event {
            Event::Request(id, request) => self.on_request(id, request),
            Event::WorkerRegistered(registration) => self.on_registered(*registration),
            Event::WorkerDisconnected { worker, session, reason } => self.on_disconnected(&worker, &session, &reason),
            Event::Renewed { worker, session, attempts, capacity, limits } => {
                self.on_renewed(&worker, &session, attempts, (capacity, limits));
            }
            Event::Result { worker, result } => self.on_result(&worker, *result),
            Event::IndexSnapshotBegin => self.facts.begin(),
            Event::IndexSnapshotEnd => self.on_index_back(),
            Event::IndexLost => self.facts.lose(),
            Event::Store(fact) => self.on_store(*fact),
            Event::StoreGone(id) => self.facts.drop_store(&id),
            Event::Replica { id, size_bytes, primary, origin, soundness } => {
                self.on_replica(id, Replica { size_bytes, primary, origin, soundness });
            }
            Event::ReplicaGone(id) => self.on_replica_gone(&id),
            Event::StrayWork { worker, work } => self.on_stray_work(worker, work),
            Event::DeleteFailed { id, failure } => self.on_delete_failed(&id, &failure),
            Event::Reserved { attempt, refused } => self.on_reserved(attempt, refused),
            Event::Verified { attempt, verdict } => self.on_verified(attempt, verdict),
            Event::Chain { sector, reply } => self.on_chain(sector, reply),
            Event::Proving { id, reply } => self.on_proving(id, reply),
            Event::Epoch(head) => self.on_epoch(head),
            Event::Wake => {}
        }
    }

    /// Puts what was read at start into the indexes.
    fn index_rows(&mut self) {
        for task in self.tasks.values() {
            self.lookup.add_task(task);
            self.dirty.tasks.insert(task.id);
            self.classes.extend(self.class_of(task));
            let reserving = task.attempts.iter().filter(|a| a.state == AttemptState::Reserving);
            for slot in reserving.flat_map(|a| &a.outputs) {
                *self.asked.entry(slot.store.clone()).or_default() += slot.reserved_bytes;
            }
        }
        let over = self.fences.iter().filter(|(id, _)| !self.tasks.contains_key(id));
        self.over = over.map(|(id, fence)| (fence.since, *id)).collect();
        for id in self.live.keys().copied().collect::<Vec<_>>() {
            self.wind_attempt(id);
        }
    }

    /// Everything that follows from the new state: what is due, what can be placed, what can be thrown away.
    fn settle(&mut self) -> Vec<Effect> {
        self.run_timers();
        self.place_changed();
        if std::mem::take(&mut self.replan) {
            self.drive_posts();
            self.watch_slack();
            // A worker that proves has less room for sealing.
            self.freshen_accounts();
        }
        self.collect_garbage();
        if !self.dirty.tasks.is_empty() {
            // Files were found where they do not belong.
            self.place_changed();
        }
        self.forget_fences();
        if self.laws_due() {
            self.check_laws();
        }
        if let Some(at) = self.post_due() {
            self.wind(at, Bell::Posts);
        }
        if let Some(at) = self.facts_due() {
            self.wind(at, Bell::Deletes);
        }
        if self.replan || !self.dirty.tasks.is_empty() || !self.dirty.workers.is_empty() {
            self.wind(self.now, Bell::Again);
        }
        let next = self.timers.next();
        self.finish(next)
    }

    /// Places whatever has become placeable, until nothing changes any more.
    fn place_changed(&mut self) {
        for _ in 0..ROUNDS {
            self.freshen_accounts();
            if std::mem::take(&mut self.dirty.takers) {
                self.count_takers();
                self.dirty.relief = true;
                // Where nobody else is left, whoever was put aside has to do.
                self.dirty.workers.extend(self.asides.keys().map(|(worker, _)| worker.clone()));
            }
            if std::mem::take(&mut self.dirty.relief) {
                self.relieve();
            }
            let tasks = std::mem::take(&mut self.dirty.tasks);
            let workers = std::mem::take(&mut self.dirty.workers);
            if tasks.is_empty() && workers.is_empty() {
                break;
            }
            self.place_round(tasks, &workers);
        }
        for id in std::mem::take(&mut self.dirty.turns) {
            if let Some(worker) = self.workers.get_mut(&id) {
                worker.windows.iter_mut().for_each(|w| w.closed = true);
            }
            self.refresh_open(&id);
        }
    }

    fn place_round(&mut self, tasks: BTreeSet<TaskId>, workers: &BTreeSet<WorkerId>) {
        workers.iter().for_each(|id| self.turn(id));
        let mut ready: Vec<Rank> = Vec::new();
        for id in tasks {
            if self.requeue(id) {
                ready.extend(self.tasks.get(&id).map(crate::queue::rank));
            }
        }
        ready.sort();
        ready.into_iter().for_each(|rank| self.offer(rank.4));
        workers.iter().for_each(|id| self.fill(id));
        for id in self.dirty.turns.clone() {
            self.turn(&id);
        }
    }

    /// A new task.
    pub(crate) fn add_task(&mut self, task: Task) {
        let id = task.id;
        self.lookup.add_task(&task);
        if let Some(class) = self.class_of(&task)
            && self.classes.insert(class)
        {
            // Nobody has said yet whether he is open for it.
            self.dirty.workers.extend(self.workers.keys().cloned());
        }
        self.tasks.insert(id, task);
        self.out.tasks.insert(id);
        self.dirty.tasks.insert(id);
    }

    // === ids and lookups ===

    pub(crate) fn next_task_id(&mut self) -> TaskId {
        let id = TaskId(self.counters.next_task);
        self.counters.next_task += 1;
        self.out.counters = true;
        id
    }

    pub(crate) fn attempt(&self, id: AttemptId) -> Option<&Attempt> {
        self.tasks.get(&id.task)?.attempts.iter().find(|a| a.id == id)
    }

    /// For a change: the row becomes part of the step's batch.
    pub(crate) fn sector_mut(&mut self, number: u64) -> Option<&mut Sector> {
        let sector = self.sectors.get_mut(&number)?;
        self.out.sectors.insert(number);
        Some(sector)
    }

    /// For a change: the row becomes part of the step's batch.
    pub(crate) fn task_mut(&mut self, id: TaskId) -> Option<&mut Task> {
        let task = self.tasks.get_mut(&id)?;
        self.out.tasks.insert(id);
        Some(task)
    }

    /// For a change: its task's row becomes part of the step's batch.
    pub(crate) fn attempt_mut(&mut self, id: AttemptId) -> Option<&mut Attempt> {
        self.task_mut(id.task)?.attempts.iter_mut().find(|a| a.id == id)
    }

    pub(crate) fn worker_name(&self, worker: &WorkerId) -> String {
        self.workers.get(worker).map_or_else(|| worker.to_string(), |w| w.reg.name.clone())
    }
}
