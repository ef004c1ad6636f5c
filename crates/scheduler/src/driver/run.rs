//! The loop: take what has happened, step the core, make the rows durable in one batch, act, answer questions.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use sp_env::{CrashPoint, Monotonic, crash_point};
use sp_net::Env;
use sp_proto::v1;
use sp_replay::Start;
use sp_sched_core::effect::Effect;
use sp_sched_core::event::{Event, RequestId};
use sp_sched_core::model::{RowChange, Rows, UnixMs};
use sp_sched_core::proving::call::ProvingReply;
use sp_sched_core::{Config, Core};
use sp_state::{Batch, CommitError, State};
use sp_types::{SessionId, WorkerId};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::doing::{Doing, Work};
use super::handle::Handle;
use super::index_port::IndexPort;
use super::input::{Input, Query};
use super::outputs::{LeaseTimes, Outputs};
use super::registry::Registry;
use super::tape::Tape;
use super::{INPUTS_MAX, INPUTS_PER_BATCH};
use crate::board::Publisher;
use crate::chain::Chain;
use crate::metrics::{Metrics, group};
use crate::rows::{self, History};
use crate::verify::Verifier;

/// Why the driver ended before it was asked to.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DriverError {
    /// What was decided could not be made durable. Nothing of it was sent; a restart finds out what is durable.
    #[error("a decision could not be made durable, so nothing of it was sent: {0}")]
    Commit(#[from] CommitError),
}

/// What the driver is made of.
pub(crate) struct Parts {
    pub(crate) env: Env,
    pub(crate) config: Config,
    pub(crate) rows: Rows,
    pub(crate) history: History,
    pub(crate) session: SessionId,
    pub(crate) state: Arc<dyn State>,
    pub(crate) verifier: Arc<dyn Verifier>,
    pub(crate) chain: Arc<dyn Chain>,
    pub(crate) heartbeat_ms: u64,
    /// Where events are recorded; nowhere by default.
    pub(crate) tape: Option<Tape>,
}

/// The task that owns the core.
pub(crate) struct Driver {
    core: Core,
    state: Arc<dyn State>,
    history: History,
    outputs: Outputs,
    inputs: mpsc::Receiver<Input>,
    last_request: u64,
    // Clock jumps must not end every lease at once: time runs on the monotonic clock from here.
    started: (u64, Monotonic),
    restored: Vec<Effect>,
    tape: Option<Tape>,
    publisher: Publisher,
    metrics: Metrics,
    doing: Doing,
}

/// What one batch of inputs leaves to do.
#[derive(Default)]
struct Pending {
    effects: Vec<Effect>,
    queries: Vec<Query>,
    renewals: Vec<(oneshot::Sender<v1::RenewReply>, v1::RenewReply)>,
}

impl Driver {
    /// A driver that takes up where the rows leave off, and the way to speak with it.
    pub(crate) fn new(parts: Parts) -> (Self, Handle) {
        let Parts { env, config, rows, history, session, state, verifier, chain, heartbeat_ms, mut tape } = parts;
        let (sender, inputs) = mpsc::channel(INPUTS_MAX);
        let started = (env.clock.unix_ms(), env.clock.monotonic());
        let (miner, lease_ms) = (config.miner, config.lease_ms);
        let begins = tape.as_ref().map(|_| (config.clone(), rows.clone()));
        let (core, restored) = Core::restore(config, rows, UnixMs(started.0));
        if let (Some(tape), Some((config, rows))) = (&mut tape, begins) {
            let build = env!("CARGO_PKG_VERSION").to_owned();
            tape.begin(&Start { build, config, rows, now: UnixMs(started.0), effects: restored.clone() });
        }
        let outputs = Outputs {
            env: env.clone(),
            miner,
            session,
            leases: LeaseTimes { lease_ms, heartbeat_ms },
            inputs: sender.downgrade(),
            verifier,
            chain,
            registry: Registry::default(),
            index: IndexPort::default(),
            waiting: HashMap::new(),
            wake: None,
            caused: Vec::new(),
            verifying: HashSet::new(),
            calling: HashMap::new(),
            proving: HashMap::new(),
            last_call: 0,
            last_delete: 0,
            deleting: BTreeMap::new(),
        };
        let (publisher, boards) = Publisher::new();
        let metrics = Metrics::new(&env, boards.clone());
        let doing = Doing::default();
        let driver = Self {
            doing: doing.clone(),
            core,
            state,
            history,
            outputs,
            inputs,
            last_request: 0,
            started,
            restored,
            tape,
            publisher,
            metrics,
        };
        (driver, Handle::new(env, sender, boards, doing))
    }

