//! Updates of sealed sectors: offering one, dropping it, its proof, and the replica of before it.

use sp_net::status::to_status;
use sp_proto::v1;
use sp_sched_core::effect::Reply;
use sp_sched_core::event::Request;
use sp_types::{ErrorCode, RegisteredUpdateProof};
use tonic::Status;

use super::pieces::checked_data;
use super::{Api, REQUEST_LIMIT, moved, unexpected, unknown_sector};
use crate::rows;

impl Api {
    pub(super) async fn on_snap_sector(&self, request: v1::SnapSectorRequest) -> Result<v1::SectorStateReply, Status> {
        let v1::SnapSectorRequest { number: sector, data_bytes, data_digest, name, priority, pieces } = request;
        let data = checked_data(v1::DataPiece { data_bytes, data_digest, name }, pieces)?;
        let request = Request::Snap { sector, data, priority };
        moved(&self.ask(request, REQUEST_LIMIT).await?)
    }

    pub(super) async fn on_mark_for_update(
        &self,
        request: v1::MarkForUpdateRequest,
    ) -> Result<v1::SectorStateReply, Status> {
        let v1::MarkForUpdateRequest { number: sector } = request;
        moved(&self.ask(Request::MarkForUpdate { sector }, REQUEST_LIMIT).await?)
    }

    pub(super) async fn on_abort_upgrade(
        &self,
        request: v1::AbortUpgradeRequest,
    ) -> Result<v1::SectorStateReply, Status> {
        let v1::AbortUpgradeRequest { number: sector } = request;
        moved(&self.ask(Request::AbortUpgrade { sector }, REQUEST_LIMIT).await?)
    }

    pub(super) async fn on_update_proof(
        &self,
        request: v1::UpdateProofRequest,
    ) -> Result<v1::UpdateProofReply, Status> {
        let v1::UpdateProofRequest { number } = request;
        let sector = self.read(move |state| rows::sector(state, number)).await?;
        let sector = sector.ok_or_else(|| unknown_sector(number))?;
        let missing = || {
            let message = format!("sector {number} is in state {} and has no accepted update proof", sector.state);
            to_status(ErrorCode::WrongState, message)
        };
        let update = sector.update.as_ref().filter(|update| !update.proof.is_empty()).ok_or_else(missing)?;
        let comm_r_old = sector.comm_r.ok_or_else(missing)?;
        let (comm_r_new, comm_d_new) = update.comm_r.zip(update.comm_d).ok_or_else(missing)?;
        Ok(v1::UpdateProofReply {
            miner: self.about.miner,
            sector: number,
            update_proof_type: RegisteredUpdateProof::from(sector.seal_proof).to_string(),
            comm_r_old: comm_r_old.0.to_vec(),
            comm_r_new: comm_r_new.0.to_vec(),
            comm_d_new: comm_d_new.0.to_vec(),
            proof: update.proof.clone(),
        })
    }

    pub(super) async fn on_regen_sector_key(
        &self,
        request: v1::RegenSectorKeyRequest,
    ) -> Result<v1::RegenSectorKeyReply, Status> {
        let v1::RegenSectorKeyRequest { number: sector } = request;
        match self.ask(Request::RegenSectorKey { sector }, REQUEST_LIMIT).await? {
            Reply::Regenerating { ready } => Ok(v1::RegenSectorKeyReply { ready }),
            other => Err(unexpected(&other)),
        }
    }
}
