//! The pieces of a sector, as operators name them: by CID, or by the name of the file.

use sp_proto::v1::{DataPiece, SectorPiece};

use crate::error::{CommandError, Exit};
use crate::layout::unsealed_cid;

/// A piece, and where it lies.
#[derive(Debug, Clone)]
pub(super) struct Chosen {
    pub(super) name: String,
    /// Empty until AP is accepted, like the commitment.
    pub(super) cid: String,
    pub(super) commitment: Vec<u8>,
    /// In the data of the sector.
    pub(super) offset: u64,
    pub(super) data_bytes: u64,
    pub(super) data_digest: Vec<u8>,
}

impl From<SectorPiece> for Chosen {
    fn from(SectorPiece { data, offset, sealed }: SectorPiece) -> Self {
        let DataPiece { data_bytes, data_digest, name } = data.unwrap_or_default();
        let commitment = sealed.map(|piece| piece.commitment).unwrap_or_default();
        let cid = if commitment.is_empty() { String::new() } else { unsealed_cid(&commitment) };
        Self { name, cid, commitment, offset, data_bytes, data_digest }
    }
}

/// The piece that is named so.
pub(super) fn named<'a>(pieces: &'a [Chosen], number: u64, wanted: &str) -> Result<&'a Chosen, CommandError> {
    let found = pieces.iter().find(|piece| piece.cid == wanted || piece.name == wanted);
    found.ok_or_else(|| refuse(pieces, &format!("sector {number} holds no piece {wanted}")))
}

/// Why none was chosen, and what there is to choose from.
pub(super) fn refuse(pieces: &[Chosen], why: &str) -> CommandError {
    let list = pieces.iter().map(|piece| format!("\n  {} {}", piece.cid, piece.name)).collect::<String>();
    CommandError::new(Exit::Usage, format!("{why}; its pieces are:{list}"))
}
