//! A light worker: it registers, renews, and answers at once or keeps what it has. It computes nothing and touches no disk.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use sp_net::{Env, client, sized};
use sp_proto::v1::worker_client::WorkerClient;
use sp_proto::v1::{self, task_done::Output, worker_command, worker_message};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::Streaming;
use tonic::transport::Channel;

use super::index::{LightIndex, store_of};
use super::tally::Tally;

/// Renewals come this often, as real workers send them.
const HEARTBEAT: Duration = Duration::from_secs(2);

const GIB: u64 = 1 << 30;

/// What a task has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// Its worker may compute.
    Received,
    /// Its result was sent.
    Finished,
}

/// What a worker is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Duty {
    /// Sealing.
    Seal,
    /// Window PoSt; it keeps what it is given until it is told to finish.
    Prove,
}

/// When a task of a sector came to a step.
#[derive(Debug, Clone, Copy)]
pub struct Mark {
    /// Number of the worker.
    pub worker: usize,
    /// Task and number of the attempt.
    pub attempt: (u64, u32),
    /// Sector.
    pub sector: u64,
    /// Task.
    pub task: v1::TaskKind,
    /// What happened.
    pub step: Step,
    /// When.
    pub at: Instant,
}

/// What all workers of a cluster share.
#[derive(Clone)]
pub struct Shared {
    /// Counts what is sent.
    pub tally: Arc<Tally>,
    /// Where replicas are declared.
    pub index: LightIndex,
    /// Results are sent; else attempts are kept.
    pub answering: Arc<AtomicBool>,
    /// Who watches.
    pub marks: mpsc::UnboundedSender<Mark>,
}

/// One worker.
#[derive(Clone)]
pub struct LightWorker {
    /// Its number.
    pub number: usize,
    duty: Duty,
    client: WorkerClient<Channel>,
    messages: mpsc::UnboundedSender<v1::WorkerMessage>,
    held: Arc<Mutex<BTreeMap<(u64, u32), v1::Assign>>>,
    figures: Arc<AtomicU64>,
    /// When the last renewal that was answered was sent.
    renewed: Arc<Mutex<Instant>>,
    running: Arc<Mutex<Vec<AbortHandle>>>,
    shared: Shared,
}

/// The id of a worker.
pub fn id_of(number: usize) -> String {
    format!("worker-{number}")
}

impl LightWorker {
    /// Connects and waits until the scheduler has let it in.
    pub async fn connect(env: &Env, scheduler: SocketAddr, number: usize, duty: Duty, shared: Shared) -> Result<Self> {
        let mut client = sized!(WorkerClient::new(client::channel(env, &scheduler.to_string())?));
        let (messages, outbound) = mpsc::unbounded_channel();
        messages.send(message(worker_message::Body::Register(register(number, duty))))?;
        let mut commands = client.session(UnboundedReceiverStream::new(outbound)).await?.into_inner();
        let first = commands.message().await?.and_then(|m| m.body);
        match first {
            Some(worker_command::Body::Registered(_)) => {}
            other => anyhow::bail!("not registered: {other:?}"),
        }
        let (held, figures, running) = (Arc::default(), Arc::default(), Arc::default());
        let renewed = Arc::new(Mutex::new(Instant::now()));
        let worker = Self { number, duty, client, messages, held, figures, renewed, running, shared };
        let tasks = [tokio::spawn(worker.clone().obey(commands)), tokio::spawn(worker.clone().keep_leases())];
        worker.running.lock().expect("nothing panics while it is held").extend(tasks.map(|task| task.abort_handle()));
        Ok(worker)
    }

    /// Ends it as a kill would: its connection breaks, and nobody is told.
    pub fn kill(self) {
        let running = std::mem::take(&mut *self.running.lock().expect("nothing panics while it is held"));
        running.iter().for_each(AbortHandle::abort);
    }

    /// When its last heartbeat that reached the scheduler was sent.
    pub fn renewed(&self) -> Instant {
        *self.renewed.lock().expect("nothing panics while it is held")
    }

