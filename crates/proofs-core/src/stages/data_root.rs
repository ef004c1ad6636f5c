//! The root of the binary SHA-256 tree over a padded data file: its data commitment, streamed, on all cores.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use rayon::prelude::*;
use sp_types::Commitment;

use super::StageError;
use super::files::BLOCK_BYTES;
use crate::kernels::{Cpu, data_root as root_of};

/// Bytes that one thread hashes at a time; a power of two.
const LANE_BYTES: usize = 64 << 10;

/// The commitment of the `size_bytes` (a power of two, at least 64) that `path` starts with.
pub(super) fn data_root(stage: &'static str, path: &Path, size_bytes: u64) -> Result<Commitment, StageError> {
    let mut file = File::open(path).map_err(StageError::io(stage, path))?;
    root_of_stream(&mut file, size_bytes).map_err(StageError::io(stage, path))
}

/// The commitment of the next `size_bytes` (a power of two, at least 64) of padded data.
pub(super) fn root_of_stream(padded: &mut dyn Read, size_bytes: u64) -> io::Result<Commitment> {
    let cpu = Cpu::detect();
    let block_bytes = size_bytes.min(BLOCK_BYTES as u64) as usize;
    let mut block = vec![0; block_bytes];
    let mut roots = Vec::new();
    for _ in 0..size_bytes / block_bytes as u64 {
        padded.read_exact(&mut block)?;
        let lanes: Vec<[u8; 32]> = block.par_chunks(LANE_BYTES).map(|lane| root_of(cpu, lane)).collect();
        roots.push(root_of(cpu, lanes.as_flattened()));
    }
    Ok(Commitment(root_of(cpu, roots.as_flattened())))
}

#[cfg(test)]
mod tests {
    use filecoin_proofs::{UnpaddedBytesAmount, generate_piece_commitment};
    use fr32::Fr32Reader;

    use super::*;

    /// Against upstream, for a file below one lane, one of several lanes, and one of several blocks.
    #[test]
    fn is_upstreams_piece_commitment() {
        let dir = tempfile::tempdir().unwrap();
        for padded in [2u64 << 10, 512 << 10, 4 << 20] {
            let data: Vec<u8> = (0..padded / 128 * 127).map(|i| (i * i % 251) as u8).collect();
            let path = dir.path().join("data");
            let mut bytes = Vec::new();
            Fr32Reader::new(data.as_slice()).read_to_end(&mut bytes).unwrap();
            std::fs::write(&path, &bytes).unwrap();
            let known = generate_piece_commitment(data.as_slice(), UnpaddedBytesAmount(data.len() as u64)).unwrap();
            assert_eq!(data_root("UNS", &path, padded).unwrap().0, known.commitment);
        }
    }

    #[test]
    fn a_short_file_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data");
        std::fs::write(&path, [0; 2000]).unwrap();
        assert!(data_root("UNS", &path, 2048).is_err());
    }
}
