//! A scheduler with everything around it faked: index, worker, verifier; over loopback, with the real clock.
// Each test binary uses a part of it.
#![allow(dead_code)]

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use scheduler::{Assignment, LocalChain, LocalChainOptions, Question, Service, ServiceOptions, Verifier};
use sp_env::BoxFuture;
use sp_net::server::{Server, Services};
use sp_net::{Env, client, sized};
use sp_proto::v1::index_server::{Index, IndexServer};
use sp_proto::v1::scheduler_client::SchedulerClient;
use sp_proto::v1::worker_client::WorkerClient;
use sp_proto::v1::{self, index_fact, index_scheduler_message, worker_command, worker_message};
use sp_state::{Memory, State};
use sp_types::{DeadlineIndex, FileKind, SectorSize, TaskKind};
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Request, Response, Status, Streaming};

/// Nothing in these tests takes longer.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// The only store.
pub(crate) const STORE: &str = "store-1";

/// A verifier that answers what it is told and counts.
#[derive(Default)]
pub(crate) struct FakeVerifier {
    pub(crate) asked: AtomicU32,
}

impl Verifier for FakeVerifier {
    fn verify(&self, _: Question) -> BoxFuture<Result<bool, String>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        Box::pin(async { Ok(true) })
    }
}

/// An index that grants everything and tells what it is told to tell.
#[derive(Clone)]
pub(crate) struct FakeIndex {
    env: Env,
    facts: broadcast::Sender<v1::IndexFact>,
    pub(crate) heard: Arc<Mutex<Vec<v1::IndexSchedulerMessage>>>,
    replicas: Arc<Mutex<Vec<v1::Replica>>>,
    /// It answers no questions.
    pub(crate) mute: Arc<AtomicBool>,
}

fn fact(body: index_fact::Body) -> v1::IndexFact {
    v1::IndexFact { body: Some(body) }
}

fn store() -> v1::StoreFact {
    let attached =
        v1::AttachedStore { store: STORE.into(), weight: 10, can_seal: true, can_store: true, ..Default::default() };
    let holder = v1::StoreHolder { worker_id: "worker-1".into(), data_url: "http://127.0.0.1:1".into() };
    let available_bytes = 1 << 30;
    v1::StoreFact { store: Some(attached), available_bytes, holders: vec![holder], healthy: true, ..Default::default() }
}

impl FakeIndex {
    pub(crate) async fn start(env: &Env) -> (Self, SocketAddr) {
        let (facts, heard, replicas, mute) = (broadcast::channel(64).0, Arc::default(), Arc::default(), Arc::default());
        let index = Self { env: env.clone(), facts, heard, replicas, mute };
        let listen = "127.0.0.1:0".parse().unwrap();
        let server = Server::builder(env, "fake-index", listen).bind().await.unwrap();
        let address = server.address();
        let services = Services::new().with(sized!(IndexServer::new(index.clone())));
        let serve = async move { server.serve(services, std::future::pending()).await.unwrap() };
        drop(env.tasks.spawn("fake index", Box::pin(serve)));
        (index, address)
    }

    fn answer(&self) -> Result<Vec<v1::Replica>, Status> {
        if self.mute.load(Ordering::SeqCst) {
            return Err(Status::unavailable("the index is mute"));
        }
        Ok(self.replicas.lock().unwrap().clone())
    }

    /// A worker has declared this.
    pub(crate) fn declare(&self, replica: v1::Replica) {
        self.replicas.lock().unwrap().push(replica.clone());
        let _ = self.facts.send(fact(index_fact::Body::Replica(replica)));
    }
}

#[tonic::async_trait]
impl Index for FakeIndex {
    type WorkerSessionStream = ReceiverStream<Result<v1::IndexWorkerCommand, Status>>;
    type SchedulerSessionStream = ReceiverStream<Result<v1::IndexFact, Status>>;

    async fn worker_session(
        &self,
        _: Request<Streaming<v1::IndexWorkerMessage>>,
    ) -> Result<Response<Self::WorkerSessionStream>, Status> {
        Err(Status::unimplemented("no workers here"))
    }

