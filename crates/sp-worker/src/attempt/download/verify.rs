//! Is what has come a sector that can be proven, and the one that was asked for? Asked in the work directory.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sp_proto::v1::exec_request::Op;
use sp_proto::v1::exec_response::Outcome;
use sp_proto::v1::{DownloadOutput, DownloadParams, ExecCheckData, ExecRequest};
use sp_types::{ErrorCode, FileKind, PostProof, PostType, Randomness};

use super::super::prepare::Files;
use super::super::{Attempt, text};
use crate::challenge::{self, PLAIN, Question, Sort, UPDATED};
use crate::examine;
use crate::executor::{Job, Role};
use crate::failure::Failure;
use crate::node::Node;

/// Commitments that the caches tell, in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Found(Vec<(Sort, Vec<u8>)>);

impl Found {
    /// Reads which replica a cache is of. That is known before the replica comes, which may take hours.
    pub(super) async fn cache_came(
        &mut self,
        node: &Node,
        attempt: &Attempt,
        params: &DownloadParams,
        kind: FileKind,
        cache: &Path,
    ) -> Result<(), Failure> {
        let sort = if kind == UPDATED.1 { UPDATED } else { PLAIN };
        let question = question(node, attempt, vec![]);
        let comm_r = examine::comm_r_of(node, &question, text(cache)?, &attempt.cancel).await.map_err(data_is_wrong)?;
        let counts = sort == self.sort(attempt);
        if counts && !params.comm_r.is_empty() && params.comm_r != comm_r {
            let (theirs, ours) = (hex::encode(&params.comm_r), hex::encode(&comm_r));
            let message = format!(
                "the record is of the replica with comm_r {theirs}; {} has the {kind} of one with {ours}",
                params.url
            );
            return Err(Failure::new(ErrorCode::DigestMismatch, message));
        }
        self.0.push((sort, comm_r));
        Ok(())
    }

    /// Has every replica answer a challenge, and compares the unsealed file with its commitment.
    pub(super) async fn check(
        self,
        node: &Node,
        attempt: &Attempt,
        params: &DownloadParams,
        files: &Files,
    ) -> Result<DownloadOutput, Failure> {
        let path = |kind| files.output(kind).map(PathBuf::from);
        for (sort, comm_r) in &self.0 {
            let question = question(node, attempt, comm_r.clone());
            let (replica, cache) = (path(sort.0)?, path(sort.1)?);
            challenge::read_pair(node, &question, &replica, &cache, &attempt.cancel).await.map_err(|failure| {
                data_is_wrong(failure).while_doing(format!("the {} file does not answer a challenge", sort.0))
            })?;
        }
        if attempt.assignment.outputs.iter().any(|output| output.kind == FileKind::Unsealed) {
            check_data(node, attempt, files.output(FileKind::Unsealed)?, params.comm_d.clone()).await?;
        }
        let counting = self.sort(attempt);
        let of = |sort: Sort| self.0.iter().find(|(found, _)| *found == sort).map(|(_, comm_r)| comm_r.clone());
        let comm_r = of(counting).ok_or_else(|| {
            Failure::new(ErrorCode::BadRequest, "the assignment names nothing that a sector is proven by")
        })?;
        let comm_r_old = if counting == UPDATED { of(PLAIN).unwrap_or_default() } else { vec![] };
        Ok(DownloadOutput { comm_r, comm_r_old })
    }

    /// What the sector is to be proven by.
    fn sort(&self, attempt: &Attempt) -> Sort {
        let is_updated = attempt.assignment.outputs.iter().any(|output| output.kind == UPDATED.0);
        if is_updated { UPDATED } else { PLAIN }
    }
}

fn question(node: &Node, attempt: &Attempt, comm_r: Vec<u8>) -> Question {
    let assignment = &attempt.assignment;
    let mut drawn = [0; 32];
    node.env.entropy.fill(&mut drawn);
    let post_proof = PostProof { size: assignment.seal_proof.size, post_type: PostType::Window }.to_string();
    let randomness = Randomness::new(drawn).bytes().to_vec();
    Question { sector: assignment.sector, post_proof, randomness, comm_r, timeout: Duration::ZERO }
}

async fn check_data(node: &Node, attempt: &Attempt, unsealed: String, comm_d: Vec<u8>) -> Result<(), Failure> {
    if comm_d.is_empty() {
        let message = "nobody knows what the unsealed file has to be: the sector was asked for without its record";
        return Err(Failure::new(ErrorCode::BadRequest, message));
    }
    let assignment = &attempt.assignment;
    let request = ExecRequest {
        request: 0,
        attempt: None,
        seal_proof: 0,
        miner: assignment.sector.miner,
        sector: assignment.sector.number,
        op: Some(Op::CheckData(ExecCheckData { unsealed, comm_d: vec![comm_d], data_bytes: 0 })),
    };
    let (limit, cancel) = (assignment.time_limit, attempt.cancel.clone());
    let job = Job { role: Role::Task, request, limit, cancel, gpus: vec![] };
    match node.executor.run(job).await.map(|answer| answer.outcome) {
        Ok(Outcome::None(_)) => Ok(()),
        Ok(_) => Err(Failure::new(ErrorCode::ExecutorFailed, "the executor answered with no verdict")),
        Err(error) => Err(data_is_wrong(error.into())),
    }
}

/// An executor that says no says so of the files, which are somebody else's: no host of ours is at fault. Nor is it for one
/// that they crash.
fn data_is_wrong(failure: Failure) -> Failure {
    let ours = [ErrorCode::Cancelled, ErrorCode::TimedOut, ErrorCode::Unavailable];
    match ours.contains(&failure.code) {
        true => failure,
        false => Failure { code: ErrorCode::DigestMismatch, ..failure },
    }
}
