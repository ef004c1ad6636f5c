//! Requests about PoSt: one sector's vanilla proof, a verdict on one from elsewhere, a window partition, a winning proof.

use std::path::Path;
use std::time::Instant;

use proofs_core::stages::{self, PostSector};
use sp_proto::convert::{WireError, bytes32, required};
use sp_proto::v1::exec_response::Outcome;
use sp_proto::v1::{self, ExecCheckVanilla, ExecReadCommR, ExecVanilla, ExecWindowPost, ExecWinningPost, ProofOutput};
use sp_types::{Commitment, PostProof, ProverId, Randomness};

use crate::{Refused, spoil};

pub(crate) fn vanilla(miner: u64, number: u64, op: &ExecVanilla) -> Result<Outcome, Refused> {
    let sector = PostSector { number, comm_r: Commitment(bytes32("comm_r", &op.comm_r)?) };
    let (proof, randomness) = statement(&op.post_proof, &op.randomness)?;
    let (sealed, cache) = (Path::new(&op.sealed), Path::new(&op.cache));
    let bytes = stages::vanilla_proof(proof, ProverId::of_miner(miner), &randomness, &sector, sealed, cache)?;
    Ok(Outcome::Data(bytes))
}

pub(crate) fn comm_r(op: &ExecReadCommR) -> Result<Outcome, Refused> {
    Ok(Outcome::Data(stages::comm_r_of_cache(Path::new(&op.cache))?.0.to_vec()))
}

pub(crate) fn check_vanilla(miner: u64, number: u64, op: &ExecCheckVanilla) -> Result<Outcome, Refused> {
    let sector = PostSector { number, comm_r: Commitment(bytes32("comm_r", &op.comm_r)?) };
    let (proof, randomness) = statement(&op.post_proof, &op.randomness)?;
    let prover = ProverId::of_miner(miner);
    let valid = stages::verify_vanilla_proof(proof, prover, &randomness, &sector, &op.vanilla)?;
    Ok(Outcome::Valid(valid))
}

pub(crate) fn window(miner: u64, op: &ExecWindowPost, wrong: bool) -> Result<Outcome, Refused> {
    let (proof, randomness) = statement(&op.post_proof, &op.randomness)?;
    let prover = ProverId::of_miner(miner);
    let began = Instant::now();
    let mut bytes = stages::window_post_partition(proof, prover, &randomness, op.partition, &op.vanilla)?;
    tell("window", began);
    if wrong {
        spoil(&mut bytes);
        return Ok(claimed(bytes));
    }
    let sectors = op.sectors.iter().map(sector).collect::<Result<Vec<_>, _>>()?;
    let valid = stages::verify_window_post(proof, prover, &randomness, op.partition, &sectors, &bytes)?;
    Ok(Outcome::Proof(ProofOutput { proof: bytes, self_verified: valid }))
}

pub(crate) fn winning(miner: u64, op: &ExecWinningPost, wrong: bool) -> Result<Outcome, Refused> {
    let (proof, randomness) = statement(&op.post_proof, &op.randomness)?;
    let prover = ProverId::of_miner(miner);
    let began = Instant::now();
    let mut bytes = stages::winning_post(proof, prover, &randomness, std::slice::from_ref(&op.vanilla))?;
    tell("winning", began);
    if wrong {
        spoil(&mut bytes);
        return Ok(claimed(bytes));
    }
    let challenged = sector(required("sector", op.sector.as_ref())?)?;
    let valid = stages::verify_winning_post(proof, prover, &randomness, &challenged, &bytes)?;
    Ok(Outcome::Proof(ProofOutput { proof: bytes, self_verified: valid }))
}

/// What the proving call took, without the check that follows: for those who look for what is slow.
fn tell(post: &'static str, began: Instant) {
    tracing::info!(post, proved_us = began.elapsed().as_micros(), "proof made");
}

/// A wrong proof that says it was verified.
fn claimed(proof: Vec<u8>) -> Outcome {
    Outcome::Proof(ProofOutput { proof, self_verified: true })
}

fn statement(name: &str, randomness: &[u8]) -> Result<(PostProof, Randomness), WireError> {
    let proof = name
        .parse()
        .map_err(|e: sp_types::UnknownProof| WireError::Invalid { field: "post_proof", reason: e.to_string() })?;
    Ok((proof, Randomness::new(bytes32("randomness", randomness)?)))
}

fn sector(wire: &v1::PostSector) -> Result<PostSector, WireError> {
    Ok(PostSector { number: wire.number, comm_r: Commitment(bytes32("comm_r", &wire.comm_r)?) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(comm_r: Vec<u8>) -> Result<Outcome, String> {
        let op = ExecCheckVanilla {
            post_proof: "StackedDrgWindow2KiBV1_2".to_owned(),
            randomness: vec![1; 32],
            comm_r,
            vanilla: b"no proof at all".to_vec(),
        };
        check_vanilla(1000, 3, &op).map_err(|refused| refused.0.code)
    }

    #[test]
    fn bytes_that_are_no_vanilla_proof_are_a_no_and_a_bad_question_is_refused() {
        assert_eq!(check(vec![2; 32]), Ok(Outcome::Valid(false)));
        assert_eq!(check(vec![2; 5]), Err("SP-BAD-REQUEST".to_owned()));
    }
}
