//! AP: writes pieces into the unsealed file and computes their commitments.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::ops::Range;
use std::path::Path;

use filecoin_proofs::pieces::{compute_comm_d, zero_padding};
use filecoin_proofs::{UnpaddedBytesAmount, write_and_preprocess};
use sp_types::{Commitment, PieceInfo, RegisteredSealProof, SectorSize, fillers, padded_for};

use super::StageError;
use super::config::upstream_pieces;
use super::error::guard;

const STAGE: &str = "AP";

/// The smallest piece, Fr32-padded: four nodes.
const MIN_PIECE_BYTES: u64 = 128;

/// Writes one piece Fr32-padded at the end of what `out` holds already: `data_bytes` of `source`, then zeros up to
/// `padded_bytes` (a power of two, at least 128).
///
/// `existing` are the pieces that `out` holds; `out` is created when there are none. As in upstream, zeros come before a
/// piece that would not start at a multiple of its size. Flushes; the caller fsyncs. When it fails, `out` is as before.
pub fn add_piece(
    source: &mut dyn Read,
    data_bytes: u64,
    padded_bytes: u64,
    existing: &[PieceInfo],
    out: &Path,
) -> Result<PieceInfo, StageError> {
    check_piece_size(STAGE, data_bytes, padded_bytes)?;
    let before = end_of(existing)?;
    let start = align(before, padded_bytes)?;
    let file = open_at_end(out, before)?;
    let written = write_piece(source, data_bytes, padded_bytes, start, &file);
    if written.is_err() {
        // A piece that is there by half would shift every later one.
        file.set_len(before).map_err(StageError::io(STAGE, out))?;
    }
    written
}

/// Fills the sector from its last piece to its end with zero pieces, each the largest that fits. Returns only the new
/// ones. They take no space on disk where the file system knows holes.
pub fn fill_with_zeros(
    proof: RegisteredSealProof,
    existing: &[PieceInfo],
    out: &Path,
) -> Result<Vec<PieceInfo>, StageError> {
    let sector_bytes = proof.size.bytes();
    let start = end_of(existing)?;
    if start > sector_bytes {
        return Err(too_large(start, sector_bytes));
    }
    fill(start..sector_bytes, out)
}

/// Zero pieces up to where a piece of `padded_bytes` may start, as Lotus records them. Returns only the new ones.
pub fn fill_before(padded_bytes: u64, existing: &[PieceInfo], out: &Path) -> Result<Vec<PieceInfo>, StageError> {
    let before = end_of(existing)?;
    fill(before..align(before, padded_bytes)?, out)
}

/// Zero pieces from the end of the file on, each the largest that fits.
fn fill(range: Range<u64>, out: &Path) -> Result<Vec<PieceInfo>, StageError> {
    let filler = |padded_bytes: u64| {
        let size = UnpaddedBytesAmount(padded_bytes / 128 * 127);
        let commitment = Commitment(guard(STAGE, || zero_padding(size))?.commitment);
        Ok(PieceInfo { padded_bytes, commitment })
    };
    let new = fillers(range.start, range.end).into_iter().map(filler).collect::<Result<_, StageError>>()?;
    if !range.is_empty() {
        open_at_end(out, range.start)?.set_len(range.end).map_err(StageError::io(STAGE, out))?;
    }
    Ok(new)
}

/// The data commitment of a sector that holds these pieces in this order. They must fill it.
pub fn comm_d(proof: RegisteredSealProof, pieces: &[PieceInfo]) -> Result<Commitment, StageError> {
    check_pieces(STAGE, proof.size, pieces)?;
    let comm_d = guard(STAGE, || compute_comm_d(proof.size.bytes().into(), &upstream_pieces(pieces)))?;
    Ok(Commitment(comm_d))
}

/// Refuses pieces that do not fill the sector exactly.
pub(super) fn check_pieces(stage: &'static str, size: SectorSize, pieces: &[PieceInfo]) -> Result<(), StageError> {
    let (end, sector_bytes) = (end_of(pieces)?, size.bytes());
    if end > sector_bytes {
        return Err(too_large(end, sector_bytes));
    }
    if end < sector_bytes {
        let message =
            format!("the pieces end at {end} of {sector_bytes} bytes; fill the sector with zero pieces first");
        return Err(StageError::bad_input(stage, message));
    }
    Ok(())
}

