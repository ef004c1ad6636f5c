//! The one task that owns the core: takes what came, makes it durable in one batch, then sends what follows.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use sp_env::{CrashPoint, Monotonic, crash_point};
use sp_net::Env;
use sp_net::refusals::{Refusals, Refused};
use sp_proto::v1;
use sp_state::{CommitError, State};
use sp_types::{ErrorCode, ReplicaInfo, SectorId, StoreId};
use tokio::sync::{mpsc, oneshot};
use tonic::Streaming;

use super::session::{SchedulerQueue, Session, WorkerQueue, read};
use crate::core::{
    Allocate, Allocated, ConnId, Core, Effect, Find, FoundStore, FromScheduler, FromWorker, Lock, Refusal,
    ReplicaCounts, RowChange, StoreFact, ToWorker, Wish, WorkerHello,
};
use crate::{rows, wire};

/// Reports grow stale and deletes are repeated with this grain.
const TICK: Duration = Duration::from_secs(1);

/// Messages that share one commit.
const GROUP_MAX: usize = 256;

/// Sectors of one page of a listing: with every kind of file, far below the limit on messages.
const PAGE_SECTORS: usize = 4000;

/// Which part of a store's listing.
pub(super) struct Page {
    pub(super) store: StoreId,
    pub(super) after: Option<SectorId>,
}

/// What reaches the actor.
pub(super) enum Input {
    WorkerOpen {
        hello: WorkerHello,
        messages: Streaming<v1::IndexWorkerMessage>,
        queue: WorkerQueue,
    },
    Worker(ConnId, FromWorker),
    SchedulerOpen {
        messages: Streaming<v1::IndexSchedulerMessage>,
        queue: SchedulerQueue,
    },
    Scheduler(ConnId, FromScheduler),
    /// The peer has ended its side, or said something that makes no sense.
    Closed(ConnId, Option<Refusal>),
    ListStores(oneshot::Sender<(Vec<StoreFact>, ReplicaCounts)>),
    FindSector(SectorId, oneshot::Sender<Vec<ReplicaInfo>>),
    FindStores(Find, oneshot::Sender<Vec<FoundStore>>),
    ListLocks(oneshot::Sender<Vec<Lock>>),
    ListReplicas(Page, oneshot::Sender<(Vec<ReplicaInfo>, bool)>),
    BestAlloc(Allocate, usize, oneshot::Sender<Allocated>),
    Stop,
}

/// See the module.
pub(super) struct Actor {
    env: Env,
    state: Arc<dyn State>,
    core: Core,
    /// For the readers of sessions; weak, so that the actor does not keep itself alive.
    inputs: mpsc::WeakSender<Input>,
    receiver: mpsc::Receiver<Input>,
    sessions: BTreeMap<ConnId, Session>,
    next_conn: u64,
    session_id: Arc<str>,
    health_ms: u64,
    next_tick: Monotonic,
    stopping: bool,
    /// An attempt's declaration is in this group.
    declaring: bool,
    refusals: Refusals,
}

impl Actor {
    pub(super) fn new(
        env: Env,
        state: Arc<dyn State>,
        core: Core,
        inputs: mpsc::WeakSender<Input>,
        receiver: mpsc::Receiver<Input>,
        health_ms: u64,
        refusals: Refusals,
    ) -> Self {
        Self {
            session_id: env.uuid().into(),
            next_tick: env.clock.monotonic(),
            env,
            state,
            core,
            inputs,
            receiver,
            sessions: BTreeMap::new(),
            next_conn: 1,
            health_ms,
            stopping: false,
            declaring: false,
            refusals,
        }
    }

