//! The data plane of another worker as a worker sees it through its relay: bytes are wrong, come twice or not at all.
//!
//! What is wrong must be found by its digest: nothing of it may become visible (law L10).

use std::pin::Pin;

use futures_util::{Stream, StreamExt};
use sp_net::sized;
use sp_proto::v1;
use sp_proto::v1::data_plane_client::DataPlaneClient;
use sp_proto::v1::data_plane_server::DataPlane;
use tonic::transport::Channel;
use tonic::{Request, Response, Status, Streaming};

use super::meddler::Meddler;

/// Parts of a hundred, of chunks and of parts of manifests.
const WRONG_BIT_PERCENT: u64 = 4;
const SHORT_PERCENT: u64 = 2;
const LONG_PERCENT: u64 = 2;
const TWICE_PERCENT: u64 = 2;
const CUT_PERCENT: u64 = 4;
const WRONG_MANIFEST_PERCENT: u64 = 3;

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[derive(Clone)]
pub(super) struct DataRelay {
    pub(super) meddler: Meddler,
    pub(super) upstream: Channel,
}

impl DataRelay {
    fn client(&self) -> DataPlaneClient<Channel> {
        sized!(DataPlaneClient::new(self.upstream.clone()))
    }

    fn happens(&self, percent: u64, what: &'static str) -> bool {
        let happens = self.meddler.happens(percent);
        if happens {
            self.meddler.injected(what);
        }
        happens
    }

    /// What becomes of a chunk on its way.
    fn chunks(&self, mut chunk: v1::FileChunk) -> Vec<Result<v1::FileChunk, Status>> {
        if self.happens(CUT_PERCENT, "data cut") {
            return vec![Err(Status::unavailable("the connection is cut"))];
        }
        let mut data = chunk.data.to_vec();
        if self.happens(WRONG_BIT_PERCENT, "wrong bit")
            && let Some(byte) = data.last_mut()
        {
            *byte ^= 1;
        }
        if self.happens(SHORT_PERCENT, "data too short") {
            data.truncate(data.len() / 2);
        }
        if self.happens(LONG_PERCENT, "data too long") {
            data.push(7);
        }
        chunk.data = data.into();
        let again = self.happens(TWICE_PERCENT, "data twice").then(|| Ok(chunk.clone()));
        [Ok(chunk)].into_iter().chain(again).collect()
    }
}

#[tonic::async_trait]
impl DataPlane for DataRelay {
    type ReadManifestStream = Answers<v1::ManifestPart>;
    type ReadFileStream = Answers<v1::FileChunk>;
    type ReadPieceStream = Answers<v1::FileChunk>;

    async fn read_manifest(
        &self,
        request: Request<v1::ReadManifestRequest>,
    ) -> Result<Response<Self::ReadManifestStream>, Status> {
        let parts = self.client().read_manifest(request.into_inner()).await?.into_inner();
        let relay = self.clone();
        let parts = parts.map(move |part| {
            let mut part = part?;
            if relay.happens(WRONG_MANIFEST_PERCENT, "wrong manifest")
                && let Some(byte) = part.files.first_mut().and_then(|file| file.chunk_digests.first_mut())
            {
                *byte ^= 1;
            }
            Ok(part)
        });
        Ok(Response::new(Box::pin(parts)))
    }

    async fn read_file(&self, request: Request<v1::ReadFileRequest>) -> Result<Response<Self::ReadFileStream>, Status> {
        let chunks = self.client().read_file(request.into_inner()).await?.into_inner();
        let relay = self.clone();
        let chunks = chunks.flat_map(move |chunk| {
            let chunks = chunk.map_or_else(|status| vec![Err(status)], |chunk| relay.chunks(chunk));
            futures_util::stream::iter(chunks)
        });
        Ok(Response::new(Box::pin(chunks)))
    }

    async fn upload_status(
        &self,
        request: Request<v1::UploadStatusRequest>,
    ) -> Result<Response<v1::UploadStatusReply>, Status> {
        self.client().upload_status(request.into_inner()).await
    }

    async fn upload_piece(
        &self,
        _: Request<Streaming<v1::UploadPart>>,
    ) -> Result<Response<v1::UploadStatusReply>, Status> {
        Err(Status::unimplemented("no worker uploads"))
    }

    async fn read_piece(&self, _: Request<v1::ReadPieceRequest>) -> Result<Response<Self::ReadPieceStream>, Status> {
        Err(Status::unimplemented("no worker reads pieces of another one"))
    }

    async fn read_challenge(
        &self,
        request: Request<v1::ReadChallengeRequest>,
    ) -> Result<Response<v1::ReadChallengeReply>, Status> {
        self.client().read_challenge(request.into_inner()).await
    }

    async fn examine_sector(
        &self,
        request: Request<v1::ExamineSectorRequest>,
    ) -> Result<Response<v1::ExamineSectorReply>, Status> {
        self.client().examine_sector(request.into_inner()).await
    }
}
