//! The data of sectors: adding it, and finding it again. The bytes themselves never come by here.

use sp_net::status::to_status;
use sp_proto::convert::bytes32;
use sp_proto::v1;
use sp_sched_core::data::{PieceData, SectorData};
use sp_sched_core::effect::Reply;
use sp_sched_core::event::Request;
use sp_sched_core::model::Sector;
use sp_sched_core::view::UploadView;
use sp_types::{Commitment, ErrorCode, SectorState, TaskKind};
use tonic::Status;

use super::{Api, REQUEST_LIMIT, unexpected};
use crate::wire::{failure_message, sector_piece};

/// Longest name of a piece, bytes: it is kept in the sector's row and printed in tables.
const NAME_BYTES_MAX: usize = 1024;

impl Api {
    pub(super) async fn on_add_piece(&self, request: v1::AddPieceRequest) -> Result<v1::AddPieceReply, Status> {
        let v1::AddPieceRequest { data_bytes, data_digest, name, priority, pieces } = request;
        let data = checked_data(v1::DataPiece { data_bytes, data_digest, name }, pieces)?;
        let reply = self.ask(Request::AddPiece { data, priority }, REQUEST_LIMIT).await?;
        match reply {
            Reply::Sectors(sectors) if sectors.len() == 1 => Ok(v1::AddPieceReply { sector: sectors[0] }),
            other => Err(unexpected(&other)),
        }
    }

    pub(super) async fn on_get_upload(&self, request: v1::GetUploadRequest) -> Result<v1::GetUploadReply, Status> {
        let v1::GetUploadRequest { sector: number } = request;
        let look = move |core: &sp_sched_core::Core, sector: &Sector, _| {
            let failed = sector.is_stopped().then(|| sector.last_error.clone());
            (core.upload(number), failed)
        };
        let (view, failed) = self.look_at(number, look).await?;
        let reply = v1::GetUploadReply::default();
        Ok(match view {
            None => return Err(no_data(number)),
            Some(UploadView::Accepted) => v1::GetUploadReply { accepted: true, ..reply },
            Some(UploadView::Here { data_url, ticket }) => v1::GetUploadReply { data_url, ticket, ..reply },
            Some(UploadView::NotYet { detail }) => {
                let failed = failed.map(|reason| failure_message(ErrorCode::WrongState, reason));
                v1::GetUploadReply { detail, failed, ..reply }
            }
        })
    }

    pub(super) async fn on_unseal_sector(
        &self,
        request: v1::UnsealSectorRequest,
    ) -> Result<v1::UnsealSectorReply, Status> {
        let v1::UnsealSectorRequest { number } = request;
        match self.ask(Request::Unseal { sector: number }, REQUEST_LIMIT).await? {
            Reply::Unsealing { ready } => Ok(v1::UnsealSectorReply { ready }),
            other => Err(unexpected(&other)),
        }
    }

    pub(super) async fn on_get_piece(&self, request: v1::GetPieceRequest) -> Result<v1::GetPieceReply, Status> {
        let v1::GetPieceRequest { number, piece } = request;
        let piece = if piece.is_empty() { None } else { Some(commitment("piece", &piece)?) };
        let look = move |core: &sp_sched_core::Core, sector: &Sector, now| {
            (sector.clone(), core.unsealed(number), core.waiting_for(number, now), unseals(core, number, now))
        };
        let (sector, copy, waiting, unseals) = self.look_at(number, look).await?;
        let Some(data) = sector.stored_data().cloned() else {
            return Err(to_status(ErrorCode::WrongState, sector.why_no_data()));
        };
        let at_rest = matches!(sector.state, SectorState::Proving | SectorState::Available);
        let reply = v1::GetPieceReply {
            miner: self.about.miner,
            data_bytes: data.data_bytes(),
            data_digest: data.digest.to_vec(),
            pieces: data.placed(sector.stored_pieces()).into_iter().map(sector_piece).collect(),
            ..v1::GetPieceReply::default()
        };
        let copy = copy.filter(|_| sector.may_read(piece.as_ref()));
        Ok(match copy.and_then(|(root, _, sources)| Some((root, sources.into_iter().next()?))) {
            Some((root, (_, data_url))) => v1::GetPieceReply { data_url, root: root.to_vec(), ..reply },
            None if unseals || !at_rest => v1::GetPieceReply { detail: waiting, ..reply },
            None => {
                let what = if piece.is_some() { "with that piece in it" } else { "of all its data" };
                let detail =
                    format!("no unsealed copy {what} is within reach; make one with `sp-ctl sectors unseal {number}`");
                let failed = given_up(&sector).map(|reason| failure_message(ErrorCode::ExecutorFailed, reason));
                v1::GetPieceReply { detail, failed, ..reply }
            }
        })
    }

