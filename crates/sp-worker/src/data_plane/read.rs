//! Reads: manifests and ranges of files. Every stream goes at its reader's pace and ends when he goes.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use prost::bytes::Bytes;
use sp_proto::convert::{ReplicaInfo, required};
use sp_proto::v1::{
    self, AttemptId, FileChunk, ManifestFile, ManifestHead, ManifestPart, ReadFileRequest, ReadManifestRequest,
};
use sp_sectors::{CHUNK_BYTES, Manifest, ReplicaFile, Store};
use sp_types::{ErrorCode, ReplicaId};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio_stream::wrappers::ReceiverStream;

use super::buffers::Buffers;
use super::{CHUNKS_AHEAD, Stream};
use crate::failure::Failure;
use crate::node::Node;
use crate::pace::{Class, Move};
use crate::stores::ANSWER_WITHIN;

/// Chunk digests in one part of a manifest: half a mebibyte.
const DIGESTS_PER_PART: usize = 16 << 10;

/// What a stream reads before it looks again whether it may go on.
const READ_BYTES: u64 = 2 * CHUNK_BYTES;

/// A read that takes longer goes on, and is counted no more: others read meanwhile.
const TURN_WITHIN: Duration = Duration::from_millis(250);

/// The replica that a request names, in a store of ours, on behalf of an attempt that has not ended.
fn replica(
    node: &Node,
    replica: Option<v1::Replica>,
    attempt: Option<AttemptId>,
) -> Result<(Store, ReplicaId), Failure> {
    if let Some(attempt) = attempt {
        node.fences.check(attempt.into())?;
    }
    let id = ReplicaInfo::try_from(required("replica", replica)?)?.id;
    Ok((node.stores.get(&id.store)?, id))
}

pub(super) async fn manifest(node: &Node, request: ReadManifestRequest) -> Result<Vec<ManifestPart>, Failure> {
    let (store, id) = replica(node, request.replica, request.attempt)?;
    let (reading, wanted) = (store.clone(), id.clone());
    let manifest = node.env.blocking(move || reading.manifest(&wanted)).await?;
    node.tell_read(&store, &id).await;
    Ok(parts(&manifest))
}

/// A manifest in messages: the head first, long files in several pieces under the same name.
fn parts(manifest: &Manifest) -> Vec<ManifestPart> {
    let head = ManifestHead {
        kind: v1::FileKind::from(manifest.kind()) as i32,
        root: manifest.root().to_vec(),
        size_bytes: manifest.size_bytes(),
        file_count: manifest.files().len() as u32,
        made_by: String::new(),
    };
    let mut parts = vec![ManifestPart { head: Some(head), files: vec![] }];
    let mut room = DIGESTS_PER_PART;
    for file in manifest.files() {
        let mut digests = file.chunks.as_slice();
        loop {
            let (now, later) = digests.split_at(digests.len().min(room));
            let wire =
                ManifestFile { name: file.name.clone(), size_bytes: file.size_bytes, chunk_digests: now.concat() };
            if let Some(part) = parts.last_mut() {
                part.files.push(wire);
            }
            room -= now.len();
            digests = later;
            if room == 0 {
                parts.push(ManifestPart::default());
                room = DIGESTS_PER_PART;
            }
            if digests.is_empty() {
                break;
            }
        }
    }
    parts
}

/// Sends messages that are ready.
pub(super) fn send_all(node: &Node, messages: Vec<ManifestPart>, slot: OwnedSemaphorePermit) -> Stream<ManifestPart> {
    let (sender, receiver) = mpsc::channel(CHUNKS_AHEAD);
    let sending = async move {
        let _slot = slot;
        for message in messages {
            if sender.send(Ok(message)).await.is_err() {
                return;
            }
        }
    };
    node.env.tasks.spawn("manifest", Box::pin(sending));
    ReceiverStream::new(receiver)
}

