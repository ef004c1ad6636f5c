//! Requests of a snap: RU to FRU, GSK, and UNS of an updated sector.

use std::fs;
use std::path::Path;

use proofs_core::stages::{self, UpdateCommitments};
use sp_proto::convert::{WireError, bytes32};
use sp_proto::v1::exec_response::Outcome;
use sp_proto::v1::{
    ExecFinalizeReplicaUpdate, ExecProveReplicaUpdate1, ExecProveReplicaUpdate2, ExecRegenSectorKey, ExecReplicaUpdate,
    ExecUnseal, NoOutput, ProofOutput, ReplicaUpdateOutput,
};
use sp_types::{Commitment, RegisteredUpdateProof};

use crate::durable::{sync_tree, write_new};
use crate::sealing::{pieces, read_vanilla};
use crate::{Refused, spoil};

pub(crate) fn replica_update(proof: RegisteredUpdateProof, op: &ExecReplicaUpdate) -> Result<Outcome, Refused> {
    let (unsealed, sealed, cache) = (Path::new(&op.unsealed), Path::new(&op.sealed), Path::new(&op.cache));
    let (update, update_cache) = (Path::new(&op.update), Path::new(&op.update_cache));
    let made = stages::replica_update(proof, &pieces(&op.pieces)?, unsealed, sealed, cache, update, update_cache)?;
    sync_tree(update)?;
    sync_tree(update_cache)?;
    let output = ReplicaUpdateOutput { comm_r: made.comm_r.0.to_vec(), comm_d: made.comm_d.0.to_vec() };
    Ok(Outcome::ReplicaUpdate(output))
}

pub(crate) fn prove_1(proof: RegisteredUpdateProof, op: &ExecProveReplicaUpdate1) -> Result<Outcome, Refused> {
    let comms = commitments(&op.comm_r_old, &op.comm_r_new, &op.comm_d_new)?;
    let (sealed, cache) = (Path::new(&op.sealed), Path::new(&op.cache));
    let (update, update_cache) = (Path::new(&op.update), Path::new(&op.update_cache));
    let bytes = stages::prove_replica_update_1(proof, &comms, sealed, cache, update, update_cache)?;
    write_new("PR1", Path::new(&op.vanilla), &bytes)?;
    Ok(Outcome::None(NoOutput {}))
}

pub(crate) fn prove_2(
    proof: RegisteredUpdateProof,
    op: &ExecProveReplicaUpdate2,
    wrong: bool,
) -> Result<Outcome, Refused> {
    let comms = commitments(&op.comm_r_old, &op.comm_r_new, &op.comm_d_new)?;
    let mut bytes = stages::prove_replica_update_2(proof, &comms, &read_vanilla("PR2", &op.vanilla)?)?;
    if wrong {
        spoil(&mut bytes);
    }
    // The stage verified the proof before it returned it.
    Ok(Outcome::Proof(ProofOutput { proof: bytes, self_verified: true }))
}

pub(crate) fn finalize(op: &ExecFinalizeReplicaUpdate) -> Result<Outcome, Refused> {
    let update_cache = Path::new(&op.update_cache);
    stages::finalize_replica_update(update_cache)?;
    sync_tree(update_cache)?;
    Ok(Outcome::None(NoOutput {}))
}

pub(crate) fn regen_sector_key(proof: RegisteredUpdateProof, op: &ExecRegenSectorKey) -> Result<Outcome, Refused> {
    let comm_d_new = Commitment(bytes32("comm_d_new", &op.comm_d_new)?);
    let (unsealed, update) = (Path::new(&op.unsealed), Path::new(&op.update));
    let (cache, sealed) = (Path::new(&op.cache), Path::new(&op.sealed));
    let made = Path::new(&op.scratch).join("cache");
    stages::regen_sector_key(proof, &comm_d_new, unsealed, update, cache, sealed, &made)?;
    // Files of the old one may be links to published ones, so it is replaced and never written into.
    fs::remove_dir_all(cache)?;
    fs::rename(&made, cache)?;
    sync_tree(sealed)?;
    sync_tree(cache)?;
    Ok(Outcome::None(NoOutput {}))
}

pub(crate) fn unseal(proof: RegisteredUpdateProof, op: &ExecUnseal) -> Result<Outcome, Refused> {
    let comm_d = Commitment(bytes32("comm_d", &op.comm_d)?);
    let (sealed, cache) = (Path::new(&op.sealed), Path::new(&op.cache));
    let (update, out) = (Path::new(&op.update), Path::new(&op.unsealed));
    stages::unseal_update(proof, &comm_d, sealed, cache, update, out)?;
    sync_tree(out)?;
    Ok(Outcome::None(NoOutput {}))
}

fn commitments(comm_r_old: &[u8], comm_r_new: &[u8], comm_d_new: &[u8]) -> Result<UpdateCommitments, WireError> {
    Ok(UpdateCommitments {
        comm_r_old: Commitment(bytes32("comm_r_old", comm_r_old)?),
        comm_r_new: Commitment(bytes32("comm_r_new", comm_r_new)?),
        comm_d_new: Commitment(bytes32("comm_d_new", comm_d_new)?),
    })
}
