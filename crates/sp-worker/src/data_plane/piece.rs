//! Reads data out of an unsealed file, Fr32 padding removed: any range of it.
//!
//! Whoever reads a part cannot check it by the digest of the whole. So every chunk of the file that a range touches is
//! compared with the manifest before a byte of it is sent.

use std::ops::Range;
use std::sync::Arc;

use sp_proto::convert::bytes32;
use sp_proto::v1::exec_request::Op;
use sp_proto::v1::exec_response::Outcome;
use sp_proto::v1::{ExecReadPiece, ExecRequest, FileChunk, ReadPieceRequest};
use sp_sectors::{CHUNK_BYTES, Filled, Manifest, PageBuffer, ReplicaFile, Store, chunk_digest};
use sp_types::{ByteSize, ErrorCode, FileKind, ReplicaId, SectorId};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;

use super::{CHUNKS_AHEAD, Stream};
use crate::attempt::text;
use crate::executor::{Job, Role};
use crate::failure::Failure;
use crate::node::Node;
use crate::options::READ_TIMEOUT;

/// Unpadded bytes of one read.
const READ_BYTES: u64 = 1 << 20;

/// Fr32: so many bytes of data ..
const UNPADDED: u64 = 127;
/// .. take so many bytes of the file.
const PADDED: u64 = 128;

/// An unsealed file that is compared with its manifest as it is read on.
struct Checked {
    file: ReplicaFile,
    /// None for a file of another system that nobody has read whole yet.
    manifest: Option<Manifest>,
    /// What of its data is there.
    filled: Filled,
    /// The first chunk that has not been compared.
    next: u64,
}

impl Checked {
    fn open(store: &Store, replica: &ReplicaId) -> Result<Self, Failure> {
        let manifest = if replica.root == [0; 32] { None } else { Some(store.manifest(replica)?) };
        let file = store.open_file(replica, "")?;
        let filled = file.filled()?;
        let opened = Self { file, manifest, filled, next: 0 };
        // What a trailer says of the data is as good as the data.
        opened.compare(opened.filled.data_bytes()..opened.file.size_bytes())?;
        Ok(opened)
    }

    /// Bytes of data that it holds, those that were let go of included.
    fn holds(&self) -> u64 {
        self.filled.data_bytes() / PADDED * UNPADDED
    }

    /// Refuses a range of data of which a part was let go of: it reads as zeros.
    fn has(&self, sector: SectorId, data: &Range<u64>) -> Result<(), Failure> {
        let Some(missing) = self.filled.first_missing(&padded(data)) else { return Ok(()) };
        let (from, until) = (missing.start / PADDED * UNPADDED, missing.end.div_ceil(PADDED) * UNPADDED);
        let (from, until) = (from.max(data.start), until.min(data.end));
        let message = format!(
            "the unsealed copy of {sector} holds only a part of its data, and bytes {from} to {until} ({}) of what was asked \
             for are not there; `sp-ctl sectors unseal {}` makes a whole copy",
            ByteSize(until - from),
            sector.number
        );
        Err(Failure::new(ErrorCode::FileMissing, message))
    }

    /// Compares what of the file the range of data touches, and has not been compared yet; ranges must rise. Blocks.
    fn check(&mut self, data: &Range<u64>) -> Result<(), Failure> {
        let padded = padded(data);
        let from = padded.start.max(self.next * CHUNK_BYTES).min(padded.end);
        self.compare(from..padded.end)?;
        self.next = padded.end.div_ceil(CHUNK_BYTES);
        Ok(())
    }

