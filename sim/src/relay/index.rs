//! The index as a worker or the scheduler sees it through its relay.

use sp_net::sized;
use sp_proto::v1::index_client::IndexClient;
use sp_proto::v1::index_server::Index;
use sp_proto::v1::{
    FindSectorReply, FindSectorRequest, IndexFact, IndexSchedulerMessage, IndexWorkerCommand, IndexWorkerMessage,
    ListStoresReply, ListStoresRequest,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Request, Response, Status, Streaming};

use super::habits::{of_declaration, of_fact, of_index_command, of_order};
use super::meddler::Meddler;
use super::streams::{QUEUE, listen, speak};

#[derive(Clone)]
pub(super) struct IndexRelay {
    pub(super) meddler: Meddler,
    pub(super) upstream: Channel,
}

impl IndexRelay {
    fn client(&self) -> IndexClient<Channel> {
        sized!(IndexClient::new(self.upstream.clone()))
    }
}

#[tonic::async_trait]
impl Index for IndexRelay {
    type WorkerSessionStream = ReceiverStream<Result<IndexWorkerCommand, Status>>;
    type SchedulerSessionStream = ReceiverStream<Result<IndexFact, Status>>;

    async fn worker_session(
        &self,
        request: Request<Streaming<IndexWorkerMessage>>,
    ) -> Result<Response<Self::WorkerSessionStream>, Status> {
        let ((up, upward), (down, downward)) = (mpsc::channel(QUEUE), mpsc::channel(QUEUE));
        let mut client = self.client();
        let answering = async move { client.worker_session(ReceiverStream::new(upward)).await };
        let listening = listen(self.meddler.clone(), request.into_inner(), of_declaration, up);
        self.meddler.together(listening, speak(self.meddler.clone(), answering, of_index_command, down));
        Ok(Response::new(ReceiverStream::new(downward)))
    }

    async fn scheduler_session(
        &self,
        request: Request<Streaming<IndexSchedulerMessage>>,
    ) -> Result<Response<Self::SchedulerSessionStream>, Status> {
        let ((up, upward), (down, downward)) = (mpsc::channel(QUEUE), mpsc::channel(QUEUE));
        let mut client = self.client();
        let answering = async move { client.scheduler_session(ReceiverStream::new(upward)).await };
        let listening = listen(self.meddler.clone(), request.into_inner(), of_order, up);
        self.meddler.together(listening, speak(self.meddler.clone(), answering, of_fact, down));
        Ok(Response::new(ReceiverStream::new(downward)))
    }

    async fn list_stores(&self, request: Request<ListStoresRequest>) -> Result<Response<ListStoresReply>, Status> {
        self.client().list_stores(request).await
    }

    async fn find_sector(&self, request: Request<FindSectorRequest>) -> Result<Response<FindSectorReply>, Status> {
        self.client().find_sector(request).await
    }
}
