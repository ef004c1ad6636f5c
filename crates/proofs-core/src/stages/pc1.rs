//! PC1: copies the data, builds tree-d and labels the layers.

use std::fs::OpenOptions;
use std::path::Path;

use filecoin_proofs::{MerkleTreeTrait, SealPreCommitPhase1Output, seal_pre_commit_phase1};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sp_types::{Commitment, PieceInfo};

use super::add_piece::check_pieces;
use super::config::{porep_config, upstream_pieces, with_tree};
use super::error::guard;
use super::files::{check_sector_file, require_empty_dir};
use super::parents::{ensure_parents, graph};
use super::{SectorContext, StageError};

const STAGE: &str = "PC1";

/// What PC1 hands to PC2 besides its files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pc1Output {
    /// Commitment of the data.
    pub comm_d: Commitment,
    /// Opaque bytes (JSON, under 64 KiB) for [`pc2`](super::pc2). They name no directory: the files may move.
    pub phase1: Vec<u8>,
}

/// What [`Pc1Output::phase1`] holds.
#[derive(Serialize, Deserialize)]
pub(super) struct Phase1 {
    /// Name of the registered seal proof.
    pub(super) proof: String,
    /// The ticket, which synthetic proofs need in PC2.
    pub(super) ticket: [u8; 32],
    /// Upstream's output, its paths emptied.
    pub(super) output: Value,
}

/// Creates `sealed` (a copy of `unsealed`, not encoded yet) and fills the empty directory `cache` with tree-d and the
/// layers. `pieces` must fill the sector and have the root of `unsealed`.
///
/// It always labels from the first layer, in an empty directory. The caller fsyncs before it believes in the files.
pub fn pc1(
    ctx: &SectorContext,
    ticket: [u8; 32],
    pieces: &[PieceInfo],
    unsealed: &Path,
    sealed: &Path,
    cache: &Path,
) -> Result<Pc1Output, StageError> {
    check_pieces(STAGE, ctx.proof.size, pieces)?;
    check_sector_file(STAGE, unsealed, ctx.proof.size)?;
    require_empty_dir(STAGE, cache)?;
    // Upstream wants the file to exist and overwrites it; a replica that is there already must not be lost so.
    OpenOptions::new().write(true).create_new(true).open(sealed).map_err(StageError::io(STAGE, sealed))?;
    guard(STAGE, || with_tree!(ctx.proof.size, label(ctx, ticket, pieces, unsealed, sealed, cache)))
}

fn label<Tree: 'static + MerkleTreeTrait>(
    ctx: &SectorContext,
    ticket: [u8; 32],
    pieces: &[PieceInfo],
    unsealed: &Path,
    sealed: &Path,
    cache: &Path,
) -> anyhow::Result<Pc1Output> {
    let config = porep_config(ctx.proof)?;
    ensure_parents(&graph(ctx.proof))?;
    let mut output: SealPreCommitPhase1Output<Tree> = seal_pre_commit_phase1(
        &config,
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
    let phase1 = Phase1 { proof: ctx.proof.to_string(), ticket, output: serde_json::to_value(&output)? };
    Ok(Pc1Output { comm_d: Commitment(output.comm_d), phase1: serde_json::to_vec(&phase1)? })
}
