//! Commitments of pieces that are in no sector: asked for, then asked about by whoever waits for them.

use sp_net::status::to_status;
use sp_proto::convert::required;
use sp_proto::v1;
use sp_sched_core::data_cid::DataCidState;
use sp_sched_core::effect::Reply;
use sp_sched_core::event::{Failure, Request};
use sp_types::{ErrorCode, TaskId};
use tonic::Status;

use super::pieces::checked_piece;
use super::{Api, REQUEST_LIMIT, unexpected};
use crate::wire::failure_message;

impl Api {
    pub(super) async fn on_data_cid(&self, request: v1::DataCidRequest) -> Result<v1::DataCidReply, Status> {
        let v1::DataCidRequest { data, padded_bytes } = request;
        let data = required("data", data).map_err(|e| to_status(ErrorCode::BadRequest, e.to_string()))?;
        let padded_bytes = (padded_bytes > 0).then_some(padded_bytes);
        match self.ask(Request::DataCid { data: checked_piece(data)?, padded_bytes }, REQUEST_LIMIT).await? {
            Reply::DataCid { task, padded_bytes } => Ok(v1::DataCidReply { task_id: task.0, padded_bytes }),
            other => Err(unexpected(&other)),
        }
    }

    pub(super) async fn on_get_data_cid(&self, request: v1::GetDataCidRequest) -> Result<v1::GetDataCidReply, Status> {
        let v1::GetDataCidRequest { task_id } = request;
        let task = TaskId(task_id);
        // Clients ask often, and a look is no event.
        let state = match self.look(move |core, now| core.data_cid_state(task, now)).await? {
            Some((state, false)) => state,
            _ => match self.ask(Request::GetDataCid { task }, REQUEST_LIMIT).await? {
                Reply::DataCidState(state) => state,
                other => return Err(unexpected(&other)),
            },
        };
        let reply = v1::GetDataCidReply::default();
        Ok(match state {
            DataCidState::Waiting { detail } => v1::GetDataCidReply { detail, ..reply },
            DataCidState::Upload { data_url, ticket } => v1::GetDataCidReply { data_url, ticket, ..reply },
            DataCidState::Done(piece) => v1::GetDataCidReply { piece: Some(piece.into()), ..reply },
            DataCidState::Failed(Failure { code, message }) => {
                v1::GetDataCidReply { failed: Some(failure_message(code, message)), ..reply }
            }
        })
    }
}
