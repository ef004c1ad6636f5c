//! The data of a sector: the pieces that an operator sends in one upload, and where they come to lie.

use std::ops::Range;

use serde::{Deserialize, Serialize};
use sp_types::{Commitment, PieceInfo, SectorSize, padded_for, starts};

/// What an operator wants to store in a sector: its pieces, sent as one upload, one after the other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SectorData {
    /// BLAKE2s-256 of the upload.
    pub digest: [u8; 32],
    /// In this order; at least one.
    pub pieces: Vec<PieceData>,
}

/// One piece as its operator has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PieceData {
    /// Length, bytes, without padding.
    pub data_bytes: u64,
    /// BLAKE2s-256 of it.
    pub digest: [u8; 32],
    /// Name of the file it came from, for people.
    pub name: String,
}

/// A piece and where it lies in its sector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlacedPiece {
    /// As its operator has it.
    pub data: PieceData,
    /// Where its data begins in the data of the sector, unpadded bytes.
    pub offset: u64,
    /// As sealed; none until AP is accepted.
    pub sealed: Option<PieceInfo>,
}

impl PlacedPiece {
    /// Where it lies in the padded data of the sector, its own padding included; none until AP is accepted.
    pub fn padded(&self) -> Option<Range<u64>> {
        let start = self.offset / 127 * 128;
        Some(start..start.checked_add(self.sealed?.padded_bytes)?)
    }

    /// Has it this commitment?
    pub(crate) fn is(&self, commitment: &Commitment) -> bool {
        self.sealed.is_some_and(|sealed| sealed.commitment == *commitment)
    }
}

impl SectorData {
    /// Data that is one piece.
    pub fn one(piece: PieceData) -> Self {
        Self { digest: piece.digest, pieces: vec![piece] }
    }

    /// Length of the upload. Saturates: what is too large for 64 bits fits no sector.
    pub fn data_bytes(&self) -> u64 {
        self.pieces.iter().fold(0, |sum, piece| sum.saturating_add(piece.data_bytes))
    }

    /// For logs and tables: the name of a piece, and how many others there are.
    pub fn name(&self) -> String {
        match &self.pieces[..] {
            [first, _, ..] => format!("{} and {} more", first.name, self.pieces.len() - 1),
            [only] => only.name.clone(),
            [] => String::new(),
        }
    }

    /// What it is, in a log.
    pub fn describe(&self) -> String {
        format!("piece {} of {} bytes", self.name(), self.data_bytes())
    }

    /// Padded sizes of the pieces; none where one fits no size.
    fn padded(&self) -> Option<Vec<u64>> {
        self.pieces.iter().map(|piece| padded_for(piece.data_bytes)).collect()
    }

    /// What the pieces take of a sector, padded bytes, the zeros between them included. None: more than 64 bits count.
    pub fn padded_bytes(&self) -> Option<u64> {
        end_of(&self.padded()?)
    }

    /// Why it does not fit into a sector of this size, for its operator; none where it does.
    pub(crate) fn too_large_for(&self, size: SectorSize) -> Option<String> {
        if self.padded_bytes().is_some_and(|bytes| bytes <= size.bytes()) {
            return None;
        }
        let mut largest_first = self.padded().unwrap_or_default();
        largest_first.sort_unstable_by_key(|bytes| std::cmp::Reverse(*bytes));
        let reordered = end_of(&largest_first).filter(|bytes| *bytes <= size.bytes() && self.pieces.len() > 1);
        Some(match reordered {
            Some(_) => format!(
                "the {} pieces do not fit into a {size} sector in this order, because each starts at a multiple of its \
                 padded size; name the largest first",
                self.pieces.len()
            ),
            None => {
                let room = size.bytes() / 128 * 127;
                format!(
                    "`{}` has {} bytes, a {size} sector holds {room} ({}), and every piece is padded to a power of two; \
                     split it or use larger sectors",
                    self.name(),
                    self.data_bytes(),
                    sp_types::ByteSize(room)
                )
            }
        })
    }

