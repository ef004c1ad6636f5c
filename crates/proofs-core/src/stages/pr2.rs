//! PR2: the SNARKs over the vanilla proofs of an update.

use filecoin_proofs::{
    MerkleTreeTrait, PartitionProof, TreeRHasher, generate_empty_sector_update_proof_with_vanilla,
    verify_partition_proofs,
};
use sp_types::RegisteredUpdateProof;

use super::config::{update_config, update_porep_config, with_tree};
use super::error::guard;
use super::pr1::{check_commitments, split};
use super::verify::verify_update;
use super::{StageError, UpdateCommitments, require_update_parameters};

const STAGE: &str = "PR2";

/// Returns the update proof, 192 bytes per partition (3,072 at 32 GiB). `vanilla` is what
/// [`prove_replica_update_1`](super::prove_replica_update_1) returned; it is verified before anything is proven, and the
/// proof is before it is returned.
pub fn prove_replica_update_2(
    proof: RegisteredUpdateProof,
    comms: &UpdateCommitments,
    vanilla: &[u8],
) -> Result<Vec<u8>, StageError> {
    check_commitments(STAGE, comms)?;
    let (found, found_comms, body) = split(vanilla)
        .ok_or_else(|| StageError::bad_input(STAGE, "these bytes are no output of PR1; run PR1 again"))?;
    if found != proof {
        return Err(StageError::bad_input(STAGE, format!("the output of PR1 is of {found}, not of {proof}")));
    }
    if found_comms != *comms {
        let message = format!(
            "the output of PR1 is of the update to comm_r {}, not to {}",
            found_comms.comm_r_new, comms.comm_r_new
        );
        return Err(StageError::bad_input(STAGE, message));
    }
    require_update_parameters(proof)?;
    let proven = guard(STAGE, || with_tree!(proof.size, prove(proof, comms, body)))?;
    let proven = proven
        .ok_or_else(|| StageError::corrupt(STAGE, "the vanilla proofs do not prove the update; run PR1 again"))?;
    // Upstream does not look at its own proof here, as it does in C2.
    if !verify_update(proof, comms, &proven)? {
        let message = "the proof that was just made does not verify; check the parameters and this host's memory";
        return Err(StageError::upstream(STAGE, message));
    }
    Ok(proven)
}

/// None when the vanilla proofs are not of this update.
fn prove<Tree: 'static + MerkleTreeTrait<Hasher = TreeRHasher>>(
    proof: RegisteredUpdateProof,
    comms: &UpdateCommitments,
    body: &[u8],
) -> anyhow::Result<Option<Vec<u8>>> {
    let opened: Vec<PartitionProof<Tree>> = bincode::deserialize(body)?;
    let (old, new, data) = (comms.comm_r_old.0, comms.comm_r_new.0, comms.comm_d_new.0);
    if !verify_partition_proofs::<Tree>(update_config(proof), &opened, old, new, data)? {
        return Ok(None);
    }
    let config = update_porep_config(proof);
    let proven = generate_empty_sector_update_proof_with_vanilla::<Tree>(&config, opened, old, new, data)?;
    Ok(Some(proven.0))
}
