//! Storage: stores and replicas as the index has told them, and attaching more.

use sp_net::status::to_status;
use sp_proto::v1;
use sp_sched_core::Core;
use sp_types::ErrorCode;
use tonic::Status;

use super::{ATTACH_LIMIT, Api, unknown_sector};
use crate::driver::Seen;
use crate::workers::gone;
use crate::{rows, wire};

impl Api {
    pub(super) async fn on_list_storage(&self, request: v1::ListStorageRequest) -> Result<v1::ListStoresReply, Status> {
        let v1::ListStorageRequest {} = request;
        match self.status(|core, _| core.replica_counts()).await? {
            Seen::Now(counts) => {
                let counts = counts.into_iter().map(wire::replica_count).collect();
                Ok(v1::ListStoresReply { stores: self.index.stores.list(), counts })
            }
            // What it knows now is better than anything that could have been published.
            Seen::Before(..) => self.index.ask_stores().await.map_err(|reason| self.no_index(&reason)),
        }
    }

    pub(super) async fn on_find_storage(
        &self,
        request: v1::FindStorageRequest,
    ) -> Result<v1::FindStorageReply, Status> {
        let v1::FindStorageRequest { sector } = request;
        // A path may hold files of sectors that nobody here knows, for example one that came from Lotus.
        let look = move |core: &Core, _| (core.sector(sector).is_some(), core.replicas_of(sector));
        let (known, replicas) = match self.status(look).await? {
            Seen::Now((known, replicas)) => {
                let replica = |(id, size_bytes, primary)| wire::replica(id, size_bytes, primary);
                (known, replicas.into_iter().map(replica).collect())
            }
            Seen::Before(..) => {
                let asked = self.index.ask_sector(self.about.miner, sector).await;
                let v1::FindSectorReply { replicas } = asked.map_err(|reason| self.no_index(&reason))?;
                (self.read(move |state| rows::sector(state, sector)).await?.is_some(), replicas)
            }
        };
        if !known && replicas.is_empty() {
            return Err(unknown_sector(sector));
        }
        let found = |replica: v1::Replica| v1::FoundReplica {
            store: self.index.stores.get(&replica.store),
            replica: Some(replica),
        };
        Ok(v1::FindStorageReply { replicas: replicas.into_iter().map(found).collect() })
    }

    fn no_index(&self, reason: &str) -> Status {
        self.stuck(&format!("the index was asked instead: {reason}"))
    }

    pub(super) async fn on_attach_storage(
        &self,
        request: v1::AttachStorageRequest,
    ) -> Result<v1::AttachStorageReply, Status> {
        let v1::AttachStorageRequest { worker, attach } = request;
        let attach = attach.ok_or_else(|| to_status(ErrorCode::BadRequest, "field `attach` is missing"))?;
        if attach.path.is_empty() {
            return Err(to_status(ErrorCode::BadRequest, "name the directory to attach"));
        }
        match self.driver.attach(worker, attach, ATTACH_LIMIT).await.map_err(gone)? {
            Ok(store) => Ok(v1::AttachStorageReply { store }),
            Err(failure) => Err(to_status(failure.code, failure.message)),
        }
    }
}
