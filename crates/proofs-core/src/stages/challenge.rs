//! PoSt challenges of one sector and its vanilla proof: the part that reads the sector's files.

use std::path::Path;

use sp_types::{Commitment, PostProof, ProverId, Randomness};

use super::StageError;

/// A sector as a PoSt names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PostSector {
    /// Sector number.
    pub number: u64,
    /// Commitment of the replica.
    pub comm_r: Commitment,
}

/// The challenged leaves of one sector.
pub fn challenges(
    _proof: PostProof,
    _prover_id: ProverId,
    _randomness: &Randomness,
    _number: u64,
) -> Result<Vec<u64>, StageError> {
    Err(StageError::upstream("PoSt", "not built yet"))
}

/// The vanilla proof of one sector: bincode of upstream's `FallbackPoStSectorProof`.
pub fn vanilla_proof(
    _proof: PostProof,
    _prover_id: ProverId,
    _randomness: &Randomness,
    _sector: &PostSector,
    _sealed: &Path,
    _cache: &Path,
) -> Result<Vec<u8>, StageError> {
    Err(StageError::upstream("PoSt", "not built yet"))
}
