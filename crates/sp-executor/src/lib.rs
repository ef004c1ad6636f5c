//! What an executor child does: one request in, one stage of `proofs-core`, one response out.
//!
//! Both worker binaries are their own executor children; this is the part that they share. It is blocking, reads and
//! writes only the paths that its parent names, and makes outputs durable before it answers.
#![forbid(unsafe_code)]
// The executor children are not simulated: they read and write sector files themselves.
#![allow(clippy::disallowed_methods)]

mod check;
mod durable;
mod post;
mod sealing;
mod snap;

use proofs_core::stages::{SectorContext, StageError};
use sp_proto::convert::{self, WireError};
use sp_proto::v1::exec_request::Op;
use sp_proto::v1::exec_response::Outcome;
use sp_proto::v1::{ExecRequest, ExecWarm, Failure, NoOutput};
use sp_types::{ErrorCode, PostProof, PostType, ProverId, RegisteredUpdateProof, TaskKind};

/// Stages of this build compute on GPUs. As long as they do not, no worker offers its devices to tasks.
pub const COMPUTES_ON_GPUS: bool = false;

/// How the child was started.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Turn every proof into a well-formed wrong one: a test of those who must refuse it.
    pub wrong_proofs: bool,
}

/// Carries out one request.
pub fn execute(options: Options, request: &ExecRequest) -> Result<Outcome, Failure> {
    dispatch(options, request).map_err(|e| e.0)
}

/// A failure on its way to the wire.
struct Refused(Failure);

impl Refused {
    fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self(Failure { code: code.as_str().to_owned(), message: message.into() })
    }
}

impl From<StageError> for Refused {
    fn from(error: StageError) -> Self {
        Self::new(error.code(), error.to_string())
    }
}

impl From<WireError> for Refused {
    fn from(error: WireError) -> Self {
        Self::new(ErrorCode::BadRequest, error.to_string())
    }
}

impl From<std::io::Error> for Refused {
    fn from(error: std::io::Error) -> Self {
        Self::new(ErrorCode::ExecutorFailed, error.to_string())
    }
}

fn dispatch(options: Options, request: &ExecRequest) -> Result<Outcome, Refused> {
    let op = request.op.as_ref().ok_or(WireError::Missing("op"))?;
    match op {
        Op::AddPiece(op) => sealing::add_piece(&context(request)?, op),
        Op::DataCid(op) => sealing::data_cid(op),
        Op::PreCommit1(op) => sealing::pre_commit_1(&context(request)?, op),
        Op::PreCommit2(op) => sealing::pre_commit_2(&context(request)?, op),
        Op::Commit1(op) => sealing::commit_1(&context(request)?, op),
        Op::Commit2(op) => sealing::commit_2(&context(request)?, op, options.wrong_proofs),
        Op::Finalize(op) => sealing::finalize(op),
        Op::Unseal(op) if op.update.is_empty() => sealing::unseal(&context(request)?, op),
        Op::Unseal(op) => snap::unseal(update_proof(request)?, op),
        Op::ReplicaUpdate(op) => snap::replica_update(update_proof(request)?, op),
        Op::ProveReplicaUpdate1(op) => snap::prove_1(update_proof(request)?, op),
        Op::ProveReplicaUpdate2(op) => snap::prove_2(update_proof(request)?, op, options.wrong_proofs),
        Op::FinalizeReplicaUpdate(op) => snap::finalize(op),
        Op::RegenSectorKey(op) => snap::regen_sector_key(update_proof(request)?, op),
        Op::ReadPiece(op) => sealing::read_piece(op),
        Op::ReadCommR(op) => post::comm_r(op),
        Op::Vanilla(op) => post::vanilla(request.miner, request.sector, op),
        Op::CheckVanilla(op) => post::check_vanilla(request.miner, request.sector, op),
        Op::WindowPost(op) => post::window(request.miner, op, options.wrong_proofs),
        Op::WinningPost(op) => post::winning(request.miner, op, options.wrong_proofs),
        Op::CheckData(op) => check::data(op),
        Op::CheckReplica(op) => check::replica(op),
        Op::Warm(op) => warm(request.seal_proof, op),
    }
}

/// Who seals what under which proof.
fn context(request: &ExecRequest) -> Result<SectorContext, Refused> {
    Ok(SectorContext {
        proof: convert::seal_proof(request.seal_proof)?,
        prover_id: ProverId::of_miner(request.miner),
        number: request.sector,
    })
}

/// Under which proof the sector is snapped.
fn update_proof(request: &ExecRequest) -> Result<RegisteredUpdateProof, Refused> {
    Ok(convert::seal_proof(request.seal_proof)?.into())
}

/// Checks the parameters of the tasks. Winning PoSt has no time to spare: one is made, so that they are in memory too.
fn warm(seal_proof: u64, op: &ExecWarm) -> Result<Outcome, Refused> {
    let seal_proof = convert::seal_proof(seal_proof)?;
    for task in &op.tasks {
        match convert::task_kind(*task)? {
            TaskKind::Commit2 => proofs_core::stages::require_seal_parameters(seal_proof)?,
            TaskKind::ProveReplicaUpdate2 => proofs_core::stages::require_update_parameters(seal_proof.into())?,
            TaskKind::GenerateWindowPost => {
                let proof = PostProof { size: seal_proof.size, post_type: PostType::Window };
                proofs_core::stages::require_post_parameters(proof)?;
            }
            TaskKind::GenerateWinningPost => proofs_core::stages::warm_winning_post(seal_proof.size)?,
            _ => {}
        }
    }
    Ok(Outcome::None(NoOutput {}))
}

/// Negates the first point of a proof: still a point of the group, so well-formed, and wrong.
fn spoil(proof: &mut [u8]) {
    const SIGN_BIT: u8 = 0x20;
    if let Some(first) = proof.first_mut() {
        *first ^= SIGN_BIT;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_without_an_operation_is_refused() {
        let failure = execute(Options::default(), &ExecRequest::default()).unwrap_err();
        assert_eq!(failure.code, "SP-BAD-REQUEST");
    }

    #[test]
    fn an_unknown_proof_is_refused() {
        let op = Some(Op::Warm(ExecWarm { tasks: vec![] }));
        let failure = execute(Options::default(), &ExecRequest { seal_proof: 999, op, ..Default::default() });
        assert_eq!(failure.unwrap_err().code, "SP-BAD-REQUEST");
    }

    #[test]
    fn a_spoiled_proof_differs_in_the_sign_only() {
        let mut proof = vec![0x8f; 192];
        spoil(&mut proof);
        assert_eq!(proof[0], 0xaf);
        assert!(proof[1..].iter().all(|b| *b == 0x8f));
    }
}