    /// Runs until nobody can reach it any more, or the state fails.
    pub(super) async fn run(mut self) -> Result<(), CommitError> {
        loop {
            let wait_ms = self.next_tick.since_ms(self.env.clock.monotonic()).max(1);
            match self.env.timeout(Duration::from_millis(wait_ms), self.receiver.recv()).await {
                Ok(Some(input)) => self.take_group(input),
                Ok(None) => return Ok(()),
                Err(_) => {}
            }
            let now = self.env.clock.monotonic();
            if now >= self.next_tick {
                self.core.tick(now);
                self.next_tick = Monotonic(now.0 + TICK.as_millis() as u64);
            }
            self.settle().await?;
        }
    }

    fn take_group(&mut self, first: Input) {
        self.handle(first);
        for _ in 1..GROUP_MAX {
            match self.receiver.try_recv() {
                Ok(input) => self.handle(input),
                Err(_) => return,
            }
        }
    }

    fn handle(&mut self, input: Input) {
        let now = self.env.clock.monotonic();
        match input {
            Input::WorkerOpen { hello, messages, queue } => {
                let Some((conn, inputs)) = self.new_conn() else { return };
                tracing::info!(conn = conn.0, worker = %hello.worker, "a worker has connected");
                let parse = move |m| Ok(Input::Worker(conn, wire::from_worker(m)?));
                let reader = read(&self.env, conn, messages, inputs, parse);
                self.sessions.insert(conn, Session::worker(queue, reader));
                self.core.worker_open(now, conn, hello);
            }
            Input::SchedulerOpen { messages, queue } => {
                let Some((conn, inputs)) = self.new_conn() else { return };
                tracing::info!(conn = conn.0, "the scheduler has connected");
                let parse = move |m| Ok(Input::Scheduler(conn, wire::from_scheduler(m)?));
                let reader = read(&self.env, conn, messages, inputs, parse);
                self.sessions.insert(conn, Session::scheduler(queue, reader));
                self.core.scheduler_open(now, conn);
            }
            Input::Worker(conn, message) => {
                self.declaring |= matches!(message, FromWorker::Declare { attempt: Some(_), .. });
                self.core.worker(now, conn, message);
            }
            Input::Scheduler(conn, FromScheduler::Reserve(wish)) => {
                let since_unix_ms = self.env.clock.unix_ms();
                let lock = wish.lock.map(|lock| Lock { since_unix_ms, ..lock });
                self.core.scheduler(now, conn, FromScheduler::Reserve(Wish { lock, ..wish }));
            }
            Input::Scheduler(conn, message) => {
                match message {
                    FromScheduler::Presented => crash_point(CrashPoint::IndexPresented),
                    FromScheduler::Delete { .. } => crash_point(CrashPoint::IndexDeleteAsked),
                    _ => {}
                }
                self.core.scheduler(now, conn, message);
            }
            Input::Closed(conn, reason) => {
                match reason {
                    Some(reason) => {
                        let about = format!("session of connection {}", conn.0);
                        self.refusals.note(Refused::Message, reason.code, &about, &reason.message);
                        self.close(conn, reason);
                    }
                    None => drop(self.sessions.remove(&conn)),
                }
                self.core.closed(now, conn);
            }
            // Whoever asked may be gone: then nobody needs the answer.
            Input::ListStores(answer) => {
                drop(answer.send((self.core.list_stores(), self.core.count_replicas())));
            }
            Input::FindSector(sector, answer) => drop(answer.send(self.core.find_sector(sector))),
            Input::FindStores(find, answer) => drop(answer.send(self.core.find_stores(&find))),
            Input::BestAlloc(wanted, limit, answer) => drop(answer.send(self.core.best_alloc(&wanted, limit))),
            Input::ListReplicas(Page { store, after }, answer) => {
                drop(answer.send(self.core.page(&store, after, PAGE_SECTORS)));
            }
            Input::ListLocks(answer) => drop(answer.send(self.core.list_locks())),
            Input::Stop => self.stop(),
        }
    }

    /// None while stopping: the peer's stream ends at once, and it tries again.
    fn new_conn(&mut self) -> Option<(ConnId, mpsc::Sender<Input>)> {
        let inputs = self.inputs.upgrade().filter(|_| !self.stopping)?;
        let conn = ConnId(self.next_conn);
        self.next_conn += 1;
        Some((conn, inputs))
    }

