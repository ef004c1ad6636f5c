//! The rules of the index as a state machine: events in; rows to make durable and messages to send afterwards out.
//!
//! No clock, no network, no disk: the service around it makes the rows durable first and sends the messages then.

mod catalogue;
mod choose;
#[cfg(test)]
mod choose_tests;
#[cfg(test)]
mod declare_tests;
mod deletes;
mod fences;
mod locking;
#[cfg(test)]
mod locking_tests;
mod locks;
#[cfg(test)]
mod locks_tests;
mod model;
mod replicas;
mod reserve;
mod stores;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use sp_env::Monotonic;
use sp_types::{AttemptId, ErrorCode, ReplicaInfo, SectorId, StoreId};

use catalogue::Catalogue;
pub(crate) use choose::{AllocStore, Allocate, Allocated, Fetch, Find, FoundStore, PathUse};
use deletes::Deletes;
use fences::Fences;
pub(crate) use locks::Lock;
use locks::Locks;
pub(crate) use model::{
    ConnId, DeclareEnd, Effect, Fact, FromScheduler, FromWorker, Health, Place, Refusal, ReplicaCounts, ReserveItem,
    RowChange, Settings, StoreFact, Stored, ToWorker, Wish, WorkerHello,
};
use model::{Report, Store, Worker};
use reserve::Reservations;

/// Times that the rules depend on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timing {
    /// A store without a report for this long is unhealthy.
    pub(crate) stale_ms: u64,
    /// A delete without an answer is sent again after this long.
    pub(crate) delete_retry_ms: u64,
    /// A delete for which nobody has the store is given up after this long.
    pub(crate) delete_wait_ms: u64,
}

impl Default for Timing {
    fn default() -> Self {
        Self { stale_ms: 30_000, delete_retry_ms: 10_000, delete_wait_ms: 600_000 }
    }
}

/// The whole index.
pub(crate) struct Core {
    timing: Timing,
    now: Monotonic,
    stores: BTreeMap<StoreId, Store>,
    /// When each holder last reported on each store, until that is too long ago.
    reports: BTreeSet<(Monotonic, StoreId, ConnId)>,
    replicas: Catalogue,
    /// Rises with every declaration of a store that begins.
    turn: u64,
    reservations: Reservations,
    fences: Fences,
    locks: Locks,
    /// Attempts that the scheduler has presented since it has come.
    presented: BTreeSet<AttemptId>,
    /// A scheduler has presented all that goes on, since this index has started.
    is_told: bool,
    workers: BTreeMap<ConnId, Worker>,
    scheduler: Option<ConnId>,
    deletes: Deletes,
    /// Stores whose fact may have changed in this event.
    dirty: BTreeSet<StoreId>,
    rows: Vec<RowChange>,
    effects: Vec<Effect>,
}

impl Core {
    /// An empty one.
    pub(crate) fn new(timing: Timing) -> Self {
        Self {
            timing,
            now: Monotonic(0),
            stores: BTreeMap::new(),
            reports: BTreeSet::new(),
            replicas: Catalogue::default(),
            turn: 0,
            reservations: Reservations::default(),
            fences: Fences::default(),
            locks: Locks::default(),
            presented: BTreeSet::new(),
            is_told: false,
            workers: BTreeMap::new(),
            scheduler: None,
            deletes: Deletes::default(),
            dirty: BTreeSet::new(),
            rows: Vec::new(),
            effects: Vec::new(),
        }
    }

    /// Takes back what the last run left durable, each row once, before anything happens.
    pub(crate) fn restore(&mut self, row: Stored) {
        match row {
            Stored::Store(settings) => drop(self.stores.insert(settings.id.clone(), Store::new(settings))),
            Stored::Replica(replica) => drop(self.replicas.put(&replica, self.turn)),
            Stored::Reservation(attempt, items) => self.reservations.insert(attempt, items),
            Stored::Fence(task, up_to) => self.fences.restore(task, up_to),
            Stored::Lock(lock) => self.locks.restore(lock),
        }
    }

    /// The rows to make durable, and then the effects, of all events since the last call.
    pub(crate) fn take(&mut self) -> (Vec<RowChange>, Vec<Effect>) {
        (std::mem::take(&mut self.rows), std::mem::take(&mut self.effects))
    }

    /// A worker has connected. An older connection of the same worker is closed.
    pub(crate) fn worker_open(&mut self, now: Monotonic, conn: ConnId, hello: WorkerHello) {
        self.now = now;
        let older = self.workers.iter().find(|(_, w)| w.hello.worker == hello.worker).map(|(conn, _)| *conn);
        if let Some(older) = older {
            let reason = Refusal::new(ErrorCode::Cancelled, "a newer session of this worker has replaced this one");
            self.effects.push(Effect::Close(older, reason));
            self.forget_worker(older);
        }
        self.workers.insert(conn, Worker { hello, declaring: BTreeMap::new() });
        self.tell_worker(conn, ToWorker::Welcome);
        self.tell_fences(conn);
        self.flush();
    }

