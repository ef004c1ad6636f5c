//! The executor's requests of a snap: RU, PR1, PR2, FRU and GSK.

use sp_proto::v1::exec_request::Op;
use sp_proto::v1::{
    ExecFinalizeReplicaUpdate, ExecProveReplicaUpdate1, ExecProveReplicaUpdate2, ExecRegenSectorKey, ExecReplicaUpdate,
    ProveReplicaUpdate1Params, ProveReplicaUpdate2Params, RegenSectorKeyParams, ReplicaUpdateParams,
};
use sp_types::FileKind;

use super::prepare::Files;
use crate::failure::Failure;

pub(super) fn replica_update(params: &ReplicaUpdateParams, files: &Files) -> Result<Op, Failure> {
    Ok(Op::ReplicaUpdate(ExecReplicaUpdate {
        pieces: params.pieces.clone(),
        unsealed: files.input(FileKind::Unsealed)?,
        sealed: files.input(FileKind::Sealed)?,
        cache: files.input(FileKind::Cache)?,
        update: files.output(FileKind::Update)?,
        update_cache: files.output(FileKind::UpdateCache)?,
    }))
}

pub(super) fn prove_1(params: &ProveReplicaUpdate1Params, files: &Files) -> Result<Op, Failure> {
    let ProveReplicaUpdate1Params { comm_r_old, comm_r_new, comm_d_new } = params.clone();
    Ok(Op::ProveReplicaUpdate1(ExecProveReplicaUpdate1 {
        comm_r_old,
        comm_r_new,
        comm_d_new,
        sealed: files.input(FileKind::Sealed)?,
        cache: files.input(FileKind::Cache)?,
        update: files.input(FileKind::Update)?,
        update_cache: files.input(FileKind::UpdateCache)?,
        vanilla: files.output(FileKind::Vanilla)?,
    }))
}

pub(super) fn prove_2(params: &ProveReplicaUpdate2Params, files: &Files) -> Result<Op, Failure> {
    let ProveReplicaUpdate2Params { comm_r_old, comm_r_new, comm_d_new } = params.clone();
    let vanilla = files.input(FileKind::Vanilla)?;
    Ok(Op::ProveReplicaUpdate2(ExecProveReplicaUpdate2 { comm_r_old, comm_r_new, comm_d_new, vanilla }))
}

/// In place: what lies at the output is the copy of the input.
pub(super) fn finalize(files: &Files) -> Result<Op, Failure> {
    files.input(FileKind::UpdateCache)?;
    let update_cache = files.output(FileKind::UpdateCache)?;
    Ok(Op::FinalizeReplicaUpdate(ExecFinalizeReplicaUpdate { update_cache }))
}

/// The cache is changed in place, as above: its old `p_aux` says what the update was made of.
pub(super) fn regen_sector_key(params: &RegenSectorKeyParams, files: &Files) -> Result<Op, Failure> {
    let RegenSectorKeyParams { comm_d_new } = params.clone();
    files.input(FileKind::Cache)?;
    Ok(Op::RegenSectorKey(ExecRegenSectorKey {
        comm_d_new,
        unsealed: files.input(FileKind::Unsealed)?,
        update: files.input(FileKind::Update)?,
        cache: files.output(FileKind::Cache)?,
        scratch: files.scratch()?,
        sealed: files.output(FileKind::Sealed)?,
    }))
}