pub(super) async fn file(
    node: &Arc<Node>,
    buffers: &Buffers,
    request: ReadFileRequest,
    class: Class,
    slot: OwnedSemaphorePermit,
) -> Result<Stream<FileChunk>, Failure> {
    let ReadFileRequest { replica: wire, attempt, name, offset, size_bytes, urgent: _ } = request;
    let (store, id) = replica(node, wire, attempt)?;
    if !offset.is_multiple_of(CHUNK_BYTES) {
        let message = format!("offset {offset} is not the start of a chunk; use multiples of {CHUNK_BYTES}");
        return Err(Failure::new(ErrorCode::BadRequest, message));
    }
    let opening = node.env.blocking(move || store.open_file(&id, &name));
    let file = Arc::new(node.env.timeout(ANSWER_WITHIN, opening).await.map_err(|_| silent())??);
    let size = file.size_bytes();
    let end = if size_bytes == 0 { size } else { offset.saturating_add(size_bytes).min(size) };
    let (sender, receiver) = mpsc::channel(CHUNKS_AHEAD);
    let (node, buffers) = (node.clone(), buffers.clone());
    let reading = node.clone();
    let sending = async move {
        let _slot = slot;
        let mut at = offset;
        while at < end && !sender.is_closed() {
            let to = end.min(at + READ_BYTES);
            let turn = reading.sending.begin(class, to - at).await;
            let fenced = attempt.map_or(Ok(()), |attempt| reading.fences.check(attempt.into()));
            let chunks = match fenced {
                Ok(()) => {
                    let (file, buffers) = (file.clone(), buffers.clone());
                    in_turn(&reading, turn, move || chunks(&file, &buffers, at, to)).await
                }
                Err(failure) => vec![Err(failure)],
            };
            for chunk in chunks {
                let failed = chunk.is_err();
                if sender.send(chunk.map_err(|f| f.to_status())).await.is_err() || failed {
                    return;
                }
            }
            at = to;
        }
    };
    node.env.tasks.spawn("file", Box::pin(sending));
    Ok(ReceiverStream::new(receiver))
}

/// Reads while it is one's turn. A disk that does not answer keeps nobody else waiting for long, and is given up.
async fn in_turn(
    node: &Node,
    turn: Move,
    read: impl FnOnce() -> Vec<Result<FileChunk, Failure>> + Send + 'static,
) -> Vec<Result<FileChunk, Failure>> {
    let mut reading = pin!(node.env.blocking(read));
    if let Ok(chunks) = node.env.timeout(TURN_WITHIN, &mut reading).await {
        return chunks;
    }
    drop(turn);
    node.env.timeout(ANSWER_WITHIN, reading).await.unwrap_or_else(|_| vec![Err(silent())])
}

fn silent() -> Failure {
    let message = format!("its path has not answered within {} s", ANSWER_WITHIN.as_secs());
    Failure::new(ErrorCode::Unavailable, message)
}

/// Whole chunks from `at` to `to`, as far as they can be read.
fn chunks(file: &ReplicaFile, buffers: &Buffers, at: u64, to: u64) -> Vec<Result<FileChunk, Failure>> {
    let read = |offset: u64| {
        let mut buffer = buffers.take(file.chunk_bytes(offset)?);
        match file.read_chunk(offset, buffer.space())? {
            0 => Err(Failure::new(ErrorCode::FileMissing, "the file became shorter while it was read")),
            got => {
                buffer.shorten(got);
                Ok(FileChunk { offset, data: Bytes::from_owner(buffer) })
            }
        }
    };
    (at..to).step_by(CHUNK_BYTES as usize).map(read).collect()
}

#[cfg(test)]
mod tests {
    use sp_sectors::ManifestFile as File;
    use sp_types::FileKind;

    use super::*;

    #[test]
    fn long_manifests_are_cut_into_parts_that_join_again() {
        let chunks = DIGESTS_PER_PART + 5;
        let long = File { name: "a".into(), size_bytes: chunks as u64 * CHUNK_BYTES, chunks: vec![[7; 32]; chunks] };
        let empty = File { name: "b".into(), size_bytes: 0, chunks: vec![] };
        let manifest = Manifest::new(FileKind::Cache, vec![long, empty]).unwrap();
        let parts = parts(&manifest);
        assert_eq!(parts.len(), 2);
        assert!(parts[0].head.is_some() && parts[1].head.is_none());
        let lengths: Vec<_> =
            parts.iter().flat_map(|p| &p.files).map(|f| (f.name.as_str(), f.chunk_digests.len() / 32)).collect();
        assert_eq!(lengths, [("a", DIGESTS_PER_PART), ("a", 5), ("b", 0)]);
    }
}
