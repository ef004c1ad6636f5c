//! A scheduler and a storage index that record what a worker says and say what the test wants.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use sp_net::server::{Server, Services};
use sp_net::{Env, sized};
use sp_proto::v1::index_server::{Index, IndexServer};
use sp_proto::v1::worker_server::{Worker, WorkerServer};
use sp_proto::v1::{self, index_worker_message, worker_command, worker_message};
use sp_types::ErrorCode;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

/// Both services, on loopback.
pub struct Fakes {
    pub scheduler: String,
    pub index: String,
    pub said: Arc<Said>,
}

/// What was said, and how to answer.
#[derive(Default)]
pub struct Said {
    pub registers: Mutex<Vec<v1::Register>>,
    pub results: Mutex<Vec<v1::TaskResult>>,
    pub replies: Mutex<Vec<v1::AttachReply>>,
    pub changes: Mutex<Vec<v1::StoresChanged>>,
    pub scrubs: Mutex<Vec<v1::ScrubReport>>,
    pub stray: Mutex<Vec<v1::StrayAttempt>>,
    pub declared: Mutex<Vec<v1::Replica>>,
    pub attached: Mutex<Vec<v1::AttachedStore>>,
    pub detached: Mutex<Vec<v1::Detach>>,
    /// Ends of declarations.
    pub ends: Mutex<Vec<v1::DeclareEnd>>,
    /// The last word on each store.
    pub health: Mutex<BTreeMap<String, v1::StoreHealth>>,
    pub progress: Mutex<Vec<v1::AttemptProgress>>,
    /// Every heartbeat.
    pub heartbeats: Mutex<Vec<v1::RenewRequest>>,
    /// Registered workers may not keep what they hold.
    pub keep_nothing: AtomicBool,
    /// Results are acknowledged.
    pub ack_results: AtomicBool,
    /// Declarations of attempts are acknowledged.
    pub ack_declares: AtomicBool,
    /// Every session is refused.
    pub wrong_cluster: AtomicBool,
    session: Mutex<Option<mpsc::Sender<Result<v1::WorkerCommand, Status>>>>,
    index_session: Mutex<Option<mpsc::Sender<Result<v1::IndexWorkerCommand, Status>>>>,
}

struct FakeScheduler(Arc<Said>);
struct FakeIndex(Arc<Said>);

impl Fakes {
    pub async fn start() -> Self {
        let said = Arc::new(Said::default());
        said.ack_results.store(true, Ordering::SeqCst);
        said.ack_declares.store(true, Ordering::SeqCst);
        let scheduler = sized!(WorkerServer::new(FakeScheduler(said.clone())));
        let index = sized!(IndexServer::new(FakeIndex(said.clone())));
        let scheduler = serve(Services::new().with(scheduler)).await;
        Self { scheduler, index: serve(Services::new().with(index)).await, said }
    }

    /// Sends a command on the worker's session, once there is one.
    pub async fn command(&self, body: worker_command::Body) {
        let sender = super::eventually("a session", || self.said.session.lock().unwrap().clone()).await;
        sender.send(Ok(v1::WorkerCommand { body: Some(body) })).await.unwrap();
    }

    pub async fn assign(&self, assign: v1::Assign) {
        self.command(worker_command::Body::Assign(assign)).await;
    }

    pub async fn fence(&self, task: u64, up_to_number: u32) {
        let sender = super::eventually("an index session", || self.said.index_session.lock().unwrap().clone()).await;
        let body = Some(v1::index_worker_command::Body::Fence(v1::Fence { task, up_to_number }));
        sender.send(Ok(v1::IndexWorkerCommand { body })).await.unwrap();
    }

    /// The next result of this attempt; it is taken out.
    pub async fn result(&self, id: &str) -> v1::TaskResult {
        let id: v1::AttemptId = id.parse::<sp_types::AttemptId>().unwrap().into();
        super::eventually("a result", || {
            let mut results = self.said.results.lock().unwrap();
            let at = results.iter().position(|r| r.attempt == Some(id))?;
            Some(results.remove(at))
        })
        .await
    }

    /// The newest registration, once there are so many.
    pub async fn registered(&self, times: usize) -> v1::Register {
        super::eventually("a registration", || {
            let registers = self.said.registers.lock().unwrap();
            (registers.len() >= times).then(|| registers.last().cloned()).flatten()
        })
        .await
    }

    /// The only store of the newest registration.
    pub async fn store(&self) -> String {
        self.registered(1).await.stores[0].clone()
    }
}

pub async fn serve(services: Services) -> String {
    let env = Env::real();
    let server = Server::builder(&env, "fake", ([127, 0, 0, 1], 0).into()).bind().await.unwrap();
    let url = format!("http://{}", server.address());
    tokio::spawn(async move { server.serve(services, std::future::pending()).await });
    url
}

#[tonic::async_trait]
impl Worker for FakeScheduler {
    type SessionStream = ReceiverStream<Result<v1::WorkerCommand, Status>>;