    async fn obey(self, mut commands: Streaming<v1::WorkerCommand>) {
        while let Ok(Some(command)) = commands.message().await {
            match command.body {
                Some(worker_command::Body::Assign(assign)) => self.take(assign),
                Some(worker_command::Body::Start(start)) => self.start(start.attempt),
                Some(worker_command::Body::Cancel(cancel)) => drop(self.forget(cancel.attempt)),
                Some(worker_command::Body::Yield(make_way)) => drop(self.forget(make_way.attempt)),
                Some(worker_command::Body::ResultAck(ack)) => self.acknowledged(ack.attempt),
                _ => {}
            }
        }
    }

    async fn keep_leases(mut self) {
        loop {
            // Not all at the same moment.
            tokio::time::sleep(HEARTBEAT + Duration::from_millis(self.number as u64 % 200)).await;
            if self.renew().await.is_err() {
                return;
            }
        }
    }

    /// Renews its lease with everything that it holds, and with figures that it has not named before.
    pub async fn renew(&mut self) -> Result<()> {
        let attempts = self.with_held(|held| held.values().map(progress).collect());
        let used = self.figures.fetch_add(1, Ordering::SeqCst) % 1_000 * (1 << 20);
        let capacity = Some(v1::HostCapacity { memory_used_bytes: used, ..capacity() });
        let (worker_id, session_id) = (id_of(self.number), session_of(self.number));
        let request = v1::RenewRequest { worker_id, session_id, attempts, capacity, limits: None };
        let sent = Instant::now();
        let reply = self.client.renew(request).await?.into_inner();
        anyhow::ensure!(reply.known, "the scheduler does not know worker {}", self.number);
        *self.renewed.lock().expect("nothing panics while it is held") = sent;
        Tally::count(&self.shared.tally.renewals);
        Ok(())
    }

    fn with_held<T>(&self, look: impl FnOnce(&mut BTreeMap<(u64, u32), v1::Assign>) -> T) -> T {
        look(&mut self.held.lock().expect("nothing panics while it is held"))
    }

    fn take(&self, assign: v1::Assign) {
        let hold = assign.hold;
        let attempt = assign.attempt;
        self.with_held(|held| attempt.map(|a| held.insert((a.task, a.number), assign)));
        if !hold {
            self.start(attempt);
        }
    }

    /// It may compute: that takes no time.
    fn start(&self, attempt: Option<v1::AttemptId>) {
        let found = attempt.and_then(|a| {
            self.with_held(|held| {
                let assign = held.get_mut(&(a.task, a.number))?;
                assign.hold = false;
                Some(assign.clone())
            })
        });
        let Some(assign) = found else { return };
        self.mark(&assign, Step::Received);
        if self.duty == Duty::Seal && self.shared.answering.load(Ordering::SeqCst) {
            self.finish(&assign);
        }
    }

    /// Finishes everything that it holds.
    pub fn finish_all(&self) {
        let held: Vec<v1::Assign> = self.with_held(|held| held.values().cloned().collect());
        held.iter().for_each(|assign| self.finish(assign));
    }

    fn finish(&self, assign: &v1::Assign) {
        let replica = |o: &v1::Output| v1::Replica {
            miner: assign.miner,
            sector: assign.sector,
            kind: o.kind,
            store: o.store.clone(),
            root: vec![assign.task as u8; 32],
            size_bytes: 2048,
            primary: true,
            origin: assign.origin,
            soundness: 0,
        };
        let replicas: Vec<_> = assign.outputs.iter().map(replica).collect();
        replicas.iter().for_each(|r| self.shared.index.declare(r.clone()));
        let done = v1::TaskDone { replicas, output: Some(output(assign)) };
        let outcome = Some(v1::task_result::Outcome::Done(done));
        let (attempt, task) = (assign.attempt, assign.task);
        let result = v1::TaskResult { attempt, task, outcome, fetch_ms: 1, compute_ms: 1, peak_memory_bytes: 0 };
        Tally::count(&self.shared.tally.results);
        self.mark(assign, Step::Finished);
        // The stream may have ended.
        let _ = self.messages.send(message(worker_message::Body::Result(result)));
    }

