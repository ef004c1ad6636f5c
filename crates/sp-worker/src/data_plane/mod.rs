//! The data plane: bulk data of this worker's stores, and piece uploads to its attempts. Paths come from typed ids only.

mod buffers;
mod bulk;
mod piece;
mod read;
mod upload;

use std::sync::Arc;
use std::time::Duration;

use sp_proto::v1::data_plane_server::DataPlane;
use sp_proto::v1::{
    ExamineSectorReply, ExamineSectorRequest, FileChunk, ManifestPart, ReadChallengeReply, ReadChallengeRequest,
    ReadFileRequest, ReadManifestRequest, ReadPieceRequest, UploadPart, UploadStatusReply, UploadStatusRequest,
};
use sp_types::{ErrorCode, Randomness, SectorId};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use crate::challenge::{self, Question};
use crate::examine::{Examined, examine};
use crate::failure::Failure;
use crate::node::Node;
use crate::pace::Class;
use buffers::Buffers;
pub(crate) use bulk::{CHUNK_WIRE_BYTES, Served};

/// Streams of files, manifests and pieces at once; each holds a few chunks in memory.
const STREAMS_MAX: usize = 128;

/// Those of them that bulk leaves free for what a proof waits for.
const STREAMS_URGENT: usize = 16;

/// Challenge reads at once. Those above wait; their callers have their own limit.
const CHALLENGES_MAX: usize = 256;

/// Chunks that wait for a slow reader.
const CHUNKS_AHEAD: usize = 2;

/// The service.
pub(crate) struct Service {
    node: Arc<Node>,
    streams: Arc<Semaphore>,
    challenges: Semaphore,
    buffers: Buffers,
}

type Stream<T> = ReceiverStream<Result<T, Status>>;

impl Service {
    pub(crate) fn new(node: Arc<Node>) -> Self {
        let (streams, challenges) = (Arc::new(Semaphore::new(STREAMS_MAX)), Semaphore::new(CHALLENGES_MAX));
        Self { node, streams, challenges, buffers: Buffers::default() }
    }

    fn stream_slot(&self, class: Class) -> Result<tokio::sync::OwnedSemaphorePermit, Failure> {
        let busy = || Failure::new(ErrorCode::Unavailable, format!("{STREAMS_MAX} streams are open; try again later"));
        if class == Class::Bulk && self.streams.available_permits() <= STREAMS_URGENT {
            return Err(busy());
        }
        self.streams.clone().try_acquire_owned().map_err(|_| busy())
    }
}

#[tonic::async_trait]
impl DataPlane for Service {
    type ReadManifestStream = Stream<ManifestPart>;
    type ReadFileStream = Stream<FileChunk>;
    type ReadPieceStream = Stream<FileChunk>;

    async fn read_manifest(
        &self,
        request: Request<ReadManifestRequest>,
    ) -> Result<Response<Self::ReadManifestStream>, Status> {
        let slot = self.stream_slot(Class::Urgent).map_err(|f| f.to_status())?;
        let parts = read::manifest(&self.node, request.into_inner()).await.map_err(|f| f.to_status())?;
        Ok(Response::new(read::send_all(&self.node, parts, slot)))
    }

    async fn read_file(&self, request: Request<ReadFileRequest>) -> Result<Response<Self::ReadFileStream>, Status> {
        let request = request.into_inner();
        let class = if request.urgent { Class::Urgent } else { Class::Bulk };
        let slot = self.stream_slot(class).map_err(|f| f.to_status())?;
        let stream = read::file(&self.node, &self.buffers, request, class, slot).await;
        stream.map(Response::new).map_err(|f| f.to_status())
    }

    async fn read_piece(&self, request: Request<ReadPieceRequest>) -> Result<Response<Self::ReadPieceStream>, Status> {
        let slot = self.stream_slot(Class::Bulk).map_err(|f| f.to_status())?;
        let stream = piece::read(&self.node, request.into_inner(), slot).await;
        stream.map(Response::new).map_err(|f| f.to_status())
    }

    async fn upload_status(
        &self,
        request: Request<UploadStatusRequest>,
    ) -> Result<Response<UploadStatusReply>, Status> {
        let status = upload::status(&self.node, &request.into_inner().ticket).await;
        status.map(Response::new).map_err(|f| f.to_status())
    }

    async fn upload_piece(
        &self,
        request: Request<Streaming<UploadPart>>,
    ) -> Result<Response<UploadStatusReply>, Status> {
        let _slot = self.stream_slot(Class::Bulk).map_err(|f| f.to_status())?;
        let status = upload::receive(&self.node, request.into_inner()).await;
        status.map(Response::new).map_err(|f| f.to_status())
    }

    async fn read_challenge(
        &self,
        request: Request<ReadChallengeRequest>,
    ) -> Result<Response<ReadChallengeReply>, Status> {
        let ReadChallengeRequest { miner, sector, post_proof, randomness, comm_r, timeout_ms } = request.into_inner();
        let timeout = Duration::from_millis(timeout_ms);
        let sector = SectorId { miner, number: sector };
        let question = Question { sector, post_proof, randomness, comm_r, timeout };
        let answer = async {
            let _slot: Result<SemaphorePermit<'_>, _> = self.challenges.acquire().await;
            challenge::read_local(&self.node, &question, &CancellationToken::new()).await
        };
        // The bound covers the wait for a slot; the executor has the same one.
        let answer = match self.node.env.timeout(question.limit(&self.node), answer).await {
            Ok(answer) => answer,
            Err(elapsed) => Err(Failure::new(ErrorCode::TimedOut, elapsed.to_string())),
        };
        let vanilla = answer.map_err(|f| f.to_status())?;
        Ok(Response::new(ReadChallengeReply { vanilla }))
    }

    async fn examine_sector(
        &self,
        request: Request<ExamineSectorRequest>,
    ) -> Result<Response<ExamineSectorReply>, Status> {
        let ExamineSectorRequest { miner, sector, post_proof } = request.into_inner();
        let sector = SectorId { miner, number: sector };
        let mut drawn = [0; 32];
        self.node.env.entropy.fill(&mut drawn);
        let randomness = Randomness::new(drawn).bytes().to_vec();
        let question = Question { sector, post_proof, randomness, comm_r: vec![], timeout: Duration::ZERO };
        let limit = question.limit_of_all(&self.node);
        let answer = async {
            let _slot: Result<SemaphorePermit<'_>, _> = self.challenges.acquire().await;
            examine(&self.node, question).await
        };
        let answer = match self.node.env.timeout(limit, answer).await {
            Ok(answer) => answer,
            Err(elapsed) => Err(Failure::new(ErrorCode::TimedOut, elapsed.to_string())),
        };
        let Examined { comm_r, updated } = answer.map_err(|f| f.to_status())?;
        Ok(Response::new(ExamineSectorReply { comm_r, updated }))
    }
}
