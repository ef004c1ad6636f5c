//! An index that grants everything at once: one store for each worker, never full.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use anyhow::Result;
use sp_net::server::{Server, Services};
use sp_net::{Env, sized};
use sp_proto::v1::index_server::{Index, IndexServer};
use sp_proto::v1::{self, index_fact::Body, index_scheduler_message};
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::tally::Tally;

type Facts = mpsc::UnboundedSender<Result<v1::IndexFact, Status>>;

/// The index.
#[derive(Clone)]
pub struct LightIndex {
    tally: Arc<Tally>,
    workers: usize,
    /// The scheduler's stream, once it is open.
    scheduler: Arc<Mutex<Option<Facts>>>,
}

/// The store of a worker.
pub fn store_of(worker: usize) -> String {
    format!("store-{worker}")
}

impl LightIndex {
    /// Listens on a free port.
    pub async fn start(env: &Env, workers: usize, tally: Arc<Tally>) -> Result<(Self, SocketAddr)> {
        let index = Self { tally, workers, scheduler: Arc::default() };
        let server = Server::builder(env, "light-index", "127.0.0.1:0".parse()?).bind().await?;
        let address = server.address();
        let services = Services::new().with(sized!(IndexServer::new(index.clone())));
        tokio::spawn(async move { server.serve(services, std::future::pending()).await });
        Ok((index, address))
    }

    /// A replica appears.
    pub fn declare(&self, replica: v1::Replica) {
        self.tell(Body::Replica(replica));
    }

    /// A store has other figures.
    pub fn refresh(&self, worker: usize, available_bytes: u64) {
        self.tell(Body::Store(store_fact(worker, available_bytes)));
    }

    fn tell(&self, body: Body) {
        if let Some(facts) = self.scheduler.lock().expect("nothing panics while it is held").as_ref() {
            Tally::count(&self.tally.facts);
            // The scheduler may have gone.
            let _ = facts.send(Ok(v1::IndexFact { body: Some(body) }));
        }
    }

    fn answer(&self, message: v1::IndexSchedulerMessage) {
        match message.body {
            Some(index_scheduler_message::Body::Reserve(reserve)) => {
                self.tell(Body::ReserveReply(v1::ReserveReply { attempt: reserve.attempt, failed: None }));
            }
            Some(index_scheduler_message::Body::Delete(v1::DeleteReplica { replica: Some(replica), .. })) => {
                self.tell(Body::ReplicaGone(replica));
            }
            _ => {}
        }
    }
}

fn store_fact(worker: usize, available_bytes: u64) -> v1::StoreFact {
    let store = store_of(worker);
    let attached = v1::AttachedStore { store, weight: 10, can_seal: true, can_store: true, ..Default::default() };
    let holder = v1::StoreHolder { worker_id: super::worker::id_of(worker), data_url: "http://127.0.0.1:1".into() };
    v1::StoreFact { store: Some(attached), available_bytes, holders: vec![holder], healthy: true, ..Default::default() }
}

#[tonic::async_trait]
impl Index for LightIndex {
    type WorkerSessionStream = UnboundedReceiverStream<Result<v1::IndexWorkerCommand, Status>>;
    type SchedulerSessionStream = UnboundedReceiverStream<Result<v1::IndexFact, Status>>;

    async fn worker_session(
        &self,
        _: Request<Streaming<v1::IndexWorkerMessage>>,
    ) -> Result<Response<Self::WorkerSessionStream>, Status> {
        Err(Status::unimplemented("light workers declare in process"))
    }

    async fn scheduler_session(
        &self,
        request: Request<Streaming<v1::IndexSchedulerMessage>>,
    ) -> Result<Response<Self::SchedulerSessionStream>, Status> {
        let (mut inbound, (facts, outbound)) = (request.into_inner(), mpsc::unbounded_channel());
        *self.scheduler.lock().expect("nothing panics while it is held") = Some(facts);
        self.tell(Body::SnapshotBegin(v1::SnapshotBegin::default()));
        (0..self.workers).for_each(|worker| self.refresh(worker, 1 << 50));
        self.tell(Body::SnapshotEnd(v1::SnapshotEnd {}));
        let index = self.clone();
        tokio::spawn(async move {
            while let Ok(Some(message)) = inbound.message().await {
                index.answer(message);
            }
        });
        Ok(Response::new(UnboundedReceiverStream::new(outbound)))
    }

    async fn list_stores(&self, _: Request<v1::ListStoresRequest>) -> Result<Response<v1::ListStoresReply>, Status> {
        Err(Status::unimplemented("not asked"))
    }

    async fn find_sector(&self, _: Request<v1::FindSectorRequest>) -> Result<Response<v1::FindSectorReply>, Status> {
        Err(Status::unimplemented("not asked"))
    }
}