/// Refuses sizes of which no piece is made. Gives the padded size that the data needs.
pub(super) fn check_piece_size(stage: &'static str, data_bytes: u64, padded_bytes: u64) -> Result<u64, StageError> {
    if data_bytes == 0 {
        return Err(StageError::EmptyPiece { stage });
    }
    if !padded_bytes.is_power_of_two() || padded_bytes < MIN_PIECE_BYTES {
        let message =
            format!("a padded piece of {padded_bytes} bytes is no power of two of at least {MIN_PIECE_BYTES}");
        return Err(StageError::bad_input(stage, message));
    }
    match padded_for(data_bytes) {
        Some(needed) if needed <= padded_bytes => Ok(needed),
        _ => {
            let message = format!("{data_bytes} bytes of data do not fit into a padded piece of {padded_bytes} bytes");
            Err(StageError::PieceTooLarge { stage, message })
        }
    }
}

/// Where the last of these pieces ends, each one starting at a multiple of its size.
fn end_of(pieces: &[PieceInfo]) -> Result<u64, StageError> {
    pieces.iter().try_fold(0u64, |at, piece| {
        if !piece.padded_bytes.is_power_of_two() || piece.padded_bytes < MIN_PIECE_BYTES {
            let message = format!("a piece of {} bytes is no power of two of at least 128", piece.padded_bytes);
            return Err(StageError::bad_input(STAGE, message));
        }
        align(at, piece.padded_bytes)?
            .checked_add(piece.padded_bytes)
            .ok_or_else(|| StageError::bad_input(STAGE, "the pieces are larger than any sector"))
    })
}

fn align(at: u64, padded_bytes: u64) -> Result<u64, StageError> {
    at.checked_next_multiple_of(padded_bytes)
        .ok_or_else(|| StageError::bad_input(STAGE, "the pieces are larger than any sector"))
}

fn too_large(end: u64, sector_bytes: u64) -> StageError {
    let message = format!("the pieces need {end} bytes, the sector has {sector_bytes}");
    StageError::PieceTooLarge { stage: STAGE, message }
}

/// Opens the unsealed file, which must end where its pieces do; a new one is created for the first piece.
fn open_at_end(out: &Path, expected: u64) -> Result<File, StageError> {
    let mut options = OpenOptions::new();
    options.append(true).create(expected == 0);
    let file = options.open(out).map_err(StageError::io(STAGE, out))?;
    let found = file.metadata().map_err(StageError::io(STAGE, out))?.len();
    if found == expected {
        return Ok(file);
    }
    let message = format!("{} has {found} bytes, its pieces end at {expected}; start from a copy", out.display());
    Err(StageError::bad_input(STAGE, message))
}

fn write_piece(
    source: &mut dyn Read,
    data_bytes: u64,
    padded_bytes: u64,
    start: u64,
    file: &File,
) -> Result<PieceInfo, StageError> {
    let size = UnpaddedBytesAmount(padded_bytes / 128 * 127);
    let zeros = io::repeat(0).take(size.0 - data_bytes);
    let stream = Exactly { source, rest: data_bytes }.chain(zeros);
    let (piece, _) = guard(STAGE, || {
        file.set_len(start)?;
        let mut target = file;
        let written = write_and_preprocess(stream, target, size)?;
        target.flush()?;
        Ok(written)
    })?;
    Ok(PieceInfo { padded_bytes, commitment: Commitment(piece.commitment) })
}

/// Reads exactly so many bytes: a source that ends early is an error, not a shorter piece.
pub(super) struct Exactly<'a> {
    pub(super) source: &'a mut dyn Read,
    pub(super) rest: u64,
}

impl Read for Exactly<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.rest).unwrap_or(usize::MAX).min(buffer.len());
        let got = self.source.read(&mut buffer[..most])?;
        if got == 0 && most > 0 {
            let message = format!("the source ended {} bytes early", self.rest);
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, message));
        }
        self.rest -= got as u64;
        Ok(got)
    }
}

#[cfg(test)]
mod tests {
    use sp_types::ErrorCode;

    use super::*;

    const PROOF: fn() -> RegisteredSealProof = || RegisteredSealProof::v1_1(SectorSize::KiB2);

