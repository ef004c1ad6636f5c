//! The gRPC service that workers dial: their control stream and the renewal of their leases.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sp_net::Env;
use sp_net::status::to_status;
use sp_proto::convert::WireError;
use sp_proto::v1::worker_server::Worker;
use sp_proto::v1::{self, worker_message::Body};
use sp_sched_core::event::{Event, Registration};
use sp_types::{ErrorCode, RegisteredSealProof, SectorSize, WorkerId};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use crate::driver::{self, Gone, Handle, Input, Outgoing, StoreAnswered};
use crate::wire;

/// Commands that may wait for one worker; one that lets more pile up is disconnected.
const COMMANDS_MAX: usize = 256;

/// A new stream presents itself within this.
const REGISTER_LIMIT: Duration = Duration::from_secs(10);

/// What every worker must agree on with this scheduler.
#[derive(Debug, Clone)]
pub(crate) struct Admittance {
    pub(crate) cluster: String,
    pub(crate) protocol_minor: u32,
    pub(crate) sector_size: SectorSize,
}

/// The service.
#[derive(Clone)]
pub(crate) struct WorkerService {
    env: Env,
    driver: Handle,
    admittance: Arc<Admittance>,
    connections: Arc<AtomicU64>,
    stopping: CancellationToken,
}

/// A stream that has been let in.
struct Session {
    driver: Handle,
    worker: WorkerId,
    connection: u64,
    inbound: Streaming<v1::WorkerMessage>,
    closed: CancellationToken,
    stopping: CancellationToken,
}

type Commands = mpsc::Sender<Result<v1::WorkerCommand, Status>>;

impl WorkerService {
    pub(crate) fn new(env: Env, driver: Handle, admittance: Admittance, stopping: CancellationToken) -> Self {
        Self { env, driver, admittance: Arc::new(admittance), connections: Arc::default(), stopping }
    }

    /// A worker whose renewals make no sense is put aside with the reason: its session ends, nothing is taken from it.
    async fn refuse(&self, bad: wire::BadRenewal) -> Result<Status, Status> {
        let wire::BadRenewal { from, error } = bad;
        let status = bad_request(error.to_string());
        if let Some((worker, session)) = from {
            let refused = Input::RenewalRefused { worker, session, reason: status.clone() };
            self.driver.send(refused).await.map_err(gone)?;
        }
        Ok(status)
    }

    /// Reads the presentation and lets the worker in, or says why not.
    async fn admit(&self, mut inbound: Streaming<v1::WorkerMessage>, commands: Commands) -> Result<Session, Status> {
        let first = match self.env.timeout(REGISTER_LIMIT, inbound.message()).await {
            Ok(message) => message?,
            Err(elapsed) => return Err(to_status(ErrorCode::TimedOut, format!("no Register: {elapsed}"))),
        };
        let Some(v1::WorkerMessage { body: Some(Body::Register(register)) }) = first else {
            return Err(bad_request("the first message of a session must be Register"));
        };
        let (registration, admission) = wire::registration(register).map_err(|e| bad_request(e.to_string()))?;
        self.admittance.check(&admission)?;
        let Registration { worker, session, name, build, .. } = &registration;
        tracing::info!(%worker, %session, name, build, held = registration.held.len(), "worker connected");
        let connection = self.connections.fetch_add(1, Ordering::Relaxed);
        let (worker, closed) = (worker.clone(), CancellationToken::new());
        let outgoing =
            Outgoing { connection, name: name.clone(), session: session.clone(), commands, closed: closed.clone() };
        self.driver.send(Input::WorkerOpened(Box::new(registration), outgoing)).await.map_err(gone)?;
        let (driver, stopping) = (self.driver.clone(), self.stopping.clone());
        Ok(Session { driver, worker, connection, inbound, closed, stopping })
    }
}

impl Admittance {
    fn check(&self, admission: &wire::Admission) -> Result<(), Status> {
        let wire::Admission { cluster, protocol_minor, seal_proofs } = admission;
        if *cluster != self.cluster {
            return Err(to_status(
                ErrorCode::WrongCluster,
                format!(
                    "this scheduler belongs to cluster `{}`, the worker to `{cluster}`; start it with --cluster {}",
                    self.cluster, self.cluster
                ),
            ));
        }
        if protocol_minor.abs_diff(self.protocol_minor) > 1 {
            return Err(to_status(
                ErrorCode::WrongProtocol,
                format!(
                    "this scheduler speaks protocol 1.{}, the worker 1.{protocol_minor}; one minor apart works, more \
                     does not: upgrade the older one",
                    self.protocol_minor
                ),
            ));
        }
        // It has checked parameters for the sizes that it names, and for no others.
        let size = self.sector_size;
        if !seal_proofs.contains(&RegisteredSealProof::v1_1(size).id()) {
            let message = format!(
                "this scheduler's sectors have {size}, and the worker handles none of that size; start it with \
                 --sector-size {size}"
            );
            return Err(to_status(ErrorCode::WrongCluster, message));
        }
        Ok(())
    }
}

