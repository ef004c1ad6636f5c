//! AP: writes pieces into the unsealed file and computes their commitments.

use std::io::Read;
use std::path::Path;

use sp_types::{Commitment, PieceInfo, RegisteredSealProof};

use super::StageError;

const STAGE: &str = "AP";

/// Writes one piece at the end of what `out` holds already: `data_bytes` of `source`, then zeros up to `padded_bytes`.
pub fn add_piece(
    _source: &mut dyn Read,
    _data_bytes: u64,
    _padded_bytes: u64,
    _existing: &[PieceInfo],
    _out: &Path,
) -> Result<PieceInfo, StageError> {
    Err(StageError::upstream(STAGE, "not built yet"))
}

/// Fills the sector from its last piece to its end with zero pieces. Returns only the new ones.
pub fn fill_with_zeros(
    _proof: RegisteredSealProof,
    _existing: &[PieceInfo],
    _out: &Path,
) -> Result<Vec<PieceInfo>, StageError> {
    Err(StageError::upstream(STAGE, "not built yet"))
}

/// The data commitment of a sector that holds these pieces in this order.
pub fn comm_d(_proof: RegisteredSealProof, _pieces: &[PieceInfo]) -> Result<Commitment, StageError> {
    Err(StageError::upstream(STAGE, "not built yet"))
}