    pub(super) async fn on_release_unsealed(
        &self,
        request: v1::ReleaseUnsealedRequest,
    ) -> Result<v1::ReleaseUnsealedReply, Status> {
        let v1::ReleaseUnsealedRequest { number } = request;
        match self.ask(Request::ReleaseUnsealed { sector: number }, REQUEST_LIMIT).await? {
            Reply::Released { replicas } => Ok(v1::ReleaseUnsealedReply { replicas }),
            other => Err(unexpected(&other)),
        }
    }

    pub(super) async fn on_trim_unsealed(
        &self,
        request: v1::TrimUnsealedRequest,
    ) -> Result<v1::TrimUnsealedReply, Status> {
        let v1::TrimUnsealedRequest { number: sector, keep } = request;
        let keep = keep.iter().map(|bytes| commitment("keep", bytes)).collect::<Result<_, _>>()?;
        match self.ask(Request::TrimUnsealed { sector, keep }, REQUEST_LIMIT).await? {
            Reply::Trimming { kept, pieces, under_way } => Ok(v1::TrimUnsealedReply { kept, pieces, under_way }),
            other => Err(unexpected(&other)),
        }
    }
}

fn commitment(field: &'static str, bytes: &[u8]) -> Result<Commitment, Status> {
    bytes32(field, bytes).map(Commitment).map_err(|e| to_status(ErrorCode::BadRequest, e.to_string()))
}

/// Data that is offered: one piece, or several that are it together.
pub(super) fn checked_data(all: v1::DataPiece, pieces: Vec<v1::DataPiece>) -> Result<SectorData, Status> {
    let all = checked_piece(all)?;
    if pieces.is_empty() {
        return Ok(SectorData::one(all));
    }
    let pieces = pieces.into_iter().map(checked_piece).collect::<Result<_, _>>()?;
    let data = SectorData { digest: all.digest, pieces };
    if data.data_bytes() != all.data_bytes {
        let message = format!("the pieces have {} bytes, {} are announced", data.data_bytes(), all.data_bytes);
        return Err(to_status(ErrorCode::BadRequest, message));
    }
    Ok(data)
}

pub(super) fn checked_piece(piece: v1::DataPiece) -> Result<PieceData, Status> {
    let v1::DataPiece { data_bytes, data_digest, name } = piece;
    if name.len() > NAME_BYTES_MAX {
        let message = format!("the name has {} bytes, the limit is {NAME_BYTES_MAX}", name.len());
        return Err(to_status(ErrorCode::BadRequest, message));
    }
    let digest = bytes32("data_digest", &data_digest).map_err(|e| to_status(ErrorCode::BadRequest, e.to_string()))?;
    Ok(PieceData { data_bytes, digest, name })
}

/// Is the sector being unsealed?
fn unseals(core: &sp_sched_core::Core, number: u64, now: sp_sched_core::model::UnixMs) -> bool {
    core.jobs(now).iter().any(|job| (job.sector, job.task) == (Some(number), TaskKind::Unseal))
}

/// The reason of an unsealing that came to nothing, if that was the last that happened to it.
fn given_up(sector: &Sector) -> Option<String> {
    let last = sector.log.iter().rev().find(|entry| entry.event.starts_with(TaskKind::Unseal.short()))?;
    (last.event == "UNS given up").then(|| last.message.clone())
}

fn no_data(number: u64) -> Status {
    to_status(ErrorCode::WrongState, format!("sector {number} is a CC sector and holds no data"))
}
