//! Fetches one replica into a work directory, chunk by chunk, each checked before it is written; next source on failure.

use std::path::PathBuf;
use std::time::Duration;

use sp_net::{client, retry::Backoff, sized};
use sp_proto::convert::{WireError, bytes32, required};
use sp_proto::v1::data_plane_client::DataPlaneClient;
use sp_proto::v1::{self, ReadFileRequest, ReadManifestRequest};
use sp_sectors::{FILES_MAX, Manifest, ManifestFile, MissingChunk, Receiver, Store, WorkDir};
use sp_types::{ErrorCode, ReplicaId};
use tonic::transport::Channel;

use super::Attempt;
use super::prepare::replica_id;
use crate::assignment::{Input, Source};
use crate::failure::Failure;
use crate::node::Node;

/// Longest silence of a source.
const SILENCE: Duration = Duration::from_secs(30);

/// Tries while no source answers, with growing waits: about a minute, enough for a source to be started again.
const ROUNDS_MAX: u32 = 15;

/// Rounds through all sources while every one of them has wrong bytes.
const WRONG_ROUNDS_MAX: u32 = 2;

/// Most digest bytes of one manifest: those of a terabyte.
const DIGEST_BYTES_MAX: usize = 64 << 20;

/// Fetches into the work directory; returns the path there. Local stores come first, then the sources in their order.
pub(super) async fn fetch(
    node: &Node,
    attempt: &Attempt,
    input: &Input,
    local: &[Store],
    work: WorkDir,
) -> Result<PathBuf, Failure> {
    let what = format!("fetching {} of {}", input.kind, input.sector);
    if local.is_empty() && input.sources.is_empty() {
        // Its holder is away, which does not mean that it is lost. Only the scheduler learns when that changes.
        let away = Failure::new(ErrorCode::Unavailable, "no worker that has it is connected; start that worker again");
        return Err(away.while_doing(what));
    }
    attempt.set_phase(v1::AttemptPhase::Preparing, format!("waits for its turn: {what}"));
    let slot = async { Ok(node.fetch_slots.acquire().await) };
    let _slot = attempt.unless_stopped(slot).await?;
    let mut backoff = Backoff::limited(Duration::from_millis(250), Duration::from_secs(8), ROUNDS_MAX);
    let mut wrong_rounds = 0;
    loop {
        let failure = match round(node, attempt, input, local, &work, &what).await {
            Ok(()) => return Ok(work.path(input.sector, input.kind)),
            Err(failure) => failure,
        };
        wrong_rounds += u32::from(failure.code == ErrorCode::DigestMismatch);
        let hopeless = matches!(failure.code, ErrorCode::NoSpace | ErrorCode::Cancelled | ErrorCode::AttemptEnded);
        if hopeless || wrong_rounds >= WRONG_ROUNDS_MAX {
            return Err(failure.while_doing(what));
        }
        tracing::warn!(attempt = %attempt.id(), reason = %failure, "{what}: trying again");
        attempt.set_phase(v1::AttemptPhase::Preparing, format!("{what}: {}", failure.message));
        if !attempt.unless_stopped(async { Ok(backoff.wait(&node.env).await) }).await? {
            return Err(failure.while_doing(what));
        }
    }
}

/// Tries every source once. Wrong bytes are the reason that is told, whatever else went wrong.
async fn round(
    node: &Node,
    attempt: &Attempt,
    input: &Input,
    local: &[Store],
    work: &WorkDir,
    what: &str,
) -> Result<(), Failure> {
    let none = "no source has it; run the task that makes it again, or attach the store that holds it";
    let mut reasons = Vec::new();
    for store in local {
        attempt.set_phase(v1::AttemptPhase::Preparing, format!("{what} from store {}", store.id()));
        match from_local(node, attempt, input, store, work).await {
            Ok(()) => return Ok(()),
            Err(failure) => reasons.push(failure.while_doing(format!("store {}", store.id()))),
        }
    }
    for source in &input.sources {
        // Not read through our own data plane: those stores were tried above.
        if source.data_url == *node.data_url() {
            continue;
        }
        attempt.set_phase(v1::AttemptPhase::Preparing, format!("{what} from {}", source.data_url));
        match from_remote(node, attempt, input, source, work).await {
            Ok(()) => return Ok(()),
            Err(failure) => reasons.push(failure.while_doing(&source.data_url)),
        }
    }
    let telling = [ErrorCode::Cancelled, ErrorCode::NoSpace, ErrorCode::DigestMismatch];
    let code = telling.into_iter().find(|code| reasons.iter().any(|f| f.code == *code));
    let code = code.or(reasons.last().map(|f| f.code)).unwrap_or(ErrorCode::FileMissing);
    let texts: Vec<_> = reasons.iter().map(|f| f.message.as_str()).collect();
    Err(Failure::new(code, if texts.is_empty() { none.to_owned() } else { texts.join("; ") }))
}

/// From another store of this worker.
async fn from_local(
    node: &Node,
    attempt: &Attempt,
    input: &Input,
    store: &Store,
    work: &WorkDir,
) -> Result<(), Failure> {
    let replica = replica_id(input.sector, input, store);
    let (store, work, cancel) = (store.clone(), work.clone(), attempt.cancel.clone());
    let copy = move || {
        let manifest = store.manifest(&replica)?;
        let root = manifest.root();
        let replica = ReplicaId { root, ..replica };
        let mut receiver = Receiver::open(&work, replica.sector, manifest)?;
        let missing: Vec<MissingChunk> = receiver.missing().collect();
        for MissingChunk { name, offset, .. } in missing {
            if cancel.is_cancelled() {
                return Err(Failure::cancelled());
            }
            receiver.write(&name, offset, &store.read_chunk(&replica, &name, offset)?)?;
        }
        receiver.finish()?;
        Ok(())
    };
    node.env.blocking(copy).await
}