impl Session {
    /// Passes on what the worker says until the stream ends, and then says that it has.
    async fn run(mut self) {
        let reason = self.listen().await;
        let closed = Input::WorkerClosed { worker: self.worker, connection: self.connection, reason };
        // Fails only when the driver has ended: then there is nobody to tell.
        let _ = self.driver.send(closed).await;
    }

    async fn listen(&mut self) -> String {
        let mut farewell = None;
        loop {
            let message = tokio::select! {
                biased;
                () = self.closed.cancelled() => return "closed by the scheduler".into(),
                () = self.stopping.cancelled() => return "the scheduler is stopping".into(),
                message = self.inbound.message() => message,
            };
            let input = match message {
                Ok(Some(message)) => self.input(message, &mut farewell),
                Ok(None) => return farewell.unwrap_or_else(|| "it ended its stream".into()),
                Err(status) => return farewell.unwrap_or_else(|| sp_net::status::message_of(&status)),
            };
            match input {
                Ok(None) => {}
                Ok(Some(input)) => {
                    if self.driver.send(input).await.is_err() {
                        return "the scheduler is stopping".into();
                    }
                }
                Err(error) => return format!("it sent a message that makes no sense: {error}"),
            }
        }
    }

    fn input(&self, message: v1::WorkerMessage, farewell: &mut Option<String>) -> Result<Option<Input>, WireError> {
        let v1::WorkerMessage { body } = message;
        Ok(match body.ok_or(WireError::Missing("body"))? {
            Body::Register(_) => {
                return Err(WireError::Invalid { field: "body", reason: "a second Register on one stream".into() });
            }
            Body::Result(result) => {
                let result = Box::new(wire::task_result(result)?);
                Some(Input::Event(Event::Result { worker: self.worker.clone(), result }))
            }
            Body::GoingAway(v1::GoingAway { reason }) => {
                *farewell = Some(format!("going away: {reason}"));
                None
            }
            Body::AttachReply(reply) => Some(store_answered(driver::attached(reply))),
            Body::StoresChanged(reply) => Some(store_answered(driver::changed(reply))),
            Body::StrayWork(work) => {
                let work = wire::stray_work(work)?;
                Some(Input::Event(Event::StrayWork { worker: self.worker.clone(), work }))
            }
            Body::ScrubReport(report) => Some(store_answered(driver::scrubbed(report))),
        })
    }
}

#[tonic::async_trait]
impl Worker for WorkerService {
    type SessionStream = ReceiverStream<Result<v1::WorkerCommand, Status>>;

    async fn session(
        &self,
        request: Request<Streaming<v1::WorkerMessage>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let (commands, outbound) = mpsc::channel(COMMANDS_MAX);
        let (service, inbound) = (self.clone(), request.into_inner());
        // The answer's headers go out at once: a client may wait for them before it presents itself.
        let session = async move {
            let refused = commands.clone();
            match service.admit(inbound, commands).await {
                Ok(session) => {
                    drop(refused);
                    session.run().await;
                }
                Err(status) => {
                    tracing::warn!(reason = sp_net::status::message_of(&status), "worker refused");
                    // It may have hung up.
                    let _ = refused.try_send(Err(status));
                }
            }
        };
        drop(self.env.tasks.spawn("worker session", Box::pin(session)));
        Ok(Response::new(ReceiverStream::new(outbound)))
    }

    async fn renew(&self, request: Request<v1::RenewRequest>) -> Result<Response<v1::RenewReply>, Status> {
        let (worker, session, event) = match wire::renewal(request.into_inner()) {
            Ok(renewal) => renewal,
            Err(bad) => return Err(self.refuse(bad).await?),
        };
        let reply = self.driver.renew(worker, session, event).await.map_err(gone)?;
        Ok(Response::new(reply))
    }
}

fn store_answered((request, answer): (u64, StoreAnswered)) -> Input {
    Input::StoreAnswered { request, answer }
}

fn bad_request(message: impl Into<String>) -> Status {
    to_status(ErrorCode::BadRequest, message)
}

/// The driver gave no answer.
pub(crate) fn gone(gone: Gone) -> Status {
    let code = match &gone {
        Gone::Stopping | Gone::Starting => ErrorCode::Unavailable,
        Gone::TimedOut { .. } => ErrorCode::TimedOut,
    };
    to_status(code, gone.to_string())
}
