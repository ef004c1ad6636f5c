//! The data port of the fake: takes uploads that may break, serves one piece.

use std::pin::Pin;

use futures_util::Stream;
use sp_proto::v1::data_plane_server::DataPlane;
use sp_proto::v1::*;
use tonic::{Request, Response, Status, Streaming};

use super::Cluster;

type Parts<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// The ticket that the scheduler of the fake gives out.
pub(crate) const TICKET: &str = "ticket-1";

fn absent<T>() -> Result<Response<T>, Status> {
    Err(Status::unimplemented("sp-ctl never asks this"))
}

impl Cluster {
    fn upload_state(&self) -> UploadStatusReply {
        self.with(|state| {
            let received_bytes = state.received.len() as u64;
            let complete = state.announced.as_ref().is_some_and(|(size_bytes, digest)| {
                *size_bytes == received_bytes && blake2s_simd::blake2s(&state.received).as_bytes() == &digest[..]
            });
            UploadStatusReply { received_bytes, complete }
        })
    }
}

#[tonic::async_trait]
impl DataPlane for Cluster {
    type ReadManifestStream = Parts<ManifestPart>;
    type ReadFileStream = Parts<FileChunk>;
    type ReadPieceStream = Parts<FileChunk>;

    async fn read_manifest(&self, _: Request<ReadManifestRequest>) -> Result<Response<Parts<ManifestPart>>, Status> {
        absent()
    }

    async fn read_file(&self, _: Request<ReadFileRequest>) -> Result<Response<Parts<FileChunk>>, Status> {
        absent()
    }

    async fn upload_status(&self, ask: Request<UploadStatusRequest>) -> Result<Response<UploadStatusReply>, Status> {
        self.called("UploadStatus")?;
        assert_eq!(ask.into_inner().ticket, TICKET);
        Ok(Response::new(self.upload_state()))
    }

    async fn upload_piece(&self, ask: Request<Streaming<UploadPart>>) -> Result<Response<UploadStatusReply>, Status> {
        self.called("UploadPiece")?;
        let mut parts = ask.into_inner();
        let first = parts.message().await?.ok_or_else(|| Status::invalid_argument("no part"))?;
        assert_eq!((first.ticket.as_str(), first.offset), (TICKET, self.upload_state().received_bytes));
        while let Some(part) = parts.message().await? {
            assert!(part.data.len() <= 1 << 20 && part.ticket.is_empty());
            let broken = self.with(|state| {
                state.received.extend_from_slice(&part.data);
                let limit = state.break_after?;
                state.received.truncate(limit);
                state.break_after.take()
            });
            if broken.is_some() {
                return Err(Status::unavailable("the disk went away"));
            }
        }
        Ok(Response::new(self.upload_state()))
    }

    async fn read_piece(&self, ask: Request<ReadPieceRequest>) -> Result<Response<Parts<FileChunk>>, Status> {
        self.called("ReadPiece")?;
        let ReadPieceRequest { offset, size_bytes, .. } = ask.into_inner();
        let (piece, break_after, damaged) =
            self.with(|state| (state.piece.clone(), state.break_after.take(), state.damaged));
        let mut wanted = piece[offset as usize..(offset + size_bytes) as usize].to_vec();
        if damaged {
            wanted[0] ^= 1;
        }
        wanted.truncate(break_after.unwrap_or(wanted.len()));
        let mut at = offset;
        let chunks: Vec<Result<FileChunk, Status>> = wanted
            .chunks(1 << 20)
            .map(|data| {
                let chunk = FileChunk { offset: at, data: data.to_vec().into() };
                at += data.len() as u64;
                Ok(chunk)
            })
            .collect();
        Ok(Response::new(Box::pin(futures_util::stream::iter(chunks))))
    }

    async fn read_challenge(&self, _: Request<ReadChallengeRequest>) -> Result<Response<ReadChallengeReply>, Status> {
        absent()
    }

    async fn examine_sector(&self, _: Request<ExamineSectorRequest>) -> Result<Response<ExamineSectorReply>, Status> {
        absent()
    }
}