    fn acknowledged(&self, attempt: Option<v1::AttemptId>) {
        Tally::count(&self.shared.tally.acknowledged);
        if self.forget(attempt).is_some_and(|assign| assign.task() == v1::TaskKind::Finalize) {
            Tally::count(&self.shared.tally.sealed);
        }
    }

    fn forget(&self, attempt: Option<v1::AttemptId>) -> Option<v1::Assign> {
        attempt.and_then(|a| self.with_held(|held| held.remove(&(a.task, a.number))))
    }

    fn mark(&self, assign: &v1::Assign, step: Step) {
        let attempt = assign.attempt.map_or((0, 0), |a| (a.task, a.number));
        let (worker, sector, task, at) = (self.number, assign.sector, assign.task(), Instant::now());
        // Nobody watches any more when the measurement has ended.
        let _ = self.shared.marks.send(Mark { worker, attempt, sector, task, step, at });
    }
}

fn message(body: worker_message::Body) -> v1::WorkerMessage {
    v1::WorkerMessage { body: Some(body) }
}

fn session_of(number: usize) -> String {
    format!("session-{number}")
}

fn capacity() -> v1::HostCapacity {
    v1::HostCapacity { memory_bytes: 512 * GIB, cpus: 128, ..Default::default() }
}

fn register(number: usize, duty: Duty) -> v1::Register {
    use v1::TaskKind as T;
    let sealing = [T::AddPiece, T::PreCommit1, T::PreCommit2, T::Commit1, T::Commit2, T::Finalize];
    let (tasks, stores) = match duty {
        Duty::Seal => (&sealing[..], vec![store_of(number)]),
        Duty::Prove => (&[T::WindowPost][..], vec![]),
    };
    v1::Register {
        worker_id: id_of(number),
        session_id: session_of(number),
        host_id: format!("machine{number}-boot"),
        name: format!("light-{number}"),
        cluster: super::cluster::NAME.into(),
        build: "bench".into(),
        protocol_minor: sp_proto::PROTOCOL_MINOR,
        tasks: tasks.iter().map(|t| *t as i32).collect(),
        // 2 KiB, V1_1.
        seal_proofs: vec![5],
        capacity: Some(capacity()),
        data_url: "http://127.0.0.1:1".into(),
        stores,
        ..Default::default()
    }
}

fn progress(assign: &v1::Assign) -> v1::AttemptProgress {
    let phase = if assign.hold { v1::AttemptPhase::Prepared } else { v1::AttemptPhase::Running };
    v1::AttemptProgress { attempt: assign.attempt, phase: phase as i32, fraction: 0.5, detail: String::new() }
}

fn output(assign: &v1::Assign) -> Output {
    let comm_d = vec![2; 32];
    match assign.task() {
        v1::TaskKind::AddPiece => {
            let pieces = vec![v1::Piece { padded_bytes: 2048, commitment: vec![1; 32] }];
            Output::AddPiece(v1::AddPieceOutput { pieces, comm_d })
        }
        v1::TaskKind::PreCommit1 => Output::PreCommit1(v1::PreCommit1Output { phase1: vec![9; 256], comm_d }),
        v1::TaskKind::PreCommit2 => Output::PreCommit2(v1::PreCommit2Output { comm_r: vec![3; 32], comm_d }),
        v1::TaskKind::Commit2 => Output::Proof(v1::ProofOutput { proof: vec![7; 192], self_verified: false }),
        _ => Output::None(v1::NoOutput {}),
    }
}

/// Connects so many workers that seal.
pub async fn connect_all(
    env: &Env,
    scheduler: SocketAddr,
    workers: usize,
    shared: &Shared,
) -> Result<Vec<LightWorker>> {
    let mut connected = Vec::with_capacity(workers);
    for number in 0..workers {
        let worker = LightWorker::connect(env, scheduler, number, Duty::Seal, shared.clone()).await;
        connected.push(worker.with_context(|| format!("worker {number} cannot connect"))?);
    }
    Ok(connected)
}
