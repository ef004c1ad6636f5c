//! Reads the PoSt challenge of one sector: from local files by a reader child, or from a worker that holds them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sp_net::client;
use sp_proto::v1::exec_request::Op;
use sp_proto::v1::exec_response::Outcome;
use sp_proto::v1::{ExecCheckVanilla, ExecRequest, ExecVanilla, ReadChallengeRequest};
use sp_types::{ErrorCode, FileKind, SectorId};
use tokio_util::sync::CancellationToken;

use crate::attempt::text;
use crate::executor::{Job, Role};
use crate::failure::Failure;
use crate::node::Node;
use crate::options::READ_TIMEOUT;
use crate::planes::Planes;

/// What is asked of a sector.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    pub(crate) sector: SectorId,
    pub(crate) post_proof: String,
    pub(crate) randomness: Vec<u8>,
    pub(crate) comm_r: Vec<u8>,
    /// Zero for the worker's own setting; where both are set, the shorter one counts.
    pub(crate) timeout: Duration,
}

/// Every holder of a sector together gets this many times the limit of one read.
const READS_PER_SECTOR: u32 = 3;

/// The longest that one sector may hold up a proof, whatever the limit of one read.
const SECTOR_LONGEST: Duration = Duration::from_secs(300);

impl Question {
    /// How long an answer may take here: never without a bound.
    pub(crate) fn limit(&self, node: &Node) -> Duration {
        shortest(self.timeout, node.options.post_read_timeout)
    }

    /// How long all its holders together may take.
    pub(crate) fn limit_of_all(&self, node: &Node) -> Duration {
        self.limit(node).saturating_mul(READS_PER_SECTOR).min(SECTOR_LONGEST)
    }

    fn request(&self, op: Op) -> ExecRequest {
        let SectorId { miner, number } = self.sector;
        ExecRequest { request: 0, attempt: None, seal_proof: 0, miner, sector: number, op: Some(op) }
    }
}

/// The shorter of the limits that are set.
fn shortest(asked: Duration, own: Duration) -> Duration {
    [asked, own].into_iter().filter(|limit| !limit.is_zero()).min().unwrap_or(READ_TIMEOUT)
}

/// Kinds of a replica and of the cache that it is proven with.
pub(crate) type Sort = (FileKind, FileKind);

/// What a sector that was never updated is proven by.
pub(crate) const PLAIN: Sort = (FileKind::Sealed, FileKind::Cache);

/// What an updated sector is proven by.
pub(crate) const UPDATED: Sort = (FileKind::Update, FileKind::UpdateCache);

/// The vanilla proof out of this worker's own stores; `FileMissing` if they do not have the sector. Every copy is tried.
///
/// Both sorts of a snapped sector may be here and only comm_r says which is asked for; the executor tells the wrong one at
/// once. The update comes first: it is what is proven from the end of the snap on.
pub(crate) async fn read_local(
    node: &Node,
    question: &Question,
    cancel: &CancellationToken,
) -> Result<Vec<u8>, Failure> {
    read_sorts(node, question, &[UPDATED, PLAIN], cancel).await
}

/// Like `read_local`, out of replicas of these sorts.
pub(crate) async fn read_sorts(
    node: &Node,
    question: &Question,
    sorts: &[Sort],
    cancel: &CancellationToken,
) -> Result<Vec<u8>, Failure> {
    // Bulk makes way, and scrubs stand still.
    let _urgent = node.sending.urgent();
    let sector = question.sector;
    let mut failures = Vec::new();
    for (replica, cache) in candidates(node, sector, sorts).await {
        match read_pair(node, question, &replica, &cache, cancel).await {
            Ok(bytes) => return Ok(bytes),
            Err(failure) => failures.push(failure),
        }
    }
    Err(why_none(failures, sector))
}

/// The vanilla proof out of this replica with this cache, wherever they lie.
pub(crate) async fn read_pair(
    node: &Node,
    question: &Question,
    replica: &Path,
    cache: &Path,
    cancel: &CancellationToken,
) -> Result<Vec<u8>, Failure> {
    let vanilla = ExecVanilla {
        post_proof: question.post_proof.clone(),
        randomness: question.randomness.clone(),
        comm_r: question.comm_r.clone(),
        sealed: text(replica)?,
        cache: text(cache)?,
    };
    let request = question.request(Op::Vanilla(vanilla));
    let job = Job { role: Role::Reader, request, limit: question.limit(node), cancel: cancel.clone(), gpus: vec![] };
    match node.executor.run(job).await.map(|answer| answer.outcome) {
        Ok(Outcome::Data(bytes)) => Ok(bytes),
        Ok(_) => Err(Failure::new(ErrorCode::ExecutorFailed, "the executor answered with no vanilla proof")),
        Err(error) => Err(error.into()),
    }
}

