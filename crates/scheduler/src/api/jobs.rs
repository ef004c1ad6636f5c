//! Jobs: what waits, runs or returns, and ending it.

use sp_net::status::to_status;
use sp_proto::v1;
use sp_sched_core::effect::Reply;
use sp_sched_core::event::Request;
use sp_sched_core::model::UnixMs;
use sp_types::{ErrorCode, TaskId};
use tonic::Status;

use super::{Api, REQUEST_LIMIT, unexpected};
use crate::driver::Seen;
use crate::{recall, rows, wire};

impl Api {
    pub(super) async fn on_list_jobs(&self, request: v1::ListJobsRequest) -> Result<v1::ListJobsReply, Status> {
        let v1::ListJobsRequest {} = request;
        let (jobs, stale_ms) = match self.status(|core, now| core.jobs(now)).await? {
            Seen::Now(jobs) => (jobs, 0),
            Seen::Before(board, stale_ms) => {
                let too_many =
                    "there are too many jobs to publish them; figures are in `sp-ctl info` and in the metrics";
                (board.jobs.clone().ok_or_else(|| self.stuck(too_many))?, stale_ms)
            }
        };
        Ok(v1::ListJobsReply { jobs: jobs.into_iter().map(wire::job).collect(), stale_ms })
    }

    pub(super) async fn on_explain_task(
        &self,
        request: v1::ExplainTaskRequest,
    ) -> Result<v1::ExplainTaskReply, Status> {
        let v1::ExplainTaskRequest { task_id } = request;
        let id = TaskId(task_id);
        let (explained, stale_ms) = match self.status(move |core, now| core.explain(id, now)).await? {
            Seen::Now(explained) => (explained, 0),
            Seen::Before(board, stale_ms) => {
                let row = self.read(move |state| rows::task(state, id)).await?;
                let now = UnixMs(self.env.clock.unix_ms());
                (row.map(|task| recall::explain(&board, &task, now)), stale_ms)
            }
        };
        let missing = || {
            let message = format!("there is no sealing task {task_id}; see `sp-ctl sealing jobs`");
            to_status(ErrorCode::NotFound, message)
        };
        let reply = explained.map(wire::explanation).ok_or_else(missing)?;
        Ok(v1::ExplainTaskReply { stale_ms, ..reply })
    }

    pub(super) async fn on_set_priority(
        &self,
        request: v1::SetPriorityRequest,
    ) -> Result<v1::SetPriorityReply, Status> {
        let v1::SetPriorityRequest { task_id, priority } = request;
        match self.ask(Request::SetPriority { task: TaskId(task_id), priority }, REQUEST_LIMIT).await? {
            Reply::Done => Ok(v1::SetPriorityReply {}),
            other => Err(unexpected(&other)),
        }
    }

    pub(super) async fn on_abort_job(&self, request: v1::AbortJobRequest) -> Result<v1::AbortJobReply, Status> {
        let v1::AbortJobRequest { id, reason } = request;
        match self.ask(Request::Abort { id, reason }, REQUEST_LIMIT).await? {
            Reply::Aborted { description } => Ok(v1::AbortJobReply { description }),
            other => Err(unexpected(&other)),
        }
    }
}
