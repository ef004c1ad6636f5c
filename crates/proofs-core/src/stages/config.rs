//! From our registered proofs to upstream's configurations and tree shapes.

use sp_types::{ProverId, RegisteredSealProof};

/// Which sector is sealed, under which proof and for whom: what enters the replica id besides ticket and data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SectorContext {
    /// Registered seal proof: size and variant.
    pub proof: RegisteredSealProof,
    /// Prover id of the miner.
    pub prover_id: ProverId,
    /// Sector number.
    pub number: u64,
}