/// Every replica of the sector here with every cache directory of its sort.
async fn candidates(node: &Node, sector: SectorId, sorts: &[Sort]) -> Vec<(PathBuf, PathBuf)> {
    let kinds: Vec<FileKind> = sorts.iter().flat_map(|(replica, cache)| [*replica, *cache]).collect();
    let found = node.stores.find(&node.env, sector, &kinds).await;
    let paths = |kind| -> Vec<PathBuf> {
        let of_kind = found.iter().filter(|(_, info)| info.id.kind == kind);
        of_kind.map(|(store, _)| store.replica_path(sector, kind)).collect()
    };
    let pairs = sorts.iter().flat_map(|(replica, cache)| {
        let caches = paths(*cache);
        let with_each =
            move |replica: PathBuf| -> Vec<_> { caches.iter().map(|c| (replica.clone(), c.clone())).collect() };
        paths(*replica).into_iter().flat_map(with_each).collect::<Vec<_>>()
    });
    pairs.collect()
}

/// One failure for all copies. That a copy is of another replica is told last: of a snapped sector one always is.
fn why_none(mut failures: Vec<Failure>, sector: SectorId) -> Failure {
    failures.sort_by_key(|failure| failure.code == ErrorCode::DigestMismatch);
    let missing = (ErrorCode::FileMissing, format!("{sector} is not in a store of this worker"));
    let texts: Vec<_> = failures.iter().map(|failure| failure.message.as_str()).collect();
    let (code, message) = failures.first().map_or(missing, |first| (first.code, texts.join("; ")));
    Failure::new(code, message)
}

/// The vanilla proof from the data plane of another worker, judged here: one bad proof would spoil a whole partition.
pub(crate) async fn read_remote(
    node: &Node,
    planes: &Planes,
    question: &Question,
    data_url: &str,
    cancel: &CancellationToken,
) -> Result<Vec<u8>, Failure> {
    let vanilla = fetch(node, planes, question, data_url).await?;
    let check = ExecCheckVanilla {
        post_proof: question.post_proof.clone(),
        randomness: question.randomness.clone(),
        comm_r: question.comm_r.clone(),
        vanilla: vanilla.clone(),
    };
    let request = question.request(Op::CheckVanilla(check));
    let job = Job { role: Role::Reader, request, limit: question.limit(node), cancel: cancel.clone(), gpus: vec![] };
    match node.executor.run(job).await.map(|answer| answer.outcome) {
        Ok(Outcome::Valid(true)) => Ok(vanilla),
        Ok(Outcome::Valid(false)) => {
            let message = "its vanilla proof does not answer the challenge; check its replica and its memory";
            Err(Failure::new(ErrorCode::InvalidProof, message))
        }
        Ok(_) => Err(Failure::new(ErrorCode::ExecutorFailed, "the executor answered with no verdict")),
        Err(error) => Err(Failure::from(error).while_doing("its vanilla proof could not be checked here")),
    }
}

async fn fetch(node: &Node, planes: &Planes, question: &Question, data_url: &str) -> Result<Vec<u8>, Failure> {
    let bad_url = |e: client::NetError| Failure::new(ErrorCode::BadRequest, e.to_string());
    let plane = planes.of(&node.env, data_url).map_err(bad_url)?;
    let limit = question.limit(node);
    let request = ReadChallengeRequest {
        miner: question.sector.miner,
        sector: question.sector.number,
        post_proof: question.post_proof.clone(),
        randomness: question.randomness.clone(),
        comm_r: question.comm_r.clone(),
        timeout_ms: limit.as_millis() as u64,
    };
    let reading = async {
        // The wait for room counts: another holder may have some.
        let (mut client, _permit) = plane.client().await;
        client.read_challenge(request).await
    };
    let failure = match node.env.timeout(limit, reading).await {
        Ok(Ok(reply)) => return Ok(reply.into_inner().vanilla),
        Ok(Err(status)) => Failure::from(&status),
        Err(elapsed) => Failure::new(ErrorCode::TimedOut, elapsed.to_string()),
    };
    if matches!(failure.code, ErrorCode::Unavailable | ErrorCode::TimedOut) {
        planes.forget(data_url, &plane);
    }
    Err(failure)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shorter_limit_counts_and_zero_is_none() {
        let seconds = Duration::from_secs;
        assert_eq!(shortest(seconds(60), seconds(0)), seconds(60));
        assert_eq!(shortest(seconds(60), seconds(5)), seconds(5));
        assert_eq!(shortest(seconds(60), seconds(90)), seconds(60));
        assert_eq!(shortest(seconds(0), seconds(90)), seconds(90));
        assert_eq!(shortest(seconds(0), seconds(0)), READ_TIMEOUT);
    }
}
