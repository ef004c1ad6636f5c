//! Uploads: bytes of a piece, taken for an attempt that waits for them and for nobody else.

use std::time::Duration;

use sp_env::{CrashPoint, crash_point};
use sp_proto::v1::{UploadPart, UploadStatusReply};
use sp_types::ErrorCode;
use tonic::Streaming;

use crate::failure::Failure;
use crate::node::Node;

/// Longest silence of an uploader.
const SILENCE: Duration = Duration::from_secs(30);

/// How long a new uploader waits for an old one whose connection may be dead.
const TAKE_OVER_WITHIN: Duration = Duration::from_secs(40);

pub(super) async fn status(node: &Node, ticket: &str) -> Result<UploadStatusReply, Failure> {
    let upload = node.uploads.get(ticket)?;
    node.fences.check(upload.attempt)?;
    node.env
        .blocking(move || {
            Ok(UploadStatusReply { received_bytes: upload.received_bytes()?, complete: upload.is_complete() })
        })
        .await
}

pub(super) async fn receive(node: &Node, mut parts: Streaming<UploadPart>) -> Result<UploadStatusReply, Failure> {
    let first = next(node, &mut parts).await?;
    let first = first.ok_or_else(|| Failure::new(ErrorCode::BadRequest, "an upload without a first message"))?;
    let ticket = first.ticket.clone();
    let upload = node.uploads.get(&ticket)?;
    let busy = |_| Failure::new(ErrorCode::Unavailable, "somebody else uploads this piece; try again later");
    let _writer = node.env.timeout(TAKE_OVER_WITHIN, upload.writer.lock()).await.map_err(busy)?;
    let (mut offset, mut part) = (first.offset, Some(first));
    while let Some(UploadPart { data, .. }) = part {
        node.fences.check(upload.attempt)?;
        if upload.is_complete() {
            break;
        }
        if !data.is_empty() || offset > 0 {
            let writing = upload.clone();
            offset = node.env.blocking(move || writing.append(offset, &data)).await?;
            crash_point(CrashPoint::WorkerMidUpload);
        }
        part = next(node, &mut parts).await?;
    }
    let settling = upload.clone();
    node.env.blocking(move || settling.settle()).await?;
    if upload.is_complete() {
        crash_point(CrashPoint::WorkerUploaded);
    }
    status(node, &ticket).await
}

async fn next(node: &Node, parts: &mut Streaming<UploadPart>) -> Result<Option<UploadPart>, Failure> {
    match node.env.timeout(SILENCE, parts.message()).await {
        Ok(part) => part.map_err(|status| Failure::from(&status)),
        Err(elapsed) => Err(Failure::new(ErrorCode::TimedOut, elapsed.to_string())),
    }
}
