//! From an assignment and the places of its files to the executor's request, and from the answer to the task's output.

use std::path::Path;

use sp_proto::v1::assign::Params;
use sp_proto::v1::exec_request::Op;
use sp_proto::v1::exec_response::Outcome;
use sp_proto::v1::task_done::Output;
use sp_proto::v1::{
    AddPieceParams, DataCidParams, ExecAddPiece, ExecCommit1, ExecCommit2, ExecDataCid, ExecFinalize, ExecPreCommit1,
    ExecPreCommit2, ExecRequest, ExecUnseal, PieceToPack,
};
use sp_types::{ErrorCode, FileKind, TaskKind};

use super::prepare::Files;
use super::snap;
use crate::assignment::Assignment;
use crate::executor::Role;
use crate::failure::Failure;

/// The request that runs a sealing task. PoSt tasks go another way.
pub(super) fn request(assignment: &Assignment, files: &Files) -> Result<ExecRequest, Failure> {
    Ok(ExecRequest {
        request: 0,
        attempt: Some(assignment.attempt.into()),
        seal_proof: assignment.seal_proof.id(),
        miner: assignment.sector.miner,
        sector: assignment.sector.number,
        op: Some(op(assignment, files)?),
    })
}

/// What the upload is made of; nothing of a pledge.
fn pieces_to_pack(params: &AddPieceParams) -> Vec<PieceToPack> {
    let AddPieceParams { data_bytes, padded_bytes, ref pieces, .. } = *params;
    let only = PieceToPack { data_bytes, padded_bytes };
    if pieces.is_empty() && data_bytes > 0 { vec![only] } else { pieces.clone() }
}

fn no_upload() -> Failure {
    Failure::new(ErrorCode::BadRequest, "the assignment names no data")
}

fn op(assignment: &Assignment, files: &Files) -> Result<Op, Failure> {
    Ok(match &assignment.params {
        Params::AddPiece(p) => Op::AddPiece(ExecAddPiece {
            source: files.upload.as_deref().map_or_else(|| Ok(String::new()), text)?,
            unsealed: files.output(FileKind::Unsealed)?,
            pieces: pieces_to_pack(p),
        }),
        Params::DataCid(DataCidParams { data_bytes, padded_bytes, .. }) => Op::DataCid(ExecDataCid {
            source: text(files.upload.as_deref().ok_or_else(no_upload)?)?,
            piece: Some(PieceToPack { data_bytes: *data_bytes, padded_bytes: *padded_bytes }),
        }),
        Params::PreCommit1(p) => Op::PreCommit1(ExecPreCommit1 {
            ticket: p.ticket.clone(),
            pieces: p.pieces.clone(),
            unsealed: files.input(FileKind::Unsealed)?,
            sealed: files.output(FileKind::Sealed)?,
            cache: files.output(FileKind::Cache)?,
        }),
        Params::PreCommit2(p) => Op::PreCommit2(ExecPreCommit2 {
            phase1: p.phase1.clone(),
            sealed: files.output(FileKind::Sealed)?,
            cache: files.output(FileKind::Cache)?,
        }),
        Params::Commit1(p) => Op::Commit1(ExecCommit1 {
            ticket: p.ticket.clone(),
            seed: p.seed.clone(),
            comm_r: p.comm_r.clone(),
            comm_d: p.comm_d.clone(),
            pieces: p.pieces.clone(),
            sealed: files.input(FileKind::Sealed)?,
            cache: files.input(FileKind::Cache)?,
            vanilla: files.output(FileKind::Vanilla)?,
        }),
        Params::Commit2(_) => Op::Commit2(ExecCommit2 { vanilla: files.input(FileKind::Vanilla)? }),
        Params::Finalize(_) => Op::Finalize(ExecFinalize { cache: files.output(FileKind::Cache)? }),
        Params::Unseal(p) => Op::Unseal(ExecUnseal {
            comm_d: p.comm_d.clone(),
            ticket: p.ticket.clone(),
            sealed: files.input(FileKind::Sealed)?,
            cache: files.input(FileKind::Cache)?,
            scratch: files.scratch()?,
            unsealed: files.output(FileKind::Unsealed)?,
            update: if p.updated { files.input(FileKind::Update)? } else { String::new() },
        }),
        Params::ReplicaUpdate(p) => snap::replica_update(p, files)?,
        Params::ProveReplicaUpdate1(p) => snap::prove_1(p, files)?,
        Params::ProveReplicaUpdate2(p) => snap::prove_2(p, files)?,
        Params::FinalizeReplicaUpdate(_) => snap::finalize(files)?,
        Params::RegenSectorKey(p) => snap::regen_sector_key(p, files)?,
        Params::Fetch(_)
        | Params::Download(_)
        | Params::FinalizeUnsealed(_)
        | Params::WindowPost(_)
        | Params::WinningPost(_)
        | Params::Check(_) => {
            let message = format!("an executor does not do what {} is given to do", assignment.task);
            return Err(Failure::new(ErrorCode::BadRequest, message));
        }
    })
}

/// Which child runs it: proofs have one of their own, which keeps the parameters.
pub(super) fn role(task: TaskKind) -> Role {
    match task {
        TaskKind::Commit2 | TaskKind::ProveReplicaUpdate2 => Role::Prover,
        _ => Role::Task,
    }
}

/// What the executor answered, as the task reports it.
pub(super) fn output_of(outcome: Outcome) -> Result<Output, Failure> {
    match outcome {
        Outcome::None(none) => Ok(Output::None(none)),
        Outcome::AddPiece(output) => Ok(Output::AddPiece(output)),
        Outcome::DataCid(piece) => Ok(Output::DataCid(piece)),
        Outcome::PreCommit1(output) => Ok(Output::PreCommit1(output)),
        Outcome::PreCommit2(output) => Ok(Output::PreCommit2(output)),
        Outcome::Proof(output) => Ok(Output::Proof(output)),
        Outcome::ReplicaUpdate(output) => Ok(Output::ReplicaUpdate(output)),
        Outcome::Failed(failure) => Err(Failure::from_wire(&failure)),
        Outcome::Data(_) | Outcome::Valid(_) => {
            Err(Failure::new(ErrorCode::ExecutorFailed, "the executor answered another question"))
        }
    }
}

/// A path as text: the executor's messages are protobuf.
pub(crate) fn text(path: &Path) -> Result<String, Failure> {
    path.to_str().map(str::to_owned).ok_or_else(|| {
        let message = format!("{} is not UTF-8; attach the store by another path", path.display());
        Failure::new(ErrorCode::BadRequest, message)
    })
}
