//! PC2: builds tree-c and tree-r-last and encodes the replica in place.

use std::path::Path;

use sp_types::Commitment;

use super::{SectorContext, StageError};

/// The commitments of a sealed sector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SealCommitments {
    /// Commitment of the replica.
    pub comm_r: Commitment,
    /// Commitment of the data.
    pub comm_d: Commitment,
}

/// Encodes `sealed` in place and writes trees, `p_aux` and `t_aux` into `cache`.
pub fn pc2(_ctx: &SectorContext, _phase1: &[u8], _cache: &Path, _sealed: &Path) -> Result<SealCommitments, StageError> {
    Err(StageError::upstream("PC2", "not built yet"))
}
