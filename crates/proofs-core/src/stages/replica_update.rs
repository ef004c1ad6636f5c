//! RU: encodes new data into a sealed sector, beside the replica that is there.

use std::path::Path;

use filecoin_proofs::{MerkleTreeTrait, TreeRHasher, encode_into};
use sp_types::{Commitment, PieceInfo, RegisteredUpdateProof};

use super::add_piece::check_pieces;
use super::config::{update_config, upstream_pieces, with_tree};
use super::error::guard;
use super::files::{check_sector_file, create_sector_file, require_empty_dir};
use super::p_aux::comm_r_of;
use super::{SealCommitments, StageError};

const STAGE: &str = "RU";

/// What a snap update proves: this replica became that one, by this data and nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UpdateCommitments {
    /// Commitment of the replica before the update.
    pub comm_r_old: Commitment,
    /// Commitment of the replica after it.
    pub comm_r_new: Commitment,
    /// Commitment of the new data.
    pub comm_d_new: Commitment,
}

/// Creates `update`, the replica with the data of `unsealed`, and fills the empty directory `update_cache` with its
/// tree-d, tree-r-last, `p_aux` and `t_aux`. Returns the commitments of the update.
///
/// `sealed` and `cache` are those of the sector as it was sealed, trimmed or not; they are read and stay as they are.
/// `pieces` must fill the sector and have the root of `unsealed`. Upstream keeps a copy of the replica in `TMPDIR`
/// meanwhile. What a crash leaves is not gone on from: a re-run starts with no `update` and an empty directory.
pub fn replica_update(
    proof: RegisteredUpdateProof,
    pieces: &[PieceInfo],
    unsealed: &Path,
    sealed: &Path,
    cache: &Path,
    update: &Path,
    update_cache: &Path,
) -> Result<SealCommitments, StageError> {
    check_pieces(STAGE, proof.size, pieces)?;
    check_sector_file(STAGE, unsealed, proof.size)?;
    check_sector_file(STAGE, sealed, proof.size)?;
    comm_r_of(STAGE, cache)?;
    require_empty_dir(STAGE, update_cache)?;
    create_sector_file(STAGE, update, proof.size)?;
    guard(STAGE, || with_tree!(proof.size, encode(proof, pieces, unsealed, sealed, cache, update, update_cache)))
}

fn encode<Tree: 'static + MerkleTreeTrait<Hasher = TreeRHasher>>(
    proof: RegisteredUpdateProof,
    pieces: &[PieceInfo],
    unsealed: &Path,
    sealed: &Path,
    cache: &Path,
    update: &Path,
    update_cache: &Path,
) -> anyhow::Result<SealCommitments> {
    let (config, pieces) = (update_config(proof), upstream_pieces(pieces));
    let encoded = encode_into::<Tree>(&config, update, update_cache, sealed, cache, unsealed, &pieces)?;
    Ok(SealCommitments { comm_r: Commitment(encoded.comm_r_new), comm_d: Commitment(encoded.comm_d_new) })
}
