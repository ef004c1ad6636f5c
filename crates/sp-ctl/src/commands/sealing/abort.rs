//! `sealing abort ID`: ends an attempt, or takes a task out of the queue; says it in Lotus's words.

use serde::Serialize;
use sp_proto::v1::AbortJobRequest;

use crate::context::{Context, request};
use crate::error::CommandError;

/// End a running attempt or a queued task.
#[derive(Debug, clap::Args)]
pub(crate) struct Abort {
    /// Id as `sealing jobs` prints it: TASK.ATTEMPT, or TASK for one that is queued.
    id: String,
    /// Why; kept in the sector's log.
    #[arg(long, default_value = "aborted by the operator")]
    reason: String,
}

#[derive(Serialize)]
struct Aborted {
    id: String,
    description: String,
}

impl Abort {
    pub(crate) async fn run(self, context: &Context) -> Result<(), CommandError> {
        let Self { id, reason } = self;
        let ask = AbortJobRequest { id: id.clone(), reason };
        let reply = context.scheduler().await?.abort_job(request(ask)).await?.into_inner();
        let aborted = Aborted { id, description: reply.description };
        context.show(&aborted, |_| format!("aborting {}\n", aborted.description))
    }
}
