//! The gRPC face: questions about places for files.

use sp_net::status;
use sp_proto::convert::{WireError, store_id};
use sp_proto::v1;
use sp_proto::v1::index_query_server::IndexQuery;
use sp_types::{ErrorCode, SectorId};
use tonic::{Request, Response, Status};

use super::actor::{Input, Page};
use super::api::Api;
use crate::{wire_lock, wire_query as wire};

fn senseless(error: WireError) -> Status {
    status::to_status(ErrorCode::BadRequest, error.to_string())
}

#[tonic::async_trait]
impl IndexQuery for Api {
    async fn find_stores(
        &self,
        request: Request<v1::FindStoresRequest>,
    ) -> Result<Response<v1::FindStoresReply>, Status> {
        let find = wire::find(request.into_inner()).map_err(senseless)?;
        Ok(Response::new(wire::found(self.ask(|answer| Input::FindStores(find, answer)).await?)))
    }

    async fn best_alloc(&self, request: Request<v1::BestAllocRequest>) -> Result<Response<v1::BestAllocReply>, Status> {
        let (wanted, limit) = wire::allocate(request.into_inner()).map_err(senseless)?;
        Ok(Response::new(wire::allocated(self.ask(|answer| Input::BestAlloc(wanted, limit, answer)).await?)))
    }

    async fn list_locks(&self, _: Request<v1::ListLocksRequest>) -> Result<Response<v1::ListLocksReply>, Status> {
        let locks = self.ask(Input::ListLocks).await?;
        let locks = locks.into_iter().map(wire_lock::info).collect();
        Ok(Response::new(v1::ListLocksReply { locks }))
    }

    async fn list_replicas(
        &self,
        request: Request<v1::ListReplicasRequest>,
    ) -> Result<Response<v1::ListReplicasReply>, Status> {
        let v1::ListReplicasRequest { store, after_miner: miner, after_sector } = request.into_inner();
        let store = store_id(&store).map_err(senseless)?;
        let after = after_sector.map(|number| SectorId { miner, number });
        let (replicas, more) = self.ask(|answer| Input::ListReplicas(Page { store, after }, answer)).await?;
        Ok(Response::new(v1::ListReplicasReply { replicas: replicas.into_iter().map(Into::into).collect(), more }))
    }
}
