//! C1: the vanilla proofs of the sealing, verified by upstream before they are returned.

use std::path::Path;

use sp_types::PieceInfo;

use super::{SealCommitments, SectorContext, StageError};

/// Returns the serialised vanilla proofs, all that [`c2`](super::c2) needs.
pub fn c1(
    _ctx: &SectorContext,
    _ticket: [u8; 32],
    _seed: [u8; 32],
    _comms: &SealCommitments,
    _pieces: &[PieceInfo],
    _cache: &Path,
    _sealed: &Path,
) -> Result<Vec<u8>, StageError> {
    Err(StageError::upstream("C1", "not built yet"))
}
