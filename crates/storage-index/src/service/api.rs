//! The gRPC face: greets peers and hands them to the actor.

use std::pin::Pin;
use std::time::Duration;

use futures_util::{Stream, StreamExt};
use sp_net::{Env, status};
use sp_proto::v1::index_server::Index;
use sp_proto::{PROTOCOL_MINOR, v1};
use sp_types::{ErrorCode, SectorId};
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::actor::Input;
use super::session::{Facts, SCHEDULER_QUEUE, WORKER_QUEUE};
use crate::wire;

/// A peer that opens a session says who it is within this time.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);

/// What handlers need; cheap to clone.
#[derive(Clone)]
pub(super) struct Api {
    env: Env,
    cluster: String,
    inputs: mpsc::Sender<Input>,
}

impl Api {
    pub(super) fn new(env: Env, cluster: String, inputs: mpsc::Sender<Input>) -> Self {
        Self { env, cluster, inputs }
    }

    async fn first<M>(&self, messages: &mut Streaming<M>) -> Result<M, Status> {
        let first = self.env.timeout(HELLO_TIMEOUT, messages.message()).await;
        let late = |e: sp_net::Elapsed| status::to_status(ErrorCode::TimedOut, format!("no hello: {e}"));
        let none = || status::to_status(ErrorCode::BadRequest, "the session ended before its hello");
        first.map_err(late)??.ok_or_else(none)
    }

    fn check(&self, cluster: &str, minor: u32) -> Result<(), Status> {
        if cluster != self.cluster {
            let message =
                format!("you are of cluster `{cluster}`, this index of `{}`; correct --cluster", self.cluster);
            return Err(status::to_status(ErrorCode::WrongCluster, message));
        }
        if minor.abs_diff(PROTOCOL_MINOR) > 1 {
            let message =
                format!("you speak protocol minor {minor}, this index {PROTOCOL_MINOR}; upgrade the older one");
            return Err(status::to_status(ErrorCode::WrongProtocol, message));
        }
        Ok(())
    }

    async fn tell(&self, input: Input) -> Result<(), Status> {
        let gone = |_| status::to_status(ErrorCode::Unavailable, "the index is stopping; try again soon");
        self.inputs.send(input).await.map_err(gone)
    }

    pub(super) async fn ask<T>(&self, question: impl FnOnce(oneshot::Sender<T>) -> Input) -> Result<T, Status> {
        let (sender, receiver) = oneshot::channel();
        self.tell(question(sender)).await?;
        let gone = |_| status::to_status(ErrorCode::Unavailable, "the index is stopping; try again soon");
        receiver.await.map_err(gone)
    }
}

fn no_hello() -> Status {
    status::to_status(ErrorCode::BadRequest, "the first message of a session is its hello")
}

#[tonic::async_trait]
impl Index for Api {
    type WorkerSessionStream = ReceiverStream<Result<v1::IndexWorkerCommand, Status>>;
    type SchedulerSessionStream = Pin<Box<dyn Stream<Item = Result<v1::IndexFact, Status>> + Send>>;

    async fn worker_session(
        &self,
        request: Request<Streaming<v1::IndexWorkerMessage>>,
    ) -> Result<Response<Self::WorkerSessionStream>, Status> {
        let mut messages = request.into_inner();
        let Some(v1::index_worker_message::Body::Hello(hello)) = self.first(&mut messages).await?.body else {
            return Err(no_hello());
        };
        self.check(&hello.cluster, hello.protocol_minor)?;
        let hello = wire::hello(hello).map_err(|e| status::to_status(ErrorCode::BadRequest, e.to_string()))?;
        let (queue, receiver) = mpsc::channel(WORKER_QUEUE);
        self.tell(Input::WorkerOpen { hello, messages, queue }).await?;
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    async fn scheduler_session(
        &self,
        request: Request<Streaming<v1::IndexSchedulerMessage>>,
    ) -> Result<Response<Self::SchedulerSessionStream>, Status> {
        let mut messages = request.into_inner();
        let Some(v1::index_scheduler_message::Body::Hello(hello)) = self.first(&mut messages).await?.body else {
            return Err(no_hello());
        };
        self.check(&hello.cluster, hello.protocol_minor)?;
        let (queue, receiver) = mpsc::channel::<Result<Facts, Status>>(SCHEDULER_QUEUE);
        self.tell(Input::SchedulerOpen { messages, queue }).await?;
        let facts = ReceiverStream::new(receiver).flat_map(|facts| {
            let (facts, end) = match facts {
                Ok(facts) => (Some(facts.into_wire()), None),
                Err(end) => (None, Some(end)),
            };
            futures_util::stream::iter(facts.into_iter().flatten().map(Ok).chain(end.map(Err)))
        });
        Ok(Response::new(Box::pin(facts)))
    }

    async fn list_stores(&self, _: Request<v1::ListStoresRequest>) -> Result<Response<v1::ListStoresReply>, Status> {
        let (stores, counts) = self.ask(Input::ListStores).await?;
        let stores = stores.into_iter().map(wire::store_fact).collect();
        let counts = counts.into_iter().map(wire::replica_count).collect();
        Ok(Response::new(v1::ListStoresReply { stores, counts }))
    }

    async fn find_sector(
        &self,
        request: Request<v1::FindSectorRequest>,
    ) -> Result<Response<v1::FindSectorReply>, Status> {
        let v1::FindSectorRequest { miner, sector: number } = request.into_inner();
        let replicas = self.ask(|answer| Input::FindSector(SectorId { miner, number }, answer)).await?;
        Ok(Response::new(v1::FindSectorReply { replicas: replicas.into_iter().map(Into::into).collect() }))
    }
}