    /// The figures that it counts.
    pub(crate) fn metrics(&self) -> Metrics {
        self.metrics.clone()
    }

    /// Runs until `stop` is cancelled, or until something cannot be made durable.
    pub(crate) async fn run(mut self, stop: CancellationToken) -> Result<(), DriverError> {
        let effects = std::mem::take(&mut self.restored);
        self.finish(Pending { effects, ..Pending::default() }).await?;
        while let Some(batch) = self.next_batch(&stop).await {
            let mut pending = Pending::default();
            for input in batch {
                if matches!(input, Input::WorkerOpened(..)) {
                    // What was decided for its older stream must not go out on the new one, before the answer to Register.
                    self.finish(std::mem::take(&mut pending)).await?;
                    let caused = std::mem::take(&mut self.outputs.caused);
                    caused.into_iter().for_each(|event| self.step(event, &mut pending));
                }
                self.take(input, &mut pending);
            }
            self.finish(pending).await?;
        }
        if let Some(tape) = &mut self.tape {
            tape.end("the scheduler stopped");
        }
        Ok(())
    }

    fn now(&self) -> UnixMs {
        UnixMs(self.started.0 + self.outputs.env.clock.monotonic().since_ms(self.started.1))
    }

    fn begin(&self, work: Work) {
        self.doing.begin(work, self.outputs.env.clock.monotonic());
    }

