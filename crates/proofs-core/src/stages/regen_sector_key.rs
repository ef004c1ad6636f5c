//! GSK: takes the data out of an update again, which gives the replica that it was encoded into.

use std::fs;
use std::path::Path;

use filecoin_proofs::{MerkleTreeTrait, TreeRHasher, remove_encoded_data};
use sp_types::{Commitment, RegisteredUpdateProof};

use super::StageError;
use super::config::{update_config, with_tree};
use super::error::guard;
use super::fields::check_commitment;
use super::files::{check_sector_file, create_sector_file, require_empty_dir};
use super::p_aux::comm_r_of;

const STAGE: &str = "GSK";

/// Creates `sealed`, byte for byte the replica before the update, and fills the empty directory `cache` with its
/// tree-r-last, `p_aux` and `t_aux`: what PoSt, RU and PR1 need of it. Returns its commitment.
///
/// `unsealed` is the data in the update, `comm_d_new` its commitment. `old_cache` is the cache directory of the replica
/// before the update, of which `p_aux` and `t_aux` are read. The update's own will not do, though upstream takes it:
/// the encoding depends on the old commitment, which only the old `p_aux` tells, and upstream would return noise. Here
/// the tree over the result must have the root that is written there; on a mismatch `sealed` is removed and the error
/// says [`Corrupt`](StageError::Corrupt).
pub fn regen_sector_key(
    proof: RegisteredUpdateProof,
    comm_d_new: &Commitment,
    unsealed: &Path,
    update: &Path,
    old_cache: &Path,
    sealed: &Path,
    cache: &Path,
) -> Result<Commitment, StageError> {
    check_commitment(STAGE, "comm_d_new", comm_d_new)?;
    check_sector_file(STAGE, unsealed, proof.size)?;
    check_sector_file(STAGE, update, proof.size)?;
    let expected = comm_r_of(STAGE, old_cache)?;
    require_empty_dir(STAGE, cache)?;
    create_sector_file(STAGE, sealed, proof.size)?;
    let made =
        guard(STAGE, || with_tree!(proof.size, remove(proof, comm_d_new, unsealed, update, old_cache, sealed, cache)))
            .and_then(|()| comm_r_of(STAGE, cache));
    match made {
        Ok(comm_r) if comm_r == expected => Ok(comm_r),
        other => {
            // What is not the replica must not lie about under its name.
            fs::remove_file(sealed).map_err(StageError::io(STAGE, sealed))?;
            let comm_r = other?;
            let why = "the data, the update, the old cache and comm_d_new are not of one sector, or one is damaged";
            Err(StageError::corrupt(STAGE, format!("the replica came out with comm_r {comm_r}, not {expected}: {why}")))
        }
    }
}

fn remove<Tree: 'static + MerkleTreeTrait<Hasher = TreeRHasher>>(
    proof: RegisteredUpdateProof,
    comm_d_new: &Commitment,
    unsealed: &Path,
    update: &Path,
    old_cache: &Path,
    sealed: &Path,
    cache: &Path,
) -> anyhow::Result<()> {
    remove_encoded_data::<Tree>(update_config(proof), sealed, cache, update, old_cache, unsealed, comm_d_new.0)
}