    /// A connection has ended.
    pub(crate) fn closed(&mut self, now: Monotonic, conn: ConnId) {
        self.now = now;
        if self.scheduler == Some(conn) {
            self.scheduler = None;
        }
        self.forget_worker(conn);
        self.flush();
    }

    /// A worker's message. One of a connection that is gone is dropped.
    pub(crate) fn worker(&mut self, now: Monotonic, conn: ConnId, message: FromWorker) {
        self.now = now;
        if !self.workers.contains_key(&conn) {
            return;
        }
        match message {
            FromWorker::Attach(settings, health) => self.attach(conn, settings, health),
            FromWorker::Declare { request, replicas, attempt } => self.declare(conn, request, replicas, attempt),
            FromWorker::DeclareEnd(end) => self.declare_end(conn, &end),
            FromWorker::Undeclare(replicas) => self.undeclare(conn, &replicas),
            FromWorker::Health(store, health) => self.report(conn, &store, health),
            FromWorker::DeleteDone { request, failed } => self.delete_done(conn, request, failed),
            FromWorker::Detach { store, request } => self.detach(conn, &store, request),
            FromWorker::Leave => self.leave(conn),
        }
        self.flush();
    }

    /// A scheduler has connected; the one before is closed. It gets everything, then what changes.
    pub(crate) fn scheduler_open(&mut self, now: Monotonic, conn: ConnId) {
        self.now = now;
        if let Some(older) = self.scheduler.replace(conn) {
            let reason = Refusal::new(ErrorCode::Cancelled, "a newer session of the scheduler has replaced this one");
            self.effects.push(Effect::Close(older, reason));
        }
        let mut facts = vec![Fact::SnapshotBegin];
        for id in self.stores.keys().cloned().collect::<Vec<_>>() {
            let fact = self.fact(&id);
            facts.extend(fact.clone().map(|f| Fact::Store(Box::new(f))));
            if let Some(store) = self.stores.get_mut(&id) {
                store.told = fact;
            }
        }
        facts.extend(self.replicas.iter().map(Fact::Replica));
        facts.push(Fact::SnapshotEnd);
        self.presented.clear();
        self.effects.push(Effect::Scheduler(conn, facts));
        self.flush();
    }

    /// The scheduler's message. One of a session that has been replaced is dropped.
    pub(crate) fn scheduler(&mut self, now: Monotonic, conn: ConnId, message: FromScheduler) {
        self.now = now;
        if self.scheduler != Some(conn) {
            return;
        }
        match message {
            FromScheduler::Reserve(wish) => self.reserve(wish),
            FromScheduler::Presented => self.end_presenting(),
            FromScheduler::Release(attempt) => {
                self.release(attempt);
                self.unlock(attempt);
            }
            FromScheduler::Fence { task, up_to } => self.fence(task, up_to),
            FromScheduler::Delete { request, replica, reason } => self.delete(conn, request, replica, reason),
        }
        self.flush();
    }

    /// Time has passed: reports grow stale, deletes are sent again.
    pub(crate) fn tick(&mut self, now: Monotonic) {
        self.now = now;
        self.find_stale();
        self.repeat_deletes();
        self.flush();
    }

    /// Every store.
    pub(crate) fn list_stores(&self) -> Vec<StoreFact> {
        self.stores.keys().filter_map(|id| self.fact(id)).collect()
    }

    /// How many replicas of each kind lie on each store.
    pub(crate) fn count_replicas(&self) -> ReplicaCounts {
        self.replicas.counts()
    }

    /// What lies on a store, of so many sectors behind this one, by sector and kind; and whether there are more.
    pub(crate) fn page(
        &self,
        store: &StoreId,
        after: Option<SectorId>,
        sectors_max: usize,
    ) -> (Vec<ReplicaInfo>, bool) {
        self.replicas.page(store, after, sectors_max)
    }

    /// Every replica of a sector, by kind and store.
    pub(crate) fn find_sector(&self, sector: SectorId) -> Vec<ReplicaInfo> {
        self.replicas.of_sector(sector)
    }

    fn tell_worker(&mut self, conn: ConnId, message: ToWorker) {
        self.effects.push(Effect::Worker(conn, message));
    }

    fn tell_scheduler(&mut self, fact: Fact) {
        if let Some(conn) = self.scheduler {
            self.effects.push(Effect::Scheduler(conn, vec![fact]));
        }
    }

    fn forget_worker(&mut self, conn: ConnId) {
        if self.workers.remove(&conn).is_none() {
            return;
        }
        for id in self.stores.keys().cloned().collect::<Vec<_>>() {
            if self.drop_holder(conn, &id) {
                self.dirty.insert(id);
            }
        }
        self.deletes_lost(conn);
    }
}
