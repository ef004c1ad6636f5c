//! Requests of the sealing pipeline, AP to UNS, DC beside it, and reads out of unsealed files.

use std::fs::{self, File};
use std::io::{self, BufReader};
use std::path::Path;

use proofs_core::stages::{self, SealCommitments, SectorContext};
use sp_proto::convert::{WireError, bytes32, required};
use sp_proto::v1::exec_response::Outcome;
use sp_proto::v1::{
    AddPieceOutput, ExecAddPiece, ExecCommit1, ExecCommit2, ExecDataCid, ExecFinalize, ExecPreCommit1, ExecPreCommit2,
    ExecReadPiece, ExecUnseal, NoOutput, Piece, PieceToPack, PreCommit1Output, PreCommit2Output, ProofOutput,
};
use sp_types::{Commitment, ErrorCode, PieceInfo};

use crate::durable::{sync_tree, write_new};
use crate::{Refused, spoil};

/// Most that one read of a piece may ask for, bytes: what fits into one message of the data plane.
const READ_BYTES_MAX: u64 = 1 << 20;

pub(crate) fn add_piece(context: &SectorContext, op: &ExecAddPiece) -> Result<Outcome, Refused> {
    let out = Path::new(&op.unsealed);
    if out.exists() {
        let message = format!("AP: {} exists already; the work directory must be cleared first", out.display());
        return Err(Refused::new(ErrorCode::BadRequest, message));
    }
    let mut pieces = Vec::new();
    if !op.pieces.is_empty() {
        let mut source = BufReader::with_capacity(1 << 20, open("AP", &op.source)?);
        for PieceToPack { data_bytes, padded_bytes } in &op.pieces {
            pieces.extend(stages::fill_before(*padded_bytes, &pieces, out)?);
            pieces.push(stages::add_piece(&mut source, *data_bytes, *padded_bytes, &pieces, out)?);
        }
    }
    pieces.extend(stages::fill_with_zeros(context.proof, &pieces, out)?);
    let comm_d = stages::comm_d(context.proof, &pieces)?;
    sync_tree(out)?;
    let pieces = pieces.into_iter().map(Piece::from).collect();
    Ok(Outcome::AddPiece(AddPieceOutput { pieces, comm_d: comm_d.0.to_vec() }))
}

pub(crate) fn data_cid(op: &ExecDataCid) -> Result<Outcome, Refused> {
    let ExecDataCid { source, piece } = op;
    let PieceToPack { data_bytes, padded_bytes } = required("piece", piece.as_ref())?;
    let mut source = BufReader::with_capacity(1 << 20, open("DC", source)?);
    let piece = stages::data_cid(&mut source, *data_bytes, *padded_bytes)?;
    Ok(Outcome::DataCid(piece.into()))
}

pub(crate) fn pre_commit_1(context: &SectorContext, op: &ExecPreCommit1) -> Result<Outcome, Refused> {
    let (sealed, cache) = (Path::new(&op.sealed), Path::new(&op.cache));
    let ticket = bytes32("ticket", &op.ticket)?;
    if !stages::pc1_goes_on(cache) {
        clear(sealed)?;
        clear(cache)?;
        clear(&stages::pc1_journal(cache))?;
    }
    let done = stages::pc1(context, ticket, &pieces(&op.pieces)?, Path::new(&op.unsealed), sealed, cache)?;
    sync_tree(sealed)?;
    sync_tree(cache)?;
    Ok(Outcome::PreCommit1(PreCommit1Output { phase1: done.phase1, comm_d: done.comm_d.0.to_vec() }))
}

pub(crate) fn pre_commit_2(context: &SectorContext, op: &ExecPreCommit2) -> Result<Outcome, Refused> {
    let (sealed, cache) = (Path::new(&op.sealed), Path::new(&op.cache));
    let comms = stages::pc2(context, &op.phase1, cache, sealed)?;
    sync_tree(sealed)?;
    sync_tree(cache)?;
    Ok(Outcome::PreCommit2(PreCommit2Output { comm_r: comms.comm_r.0.to_vec(), comm_d: comms.comm_d.0.to_vec() }))
}

