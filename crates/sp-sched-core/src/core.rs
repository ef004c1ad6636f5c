//! The state of the scheduler, and the way an event takes through it.

use std::collections::{BTreeMap, BTreeSet};

use sp_types::{AttemptId, ChainEpoch, SessionId, TaskId, WorkerId};

use crate::chain::ChainWait;
use crate::config::Config;
use crate::effect::Effect;
use crate::event::{Event, Progress, RequestId, TaskDone};
use crate::facts::Facts;
use crate::model::{Attempt, Counters, FenceRow, Rows, Sector, Task, UnixMs};
use crate::out::Out;
use crate::post_job::PostJob;
use crate::recover::Retries;
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
    pub(crate) workers: BTreeMap<WorkerId, Worker>,
    pub(crate) facts: Facts,
    pub(crate) chain: BTreeMap<u64, ChainWait>,
    pub(crate) retries: Retries,
    pub(crate) posts: BTreeMap<RequestId, PostJob>,
    pub(crate) untidy: BTreeSet<u64>,
    pub(crate) out: Out,
    pub(crate) replan: bool,
    pub(crate) next_due: Option<UnixMs>,
}

/// What memory adds to a durable attempt.
#[derive(Debug, Clone)]
pub(crate) struct Live {
    /// Last report of its worker.
    pub(crate) progress: Option<Progress>,
    /// The session that it was sent to, and when.
    pub(crate) sent: Option<(SessionId, UnixMs)>,
    /// Times it was sent again because its worker did not list it.
    pub(crate) resends: u32,
    /// When its worker last listed it.
    pub(crate) seen: UnixMs,
    /// When the index was last asked to reserve for it.
    pub(crate) asked: UnixMs,
    /// Its lease is lost.
    pub(crate) orphan: Option<Orphan>,
    /// Its result waits for the verifier.
    pub(crate) verifying: Option<Verifying>,
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
}

/// A fence and since when it has been there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fence {
    pub(crate) row: FenceRow,
    pub(crate) since: UnixMs,
}

impl Live {
    pub(crate) fn new(now: UnixMs) -> Self {
        Self { progress: None, sent: None, resends: 0, seen: now, asked: now, orphan: None, verifying: None }
    }
}

impl Core {
    /// Takes up where the rows leave off. Every lease counts from now. The effects ask the chain again for the sectors
    /// that wait for it; reservations and fences are repeated when the index connects.
    pub fn restore(config: Config, rows: Rows, now: UnixMs) -> (Self, Vec<Effect>) {
        let Rows { sectors, tasks, fences, counters } = rows;
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
            workers: BTreeMap::new(),
            facts: Facts::default(),
            chain: BTreeMap::new(),
            retries: Retries::default(),
            posts: BTreeMap::new(),
            untidy: BTreeSet::new(),
            out: Out::default(),
            replan: true,
            next_due: None,
        };
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
        if self.next_due.is_some_and(|due| due <= self.now) {
            self.replan = true;
        }
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
            Event::Renewed { worker, session, attempts, capacity } => {
                self.on_renewed(&worker, &session, attempts, capacity);
            }
            Event::Result { worker, result } => self.on_result(&worker, *result),
            Event::IndexSnapshotBegin => self.facts.begin(),
            Event::IndexSnapshotEnd => self.on_index_back(),
            Event::IndexLost => self.facts.lose(),
            Event::Store(fact) => self.facts.put_store(fact),
            Event::StoreGone(id) => self.facts.drop_store(&id),
            Event::Replica { id, size_bytes, primary } => self.on_replica(id, size_bytes, primary),
            Event::ReplicaGone(id) => self.on_replica_gone(&id),
            Event::Reserved { attempt, refused } => self.on_reserved(attempt, refused),
            Event::Verified { attempt, verdict } => self.on_verified(attempt, verdict),
            Event::Chain { sector, reply } => self.on_chain(sector, reply),
            Event::Epoch(epoch) => self.epoch = epoch,
            Event::Wake => {}
        }
    }

    /// Everything that follows from the new state: what is due, what can be placed, what can be thrown away.
    fn settle(&mut self) -> Vec<Effect> {
        self.run_timers();
        if std::mem::take(&mut self.replan) {
            self.place_all();
            self.drive_posts();
        }
        self.collect_garbage();
        if cfg!(debug_assertions) {
            self.check_laws();
        }
        // Whatever is due now has been done; the margin keeps a mistake from becoming a busy loop.
        let again = self.replan.then_some(self.now);
        self.next_due = self.earliest_due().into_iter().chain(again).min().map(|due| due.max(self.now.plus(10)));
        self.finish(self.next_due)
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

    pub(crate) fn worker_name(&self, worker: &WorkerId) -> String {
        self.workers.get(worker).map_or_else(|| worker.to_string(), |w| w.reg.name.clone())
    }
}
