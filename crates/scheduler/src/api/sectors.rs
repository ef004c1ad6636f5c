//! Sectors: making, listing, their state and their proof.

use sp_net::status::to_status;
use sp_proto::v1;
use sp_sched_core::Core;
use sp_sched_core::effect::Reply;
use sp_sched_core::event::Request;
use sp_sched_core::model::{Sector, UnixMs};
use sp_types::{ErrorCode, ProverId, SectorState};
use tonic::Status;

use super::{Api, NO_ANSWER, REQUEST_LIMIT, moved, unexpected, unknown_sector};
use crate::driver::Seen;
use crate::{rows, wire};

impl Api {
    pub(super) async fn on_pledge_sectors(
        &self,
        request: v1::PledgeSectorsRequest,
    ) -> Result<v1::PledgeSectorsReply, Status> {
        let v1::PledgeSectorsRequest { count, priority } = request;
        match self.ask(Request::Pledge { count, priority }, REQUEST_LIMIT).await? {
            Reply::Sectors(sectors) => Ok(v1::PledgeSectorsReply { sectors }),
            other => Err(unexpected(&other)),
        }
    }

    pub(super) async fn on_list_sectors(
        &self,
        request: v1::ListSectorsRequest,
    ) -> Result<v1::ListSectorsReply, Status> {
        let v1::ListSectorsRequest {} = request;
        let look = |core: &Core, now| {
            let summary = |s: &Sector| wire::sector_summary(s, core.waiting_for(s.number, now), now);
            core.sectors().map(summary).collect()
        };
        match self.status(look).await? {
            Seen::Now(sectors) => Ok(v1::ListSectorsReply { sectors, stale_ms: 0 }),
            Seen::Before(_, stale_ms) => {
                let (rows, now) = (self.read(rows::sectors).await?, UnixMs(self.env.clock.unix_ms()));
                let sectors = rows.iter().map(|s| wire::sector_summary(s, NO_ANSWER.to_owned(), now)).collect();
                Ok(v1::ListSectorsReply { sectors, stale_ms })
            }
        }
    }

    pub(super) async fn on_sector_status(
        &self,
        request: v1::SectorStatusRequest,
    ) -> Result<v1::SectorStatusReply, Status> {
        let v1::SectorStatusRequest { number, log } = request;
        let look = move |core: &Core, now| {
            let sector = core.sector(number)?;
            let status = wire::sector_status(sector, core.waiting_for(number, now), now, log);
            Some(v1::SectorStatusReply { pin: core.pin_of(number).cloned().map(wire::pin), ..status })
        };
        let found = match self.status(look).await? {
            Seen::Now(found) => found,
            Seen::Before(_, stale_ms) => {
                let read = move |state: &_| Ok((rows::sector(state, number)?, rows::pin(state, number)?));
                let ((row, pin), now) = (self.read(read).await?, UnixMs(self.env.clock.unix_ms()));
                let pin = pin.map(wire::pin);
                let status = |s: Sector| wire::sector_status(&s, NO_ANSWER.to_owned(), now, log);
                row.map(|sector| v1::SectorStatusReply { stale_ms, pin, ..status(sector) })
            }
        };
        found.ok_or_else(|| unknown_sector(number))
    }

    pub(super) async fn on_remove_sector(
        &self,
        request: v1::RemoveSectorRequest,
    ) -> Result<v1::SectorStateReply, Status> {
        let v1::RemoveSectorRequest { number: sector } = request;
        moved(&self.ask(Request::Remove { sector }, REQUEST_LIMIT).await?)
    }

    pub(super) async fn on_update_sector_state(
        &self,
        request: v1::UpdateSectorStateRequest,
    ) -> Result<v1::SectorStateReply, Status> {
        let v1::UpdateSectorStateRequest { number: sector, state } = request;
        let state = state.parse::<SectorState>().map_err(|e| to_status(ErrorCode::BadRequest, e))?;
        moved(&self.ask(Request::ForceState { sector, state }, REQUEST_LIMIT).await?)
    }

    pub(super) async fn on_retry_sector(
        &self,
        request: v1::RetrySectorRequest,
    ) -> Result<v1::SectorStateReply, Status> {
        let v1::RetrySectorRequest { number: sector } = request;
        moved(&self.ask(Request::Retry { sector }, REQUEST_LIMIT).await?)
    }

    pub(super) async fn on_sector_proof(
        &self,
        request: v1::SectorProofRequest,
    ) -> Result<v1::SectorProofReply, Status> {
        let v1::SectorProofRequest { number } = request;
        // An accepted proof is durable before anybody hears of it.
        let sector = self.read(move |state| rows::sector(state, number)).await?;
        let sector = sector.ok_or_else(|| unknown_sector(number))?;
        let missing = || {
            to_status(
                ErrorCode::WrongState,
                format!("sector {number} is in state {} and has no accepted proof yet", sector.state),
            )
        };
        if sector.proof.is_empty() {
            return Err(missing());
        }
        let ((ticket, _), (seed, _)) = sector.ticket.zip(sector.seed).ok_or_else(missing)?;
        let (comm_d, comm_r) = sector.comm_d.zip(sector.comm_r).ok_or_else(missing)?;
        Ok(v1::SectorProofReply {
            miner: self.about.miner,
            sector: number,
            proof_type: sector.seal_proof.to_string(),
            prover_id: ProverId::of_miner(self.about.miner).0.to_vec(),
            ticket: ticket.to_vec(),
            seed: seed.to_vec(),
            comm_d: comm_d.0.to_vec(),
            comm_r: comm_r.0.to_vec(),
            proof: sector.proof,
        })
    }
}
