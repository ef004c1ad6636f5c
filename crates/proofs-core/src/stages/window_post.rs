//! WDP: the SNARK of one window PoSt partition.

use sp_types::{PostProof, ProverId, Randomness};

use super::StageError;

/// Proves one partition, 192 bytes. `vanilla` holds one vanilla proof per sector, in any order.
pub fn window_post_partition(
    _proof: PostProof,
    _prover_id: ProverId,
    _randomness: &Randomness,
    _partition: u32,
    _vanilla: &[Vec<u8>],
) -> Result<Vec<u8>, StageError> {
    Err(StageError::upstream("WDP", "not built yet"))
}
