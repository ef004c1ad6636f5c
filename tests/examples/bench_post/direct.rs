//! In the scheduler's place: takes workers in, gives one of them an attempt, and waits for what comes of it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use sp_net::server::{Server, Services};
use sp_net::{Env, sized};
use sp_proto::v1::worker_server::{Worker, WorkerServer};
use sp_proto::v1::{self, worker_command, worker_message};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::{Request, Response, Status, Streaming};

/// Nothing takes longer.
const LIMIT: Duration = Duration::from_secs(120);

/// As the scheduler has it by default.
const HEARTBEAT_MS: u64 = 2_000;

type Commands = mpsc::UnboundedSender<Result<v1::WorkerCommand, Status>>;

/// One that is connected.
#[derive(Clone)]
struct Known {
    data_url: String,
    commands: Commands,
}

/// What takes the scheduler's place.
#[derive(Clone)]
pub(crate) struct Director {
    workers: Arc<Mutex<BTreeMap<String, Known>>>,
    /// The last result.
    result: watch::Sender<Option<v1::TaskResult>>,
}

impl Director {
    /// Listens on a free port.
    pub(crate) async fn start() -> Result<(Self, SocketAddr)> {
        let env = Env::real();
        let director = Self { workers: Arc::default(), result: watch::Sender::new(None) };
        let server = Server::builder(&env, "director", "127.0.0.1:0".parse()?).bind().await?;
        let address = server.address();
        let services = Services::new().with(sized!(WorkerServer::new(director.clone())));
        tokio::spawn(async move { server.serve(services, std::future::pending()).await });
        Ok((director, address))
    }

    /// Where the data plane of this worker listens, once it is connected.
    pub(crate) async fn data_url(&self, name: &str) -> Result<String> {
        let connected = async {
            loop {
                if let Some(known) = self.workers().get(name) {
                    return known.data_url.clone();
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(LIMIT, connected).await.with_context(|| format!("{name} does not connect"))
    }

    /// Has this worker do it.
    pub(crate) async fn run(&self, name: &str, assign: v1::Assign) -> Result<v1::TaskResult> {
        let commands = self.workers().get(name).with_context(|| format!("no worker {name}"))?.commands.clone();
        let attempt = assign.attempt;
        let mut results = self.result.subscribe();
        commands.send(Ok(command(worker_command::Body::Assign(assign))))?;
        let ours = results.wait_for(|result| result.as_ref().is_some_and(|result| result.attempt == attempt));
        let result = tokio::time::timeout(LIMIT, ours).await.with_context(|| format!("{name} does not answer"))??;
        let result = result.clone().context("no result")?;
        let ack = v1::ResultAck { attempt, ..Default::default() };
        commands.send(Ok(command(worker_command::Body::ResultAck(ack))))?;
        Ok(result)
    }

    fn workers(&self) -> MutexGuard<'_, BTreeMap<String, Known>> {
        self.workers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn command(body: worker_command::Body) -> v1::WorkerCommand {
    v1::WorkerCommand { body: Some(body) }
}

#[tonic::async_trait]
impl Worker for Director {
    type SessionStream = UnboundedReceiverStream<Result<v1::WorkerCommand, Status>>;

    async fn session(
        &self,
        request: Request<Streaming<v1::WorkerMessage>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let (mut inbound, (commands, outbound)) = (request.into_inner(), mpsc::unbounded_channel());
        let director = self.clone();
        tokio::spawn(async move {
            while let Ok(Some(message)) = inbound.message().await {
                match message.body {
                    Some(worker_message::Body::Register(register)) => {
                        let registered = v1::Registered {
                            lease_ms: 15_000,
                            heartbeat_ms: HEARTBEAT_MS,
                            protocol_minor: sp_proto::PROTOCOL_MINOR,
                            ..Default::default()
                        };
                        // The worker may have gone again.
                        let _ = commands.send(Ok(command(worker_command::Body::Registered(registered))));
                        let known = Known { data_url: register.data_url, commands: commands.clone() };
                        director.workers().insert(register.name, known);
                    }
                    Some(worker_message::Body::Result(result)) => drop(director.result.send_replace(Some(result))),
                    _ => {}
                }
            }
        });
        Ok(Response::new(UnboundedReceiverStream::new(outbound)))
    }

    async fn renew(&self, _: Request<v1::RenewRequest>) -> Result<Response<v1::RenewReply>, Status> {
        Ok(Response::new(v1::RenewReply { known: true, ..Default::default() }))
    }
}
