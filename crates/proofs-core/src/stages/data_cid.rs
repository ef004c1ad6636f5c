//! DC: the commitment of a piece that nothing is written of.

use std::io::{self, Read};

use filecoin_proofs::UnpaddedBytesAmount;
use filecoin_proofs::pieces::zero_padding;
use fr32::Fr32Reader;
use sp_types::{Commitment, PieceInfo};

use super::StageError;
use super::add_piece::{Exactly, check_piece_size};
use super::data_root::root_of_stream;
use super::error::guard;
use crate::kernels::{Cpu, data_root};

const STAGE: &str = "DC";

/// The commitment of `data_bytes` of `source`, zeros after them up to `padded_bytes` (a power of two, at least 128).
///
/// What AP would record of the same piece. Only the data is read: of zeros every commitment is known.
pub fn data_cid(source: &mut dyn Read, data_bytes: u64, padded_bytes: u64) -> Result<PieceInfo, StageError> {
    let mut covered = check_piece_size(STAGE, data_bytes, padded_bytes)?;
    let zeros = io::repeat(0).take(unpadded(covered) - data_bytes);
    let mut padded = Fr32Reader::new(Exactly { source, rest: data_bytes }.chain(zeros));
    let root = root_of_stream(&mut padded, covered);
    let mut root = root.map_err(|e| StageError::upstream(STAGE, format!("cannot read the data: {e}")))?.0;
    while covered < padded_bytes {
        // As many zeros follow as there is data so far.
        let zeros = guard(STAGE, || zero_padding(UnpaddedBytesAmount(unpadded(covered))))?.commitment;
        root = data_root(Cpu::detect(), [root, zeros].as_flattened());
        covered *= 2;
    }
    Ok(PieceInfo { padded_bytes, commitment: Commitment(root) })
}

/// Fr32: 127 bytes of data take 128.
fn unpadded(padded_bytes: u64) -> u64 {
    padded_bytes / 128 * 127
}

#[cfg(test)]
mod tests {
    use filecoin_proofs::generate_piece_commitment;
    use sp_types::{ErrorCode, padded_for};

    use super::*;

    /// Upstream reads the zeros, too.
    fn upstream(data: &[u8], padded_bytes: u64) -> [u8; 32] {
        let size = UnpaddedBytesAmount(unpadded(padded_bytes));
        let zeros = io::repeat(0).take(size.0 - data.len() as u64);
        generate_piece_commitment(data.chain(zeros), size).unwrap().commitment
    }

    #[test]
    fn is_upstreams_piece_commitment() {
        for bytes in [1u64, 31, 32, 126, 127, 128, 1000, 2032, 2033, 70_000, 1_040_384, 1_040_385, 2_500_000] {
            let data: Vec<u8> = (0..bytes).map(|i| (i * i % 251) as u8).collect();
            let smallest = padded_for(bytes).unwrap();
            for padded_bytes in [smallest, 2 * smallest, 16 * smallest] {
                let piece = data_cid(&mut data.as_slice(), bytes, padded_bytes).unwrap();
                let known = PieceInfo { padded_bytes, commitment: Commitment(upstream(&data, padded_bytes)) };
                assert_eq!(piece, known, "{bytes} bytes of data");
            }
        }
    }

    /// What is read is what was promised: bytes behind it are not.
    #[test]
    fn sources_of_another_length_and_sizes_that_are_none_are_known() {
        let data = vec![7u8; 1000];
        let of = |bytes, padded| data_cid(&mut data.as_slice(), bytes, padded);
        assert_eq!(of(500, 512).unwrap().commitment.0, upstream(&data[..500], 512));
        let code = |bytes, padded| of(bytes, padded).unwrap_err().code();
        assert_eq!(code(1001, 1024), ErrorCode::ExecutorFailed, "the source ends early");
        assert_eq!(code(1000, 512), ErrorCode::PieceTooLarge);
        assert_eq!(code(1000, 1000), ErrorCode::BadRequest);
        assert_eq!(code(0, 128), ErrorCode::EmptyPiece);
    }
}