    /// Compares the chunks that a range of the file touches.
    fn compare(&self, bytes: Range<u64>) -> Result<(), Failure> {
        let Some(manifest) = self.manifest.as_ref().filter(|_| !bytes.is_empty()) else { return Ok(()) };
        for at in bytes.start / CHUNK_BYTES..bytes.end.div_ceil(CHUNK_BYTES) {
            let mut chunk = PageBuffer::new(self.file.chunk_bytes(at * CHUNK_BYTES)?);
            let got = self.file.read_chunk(at * CHUNK_BYTES, &mut chunk)?;
            let expected = manifest.files().first().and_then(|file| file.chunks.get(at as usize));
            if expected != Some(&chunk_digest(&chunk[..got])) {
                let message = format!(
                    "chunk {at} (byte {}) of the unsealed file differs from its digest; `sp-ctl sectors release-unsealed`, \
                     then unseal again",
                    at * CHUNK_BYTES
                );
                return Err(Failure::new(ErrorCode::DigestMismatch, message));
            }
        }
        Ok(())
    }
}

/// The bytes of the file that a range of data is made of.
fn padded(data: &Range<u64>) -> Range<u64> {
    data.start / UNPADDED * PADDED..data.end.div_ceil(UNPADDED) * PADDED
}

/// Sends a range of the data of a sector.
pub(super) async fn read(
    node: &Arc<Node>,
    request: ReadPieceRequest,
    slot: OwnedSemaphorePermit,
) -> Result<Stream<FileChunk>, Failure> {
    let ReadPieceRequest { miner, sector, root, offset, size_bytes } = request;
    let (sector, root) = (SectorId { miner, number: sector }, bytes32("root", &root)?);
    let found = node.stores.find(&node.env, sector, &[FileKind::Unsealed]).await;
    let found = found.into_iter().find(|(_, info)| info.id.root == root);
    let (store, info) = found.ok_or_else(|| {
        Failure::new(ErrorCode::FileMissing, format!("no unsealed file of {sector} with that root is here"))
    })?;
    let path = text(&store.replica_path(sector, FileKind::Unsealed))?;
    let checked = node.env.blocking(move || Checked::open(&store, &info.id)).await?;
    let end = offset.checked_add(size_bytes).filter(|end| *end <= checked.holds());
    let end = end.ok_or_else(|| {
        let holds = checked.holds();
        let message = format!("bytes {offset} and {size_bytes} more are asked of an unsealed file that holds {holds}");
        Failure::new(ErrorCode::BadRequest, message)
    })?;
    checked.has(sector, &(offset..end))?;
    let (sender, receiver) = mpsc::channel(CHUNKS_AHEAD);
    let reading = node.clone();
    let sending = async move {
        let _slot = slot;
        let (mut at, mut checked) = (offset, checked);
        while at < end {
            let part = at..end.min(at + READ_BYTES);
            at = part.end;
            let compared = part.clone();
            let (returned, sound) = reading
                .env
                .blocking(move || {
                    let sound = checked.check(&compared);
                    (checked, sound)
                })
                .await;
            checked = returned;
            let message = match sound {
                Ok(()) => read_part(&reading, sector, &path, part).await,
                Err(failure) => Err(failure),
            };
            let failed = message.is_err();
            if sender.send(message.map_err(|failure| failure.to_status())).await.is_err() || failed {
                return;
            }
        }
    };
    node.env.tasks.spawn("piece", Box::pin(sending));
    Ok(ReceiverStream::new(receiver))
}

