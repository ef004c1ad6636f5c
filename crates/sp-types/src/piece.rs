//! Pieces and the sizes that Filecoin allows for them.

use crate::Commitment;
use serde::{Deserialize, Serialize};

/// A piece as sealed into a sector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PieceInfo {
    /// Size with Fr32 padding, in bytes: a power of two, at least 128.
    pub padded_bytes: u64,
    /// Piece commitment (CommP).
    pub commitment: Commitment,
}

impl PieceInfo {
    /// Size without Fr32 padding: 127 bytes of every 128.
    pub fn unpadded_bytes(&self) -> u64 {
        self.padded_bytes / 128 * 127
    }
}

/// The padded size of the smallest piece that holds `data_bytes` bytes of data: a power of two, at least 128.
/// None when no 64-bit size holds it.
pub fn padded_for(data_bytes: u64) -> Option<u64> {
    let quads = data_bytes.div_ceil(127).max(1);
    quads.checked_next_power_of_two()?.checked_mul(128)
}

/// The largest padded piece size that starts at `offset` (padded bytes) aligned to itself and fits into `room` bytes.
/// Used to fill the rest of a sector with zero pieces. `room` and `offset` are multiples of 128; room is not 0.
pub fn largest_piece_at_most(offset: u64, room: u64) -> u64 {
    let by_room = 1u64 << (63 - room.leading_zeros());
    let by_alignment = if offset == 0 { u64::MAX } else { 1u64 << offset.trailing_zeros() };
    by_room.min(by_alignment)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_the_networks() {
        for (data, padded) in [(1, 128), (127, 128), (128, 256), (254, 256), (255, 512), (2032, 2048)] {
            assert_eq!(padded_for(data), Some(padded), "{data}");
        }
        assert_eq!(padded_for(u64::MAX), None);
    }

    #[test]
    fn fillers_are_aligned_and_exact() {
        let (mut at, mut sizes) = (512u64, vec![]);
        while at < 2048 {
            let size = largest_piece_at_most(at, 2048 - at);
            assert_eq!(at % size, 0);
            sizes.push(size);
            at += size;
        }
        assert_eq!(sizes, [512, 1024]);
        assert_eq!(largest_piece_at_most(0, 2048), 2048);
    }
}