    async fn session(
        &self,
        request: Request<Streaming<v1::WorkerMessage>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let said = self.0.clone();
        if said.wrong_cluster.load(Ordering::SeqCst) {
            return Err(sp_net::status::to_status(ErrorCode::WrongCluster, "this is cluster `other`"));
        }
        let mut messages = request.into_inner();
        let (sender, receiver) = mpsc::channel(16);
        tokio::spawn(async move {
            while let Ok(Some(message)) = messages.message().await {
                let acks = match message.body.unwrap() {
                    worker_message::Body::Register(register) => {
                        let keep = !said.keep_nothing.load(Ordering::SeqCst);
                        let keep = if keep { register.held.clone() } else { vec![] };
                        let registered = v1::Registered {
                            lease_ms: 15_000,
                            heartbeat_ms: 100,
                            keep,
                            scheduler_session: "s".into(),
                            protocol_minor: sp_proto::PROTOCOL_MINOR,
                        };
                        let body = Some(worker_command::Body::Registered(registered));
                        sender.send(Ok(v1::WorkerCommand { body })).await.unwrap();
                        let finished = register.finished.clone();
                        said.registers.lock().unwrap().push(register);
                        *said.session.lock().unwrap() = Some(sender.clone());
                        finished
                    }
                    worker_message::Body::Result(result) => vec![result],
                    worker_message::Body::AttachReply(reply) => {
                        said.replies.lock().unwrap().push(reply);
                        vec![]
                    }
                    worker_message::Body::StoresChanged(changed) => {
                        said.changes.lock().unwrap().push(changed);
                        vec![]
                    }
                    worker_message::Body::ScrubReport(report) => {
                        said.scrubs.lock().unwrap().push(report);
                        vec![]
                    }
                    worker_message::Body::StrayWork(v1::StrayWork { work }) => {
                        said.stray.lock().unwrap().extend(work);
                        vec![]
                    }
                    worker_message::Body::GoingAway(_) => vec![],
                };
                for result in acks {
                    let attempt = result.attempt;
                    said.results.lock().unwrap().push(result);
                    if said.ack_results.load(Ordering::SeqCst) {
                        let body =
                            Some(worker_command::Body::ResultAck(v1::ResultAck { attempt, ..Default::default() }));
                        let _ = sender.send(Ok(v1::WorkerCommand { body })).await;
                    }
                }
            }
            *said.session.lock().unwrap() = None;
        });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    async fn renew(&self, request: Request<v1::RenewRequest>) -> Result<Response<v1::RenewReply>, Status> {
        let renewal = request.into_inner();
        self.0.progress.lock().unwrap().clone_from(&renewal.attempts);
        self.0.heartbeats.lock().unwrap().push(renewal);
        Ok(Response::new(v1::RenewReply { known: true, ended: vec![] }))
    }
}

#[tonic::async_trait]
impl Index for FakeIndex {
    type WorkerSessionStream = ReceiverStream<Result<v1::IndexWorkerCommand, Status>>;
    type SchedulerSessionStream = ReceiverStream<Result<v1::IndexFact, Status>>;

    async fn worker_session(
        &self,
        request: Request<Streaming<v1::IndexWorkerMessage>>,
    ) -> Result<Response<Self::WorkerSessionStream>, Status> {
        let said = self.0.clone();
        let mut messages = request.into_inner();
        let (sender, receiver) = mpsc::channel(16);
        tokio::spawn(async move {
            while let Ok(Some(message)) = messages.message().await {
                let command = match message.body.unwrap() {
                    index_worker_message::Body::Hello(_) => {
                        *said.index_session.lock().unwrap() = Some(sender.clone());
                        let welcome = v1::IndexWelcome { index_session: "i".into(), health_ms: 500 };
                        v1::index_worker_command::Body::Welcome(welcome)
                    }
                    index_worker_message::Body::Attach(store) => {
                        let health = store.health.clone().unwrap();
                        said.health.lock().unwrap().insert(store.store.clone(), health);
                        said.attached.lock().unwrap().push(store);
                        continue;
                    }
                    index_worker_message::Body::Health(health) => {
                        said.health.lock().unwrap().insert(health.store.clone(), health);
                        continue;
                    }
                    index_worker_message::Body::DeclareEnd(end) => {
                        let request = end.request;
                        said.ends.lock().unwrap().push(end);
                        v1::index_worker_command::Body::StoreAck(v1::StoreAck { request, missing: 2 })
                    }
                    index_worker_message::Body::Detach(detach) => {
                        let request = detach.request;
                        said.detached.lock().unwrap().push(detach);
                        v1::index_worker_command::Body::StoreAck(v1::StoreAck { request, missing: 1 })
                    }
                    index_worker_message::Body::Declare(declare) => {
                        if declare.attempt.is_some() && !said.ack_declares.load(Ordering::SeqCst) {
                            continue;
                        }
                        said.declared.lock().unwrap().extend(declare.replicas);
                        let ack = v1::DeclareAck { request: declare.request, failed: None };
                        v1::index_worker_command::Body::DeclareAck(ack)
                    }
                    _ => continue,
                };
                let _ = sender.send(Ok(v1::IndexWorkerCommand { body: Some(command) })).await;
            }
        });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    async fn scheduler_session(
        &self,
        _: Request<Streaming<v1::IndexSchedulerMessage>>,
    ) -> Result<Response<Self::SchedulerSessionStream>, Status> {
        Err(Status::unimplemented("a fake"))
    }

    async fn list_stores(&self, _: Request<v1::ListStoresRequest>) -> Result<Response<v1::ListStoresReply>, Status> {
        Err(Status::unimplemented("a fake"))
    }

    async fn find_sector(&self, _: Request<v1::FindSectorRequest>) -> Result<Response<v1::FindSectorReply>, Status> {
        Err(Status::unimplemented("a fake"))
    }
}
