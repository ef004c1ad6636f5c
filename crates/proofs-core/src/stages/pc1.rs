//! PC1: copies the data, builds tree-d and labels the layers.

use std::path::Path;

use sp_types::{Commitment, PieceInfo};

use super::{SectorContext, StageError};

/// What PC1 hands to PC2 besides its files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pc1Output {
    /// Commitment of the data.
    pub comm_d: Commitment,
    /// Opaque bytes (JSON, under 64 KiB) for [`pc2`](super::pc2). They name no directory that must still exist.
    pub phase1: Vec<u8>,
}

/// Creates `sealed` (a copy of `unsealed`) and fills the empty directory `cache` with tree-d and the layers.
pub fn pc1(
    _ctx: &SectorContext,
    _ticket: [u8; 32],
    _pieces: &[PieceInfo],
    _unsealed: &Path,
    _sealed: &Path,
    _cache: &Path,
) -> Result<Pc1Output, StageError> {
    Err(StageError::upstream("PC1", "not built yet"))
}
