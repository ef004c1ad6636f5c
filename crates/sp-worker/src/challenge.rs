//! Reads the PoSt challenge of one sector: from local files by a reader child, or from a worker that holds them.

use std::path::PathBuf;
use std::time::Duration;

use sp_net::{client, sized};
use sp_proto::v1::data_plane_client::DataPlaneClient;
use sp_proto::v1::exec_request::Op;
use sp_proto::v1::exec_response::Outcome;
use sp_proto::v1::{ExecRequest, ExecVanilla, ReadChallengeRequest};
use sp_types::{ErrorCode, FileKind, SectorId};
use tokio_util::sync::CancellationToken;

use crate::attempt::text;
use crate::executor::{Job, Role};
use crate::failure::Failure;
use crate::node::Node;
use crate::options::READ_TIMEOUT;

/// What is asked of a sector.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    pub(crate) sector: SectorId,
    pub(crate) post_proof: String,
    pub(crate) randomness: Vec<u8>,
    pub(crate) comm_r: Vec<u8>,
    /// Zero for the worker's own setting.
    pub(crate) timeout: Duration,
}

impl Question {
    /// How long an answer may take here: never without a bound.
    pub(crate) fn limit(&self, node: &Node) -> Duration {
        let chosen = if self.timeout.is_zero() { node.options.post_read_timeout } else { self.timeout };
        if chosen.is_zero() { READ_TIMEOUT } else { chosen }
    }
}

/// The vanilla proof out of this worker's own stores; `FileMissing` if they do not have the sector. Every copy is tried.
pub(crate) async fn read_local(
    node: &Node,
    question: &Question,
    cancel: &CancellationToken,
) -> Result<Vec<u8>, Failure> {
    let (stores, sector) = (node.stores.clone(), question.sector);
    let candidates = node.env.blocking(move || {
        let paths = |kind| -> Vec<PathBuf> {
            stores.find(sector, kind).iter().map(|(store, _)| store.replica_path(sector, kind)).collect()
        };
        let (sealed, caches) = (paths(FileKind::Sealed), paths(FileKind::Cache));
        let pairs =
            sealed.into_iter().flat_map(|s| caches.iter().map(move |c| (s.clone(), c.clone())).collect::<Vec<_>>());
        pairs.collect::<Vec<_>>()
    });
    let mut failure = Failure::new(ErrorCode::FileMissing, format!("{} is not in a store of this worker", sector));
    for (sealed, cache) in candidates.await {
        let vanilla = ExecVanilla {
            post_proof: question.post_proof.clone(),
            randomness: question.randomness.clone(),
            comm_r: question.comm_r.clone(),
            sealed: text(&sealed)?,
            cache: text(&cache)?,
        };
        let request = ExecRequest {
            request: 0,
            attempt: None,
            seal_proof: 0,
            miner: sector.miner,
            sector: sector.number,
            op: Some(Op::Vanilla(vanilla)),
        };
        let job = Job { role: Role::Reader, request, limit: question.limit(node), cancel: cancel.clone() };
        match node.executor.run(job).await {
            Ok(Outcome::Data(bytes)) => return Ok(bytes),
            Ok(_) => failure = Failure::new(ErrorCode::ExecutorFailed, "the executor answered with no vanilla proof"),
            Err(error) => failure = error.into(),
        }
    }
    Err(failure)
}

/// The vanilla proof from the data plane of another worker.
pub(crate) async fn read_remote(node: &Node, question: &Question, data_url: &str) -> Result<Vec<u8>, Failure> {
    let bad_url = |e: client::NetError| Failure::new(ErrorCode::BadRequest, e.to_string());
    let channel = client::channel(&node.env, data_url).map_err(bad_url)?;
    let mut client = sized!(DataPlaneClient::new(channel));
    let limit = question.limit(node);
    let request = ReadChallengeRequest {
        miner: question.sector.miner,
        sector: question.sector.number,
        post_proof: question.post_proof.clone(),
        randomness: question.randomness.clone(),
        comm_r: question.comm_r.clone(),
        timeout_ms: limit.as_millis() as u64,
    };
    match node.env.timeout(limit, client.read_challenge(request)).await {
        Ok(Ok(reply)) => Ok(reply.into_inner().vanilla),
        Ok(Err(status)) => Err(Failure::from(&status)),
        Err(elapsed) => Err(Failure::new(ErrorCode::TimedOut, elapsed.to_string())),
    }
}