    /// Everything that has happened up to now, at least one thing; none when it is time to stop.
    async fn next_batch(&mut self, stop: &CancellationToken) -> Option<Vec<Input>> {
        self.begin(Work::Nothing);
        let mut batch: Vec<Input> = self.outputs.caused.drain(..).map(Input::Event).collect();
        if batch.is_empty() {
            let clock = self.outputs.env.clock.clone();
            let wake = self.outputs.wake.map(|at| at.since(self.now()));
            let board = self.publisher.due().map(|due| due.since_ms(clock.monotonic()));
            let next = wake.into_iter().chain(board).min();
            let due = async move {
                match next {
                    Some(ms) => clock.sleep(Duration::from_millis(ms)).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => return None,
                input = self.inputs.recv() => batch.push(input?),
                // Else it was time for a board alone: a batch of nothing.
                () = due => if self.outputs.wake.is_some_and(|at| at <= self.now()) {
                    self.outputs.wake = None;
                    batch.push(Input::Event(Event::Wake));
                },
            }
        }
        while batch.len() < INPUTS_PER_BATCH {
            match self.inputs.try_recv() {
                Ok(input) => batch.push(input),
                Err(_) => break,
            }
        }
        Some(batch)
    }

    fn step(&mut self, event: Event, pending: &mut Pending) {
        let now = self.now();
        if let Some(tape) = &mut self.tape {
            tape.event(now, &event);
        }
        let (clock, group) = (&self.outputs.env.clock, group(&event));
        self.begin(Work::Event(group));
        let began = clock.monotonic_ns();
        let effects = self.core.step(now, event);
        self.metrics.handled(group, clock.monotonic_ns().saturating_sub(began), self.core.observed());
        self.publisher.note_change();
        if let Some(tape) = &mut self.tape {
            tape.effects(&effects);
        }
        pending.effects.extend(effects);
    }

    fn take(&mut self, input: Input, pending: &mut Pending) {
        match input {
            Input::Event(event) => {
                match event {
                    Event::Result { .. } => crash_point(CrashPoint::SchedulerResultReceived),
                    Event::Reserved { refused: None, .. } => crash_point(CrashPoint::SchedulerGranted),
                    _ => {}
                }
                self.step(event, pending);
            }
            Input::Request(request, answer) => {
                self.last_request += 1;
                let id = RequestId(self.last_request);
                self.outputs.waiting.insert(id, answer);
                self.step(Event::Request(id, request), pending);
            }
            Input::WorkerOpened(registration, outgoing) => {
                self.outputs.registry.open(registration.worker.clone(), outgoing);
                self.step(Event::WorkerRegistered(registration), pending);
            }
            Input::WorkerClosed { worker, connection, reason } => {
                if let Some(session) = self.outputs.registry.close(&worker, connection, &reason) {
                    tracing::info!(%worker, reason, "worker disconnected");
                    self.step(Event::WorkerDisconnected { worker, session, reason }, pending);
                }
            }
            Input::Renewal { worker, session, event, answer } => {
                let reply = self.renew(&worker, &session, event, pending);
                pending.renewals.push((answer, reply));
            }
            Input::RenewalRefused { worker, session, reason } => {
                if let Some(session) = self.outputs.registry.refuse(&worker, &session, &reason) {
                    let reason = sp_net::status::message_of(&reason);
                    tracing::warn!(%worker, reason, "worker put aside: its renewal makes no sense");
                    self.step(Event::WorkerDisconnected { worker, session, reason }, pending);
                }
            }
            Input::StoreOrder { worker, order, answer } => {
                self.outputs.registry.tidy();
                if let Some((worker, undelivered)) = self.outputs.registry.order(&worker, order, answer) {
                    self.outputs.note_undelivered(worker, undelivered);
                }
            }
            Input::StoreAnswered { request, answer } => self.outputs.registry.answered(request, answer),
            Input::IndexOpened(stream) => {
                // Another stream answers nothing of the one before; the core orders anew what is still wanted.
                self.outputs.deleting.clear();
                self.outputs.index.open(stream);
            }
            Input::DeleteAnswered { request, failed } => {
                if let Some((id, failure)) = self.outputs.delete_answered(request).zip(failed) {
                    tracing::warn!(?id, code = %failure.code, failure.message, "the index could not delete a replica");
                    self.step(Event::DeleteFailed { id, failure }, pending);
                }
            }
            Input::IndexClosed { connection, reason } => {
                if self.outputs.index.close(connection) {
                    tracing::warn!(reason, "the index is away");
                    self.step(Event::IndexLost, pending);
                }
            }
            Input::Verified { attempt, verdict } => {
                self.outputs.verifying.remove(&attempt);
                crash_point(CrashPoint::SchedulerVerified);
                self.step(Event::Verified { attempt, verdict }, pending);
            }
            Input::ChainAnswered { sector, call, reply } => {
                if self.outputs.chain_answered(sector, call) {
                    crash_point(CrashPoint::SchedulerChainAnswered);
                    self.step(Event::Chain { sector, reply }, pending);
                }
            }
            Input::ProvingAnswered { id, call, reply } => {
                if self.outputs.proving_answered(id, call, &reply) {
                    if reply == ProvingReply::Accepted {
                        crash_point(CrashPoint::SchedulerSubmitted);
                    }
                    self.step(Event::Proving { id, reply }, pending);
                }
            }
            Input::Query(query) => pending.queries.push(query),
        }
    }

    /// A renewal counts only for the session whose stream is open. What the core cancels in answer is named at once, in
    /// case the stream is slow.
    fn renew(&mut self, worker: &WorkerId, session: &SessionId, event: Event, pending: &mut Pending) -> v1::RenewReply {
        if !self.outputs.registry.is_session(worker, session) {
            return v1::RenewReply { known: false, ended: vec![] };
        }
        let first = pending.effects.len();
        self.step(event, pending);
        let ended = pending.effects[first..].iter().filter_map(|effect| match effect {
            Effect::Cancel { worker: whose, attempt, .. } | Effect::Yield { worker: whose, attempt, .. }
                if whose == worker =>
            {
                Some((*attempt).into())
            }
            _ => None,
        });
        v1::RenewReply { known: true, ended: ended.collect() }
    }

    /// Rows first, in one batch; then everything else in order; then those who only wanted to look.
    async fn finish(&mut self, pending: Pending) -> Result<(), DriverError> {
        let Pending { effects, queries, renewals } = pending;
        let mut batch = Batch::new();
        for effect in &effects {
            if let Effect::Persist(change) = effect {
                if let RowChange::AddFinished(finished) = change {
                    self.metrics.finished(finished);
                }
                rows::apply(&mut batch, &mut self.history, change);
            }
        }
        if !batch.is_empty() {
            crash_point(CrashPoint::SchedulerBeforePersist);
            self.begin(Work::Commit(batch.len()));
            let (state, began) = (self.state.clone(), self.outputs.env.clock.monotonic_ns());
            self.outputs.env.blocking(move || state.commit(batch)).await?;
            self.metrics.committed(self.outputs.env.clock.monotonic_ns().saturating_sub(began));
            crash_point(CrashPoint::SchedulerAfterPersist);
        }
        self.begin(Work::Answers);
        for effect in effects {
            self.outputs.carry_out(effect);
        }
        for (answer, reply) in renewals {
            // The worker may have hung up.
            let _ = answer.send(reply);
        }
        let now = self.now();
        for query in queries {
            query(&self.core, now);
        }
        self.begin(Work::Board);
        let clock = self.outputs.env.clock.clone();
        self.publisher.publish(&self.core, now, || clock.monotonic());
        Ok(())
    }
}