pub(crate) fn commit_1(context: &SectorContext, op: &ExecCommit1) -> Result<Outcome, Refused> {
    let comms = SealCommitments {
        comm_r: Commitment(bytes32("comm_r", &op.comm_r)?),
        comm_d: Commitment(bytes32("comm_d", &op.comm_d)?),
    };
    let (ticket, seed) = (bytes32("ticket", &op.ticket)?, bytes32("seed", &op.seed)?);
    let pieces = pieces(&op.pieces)?;
    let (cache, sealed) = (Path::new(&op.cache), Path::new(&op.sealed));
    let bytes = stages::c1(context, ticket, seed, &comms, &pieces, cache, sealed)?;
    write_new("C1", Path::new(&op.vanilla), &bytes)?;
    Ok(Outcome::None(NoOutput {}))
}

pub(crate) fn commit_2(context: &SectorContext, op: &ExecCommit2, wrong: bool) -> Result<Outcome, Refused> {
    let mut proof = stages::c2(context, &read_vanilla("C2", &op.vanilla)?)?;
    if wrong {
        spoil(&mut proof);
    }
    // Upstream verified the proof before it returned it.
    Ok(Outcome::Proof(ProofOutput { proof, self_verified: true }))
}

pub(crate) fn finalize(op: &ExecFinalize) -> Result<Outcome, Refused> {
    let cache = Path::new(&op.cache);
    stages::finalize(cache)?;
    sync_tree(cache)?;
    Ok(Outcome::None(NoOutput {}))
}

pub(crate) fn unseal(context: &SectorContext, op: &ExecUnseal) -> Result<Outcome, Refused> {
    let comm_d = Commitment(bytes32("comm_d", &op.comm_d)?);
    let ticket = bytes32("ticket", &op.ticket)?;
    let (scratch, out) = (Path::new(&op.scratch), Path::new(&op.unsealed));
    let (sealed, cache) = (Path::new(&op.sealed), Path::new(&op.cache));
    stages::unseal(context, &comm_d, ticket, sealed, cache, scratch, out)?;
    sync_tree(out)?;
    Ok(Outcome::None(NoOutput {}))
}

pub(crate) fn read_piece(op: &ExecReadPiece) -> Result<Outcome, Refused> {
    if op.size_bytes > READ_BYTES_MAX {
        let message = format!("a read of {} bytes; ask for at most {READ_BYTES_MAX} at a time", op.size_bytes);
        return Err(Refused::new(ErrorCode::BadRequest, message));
    }
    let mut bytes = Vec::with_capacity(op.size_bytes as usize);
    stages::read_piece(Path::new(&op.unsealed), op.offset, op.size_bytes, &mut bytes)?;
    Ok(Outcome::Data(bytes))
}

pub(crate) fn pieces(wire: &[Piece]) -> Result<Vec<PieceInfo>, WireError> {
    wire.iter().cloned().map(PieceInfo::try_from).collect()
}

/// Removes what an earlier run of the same attempt left in its work directory.
fn clear(path: &Path) -> Result<(), Refused> {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Err(e) if e.kind() != io::ErrorKind::NotFound => {
            let message = format!("{} of an earlier run cannot be removed: {e}", path.display());
            Err(Refused::new(ErrorCode::ExecutorFailed, message))
        }
        _ => Ok(()),
    }
}

/// What C1 or PR1 wrote.
pub(crate) fn read_vanilla(stage: &str, path: &str) -> Result<Vec<u8>, Refused> {
    fs::read(path).map_err(|e| Refused::new(ErrorCode::FileMissing, format!("{stage}: {path}: {e}")))
}

fn open(stage: &str, path: &str) -> Result<File, Refused> {
    File::open(path).map_err(|e| Refused::new(ErrorCode::FileMissing, format!("{stage}: {path}: {e}")))
}
