//! Workers: what operators decide about them, and the resource table that applies to them.

use sp_net::status::to_status;
use sp_proto::convert::task_kind;
use sp_proto::v1;
use sp_proto::v1::edit_worker_request::Edit;
use sp_sched_core::effect::Reply;
use sp_sched_core::event::Request;
use sp_types::{ErrorCode, TaskKind};
use tonic::Status;

use super::{Api, REQUEST_LIMIT, unexpected};
use crate::driver::Seen;
use crate::wire;

impl Api {
    pub(super) async fn on_list_resources(
        &self,
        request: v1::ListResourcesRequest,
    ) -> Result<v1::ListResourcesReply, Status> {
        let v1::ListResourcesRequest { worker } = request;
        let (tables, stale_ms) = match self.status(|core, _| core.resource_tables()).await? {
            Seen::Now(tables) => (tables, 0),
            Seen::Before(board, stale_ms) => (board.tables.clone(), stale_ms),
        };
        let rows = tables.of(Some(worker.as_str()).filter(|w| !w.is_empty()));
        let rows = rows.map_err(|(code, message)| to_status(code, message))?;
        Ok(v1::ListResourcesReply {
            rows: rows.into_iter().map(wire::resource_row).collect(),
            sector_size: self.about.sector_size.bytes(),
            stale_ms,
        })
    }

    pub(super) async fn on_edit_worker(&self, request: v1::EditWorkerRequest) -> Result<v1::EditWorkerReply, Status> {
        let v1::EditWorkerRequest { worker, edit } = request;
        let nothing =
            || to_status(ErrorCode::BadRequest, "the request does not say what to do with the worker".to_owned());
        let request = match edit.ok_or_else(nothing)? {
            Edit::Cordoned(cordoned) => Request::Cordon { worker, cordoned },
            Edit::Drain(v1::DrainWorker { finish_pipelines }) => Request::Drain { worker, finish_pipelines },
            Edit::Disable(kinds) => Request::EnableTasks { worker, tasks: tasks(kinds)?, enabled: false },
            Edit::Enable(kinds) => Request::EnableTasks { worker, tasks: tasks(kinds)?, enabled: true },
            Edit::Stop(v1::StopWorker {}) => Request::StopWorker { worker },
            Edit::Forget(v1::ForgetWorker {}) => Request::ForgetWorker { worker },
        };
        match self.ask(request, REQUEST_LIMIT).await? {
            Reply::Worker { worker } => Ok(v1::EditWorkerReply { worker_id: worker.to_string() }),
            other => Err(unexpected(&other)),
        }
    }
}

fn tasks(kinds: v1::TaskKinds) -> Result<Vec<TaskKind>, Status> {
    let v1::TaskKinds { kinds } = kinds;
    let bad = |e: sp_proto::convert::WireError| to_status(ErrorCode::BadRequest, e.to_string());
    kinds.into_iter().map(task_kind).collect::<Result<_, _>>().map_err(bad)
}
