//! Sectors that come from elsewhere with their files, and what one needs to be taken elsewhere.

use sp_net::status::to_status;
use sp_proto::convert::{self, WireError, bytes32};
use sp_proto::v1;
use sp_sched_core::data::SectorData;
use sp_sched_core::event::{Import, Request, SectorRecord};
use sp_sched_core::model::Sector;
use sp_types::{ChainEpoch, Commitment, ErrorCode, PieceInfo};
use tonic::Status;

use super::pieces::checked_data;
use super::{Api, REQUEST_LIMIT, moved, unknown_sector};
use crate::rows;
use crate::wire::data_piece;

impl Api {
    pub(super) async fn on_list_foreign_sectors(
        &self,
        request: v1::ListForeignSectorsRequest,
    ) -> Result<v1::ListForeignSectorsReply, Status> {
        let v1::ListForeignSectorsRequest {} = request;
        let sectors = self.look(|core, _| core.foreign_sectors()).await?;
        Ok(v1::ListForeignSectorsReply { sectors })
    }

    pub(super) async fn on_import_sector(
        &self,
        request: v1::ImportSectorRequest,
    ) -> Result<v1::SectorStateReply, Status> {
        let v1::ImportSectorRequest { number, comm_r, record } = request;
        let comm_r = Commitment(bytes32("comm_r", &comm_r).map_err(bad)?);
        let record = match record {
            Some(record) => Some(self.checked_record(number, comm_r, record)?),
            None => None,
        };
        let asked = self.env.timeout(REQUEST_LIMIT, self.chain.deadline_of(number)).await;
        let no_place = |reason| {
            let message = format!("the chain does not say where sector {number} is proven: {reason}; try again later");
            to_status(ErrorCode::Unavailable, message)
        };
        let deadline = asked.unwrap_or_else(|elapsed| Err(elapsed.to_string())).map_err(no_place)?;
        let import = Import { number, comm_r, deadline, record };
        moved(&self.ask(Request::Import(Box::new(import)), REQUEST_LIMIT).await?)
    }

    /// A record of another sector, or of another replica of it, would have it unsealed wrongly.
    fn checked_record(&self, sector: u64, found: Commitment, record: v1::SectorRecord) -> Result<SectorRecord, Status> {
        let v1::SectorRecord {
            miner,
            number,
            seal_proof,
            comm_r,
            comm_d,
            ticket,
            ticket_epoch,
            seed,
            seed_epoch,
            pieces,
            data_bytes,
            data_digest,
            data_name,
            proof,
            data_pieces,
        } = record;
        let wrong = |message: String| Err(to_status(ErrorCode::BadRequest, message));
        if (miner, number) != (self.about.miner, sector) {
            return wrong(format!("the record is of sector {number} of miner t0{miner}, not of {sector}"));
        }
        if comm_r != found.0 {
            let (theirs, ours) = (hex::encode(comm_r), hex::encode(found.0));
            return wrong(format!("the record is of the replica with comm_r {theirs}; {ours} lies there"));
        }
        let data = match data_bytes {
            0 => None,
            _ => Some(checked_data(v1::DataPiece { data_bytes, data_digest, name: data_name }, data_pieces)?),
        };
        let pieces: Vec<PieceInfo> =
            pieces.into_iter().map(PieceInfo::try_from).collect::<Result<_, _>>().map_err(bad)?;
        if data.as_ref().is_some_and(|data| !data.agrees_with(&pieces)) {
            return wrong(format!("the record of sector {sector} has data that its pieces do not hold"));
        }
        Ok(SectorRecord {
            seal_proof: convert::seal_proof(seal_proof).map_err(bad)?,
            comm_d: Commitment(bytes32("comm_d", &comm_d).map_err(bad)?),
            ticket: (bytes32("ticket", &ticket).map_err(bad)?, ChainEpoch(ticket_epoch)),
            seed: (bytes32("seed", &seed).map_err(bad)?, ChainEpoch(seed_epoch)),
            pieces,
            data,
            proof,
        })
    }

    pub(super) async fn on_export_sector(&self, request: v1::ExportSectorRequest) -> Result<v1::SectorRecord, Status> {
        let v1::ExportSectorRequest { number } = request;
        let sector = self.read(move |state| rows::sector(state, number)).await?;
        let sector = sector.ok_or_else(|| unknown_sector(number))?;
        let missing = |what: &str| {
            let message =
                format!("sector {number} is in state {} and has no {what}; wait until it is sealed", sector.state);
            to_status(ErrorCode::WrongState, message)
        };
        if sector.update.is_some() {
            let message = format!("sector {number} has an update (SnapDeals), which records do not hold yet");
            return Err(to_status(ErrorCode::WrongState, message));
        }
        let (comm_d, comm_r) = sector.comm_d.zip(sector.comm_r).ok_or_else(|| missing("commitments"))?;
        let ((ticket, ticket_epoch), (seed, seed_epoch)) =
            sector.ticket.zip(sector.seed).ok_or_else(|| missing("ticket or seed"))?;
        let Sector { seal_proof, pieces, data, proof, .. } = sector;
        let data_bytes = data.as_ref().map_or(0, SectorData::data_bytes);
        let data_digest = data.as_ref().map(|data| data.digest.to_vec()).unwrap_or_default();
        let mut data_pieces: Vec<v1::DataPiece> = data.into_iter().flat_map(|d| d.pieces).map(data_piece).collect();
        let data_name = if data_pieces.len() == 1 { data_pieces.remove(0).name } else { String::new() };
        Ok(v1::SectorRecord {
            miner: self.about.miner,
            number,
            seal_proof: seal_proof.id(),
            comm_r: comm_r.0.to_vec(),
            comm_d: comm_d.0.to_vec(),
            ticket: ticket.to_vec(),
            ticket_epoch: ticket_epoch.0,
            seed: seed.to_vec(),
            seed_epoch: seed_epoch.0,
            pieces: pieces.into_iter().map(v1::Piece::from).collect(),
            data_bytes,
            data_digest,
            data_name,
            proof,
            data_pieces,
        })
    }
}

fn bad(error: WireError) -> Status {
    to_status(ErrorCode::BadRequest, error.to_string())
}
