//! Results of attempts.

use sp_proto::convert::{ReplicaInfo, WireError, bytes32, required, task_kind};
use sp_proto::v1;
use sp_proto::v1::{task_done::Output, task_result::Outcome};
use sp_sched_core::event::{TaskDone, TaskOutput, TaskResult};
use sp_types::{AttemptId, Commitment, PieceInfo, WorkerId};

use super::{failure, invalid};

/// A result from the wire. What the worker says of its own proofs is dropped here: nobody judges his own proof.
pub(crate) fn task_result(message: v1::TaskResult) -> Result<TaskResult, WireError> {
    let v1::TaskResult { attempt, task, fetch_ms, compute_ms, peak_memory_bytes, outcome } = message;
    let outcome = match required("outcome", outcome)? {
        Outcome::Done(done) => Ok(task_done(done)?),
        Outcome::Failed(failed) => Err(failure(failed)),
    };
    Ok(TaskResult {
        attempt: required("attempt", attempt)?.into(),
        task: task_kind(task)?,
        outcome,
        fetch_ms,
        compute_ms,
        peak_memory_bytes,
    })
}

/// Work of others that a worker has found.
pub(crate) fn stray_work(message: v1::StrayWork) -> Result<Vec<(AttemptId, WorkerId)>, WireError> {
    let v1::StrayWork { work } = message;
    let stray = |v1::StrayAttempt { attempt, worker_id }| {
        let owner = WorkerId::new(worker_id).map_err(|e| invalid("work.worker_id", e))?;
        Ok((required("work.attempt", attempt)?.into(), owner))
    };
    work.into_iter().map(stray).collect()
}

fn task_done(message: v1::TaskDone) -> Result<TaskDone, WireError> {
    let v1::TaskDone { replicas, output } = message;
    let replica = |message| {
        let ReplicaInfo { id, size_bytes, .. } = ReplicaInfo::try_from(message)?;
        Ok((id, size_bytes))
    };
    Ok(TaskDone {
        replicas: replicas.into_iter().map(replica).collect::<Result<_, WireError>>()?,
        output: task_output(required("output", output)?)?,
    })
}

fn task_output(output: Output) -> Result<TaskOutput, WireError> {
    let commitment = |field, bytes: &[u8]| bytes32(field, bytes).map(Commitment);
    Ok(match output {
        Output::None(v1::NoOutput {}) => TaskOutput::None,
        Output::AddPiece(v1::AddPieceOutput { pieces, comm_d }) => TaskOutput::AddPiece {
            pieces: pieces.into_iter().map(PieceInfo::try_from).collect::<Result<_, _>>()?,
            comm_d: commitment("comm_d", &comm_d)?,
        },
        Output::DataCid(piece) => TaskOutput::DataCid(piece.try_into()?),
        Output::Download(v1::DownloadOutput { comm_r, comm_r_old }) => TaskOutput::Download {
            comm_r: commitment("comm_r", &comm_r)?,
            comm_r_old: match comm_r_old.is_empty() {
                true => None,
                false => Some(commitment("comm_r_old", &comm_r_old)?),
            },
        },
        Output::PreCommit1(v1::PreCommit1Output { phase1, comm_d }) => {
            TaskOutput::PreCommit1 { phase1, comm_d: commitment("comm_d", &comm_d)? }
        }
        Output::PreCommit2(v1::PreCommit2Output { comm_r, comm_d }) => {
            TaskOutput::PreCommit2 { comm_r: commitment("comm_r", &comm_r)?, comm_d: commitment("comm_d", &comm_d)? }
        }
        Output::ReplicaUpdate(v1::ReplicaUpdateOutput { comm_r, comm_d }) => {
            TaskOutput::ReplicaUpdate { comm_r: commitment("comm_r", &comm_r)?, comm_d: commitment("comm_d", &comm_d)? }
        }
        Output::Proof(v1::ProofOutput { proof, self_verified: _ }) => TaskOutput::Proof { proof },
        Output::Post(v1::PostOutput { proof, skipped, self_verified: _ }) => {
            let skipped = skipped.into_iter().map(|v1::SkippedSector { number, reason }| (number, reason));
            TaskOutput::Post { proof, skipped: skipped.collect() }
        }
    })
}
