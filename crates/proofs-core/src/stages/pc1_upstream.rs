//! PC1 by upstream's own code, one sector at a time: what ours is compared with, and what `SP_PROOFS=upstream` runs.

use std::fs::OpenOptions;

use filecoin_proofs::{MerkleTreeTrait, SealPreCommitPhase1Output, seal_pre_commit_phase1};
use sp_types::Commitment;

use super::StageError;
use super::add_piece::check_pieces;
use super::config::{porep_config, upstream_pieces, with_tree};
use super::error::guard;
use super::files::{check_sector_file, require_empty_dir};
use super::parents::{ensure_parents, graph};
use super::pc1::{Pc1Output, Pc1Sector, STAGE, encode};

/// As [`pc1`](super::pc1), but it always labels from the first layer, in an empty directory.
pub(super) fn pc1(sector: &Pc1Sector<'_>) -> Result<Pc1Output, StageError> {
    let size = sector.ctx.proof.size;
    check_pieces(STAGE, size, sector.pieces)?;
    check_sector_file(STAGE, sector.unsealed, size)?;
    require_empty_dir(STAGE, sector.cache)?;
    // Upstream wants the file to exist and overwrites it; a replica that is there already must not be lost so.
    let created = OpenOptions::new().write(true).create_new(true).open(sector.sealed);
    created.map_err(StageError::io(STAGE, sector.sealed))?;
    guard(STAGE, || with_tree!(size, label(sector)))
}

fn label<Tree: 'static + MerkleTreeTrait>(sector: &Pc1Sector<'_>) -> anyhow::Result<Pc1Output> {
    let Pc1Sector { ctx, ticket, pieces, unsealed, sealed, cache } = *sector;
    ensure_parents(&graph(ctx.proof))?;
    let mut output: SealPreCommitPhase1Output<Tree> = seal_pre_commit_phase1(
        &porep_config(ctx.proof)?,
        cache,
        unsealed,
        sealed,
        ctx.prover_id.0,
        ctx.number.into(),
        ticket,
        &upstream_pieces(pieces),
    )?;
    output.labels.update_root("");
    output.config.path.clear();
    Ok(encode(ctx.proof, ticket, Commitment(output.comm_d), serde_json::to_value(&output))?)
}
