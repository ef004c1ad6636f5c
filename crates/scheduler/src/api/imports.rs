//! Sectors that come from elsewhere with their files, and what one needs to be taken elsewhere.

use sp_net::status::to_status;
use sp_proto::convert::{self, WireError, bytes32, required};
use sp_proto::v1;
use sp_sched_core::data::SectorData;
use sp_sched_core::event::{Import, Request, SectorRecord, UpdateRecord};
use sp_sched_core::model::{Sector, Update};
use sp_types::{ChainEpoch, Commitment, ErrorCode, PieceInfo};
use tonic::Status;

use super::pieces::checked_data;
use super::{Api, REQUEST_LIMIT, moved, unknown_sector};
use crate::chain::Place;
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
        let v1::ImportSectorRequest { number, comm_r, record, updated, from } = request;
        if let Some(from) = from {
            return self.receive_sector(number, from, record, updated).await;
        }
        let comm_r = Commitment(bytes32("comm_r", &comm_r).map_err(bad)?);
        let record = match record {
            Some(record) => {
                self.is_of(number, comm_r, updated, &record)?;
                Some(checked_record(record)?)
            }
            None => None,
        };
        let place = self.place_of(number).await?;
        let import = Import { number, comm_r, updated, place, record };
        moved(&self.ask(Request::Import(Box::new(import)), REQUEST_LIMIT).await?)
    }

    /// Where the chain has the sector proven.
    pub(super) async fn place_of(&self, number: u64) -> Result<Place, Status> {
        let asked = self.env.timeout(REQUEST_LIMIT, self.chain.place_of(number)).await;
        asked.unwrap_or_else(|elapsed| Err(elapsed.to_string())).map_err(|reason| {
            let message = format!("the chain does not say where sector {number} is proven: {reason}; try again later");
            to_status(ErrorCode::Unavailable, message)
        })
    }

    /// A record of another sector, or of another replica of it, would have it unsealed wrongly.
    fn is_of(&self, sector: u64, found: Commitment, updated: bool, record: &v1::SectorRecord) -> Result<(), Status> {
        self.is_of_sector(sector, record)?;
        let wrong = |message: String| Err(to_status(ErrorCode::BadRequest, message));
        let comm_r = match (&record.update, updated) {
            (None, false) => &record.comm_r,
            (Some(update), true) => &update.comm_r,
            (None, true) => {
                return wrong(format!(
                    "sector {sector} was updated (SnapDeals), and its record is of before: export it again where it was \
                     updated, or import it without its record, so that it can be proven and not unsealed"
                ));
            }
            (Some(_), false) => {
                return wrong(format!(
                    "the record is of sector {sector} with its update (SnapDeals), which no path has: attach the path that \
                     has it"
                ));
            }
        };
        if *comm_r != found.0 {
            let (theirs, ours) = (hex::encode(comm_r), hex::encode(found.0));
            return wrong(format!("the record is of the replica with comm_r {theirs}; {ours} lies there"));
        }
        Ok(())
    }

    pub(super) fn is_of_sector(&self, sector: u64, record: &v1::SectorRecord) -> Result<(), Status> {
        let v1::SectorRecord { miner, number, .. } = *record;
        if (miner, number) == (self.about.miner, sector) {
            return Ok(());
        }
        let message = format!("the record is of sector {number} of miner t0{miner}, not of {sector}");
        Err(to_status(ErrorCode::BadRequest, message))
    }

    pub(super) async fn on_export_sector(&self, request: v1::ExportSectorRequest) -> Result<v1::SectorRecord, Status> {
        let v1::ExportSectorRequest { number } = request;
        let sector = self.read(move |state| rows::sector(state, number)).await?;
        let sector = sector.ok_or_else(|| unknown_sector(number))?;
        record_of(self.about.miner, sector).map_err(|why| to_status(ErrorCode::WrongState, why))
    }
}

pub(super) fn checked_record(record: v1::SectorRecord) -> Result<SectorRecord, Status> {
    let v1::SectorRecord {
        miner: _,
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
        update,
    } = record;
    let data = match data_bytes {
        0 => None,
        _ => Some(checked_data(v1::DataPiece { data_bytes, data_digest, name: data_name }, data_pieces)?),
    };
    let pieces = checked_pieces(number, pieces, data.as_ref())?;
    let update = match update {
        None => None,
        Some(update) => {
            let comm_r_old = Commitment(bytes32("comm_r", &comm_r).map_err(bad)?);
            Some(checked_update(number, comm_r_old, update)?)
        }
    };
    Ok(SectorRecord {
        seal_proof: convert::seal_proof(seal_proof).map_err(bad)?,
        comm_d: Commitment(bytes32("comm_d", &comm_d).map_err(bad)?),
        ticket: (bytes32("ticket", &ticket).map_err(bad)?, ChainEpoch(ticket_epoch)),
        seed: (bytes32("seed", &seed).map_err(bad)?, ChainEpoch(seed_epoch)),
        pieces,
        data,
        proof,
        update,
    })
}

