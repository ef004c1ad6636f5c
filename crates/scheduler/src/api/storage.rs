//! Storage: stores and replicas as the index has told them, and attaching more.

use sp_net::status::to_status;
use sp_proto::v1;
use sp_sched_core::Core;
use sp_types::ErrorCode;
use tonic::Status;

use super::{ATTACH_LIMIT, Api, unknown_sector};
use crate::wire;
use crate::workers::gone;

impl Api {
    pub(super) async fn on_list_storage(&self, request: v1::ListStorageRequest) -> Result<v1::ListStoresReply, Status> {
        let v1::ListStorageRequest {} = request;
        let counts = self.look(|core, _| core.replica_counts()).await?;
        let counts = counts.into_iter().map(wire::replica_count).collect();
        Ok(v1::ListStoresReply { stores: self.stores.list(), counts })
    }

    pub(super) async fn on_find_storage(
        &self,
        request: v1::FindStorageRequest,
    ) -> Result<v1::FindStorageReply, Status> {
        let v1::FindStorageRequest { sector } = request;
        // A path may hold files of sectors that nobody here knows, for example one that came from Lotus.
        let look = move |core: &Core, _| (core.sector(sector).is_some(), core.replicas_of(sector));
        let (known, replicas) = self.look(look).await?;
        if !known && replicas.is_empty() {
            return Err(unknown_sector(sector));
        }
        let found = |(id, size_bytes, primary): (sp_types::ReplicaId, u64, bool)| v1::FoundReplica {
            store: self.stores.get(id.store.as_str()),
            replica: Some(wire::replica(id, size_bytes, primary)),
        };
        Ok(v1::FindStorageReply { replicas: replicas.into_iter().map(found).collect() })
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