async fn read_part(node: &Node, sector: SectorId, path: &str, part: Range<u64>) -> Result<FileChunk, Failure> {
    let (offset, size_bytes) = (part.start, part.end - part.start);
    let op = Op::ReadPiece(ExecReadPiece { unsealed: path.to_owned(), offset, size_bytes });
    let request = ExecRequest {
        request: 0,
        attempt: None,
        seal_proof: 0,
        miner: sector.miner,
        sector: sector.number,
        op: Some(op),
    };
    let cancel = CancellationToken::new();
    let job = Job { role: Role::Reader, request, limit: READ_TIMEOUT, cancel, gpus: vec![] };
    match node.executor.run(job).await?.outcome {
        Outcome::Data(data) if data.len() as u64 == size_bytes => Ok(FileChunk { offset, data: data.into() }),
        _ => Err(Failure::new(ErrorCode::ExecutorFailed, "the executor answered with other data")),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use sp_sectors::{Disk, MemDisk, StoreMeta};
    use sp_types::StoreId;

    use super::*;

    const SECTOR: SectorId = SectorId { miner: 1000, number: 3 };

    /// Data of the chunk with this index, as far as it lies in that chunk alone.
    fn within(chunk: u64) -> Range<u64> {
        let at = (chunk * CHUNK_BYTES).div_ceil(PADDED) * UNPADDED;
        at..at + UNPADDED
    }

    fn published(disk: &MemDisk, bytes: &[u8]) -> (Store, ReplicaId) {
        let meta = StoreMeta::new(&StoreId::new("a").unwrap(), true, true);
        let store = Store::init(Arc::new(disk.clone()), Path::new("/store"), &meta).unwrap();
        let attempt = "1.1".parse().unwrap();
        let path = store.work(attempt).unwrap().path(SECTOR, FileKind::Unsealed);
        disk.create_new(&path).unwrap().write_at(bytes, 0).unwrap();
        let info = store.publish(attempt, &[(SECTOR, FileKind::Unsealed)]).unwrap().remove(0);
        (store, info.id)
    }

    #[test]
    fn what_was_let_go_of_is_refused() {
        let (disk, size) = (MemDisk::default(), 4 * CHUNK_BYTES);
        let filled = Filled::of(size, vec![PADDED..2 * PADDED, 2 * CHUNK_BYTES..size]).unwrap();
        let (store, id) = published(&disk, &[vec![7; size as usize], filled.trailer()].concat());
        let mut checked = Checked::open(&store, &id).unwrap();
        assert_eq!(checked.holds(), size / PADDED * UNPADDED, "not as much as the file");
        for sound in [127..254, 130..131, within(2).start..checked.holds()] {
            checked.has(SECTOR, &sound).unwrap();
        }
        for (range, missing) in
            [(0..127, "bytes 0 to 127 (127 B)"), (100..140, "bytes 100 to 127"), (250..300, "bytes 254 to 300")]
        {
            let failure = checked.has(SECTOR, &range).unwrap_err();
            assert_eq!(failure.code, ErrorCode::FileMissing);
            assert!(failure.message.contains(missing), "{failure}");
            assert!(failure.message.contains("`sp-ctl sectors unseal 3`"), "{failure}");
        }
        checked.check(&within(2)).unwrap();

        let place = store.replica_path(SECTOR, FileKind::Unsealed);
        let said = Filled::whole(size).trailer();
        disk.open_write(&place).unwrap().write_at(&said[..1], size).unwrap();
        let failure = Checked::open(&store, &id).map(|_| ()).unwrap_err();
        assert!(
            matches!(failure.code, ErrorCode::DigestMismatch | ErrorCode::Internal),
            "a list that changed: {failure}"
        );
        disk.open_write(&place).unwrap().set_size(size + 1).unwrap();
        assert!(Checked::open(&store, &id).is_err(), "neither a sector nor one with a list");
    }

    #[test]
    fn what_a_range_touches_is_compared_and_nothing_else() {
        let disk = MemDisk::default();
        let (store, id) = published(&disk, &vec![7; 4 * CHUNK_BYTES as usize]);
        let open = || Checked::open(&store, &id).unwrap();
        let holds = open().holds();
        assert_eq!(holds, 4 * CHUNK_BYTES / PADDED * UNPADDED);
        open().check(&(0..holds)).unwrap();

        let place = store.replica_path(SECTOR, FileKind::Unsealed);
        disk.open_write(&place).unwrap().write_at(&[8], 2 * CHUNK_BYTES + 5).unwrap();
        for (chunk, sound) in [(0, true), (1, true), (2, false), (3, true)] {
            assert_eq!(open().check(&within(chunk)).is_ok(), sound, "chunk {chunk}");
        }
        let mut checked = open();
        checked.check(&(0..within(1).end)).unwrap();
        let across = within(1).start..within(2).end;
        let failure = checked.check(&across).unwrap_err();
        assert_eq!(failure.code, ErrorCode::DigestMismatch);
        assert!(failure.message.starts_with("chunk 2 (byte 2097152)"), "{failure}");
        assert!(open().check(&(holds - 1..holds)).is_ok());
    }
}
