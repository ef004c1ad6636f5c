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
fn largest_piece_at_most(offset: u64, room: u64) -> u64 {
    let by_room = 1u64 << (63 - room.leading_zeros());
    let by_alignment = if offset == 0 { u64::MAX } else { 1u64 << offset.trailing_zeros() };
    by_room.min(by_alignment)
}

/// Sizes of the zero pieces that fill a sector from `start` to `end` (padded bytes, multiples of 128).
pub fn fillers(start: u64, end: u64) -> Vec<u64> {
    let (mut at, mut sizes) = (start, vec![]);
    while at < end {
        let size = largest_piece_at_most(at, end - at);
        sizes.push(size);
        at += size;
    }
    sizes
}

/// Sizes of all pieces of a sector that holds pieces of these sizes in this order, the fillers between and after them
/// included. None when they do not fit.
pub fn with_fillers(padded_sizes: &[u64], sector_bytes: u64) -> Option<Vec<u64>> {
    let (mut at, mut sizes) = (0, vec![]);
    for (size, start) in padded_sizes.iter().zip(starts(padded_sizes)?) {
        sizes.extend(fillers(at, start));
        sizes.push(*size);
        at = start.checked_add(*size).filter(|end| *end <= sector_bytes)?;
    }
    sizes.extend(fillers(at, sector_bytes));
    Some(sizes)
}

/// Where pieces of these padded sizes start, in padded bytes, when they are packed in this order: each at the first multiple
/// of its size, as the network wants it. None when they are larger than 64 bits count.
pub fn starts(padded_sizes: &[u64]) -> Option<Vec<u64>> {
    let mut end = 0u64;
    let place = |size: &u64| {
        let start = end.checked_next_multiple_of(*size)?;
        end = start.checked_add(*size)?;
        Some(start)
    };
    padded_sizes.iter().map(place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_start_at_multiples_of_their_sizes() {
        assert_eq!(starts(&[128, 1024, 128, 256]), Some(vec![0, 1024, 2048, 2304]));
        assert_eq!(starts(&[1024, 256, 128, 128]), Some(vec![0, 1024, 1280, 1408]), "largest first leaves no gap");
        assert_eq!(starts(&[]), Some(vec![]));
        assert_eq!(starts(&[128, 1 << 63, 1 << 63]), None);
    }

    #[test]
    fn sizes_are_the_networks() {
        for (data, padded) in [(1, 128), (127, 128), (128, 256), (254, 256), (255, 512), (2032, 2048)] {
            assert_eq!(padded_for(data), Some(padded), "{data}");
        }
        assert_eq!(padded_for(u64::MAX), None);
    }

    #[test]
    fn fillers_are_aligned_and_exact() {
        assert_eq!(fillers(512, 2048), [512, 1024]);
        assert_eq!(fillers(0, 2048), [2048]);
        assert_eq!(fillers(128, 1920), [128, 256, 512, 512, 256, 128]);
        assert_eq!(fillers(2048, 2048), []);
        assert_eq!(with_fillers(&[128, 1024], 4096), Some(vec![128, 128, 256, 512, 1024, 2048]));
        assert_eq!(with_fillers(&[], 2048), Some(vec![2048]));
        assert_eq!(with_fillers(&[128, 1024, 1024], 2048), None);
    }
}
