//! The history: attempts that are over. Read from the state, past the scheduling loop.

use sp_net::status::to_status;
use sp_proto::convert::task_kind;
use sp_proto::v1;
use sp_types::ErrorCode;
use tonic::Status;

use super::Api;
use crate::rows::{Wanted, newest};
use crate::wire;

/// Attempts in one answer at most.
const LIMIT_MOST: usize = 10_000;
/// Attempts in one answer where the request does not say.
const LIMIT_USUAL: usize = 100;

impl Api {
    pub(super) async fn on_list_history(
        &self,
        request: v1::ListHistoryRequest,
    ) -> Result<v1::ListHistoryReply, Status> {
        let v1::ListHistoryRequest { sector, task, worker, limit } = request;
        let unspecified = v1::TaskKind::Unspecified as i32;
        let kind = (task != unspecified).then(|| task_kind(task)).transpose();
        let kind = kind.map_err(|e| to_status(ErrorCode::BadRequest, e.to_string()))?;
        let limit = if limit == 0 { LIMIT_USUAL } else { (limit as usize).min(LIMIT_MOST) };
        let wanted = Wanted { sector, kind, worker: Some(worker).filter(|w| !w.is_empty()), limit };
        let found = self.read(move |state| newest(state, &wanted)).await?;
        Ok(v1::ListHistoryReply { attempts: found.into_iter().map(wire::finished).collect() })
    }
}