    /// From upstream's `tests/pieces.rs`: comm_d of an empty 2 KiB sector.
    const EMPTY_2KIB: &str = "fc7e928296e516faade986b28f92d44a4f24b935485223376a799027bc18f833";

    #[test]
    fn comm_d_of_a_zero_sector_is_the_networks() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("unsealed");
        let pieces = fill_with_zeros(PROOF(), &[], &out).unwrap();
        assert_eq!(pieces.len(), 1);
        assert_eq!(comm_d(PROOF(), &pieces).unwrap().to_string(), EMPTY_2KIB);
        assert_eq!(std::fs::read(&out).unwrap(), vec![0; 2048]);
    }

    #[test]
    fn pieces_and_fillers_have_the_root_of_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("unsealed");
        let mut pieces = vec![add_piece(&mut &[7u8; 200][..], 200, 256, &[], &out).unwrap()];
        // Starts at 512, not at 256.
        pieces.push(add_piece(&mut &[9u8; 500][..], 500, 512, &pieces, &out).unwrap());
        assert_eq!(std::fs::metadata(&out).unwrap().len(), 1024);
        assert_eq!(comm_d(PROOF(), &pieces).unwrap_err().code(), ErrorCode::BadRequest);
        pieces.extend(fill_with_zeros(PROOF(), &pieces, &out).unwrap());
        assert_eq!(pieces.iter().map(|p| p.padded_bytes).collect::<Vec<_>>(), [256, 512, 1024]);
        let root = super::super::data_root::data_root(STAGE, &out, 2048).unwrap();
        assert_eq!(comm_d(PROOF(), &pieces).unwrap(), root);
    }

    /// Lotus lists the zeros between two pieces as pieces; upstream only leaves them out. The file is the same.
    #[test]
    fn zeros_that_are_listed_and_zeros_that_are_not_make_the_same_sector() {
        let dir = tempfile::tempdir().unwrap();
        let data: [(u8, usize, u64); 4] = [(1, 100, 128), (2, 1000, 1024), (3, 127, 128), (4, 200, 256)];
        let pack = |name: &str, listed: bool| {
            let out = dir.path().join(name);
            let mut pieces = vec![];
            for (byte, bytes, padded) in data {
                if listed {
                    pieces.extend(fill_before(padded, &pieces, &out).unwrap());
                }
                let (source, count) = (vec![byte; bytes], bytes as u64);
                pieces.push(add_piece(&mut &source[..], count, padded, &pieces, &out).unwrap());
            }
            let end = end_of(&pieces).unwrap();
            assert_eq!(end, 2560);
            (std::fs::read(&out).unwrap(), pieces)
        };
        let ((file, pieces), (other, _)) = (pack("listed", true), pack("left-out", false));
        assert_eq!(file, other);
        let sizes: Vec<u64> = pieces.iter().map(|p| p.padded_bytes).collect();
        assert_eq!(sizes, [128, 128, 256, 512, 1024, 128, 128, 256]);
        assert_eq!(sizes.iter().sum::<u64>(), file.len() as u64);
    }

    #[test]
    fn bad_pieces_are_refused_and_change_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("unsealed");
        let full = add_piece(&mut &[1u8; 2032][..], 2032, 2048, &[], &out).unwrap();
        let before = std::fs::read(&out).unwrap();
        let code = |data: &[u8], bytes, padded, existing: &[PieceInfo]| {
            add_piece(&mut &*data, bytes, padded, existing, &out).unwrap_err().code()
        };
        assert_eq!(code(&[], 0, 128, &[full]), ErrorCode::EmptyPiece);
        assert_eq!(code(&[1; 128], 128, 128, &[full]), ErrorCode::PieceTooLarge);
        assert_eq!(code(&[1; 10], 10, 192, &[full]), ErrorCode::BadRequest);
        assert_eq!(code(&[1; 10], 10, 128, &[]), ErrorCode::BadRequest, "the file holds more than its pieces say");
        assert_eq!(code(&[1; 10], 11, 4096, &[full]), ErrorCode::ExecutorFailed, "the source ends early");
        assert_eq!(std::fs::read(&out).unwrap(), before);
        let two = [full, full];
        assert_eq!(comm_d(PROOF(), &two).unwrap_err().code(), ErrorCode::PieceTooLarge);
    }
}
