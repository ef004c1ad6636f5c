//! C2: the SNARK over the vanilla proofs of a sealing.

use super::{SectorContext, StageError};

/// Returns the seal proof, 192 bytes per partition.
pub fn c2(_ctx: &SectorContext, _vanilla: &[u8]) -> Result<Vec<u8>, StageError> {
    Err(StageError::upstream("C2", "not built yet"))
}
