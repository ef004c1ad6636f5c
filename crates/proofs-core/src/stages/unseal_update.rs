//! UNS of an updated sector: decodes the update back to its data, with the replica that it was encoded into.

use std::fs;
use std::path::Path;

use filecoin_proofs::{MerkleTreeTrait, TreeRHasher, decode_from};
use sp_types::{Commitment, RegisteredUpdateProof};

use super::StageError;
use super::config::{update_config, with_tree};
use super::data_root::data_root;
use super::error::guard;
use super::fields::check_commitment;
use super::files::{check_sector_file, create_sector_file};
use super::p_aux::comm_r_of;

const STAGE: &str = "UNS";

/// Decodes `update` into `out`: padded, exactly the sector size, byte for byte what AddPiece wrote. Takes a pass over
/// the two replicas and no labelling, unlike [`unseal`](super::unseal) of the replica before.
///
/// `sealed` and `cache` are those of the sector before the update. The root of the result is compared with `comm_d`: on
/// a mismatch `out` is removed and the error says [`Corrupt`](StageError::Corrupt). The caller fsyncs.
pub fn unseal_update(
    proof: RegisteredUpdateProof,
    comm_d: &Commitment,
    sealed: &Path,
    cache: &Path,
    update: &Path,
    out: &Path,
) -> Result<(), StageError> {
    check_commitment(STAGE, "comm_d", comm_d)?;
    check_sector_file(STAGE, sealed, proof.size)?;
    check_sector_file(STAGE, update, proof.size)?;
    comm_r_of(STAGE, cache)?;
    create_sector_file(STAGE, out, proof.size)?;
    let decoded = guard(STAGE, || with_tree!(proof.size, decode(proof, comm_d, sealed, cache, update, out)))
        .and_then(|()| data_root(STAGE, out, proof.size.bytes()));
    match decoded {
        Ok(root) if root == *comm_d => Ok(()),
        other => {
            // What is not the data must not lie about under its name.
            fs::remove_file(out).map_err(StageError::io(STAGE, out))?;
            let root = other?;
            let why = "the update or the replica before it is damaged, or they are not one sector's";
            Err(StageError::corrupt(STAGE, format!("the decoded data has root {root}, not {comm_d}: {why}")))
        }
    }
}

fn decode<Tree: 'static + MerkleTreeTrait<Hasher = TreeRHasher>>(
    proof: RegisteredUpdateProof,
    comm_d: &Commitment,
    sealed: &Path,
    cache: &Path,
    update: &Path,
    out: &Path,
) -> anyhow::Result<()> {
    decode_from::<Tree>(update_config(proof), out, update, sealed, cache, comm_d.0)
}
