//! C1: the vanilla proofs of the sealing, verified by upstream before they are returned.

use std::path::Path;

use filecoin_proofs::{MerkleTreeTrait, SealCommitPhase1Output, seal_commit_phase1, validate_cache_for_commit};
use sp_types::{PieceInfo, RegisteredSealProof, SealFeature};

use super::add_piece::check_pieces;
use super::config::{porep_config, upstream_pieces, with_tree};
use super::error::guard;
use super::fields::check_commitment;
use super::files::check_sector_file;
use super::{SealCommitments, SectorContext, StageError};

const STAGE: &str = "C1";

/// First bytes of what C1 returns; the digit is the version of the format.
const MAGIC: &[u8; 8] = b"SPVANIL1";

/// Returns the serialised vanilla proofs, all that [`c2`](super::c2) needs: a head that names the registered proof, then
/// bincode of upstream's `SealCommitPhase1Output`. About 10 MB at 32 GiB.
///
/// The seed must not be zero, also where it has no effect (non-interactive). Synthetic proofs are picked from the file
/// that PC2 left.
pub fn c1(
    ctx: &SectorContext,
    ticket: [u8; 32],
    seed: [u8; 32],
    comms: &SealCommitments,
    pieces: &[PieceInfo],
    cache: &Path,
    sealed: &Path,
) -> Result<Vec<u8>, StageError> {
    check_pieces(STAGE, ctx.proof.size, pieces)?;
    check_commitment(STAGE, "comm_r", &comms.comm_r)?;
    check_commitment(STAGE, "comm_d", &comms.comm_d)?;
    if seed == [0; 32] {
        return Err(StageError::bad_input(STAGE, "the seed is zero; take it from the chain"));
    }
    check_sector_file(STAGE, sealed, ctx.proof.size)?;
    guard(STAGE, || with_tree!(ctx.proof.size, open(ctx, ticket, seed, comms, pieces, cache, sealed)))
}

/// Splits what C1 returned into its registered proof and upstream's bytes. None when it is something else.
pub(super) fn split(vanilla: &[u8]) -> Option<(RegisteredSealProof, &[u8])> {
    let rest = vanilla.strip_prefix(MAGIC)?;
    let (id, body) = rest.split_first_chunk()?;
    Some((RegisteredSealProof::from_id(u64::from_le_bytes(*id)).ok()?, body))
}

fn open<Tree: 'static + MerkleTreeTrait>(
    ctx: &SectorContext,
    ticket: [u8; 32],
    seed: [u8; 32],
    comms: &SealCommitments,
    pieces: &[PieceInfo],
    cache: &Path,
    sealed: &Path,
) -> anyhow::Result<Vec<u8>> {
    // The layers of a synthetic sector may be gone: its vanilla proofs were made in PC2.
    if ctx.proof.feature != SealFeature::Synthetic {
        validate_cache_for_commit::<_, _, Tree>(cache, sealed)?;
    }
    let output: SealCommitPhase1Output<Tree> = seal_commit_phase1(
        &porep_config(ctx.proof)?,
        cache,
        sealed,
        ctx.prover_id.0,
        ctx.number.into(),
        ticket,
        seed,
        comms.to_upstream(),
        &upstream_pieces(pieces),
    )?;
    let mut bytes = [MAGIC.as_slice(), &ctx.proof.id().to_le_bytes()].concat();
    bincode::serialize_into(&mut bytes, &output)?;
    Ok(bytes)
}