    fn stop(&mut self) {
        self.stopping = true;
        for session in std::mem::take(&mut self.sessions).into_values() {
            session.close(Refusal::new(ErrorCode::Unavailable, "the index is stopping; try again soon"));
        }
    }

    fn close(&mut self, conn: ConnId, reason: Refusal) {
        if let Some(session) = self.sessions.remove(&conn) {
            tracing::warn!(conn = conn.0, code = %reason.code, reason = reason.message, "a session is closed");
            session.close(reason);
        }
    }

    /// Durable first, then sent. A peer that does not keep up is disconnected, which may have consequences of its own.
    async fn settle(&mut self) -> Result<(), CommitError> {
        loop {
            let (rows, effects) = self.core.take();
            if rows.is_empty() && effects.is_empty() {
                return Ok(());
            }
            self.persist(rows).await?;
            for conn in self.send(effects) {
                tracing::warn!(conn = conn.0, "a peer is gone or too slow; disconnected");
                self.sessions.remove(&conn);
                self.core.closed(self.env.clock.monotonic(), conn);
            }
        }
    }

    async fn persist(&mut self, rows: Vec<RowChange>) -> Result<(), CommitError> {
        let declaring = std::mem::take(&mut self.declaring);
        let reserving = rows.iter().any(|row| matches!(row, RowChange::PutReservation(..)));
        let attaching = rows.iter().any(|row| matches!(row, RowChange::PutStore(..)));
        let deleting = rows.iter().any(|row| matches!(row, RowChange::DeleteReplica(..)));
        let fencing = rows.iter().any(|row| matches!(row, RowChange::PutFence(..)));
        let reach = |wanted: bool, point| {
            if wanted {
                crash_point(point);
            }
        };
        reach(declaring, CrashPoint::IndexBeforeDeclare);
        reach(reserving, CrashPoint::IndexBeforeReserve);
        reach(fencing, CrashPoint::IndexBeforeFence);
        reach(attaching, CrashPoint::IndexBeforeAttach);
        reach(deleting, CrashPoint::IndexBeforeDelete);
        if !rows.is_empty() {
            let state = self.state.clone();
            self.env.blocking(move || state.commit(rows::batch(&rows))).await?;
        }
        reach(declaring, CrashPoint::IndexAfterDeclare);
        reach(reserving, CrashPoint::IndexAfterReserve);
        reach(fencing, CrashPoint::IndexAfterFence);
        reach(attaching, CrashPoint::IndexAfterAttach);
        reach(deleting, CrashPoint::IndexAfterDelete);
        Ok(())
    }

    /// Gives the peers that could not be reached.
    fn send(&mut self, effects: Vec<Effect>) -> Vec<ConnId> {
        let mut lost = Vec::new();
        for effect in effects {
            let (conn, sent) = match effect {
                Effect::Worker(conn, message) => {
                    self.count(conn, &message);
                    let session = self.sessions.get(&conn);
                    (conn, session.is_none_or(|s| s.command(message, &self.session_id, self.health_ms)))
                }
                Effect::Scheduler(conn, facts) => {
                    let session = self.sessions.get(&conn);
                    (conn, session.is_none_or(|s| s.facts(facts, &self.session_id)))
                }
                Effect::Close(conn, reason) => {
                    self.close(conn, reason);
                    (conn, true)
                }
            };
            if !sent && !lost.contains(&conn) {
                lost.push(conn);
            }
        }
        lost
    }

    /// What a worker said and is told not to be believed.
    fn count(&self, conn: ConnId, message: &ToWorker) {
        if let ToWorker::DeclareAck { refused: Some(Refusal { code, message }), .. } = message {
            self.refusals.note(Refused::Message, *code, &format!("declaration of connection {}", conn.0), message);
        }
    }
}
