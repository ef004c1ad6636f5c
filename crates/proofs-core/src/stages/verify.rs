//! Upstream's verifier, and nothing else: what decides whether a proof is valid.

use sp_types::{Commitment, PostProof, ProverId, Randomness};

use super::{PostSector, SectorContext, StageError};

/// Whether `proof` is a valid seal proof. An error only when that could not be decided.
pub fn verify_seal(
    _ctx: &SectorContext,
    _comm_r: &Commitment,
    _comm_d: &Commitment,
    _ticket: [u8; 32],
    _seed: [u8; 32],
    _proof: &[u8],
) -> Result<bool, StageError> {
    Err(StageError::upstream("verify", "not built yet"))
}

/// Whether `proof_bytes` is a valid window PoSt proof of one partition on its own.
pub fn verify_window_post(
    _proof: PostProof,
    _prover_id: ProverId,
    _randomness: &Randomness,
    _partition: u32,
    _sectors: &[PostSector],
    _proof_bytes: &[u8],
) -> Result<bool, StageError> {
    Err(StageError::upstream("verify", "not built yet"))
}

/// Whether `proof_bytes` is a valid winning PoSt proof of `sector`.
pub fn verify_winning_post(
    _proof: PostProof,
    _prover_id: ProverId,
    _randomness: &Randomness,
    _sector: &PostSector,
    _proof_bytes: &[u8],
) -> Result<bool, StageError> {
    Err(StageError::upstream("verify", "not built yet"))
}
