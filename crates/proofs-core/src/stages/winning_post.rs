//! WNP: which sector a winning PoSt proves, and its SNARK.

use sp_types::{PostProof, ProverId, Randomness};

use super::StageError;

/// The index, within the miner's `sector_count` sectors, of the sector that must be proven.
pub fn winning_post_sector(
    _proof: PostProof,
    _prover_id: ProverId,
    _randomness: &Randomness,
    _sector_count: u64,
) -> Result<u64, StageError> {
    Err(StageError::upstream("WNP", "not built yet"))
}

/// Proves a winning PoSt, 192 bytes. `vanilla` holds the vanilla proof of the one challenged sector.
pub fn winning_post(
    _proof: PostProof,
    _prover_id: ProverId,
    _randomness: &Randomness,
    _vanilla: &[Vec<u8>],
) -> Result<Vec<u8>, StageError> {
    Err(StageError::upstream("WNP", "not built yet"))
}
