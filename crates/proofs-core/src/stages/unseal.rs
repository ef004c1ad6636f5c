//! UNS: decodes a sealed file back to its data, and reads pieces out of an unsealed file.

use std::io::Write;
use std::path::Path;

use sp_types::Commitment;

use super::{SectorContext, StageError};

/// Decodes the whole sealed file into `out`: padded, exactly the sector size, byte for byte what AddPiece wrote.
pub fn unseal(
    _ctx: &SectorContext,
    _comm_d: &Commitment,
    _ticket: [u8; 32],
    _sealed: &Path,
    _cache: &Path,
    _scratch: &Path,
    _out: &Path,
) -> Result<(), StageError> {
    Err(StageError::upstream("UNS", "not built yet"))
}

/// Streams the unpadded bytes `[offset, offset + len)` (unpadded units) of an unsealed file. Returns how many.
pub fn read_piece(_unsealed: &Path, _offset: u64, _len: u64, _out: &mut dyn Write) -> Result<u64, StageError> {
    Err(StageError::upstream("UNS", "not built yet"))
}
