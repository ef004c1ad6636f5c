//! The child of the scheduler: verify requests on stdin, verdicts on stdout, until stdin ends.

use std::io::stdin;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use proofs_core::params::is_insecure;
use proofs_core::stages::{PostSector, SectorContext, UpdateCommitments};
use sp_net::child::{guard_parent, move_stdout_aside};
use sp_net::frame::blocking::{read, write};
use sp_proto::convert::{WireError, bytes32, required, seal_proof};
use sp_proto::v1::verify_request::What;
use sp_proto::v1::verify_response::Verdict;
use sp_proto::v1::{Failure, VerifyPost, VerifyRequest, VerifyResponse, VerifySeal, VerifyUpdate, VerifyWarm};
use sp_types::{Commitment, ErrorCode, PostProof, ProverId, Randomness};

use crate::ServeArgs;
use crate::judge::{Post, Seal, Statement, Update, warm_post, warm_seal, warm_update};

/// Serves one parent. The answers have a stdout of their own: what libraries print goes to stderr.
pub(crate) fn run(args: &ServeArgs, dir: &Path) -> anyhow::Result<ExitCode> {
    let mut answers = move_stdout_aside().context("cannot move stdout aside")?;
    if let Some(parent) = args.parent {
        guard_parent(parent)?;
    }
    let mut requests = stdin().lock();
    while let Some(VerifyRequest { request, what }) = read(&mut requests).context("cannot read a request")? {
        let allowed = refuse_insecure(&args.network, dir);
        let verdict = allowed.and_then(|()| answer(what)).unwrap_or_else(Verdict::Failed);
        write(&mut answers, &VerifyResponse { request, verdict: Some(verdict) }).context("cannot answer")?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Anybody can forge proofs under development parameters. Looked at anew for each request: parameters can be put into
/// the directory while this process runs, and upstream reads them when it first needs them.
fn refuse_insecure(network: &str, dir: &Path) -> Result<(), Failure> {
    if network == "dev" || !is_insecure(dir) {
        return Ok(());
    }
    let message = format!(
        "the parameters in {} are INSECURE development parameters, or cannot be read; network {network} refuses them: \
         put the published ones into a directory of their own and name it with --parameters",
        dir.display()
    );
    Err(Failure { code: ErrorCode::BadParameters.to_string(), message })
}

fn answer(what: Option<What>) -> Result<Verdict, Failure> {
    let statement = match required("what", what).map_err(bad_request)? {
        What::Seal(message) => seal(message).map_err(bad_request)?,
        What::Post(message) => post(message).map_err(bad_request)?,
        What::Update(message) => update(message).map_err(bad_request)?,
        What::Warm(message) => return warm(&message),
    };
    statement.judge().map(Verdict::Valid).map_err(failure)
}

fn seal(message: VerifySeal) -> Result<Statement, WireError> {
    let VerifySeal { seal_proof: proof, miner, sector, ticket, seed, comm_d, comm_r, proof: bytes } = message;
    let prover_id = ProverId::of_miner(miner);
    Ok(Statement::Seal(Box::new(Seal {
        ctx: SectorContext { proof: seal_proof(proof)?, prover_id, number: sector },
        ticket: bytes32("ticket", &ticket)?,
        seed: bytes32("seed", &seed)?,
        comm_d: Commitment(bytes32("comm_d", &comm_d)?),
        comm_r: Commitment(bytes32("comm_r", &comm_r)?),
        proof: bytes,
    })))
}

fn post(message: VerifyPost) -> Result<Statement, WireError> {
    let VerifyPost { post_proof: name, miner, randomness, partition, sectors, proof } = message;
    let sectors = sectors
        .iter()
        .map(|sector| Ok(PostSector { number: sector.number, comm_r: Commitment(bytes32("comm_r", &sector.comm_r)?) }));
    Ok(Statement::Post(Post {
        proof_type: post_proof(&name)?,
        prover_id: ProverId::of_miner(miner),
        randomness: Randomness::new(bytes32("randomness", &randomness)?),
        partition,
        sectors: sectors.collect::<Result<_, WireError>>()?,
        proof,
    }))
}

fn update(message: VerifyUpdate) -> Result<Statement, WireError> {
    let VerifyUpdate { seal_proof: sealed_under, comm_r_old, comm_r_new, comm_d_new, proof } = message;
    let comms = UpdateCommitments {
        comm_r_old: Commitment(bytes32("comm_r_old", &comm_r_old)?),
        comm_r_new: Commitment(bytes32("comm_r_new", &comm_r_new)?),
        comm_d_new: Commitment(bytes32("comm_d_new", &comm_d_new)?),
    };
    Ok(Statement::Update(Box::new(Update { proof_type: seal_proof(sealed_under)?.into(), sector: None, comms, proof })))
}

/// Loads verifying keys; the answer is valid when all are loaded.
fn warm(message: &VerifyWarm) -> Result<Verdict, Failure> {
    // Zero is no accepted seal proof: it says that there is none to warm.
    if message.seal_proof != 0 {
        let proof = seal_proof(message.seal_proof).map_err(bad_request)?;
        warm_seal(proof).map_err(failure)?;
        warm_update(proof.into()).map_err(failure)?;
    }
    for name in &message.post_proofs {
        warm_post(post_proof(name).map_err(bad_request)?).map_err(failure)?;
    }
    Ok(Verdict::Valid(true))
}

fn post_proof(name: &str) -> Result<PostProof, WireError> {
    let invalid = |error: sp_types::UnknownProof| WireError::Invalid { field: "post_proof", reason: error.to_string() };
    name.parse().map_err(invalid)
}

fn failure(error: proofs_core::stages::StageError) -> Failure {
    Failure { code: error.code().to_string(), message: error.to_string() }
}

fn bad_request(error: WireError) -> Failure {
    Failure { code: ErrorCode::BadRequest.to_string(), message: error.to_string() }
}