    /// Length and padded size of each piece, for the worker that packs them. None where one fits no size.
    pub(crate) fn to_pack(&self) -> Option<Vec<(u64, u64)>> {
        let bytes = self.pieces.iter().map(|piece| piece.data_bytes);
        Some(bytes.zip(self.padded()?).collect())
    }

    /// The pieces where they lie among those that were sealed; `sealed` is empty until AP is accepted.
    pub fn placed(&self, sealed: &[PieceInfo]) -> Vec<PlacedPiece> {
        let offsets = self.padded().and_then(|padded| starts(&padded)).unwrap_or_default();
        let piece = |(data, start): (&PieceData, u64)| PlacedPiece {
            data: data.clone(),
            offset: start / 128 * 127,
            sealed: sealed_at(sealed, start),
        };
        self.pieces.iter().zip(offsets).map(piece).collect()
    }

    /// Are these, fillers included, the pieces that were to be packed?
    pub fn agrees_with(&self, sealed: &[PieceInfo]) -> bool {
        let fits = |(size, start)| sealed_at(sealed, start).is_some_and(|piece| piece.padded_bytes == size);
        let Some(padded) = self.padded() else { return false };
        let Some(starts) = starts(&padded) else { return false };
        padded.into_iter().zip(starts).all(fits)
    }
}

fn end_of(padded: &[u64]) -> Option<u64> {
    let starts = starts(padded)?;
    Some(starts.last().zip(padded.last()).map_or(0, |(start, size)| start + size))
}

/// The piece that starts there.
fn sealed_at(sealed: &[PieceInfo], start: u64) -> Option<PieceInfo> {
    let mut at = 0u64;
    for piece in sealed {
        if at == start {
            return Some(*piece);
        }
        at = at.checked_add(piece.padded_bytes)?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(sizes: &[u64]) -> SectorData {
        let piece = |bytes: &u64| PieceData { data_bytes: *bytes, digest: [1; 32], name: format!("{bytes}.bin") };
        SectorData { digest: [2; 32], pieces: sizes.iter().map(piece).collect() }
    }

    fn sealed(sizes: &[u64]) -> Vec<PieceInfo> {
        let piece = |(at, size): (usize, &u64)| {
            let commitment = Commitment([at as u8; 32]);
            PieceInfo { padded_bytes: *size, commitment }
        };
        sizes.iter().enumerate().map(piece).collect()
    }

    #[test]
    fn order_decides_what_fits() {
        let fits = |sizes: &[u64]| data(sizes).too_large_for(SectorSize::KiB2);
        assert_eq!(fits(&[2032]), None);
        assert_eq!(fits(&[1000, 500, 200]), None);
        assert_eq!(fits(&[127, 1000]), None);
        let order = fits(&[100, 1000, 500]).unwrap();
        assert!(order.contains("name the largest first"), "{order}");
        let large = fits(&[1000, 1000, 1]).unwrap();
        assert!(large.contains("1000.bin and 2 more") && large.contains("split it"), "{large}");
        assert!(fits(&[u64::MAX, u64::MAX]).is_some());
    }

    #[test]
    fn pieces_are_found_among_the_fillers() {
        let (data, sealed) = (data(&[100, 1000]), sealed(&[128, 128, 256, 512, 1024]));
        assert!(data.agrees_with(&sealed));
        let placed = data.placed(&sealed);
        let found: Vec<_> = placed.iter().map(|p| (p.offset, p.sealed.map(|s| s.commitment.0[0]))).collect();
        assert_eq!(found, [(0, Some(0)), (1016, Some(4))]);
        assert_eq!(data.placed(&[])[1].sealed, None);
    }

    #[test]
    fn other_pieces_than_were_asked_for_do_not_agree() {
        let data = data(&[100, 1000]);
        assert!(!data.agrees_with(&sealed(&[2048])));
        assert!(!data.agrees_with(&sealed(&[128, 128, 256, 512, 512, 512])));
        assert!(!data.agrees_with(&[]));
    }
}
