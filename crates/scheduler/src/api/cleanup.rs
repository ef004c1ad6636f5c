//! Files that nobody claims, and pins.

use sp_net::status::to_status;
use sp_proto::v1;
use sp_sched_core::event::Request;
use sp_sched_core::view::Unclaimed;
use sp_types::{ErrorCode, StoreId};
use tonic::Status;

use super::{Api, REQUEST_LIMIT, moved};
use crate::wire::pin;

impl Api {
    pub(super) async fn on_list_unclaimed(
        &self,
        request: v1::ListUnclaimedRequest,
    ) -> Result<v1::ListUnclaimedReply, Status> {
        let v1::ListUnclaimedRequest {} = request;
        let found = self.look(|core, _| core.knows_files().then(|| core.unclaimed())).await?;
        let away = || {
            let message = "the index is away: nobody knows which files are there; try again when it is back";
            to_status(ErrorCode::Unavailable, message)
        };
        Ok(v1::ListUnclaimedReply { sectors: found.ok_or_else(away)?.into_iter().map(unclaimed).collect() })
    }

    pub(super) async fn on_clean_up_sector(
        &self,
        request: v1::CleanUpSectorRequest,
    ) -> Result<v1::SectorStateReply, Status> {
        let v1::CleanUpSectorRequest { sector } = request;
        moved(&self.ask(Request::CleanUp { sector }, REQUEST_LIMIT).await?)
    }

    pub(super) async fn on_pin_sector(&self, request: v1::PinSectorRequest) -> Result<v1::PinSectorReply, Status> {
        let v1::PinSectorRequest { sector, reason } = request;
        self.ask(Request::Pin { sector, reason }, REQUEST_LIMIT).await?;
        Ok(v1::PinSectorReply {})
    }

    pub(super) async fn on_unpin_sector(
        &self,
        request: v1::UnpinSectorRequest,
    ) -> Result<v1::UnpinSectorReply, Status> {
        let v1::UnpinSectorRequest { sector } = request;
        self.ask(Request::Unpin { sector }, REQUEST_LIMIT).await?;
        Ok(v1::UnpinSectorReply {})
    }

    pub(super) async fn on_list_pins(&self, request: v1::ListPinsRequest) -> Result<v1::ListPinsReply, Status> {
        let v1::ListPinsRequest {} = request;
        let pins = self.look(|core, _| core.pins().cloned().collect::<Vec<_>>()).await?;
        Ok(v1::ListPinsReply { pins: pins.into_iter().map(pin).collect() })
    }
}

fn unclaimed(found: Unclaimed) -> v1::UnclaimedSector {
    let Unclaimed { sector, kinds, stores, pin: pinned, is_of_another } = found;
    let bytes = |(store, size_bytes): (StoreId, u64)| v1::UnclaimedBytes { store: store.to_string(), size_bytes };
    v1::UnclaimedSector {
        sector,
        kinds: kinds.into_iter().map(|kind| v1::FileKind::from(kind) as i32).collect(),
        stores: stores.into_iter().map(bytes).collect(),
        pin: pinned.map(pin),
        is_of_another,
    }
}