fn checked_update(sector: u64, comm_r_old: Commitment, update: v1::UpdateRecord) -> Result<UpdateRecord, Status> {
    let v1::UpdateRecord { comm_r: _, comm_d, pieces, data, data_pieces, proof } = update;
    let data = checked_data(required("update.data", data).map_err(bad)?, data_pieces)?;
    let pieces = checked_pieces(sector, pieces, Some(&data))?;
    let comm_d = Commitment(bytes32("update.comm_d", &comm_d).map_err(bad)?);
    Ok(UpdateRecord { comm_r_old, comm_d, pieces, data, proof })
}

fn checked_pieces(sector: u64, pieces: Vec<v1::Piece>, data: Option<&SectorData>) -> Result<Vec<PieceInfo>, Status> {
    let pieces: Vec<PieceInfo> = pieces.into_iter().map(PieceInfo::try_from).collect::<Result<_, _>>().map_err(bad)?;
    match data.is_none_or(|data| data.agrees_with(&pieces)) {
        true => Ok(pieces),
        false => {
            let message = format!("the record of sector {sector} has data that its pieces do not hold");
            Err(to_status(ErrorCode::BadRequest, message))
        }
    }
}

/// What its files do not tell, or why not all of that is known.
fn record_of(miner: u64, sector: Sector) -> Result<v1::SectorRecord, String> {
    let Sector { number, state, .. } = sector;
    if sector.update.is_some() && !sector.is_updated() {
        return Err(format!(
            "sector {number} is in state {state}: it is being updated (SnapDeals); wait until the update counts, or drop it \
             with `sp-ctl sectors abort-upgrade {number}`"
        ));
    }
    let advice = match sector.is_at_rest() {
        true => "it was imported without its record, which only the cluster that sealed it can export",
        false => "wait until it is sealed",
    };
    let missing = |what: &str| format!("sector {number} is in state {state} and has no {what}; {advice}");
    let (comm_d, comm_r) = sector.comm_d.zip(sector.comm_r).ok_or_else(|| missing("commitments"))?;
    let ((ticket, ticket_epoch), (seed, seed_epoch)) =
        sector.ticket.zip(sector.seed).ok_or_else(|| missing("ticket or seed"))?;
    let Sector { seal_proof, pieces, data, proof, update, .. } = sector;
    let update = update.map(update_record).transpose().map_err(missing)?;
    let (data, data_pieces) = data.map(told).unwrap_or_default();
    let v1::DataPiece { data_bytes, data_digest, name: data_name } = data;
    Ok(v1::SectorRecord {
        miner,
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
        update,
    })
}

/// An update as a record has it, or what of it is not known.
fn update_record(update: Update) -> Result<v1::UpdateRecord, &'static str> {
    let Update { data, pieces, comm_d, comm_r, proof, accepted: _, key_awaited: _ } = update;
    let (comm_d, comm_r) = comm_d.zip(comm_r).ok_or("commitments of its update")?;
    let (data, data_pieces) = told(data.ok_or("data of its update")?);
    Ok(v1::UpdateRecord {
        comm_r: comm_r.0.to_vec(),
        comm_d: comm_d.0.to_vec(),
        pieces: pieces.into_iter().map(v1::Piece::from).collect(),
        data: Some(data),
        data_pieces,
        proof,
    })
}

/// Data as a record has it: all of it, with a name where it is one piece, and its pieces.
fn told(data: SectorData) -> (v1::DataPiece, Vec<v1::DataPiece>) {
    let (data_bytes, data_digest) = (data.data_bytes(), data.digest.to_vec());
    let mut pieces: Vec<v1::DataPiece> = data.pieces.into_iter().map(data_piece).collect();
    let name = if pieces.len() == 1 { pieces.remove(0).name } else { String::new() };
    (v1::DataPiece { data_bytes, data_digest, name }, pieces)
}

fn bad(error: WireError) -> Status {
    to_status(ErrorCode::BadRequest, error.to_string())
}