    async fn scheduler_session(
        &self,
        request: Request<Streaming<v1::IndexSchedulerMessage>>,
    ) -> Result<Response<Self::SchedulerSessionStream>, Status> {
        let (mut inbound, (sender, outbound)) = (request.into_inner(), mpsc::channel(64));
        let (heard, replicas) = (self.heard.clone(), self.replicas.lock().unwrap().clone());
        let mut live = self.facts.subscribe();
        let talk = async move {
            use index_fact::Body;
            let mut first = vec![Body::SnapshotBegin(v1::SnapshotBegin::default()), Body::Store(store())];
            first.extend(replicas.into_iter().map(Body::Replica));
            first.push(Body::SnapshotEnd(v1::SnapshotEnd {}));
            for body in first {
                let _ = sender.send(Ok(fact(body))).await;
            }
            loop {
                tokio::select! {
                    message = inbound.message() => {
                        let Ok(Some(message)) = message else { return };
                        if let Some(index_scheduler_message::Body::Reserve(reserve)) = &message.body {
                            let reply = v1::ReserveReply { attempt: reserve.attempt, failed: None };
                            let _ = sender.send(Ok(fact(Body::ReserveReply(reply)))).await;
                        }
                        if let Some(index_scheduler_message::Body::Delete(delete)) = &message.body {
                            let gone = delete.replica.clone().unwrap();
                            let _ = sender.send(Ok(fact(Body::ReplicaGone(gone)))).await;
                        }
                        heard.lock().unwrap().push(message);
                    }
                    news = live.recv() => {
                        let Ok(news) = news else { return };
                        let _ = sender.send(Ok(news)).await;
                    }
                }
            }
        };
        drop(self.env.tasks.spawn("fake index session", Box::pin(talk)));
        Ok(Response::new(ReceiverStream::new(outbound)))
    }

    async fn list_stores(&self, _: Request<v1::ListStoresRequest>) -> Result<Response<v1::ListStoresReply>, Status> {
        let replicas = self.answer()?;
        let count = |r: v1::Replica| v1::ReplicaCount { store: r.store, kind: r.kind, count: 1 };
        let counts = replicas.into_iter().map(count).collect();
        Ok(Response::new(v1::ListStoresReply { stores: vec![store()], counts }))
    }

    async fn find_sector(
        &self,
        request: Request<v1::FindSectorRequest>,
    ) -> Result<Response<v1::FindSectorReply>, Status> {
        let v1::FindSectorRequest { miner, sector } = request.into_inner();
        let replicas = self.answer()?.into_iter().filter(|r| (r.miner, r.sector) == (miner, sector)).collect();
        Ok(Response::new(v1::FindSectorReply { replicas }))
    }
}

/// A running scheduler.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) metrics: SocketAddr,
    pub(crate) operators: SchedulerClient<Channel>,
    stop: oneshot::Sender<()>,
    ended: oneshot::Receiver<Result<(), scheduler::ServiceError>>,
}

impl Running {
    pub(crate) async fn start(env: &Env, state: &Memory, verifier: Arc<FakeVerifier>, index: SocketAddr) -> Self {
        Self::start_on(env, Arc::new(state.clone()), verifier, index).await
    }

    pub(crate) async fn start_on(
        env: &Env,
        state: Arc<dyn State>,
        verifier: Arc<FakeVerifier>,
        index: SocketAddr,
    ) -> Self {
        let options = LocalChainOptions {
            miner: 1000,
            epoch_ms: 20,
            seed_delay_epochs: 2,
            sector_size: SectorSize::KiB2,
            assignment: Assignment::Pack(DeadlineIndex(0)),
            win_one_in: 0,
        };
        let chain = LocalChain::open(env, state.clone(), verifier.clone(), options).await.unwrap();
        let mut options = ServiceOptions::new("127.0.0.1:0".parse().unwrap(), format!("http://{index}"));
        options.cluster = "test".into();
        options.metrics = Some("127.0.0.1:0".parse().unwrap());
        let service = Service::open(env.clone(), state, verifier, Arc::new(chain), options).await.unwrap();
        let (address, metrics) = (service.address(), service.metrics_address().unwrap());
        let (stop, stopped) = oneshot::channel::<()>();
        let (sender, ended) = oneshot::channel();
        let run = async move {
            let shutdown = async move {
                let _ = stopped.await;
            };
            let _ = sender.send(service.run(Box::pin(shutdown)).await);
        };
        drop(env.tasks.spawn("scheduler", Box::pin(run)));
        let operators = SchedulerClient::new(client::channel(env, &address.to_string()).unwrap());
        Self { address, metrics, operators, stop, ended }
    }

    pub(crate) async fn stop(self, env: &Env) {
        let _ = self.stop.send(());
        env.timeout(LIMIT, self.ended).await.expect("it drains").unwrap().unwrap();
    }

    /// Waits until the sector is in this state.
    pub(crate) async fn state(&mut self, env: &Env, number: u64, state: &str) -> v1::SectorStatusReply {
        let request = v1::SectorStatusRequest { number, log: true };
        let mut last = v1::SectorStatusReply::default();
        for _ in 0..400 {
            last = self.operators.sector_status(request).await.unwrap().into_inner();
            if last.summary.as_ref().is_some_and(|s| s.state == state) {
                return last;
            }
            env.clock.sleep(Duration::from_millis(25)).await;
        }
        panic!("sector {number} never became {state}: {last:?}");
    }