/// From the data plane of another worker.
async fn from_remote(
    node: &Node,
    attempt: &Attempt,
    input: &Input,
    source: &Source,
    work: &WorkDir,
) -> Result<(), Failure> {
    let bad_url = |e: client::NetError| Failure::new(ErrorCode::BadRequest, e.to_string());
    let channel = client::channel(&node.env, &source.data_url).map_err(bad_url)?;
    let mut client = sized!(DataPlaneClient::new(channel));
    let mut replica = v1::Replica {
        miner: input.sector.miner,
        sector: input.sector.number,
        kind: v1::FileKind::from(input.kind) as i32,
        store: source.store.to_string(),
        root: if input.root == [0; 32] { vec![] } else { input.root.to_vec() },
        ..Default::default()
    };
    let manifest = attempt.unless_stopped(read_manifest(node, attempt, input, &mut client, &replica)).await?;
    // A foreign replica has a root from now on.
    replica.root = manifest.root().to_vec();
    let total_bytes = manifest.size_bytes().max(1);
    let (work, sector) = (work.clone(), input.sector);
    let mut receiver = node.env.blocking(move || Receiver::open(&work, sector, manifest)).await?;
    while let Some(range) = next_range(&receiver) {
        receiver = attempt.unless_stopped(read_range(node, attempt, &mut client, &replica, range, receiver)).await?;
        let left: usize = receiver.missing().map(|chunk| chunk.size_bytes).sum();
        attempt.set_fraction(1.0 - left as f64 / total_bytes as f64);
    }
    receiver.finish()?;
    Ok(())
}

/// The first missing chunks that lie next to each other in one file: name, offset, length.
fn next_range(receiver: &Receiver) -> Option<(String, u64, u64)> {
    let mut missing = receiver.missing();
    let first = missing.next()?;
    let mut end = first.offset + first.size_bytes as u64;
    for chunk in missing.take_while(|chunk| chunk.name == first.name) {
        if chunk.offset != end {
            break;
        }
        end += chunk.size_bytes as u64;
    }
    Some((first.name, first.offset, end - first.offset))
}

async fn read_range(
    node: &Node,
    attempt: &Attempt,
    client: &mut DataPlaneClient<Channel>,
    replica: &v1::Replica,
    (name, offset, size_bytes): (String, u64, u64),
    mut receiver: Receiver,
) -> Result<Receiver, Failure> {
    let request = ReadFileRequest {
        replica: Some(replica.clone()),
        attempt: Some(attempt.id().into()),
        name: name.clone(),
        offset,
        size_bytes,
    };
    let mut chunks = bounded(node, client.read_file(request)).await?.into_inner();
    let (mut at, end) = (offset, offset + size_bytes);
    while at < end {
        let chunk = bounded(node, chunks.message()).await?;
        let chunk = chunk.ok_or_else(|| Failure::new(ErrorCode::Unavailable, "the source ended early"))?;
        if chunk.offset != at || chunk.data.is_empty() {
            return Err(Failure::new(ErrorCode::DigestMismatch, "the source sent another range than asked for"));
        }
        at += chunk.data.len() as u64;
        let (name, offset) = (name.clone(), chunk.offset);
        let write = move || {
            let written = receiver.write(&name, offset, &chunk.data);
            (receiver, written)
        };
        let (back, written) = node.env.blocking(write).await;
        written?;
        receiver = back;
    }
    Ok(receiver)
}

async fn read_manifest(
    node: &Node,
    attempt: &Attempt,
    input: &Input,
    client: &mut DataPlaneClient<Channel>,
    replica: &v1::Replica,
) -> Result<Manifest, Failure> {
    let request = ReadManifestRequest { replica: Some(replica.clone()), attempt: Some(attempt.id().into()) };
    let mut parts = bounded(node, client.read_manifest(request)).await?.into_inner();
    let (mut head, mut files, mut digest_bytes) = (None, Vec::<ManifestFile>::new(), 0);
    while let Some(v1::ManifestPart { head: part_head, files: part }) = bounded(node, parts.message()).await? {
        head = head.or(part_head);
        for v1::ManifestFile { name, size_bytes, chunk_digests } in part {
            digest_bytes += chunk_digests.len();
            if digest_bytes > DIGEST_BYTES_MAX || files.len() > FILES_MAX {
                return Err(Failure::new(ErrorCode::DigestMismatch, "the source's manifest is too large"));
            }
            let digests = chunk_digests.chunks(32).map(|d| bytes32("chunk_digests", d));
            let digests = digests.collect::<Result<Vec<_>, WireError>>()?;
            match files.last_mut().filter(|last| last.name == name) {
                Some(last) => last.chunks.extend(digests),
                None => files.push(ManifestFile { name, size_bytes, chunks: digests }),
            }
        }
    }
    let head = required("head", head)?;
    let root = if input.root == [0; 32] { bytes32("root", &head.root)? } else { input.root };
    Ok(Manifest::with_root(input.kind, files, &root)?)
}

/// A call or the next message of a stream, with a bound on the silence.
async fn bounded<T>(node: &Node, future: impl Future<Output = Result<T, tonic::Status>>) -> Result<T, Failure> {
    match node.env.timeout(SILENCE, future).await {
        Ok(result) => result.map_err(|status| Failure::from(&status)),
        Err(elapsed) => Err(Failure::new(ErrorCode::Unavailable, elapsed.to_string())),
    }
}
