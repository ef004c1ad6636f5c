//! Jobs: what waits, runs or returns, and ending it.

use sp_proto::v1;
use sp_sched_core::effect::Reply;
use sp_sched_core::event::Request;
use tonic::Status;

use super::{Api, REQUEST_LIMIT, unexpected};
use crate::wire;

impl Api {
    pub(super) async fn on_list_jobs(&self, request: v1::ListJobsRequest) -> Result<v1::ListJobsReply, Status> {
        let v1::ListJobsRequest {} = request;
        let jobs = self.look(|core, now| core.jobs(now)).await?;
        Ok(v1::ListJobsReply { jobs: jobs.into_iter().map(wire::job).collect() })
    }

    pub(super) async fn on_abort_job(&self, request: v1::AbortJobRequest) -> Result<v1::AbortJobReply, Status> {
        let v1::AbortJobRequest { id, reason } = request;
        match self.ask(Request::Abort { id, reason }, REQUEST_LIMIT).await? {
            Reply::Aborted { description } => Ok(v1::AbortJobReply { description }),
            other => Err(unexpected(&other)),
        }
    }
}