    pub(crate) async fn index_connected(&mut self, env: &Env) {
        for _ in 0..400 {
            if self.operators.info(v1::InfoRequest {}).await.unwrap().into_inner().index_connected {
                return;
            }
            env.clock.sleep(Duration::from_millis(25)).await;
        }
        panic!("the index never connected");
    }
}

/// A worker that does what the test says.
pub(crate) struct FakeWorker {
    env: Env,
    pub(crate) messages: mpsc::Sender<v1::WorkerMessage>,
    pub(crate) commands: Streaming<v1::WorkerCommand>,
    pub(crate) client: WorkerClient<Channel>,
    operators: SchedulerClient<Channel>,
}

pub(crate) fn register(session: &str) -> v1::Register {
    let tasks = [
        TaskKind::AddPiece,
        TaskKind::PreCommit1,
        TaskKind::PreCommit2,
        TaskKind::Commit1,
        TaskKind::Commit2,
        TaskKind::Finalize,
        TaskKind::Unseal,
        TaskKind::Fetch,
        TaskKind::ReplicaUpdate,
        TaskKind::ProveReplicaUpdate1,
        TaskKind::ProveReplicaUpdate2,
        TaskKind::FinalizeReplicaUpdate,
        TaskKind::RegenSectorKey,
    ];
    v1::Register {
        worker_id: "worker-1".into(),
        session_id: session.into(),
        host_id: "machine-boot".into(),
        name: "one".into(),
        cluster: "test".into(),
        build: "0".into(),
        protocol_minor: sp_proto::PROTOCOL_MINOR,
        tasks: tasks.map(|t| v1::TaskKind::from(t) as i32).to_vec(),
        seal_proofs: vec![5],
        capacity: Some(v1::HostCapacity { memory_bytes: 64 << 30, cpus: 16, ..Default::default() }),
        data_url: "http://127.0.0.1:1".into(),
        stores: vec![STORE.into()],
        ..Default::default()
    }
}

impl FakeWorker {
    pub(crate) async fn connect(env: &Env, scheduler: SocketAddr, register: v1::Register) -> Self {
        let mut client = WorkerClient::new(client::channel(env, &scheduler.to_string()).unwrap());
        let (messages, outbound) = mpsc::channel(16);
        messages.send(v1::WorkerMessage { body: Some(worker_message::Body::Register(register)) }).await.unwrap();
        let commands = client.session(ReceiverStream::new(outbound)).await.unwrap().into_inner();
        let operators = SchedulerClient::new(client::channel(env, &scheduler.to_string()).unwrap());
        Self { env: env.clone(), messages, commands, client, operators }
    }

    /// What the scheduler says about its jobs, for a failed test.
    async fn jobs(&mut self) -> Vec<v1::Job> {
        self.operators.list_jobs(v1::ListJobsRequest {}).await.unwrap().into_inner().jobs
    }

    /// The next command, or how the stream ended.
    pub(crate) async fn next(&mut self) -> Result<Option<worker_command::Body>, Status> {
        match self.env.timeout(LIMIT, self.commands.message()).await {
            Ok(message) => Ok(message?.and_then(|m| m.body)),
            Err(elapsed) => panic!("no command comes: {elapsed}; jobs: {:#?}", self.jobs().await),
        }
    }

    pub(crate) async fn registered(&mut self) -> v1::Registered {
        match self.next().await.unwrap() {
            Some(worker_command::Body::Registered(registered)) => registered,
            other => panic!("not registered: {other:?}"),
        }
    }

    pub(crate) async fn assigned(&mut self) -> v1::Assign {
        loop {
            match self.next().await.unwrap() {
                Some(worker_command::Body::Assign(assign)) => return assign,
                Some(worker_command::Body::ResultAck(_) | worker_command::Body::Cancel(_)) => {}
                other => panic!("no assignment: {other:?}"),
            }
        }
    }

    /// Reports an attempt as done, its replicas declared to the index before.
    pub(crate) async fn finish(&self, index: &FakeIndex, assign: &v1::Assign, output: v1::task_done::Output) {
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
        replicas.iter().for_each(|r| index.declare(r.clone()));
        let done = v1::TaskDone { replicas, output: Some(output) };
        let result = v1::TaskResult {
            attempt: assign.attempt,
            task: assign.task,
            outcome: Some(v1::task_result::Outcome::Done(done)),
            fetch_ms: 1,
            compute_ms: 1,
            peak_memory_bytes: 0,
        };
        self.messages.send(v1::WorkerMessage { body: Some(worker_message::Body::Result(result)) }).await.unwrap();
    }
}

/// The kinds in a list of outputs.
pub(crate) fn kinds(outputs: &[v1::Output]) -> Vec<i32> {
    outputs.iter().map(|o| o.kind).collect()
}

/// A kind's wire number.
pub(crate) fn kind(kind: FileKind) -> i32 {
    v1::FileKind::from(kind) as i32
}
