//! PR1: the vanilla proofs of an update, verified by upstream before they are returned.

use std::path::Path;

use filecoin_proofs::{MerkleTreeTrait, TreeRHasher, generate_partition_proofs, verify_partition_proofs};
use sp_types::{Commitment, RegisteredUpdateProof};

use super::config::{update_config, with_tree};
use super::error::guard;
use super::fields::check_commitment;
use super::files::check_sector_file;
use super::p_aux::check_comm_r;
use super::{StageError, UpdateCommitments};

const STAGE: &str = "PR1";

/// First bytes of what PR1 returns; the digit is the version of the format.
const MAGIC: &[u8; 8] = b"SPUPDAT1";

/// Returns the serialised vanilla proofs of all partitions, all that [`prove_replica_update_2`] needs: a head that names
/// the registered proof and the commitments, then bincode of upstream's `PartitionProof`s. About 8 MB at 32 GiB.
///
/// Reads tree-d in `update_cache`, so it comes before that directory is trimmed.
///
/// [`prove_replica_update_2`]: super::prove_replica_update_2
pub fn prove_replica_update_1(
    proof: RegisteredUpdateProof,
    comms: &UpdateCommitments,
    sealed: &Path,
    cache: &Path,
    update: &Path,
    update_cache: &Path,
) -> Result<Vec<u8>, StageError> {
    check_commitments(STAGE, comms)?;
    check_sector_file(STAGE, sealed, proof.size)?;
    check_sector_file(STAGE, update, proof.size)?;
    check_comm_r(STAGE, "comm_r_old", cache, &comms.comm_r_old)?;
    check_comm_r(STAGE, "comm_r_new", update_cache, &comms.comm_r_new)?;
    let opened = guard(STAGE, || with_tree!(proof.size, open(proof, comms, sealed, cache, update, update_cache)))?;
    opened.ok_or_else(|| {
        let message = "the files do not belong to the commitments, or one of them is damaged; start from RU's outputs";
        StageError::corrupt(STAGE, message)
    })
}

/// Refuses commitments that cannot be ones.
pub(super) fn check_commitments(stage: &'static str, comms: &UpdateCommitments) -> Result<(), StageError> {
    check_commitment(stage, "comm_r_old", &comms.comm_r_old)?;
    check_commitment(stage, "comm_r_new", &comms.comm_r_new)?;
    check_commitment(stage, "comm_d_new", &comms.comm_d_new)
}

/// Splits what PR1 returned into its registered proof, its commitments and upstream's bytes. None when it is something
/// else.
pub(super) fn split(vanilla: &[u8]) -> Option<(RegisteredUpdateProof, UpdateCommitments, &[u8])> {
    let rest = vanilla.strip_prefix(MAGIC)?;
    let (id, rest) = rest.split_first_chunk()?;
    let (comm_r_old, rest) = rest.split_first_chunk()?;
    let (comm_r_new, rest) = rest.split_first_chunk()?;
    let (comm_d_new, body) = rest.split_first_chunk()?;
    let [comm_r_old, comm_r_new, comm_d_new] = [comm_r_old, comm_r_new, comm_d_new].map(|bytes| Commitment(*bytes));
    let proof = RegisteredUpdateProof::from_id(u64::from_le_bytes(*id)).ok()?;
    Some((proof, UpdateCommitments { comm_r_old, comm_r_new, comm_d_new }, body))
}

fn head(proof: RegisteredUpdateProof, comms: &UpdateCommitments) -> Vec<u8> {
    let UpdateCommitments { comm_r_old, comm_r_new, comm_d_new } = comms;
    [MAGIC.as_slice(), &proof.id().to_le_bytes(), &comm_r_old.0, &comm_r_new.0, &comm_d_new.0].concat()
}

/// None when the proofs that come out of these files do not verify.
fn open<Tree: 'static + MerkleTreeTrait<Hasher = TreeRHasher>>(
    proof: RegisteredUpdateProof,
    comms: &UpdateCommitments,
    sealed: &Path,
    cache: &Path,
    update: &Path,
    update_cache: &Path,
) -> anyhow::Result<Option<Vec<u8>>> {
    let config = update_config(proof);
    let (old, new, data) = (comms.comm_r_old.0, comms.comm_r_new.0, comms.comm_d_new.0);
    let opened = generate_partition_proofs::<Tree>(config, old, new, data, sealed, cache, update, update_cache)?;
    if !verify_partition_proofs::<Tree>(config, &opened, old, new, data)? {
        return Ok(None);
    }
    let mut bytes = head(proof, comms);
    bincode::serialize_into(&mut bytes, &opened)?;
    Ok(Some(bytes))
}
