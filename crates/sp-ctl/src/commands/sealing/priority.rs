//! `sealing priority TASK N`: which task goes first.

use serde::Serialize;
use sp_proto::v1::SetPriorityRequest;

use crate::context::{Context, request};
use crate::error::CommandError;

/// Change the priority of a task; within its tier the higher number goes first.
#[derive(Debug, clap::Args)]
pub(crate) struct Priority {
    /// Id of the task, as `sealing jobs` prints it.
    task: u64,
    /// The new priority; sectors with data have 1024, others 0.
    #[arg(allow_hyphen_values = true)]
    priority: i64,
}

#[derive(Serialize)]
struct Changed {
    task_id: u64,
    priority: i64,
}

impl Priority {
    pub(crate) async fn run(self, context: &Context) -> Result<(), CommandError> {
        let changed = Changed { task_id: self.task, priority: self.priority };
        let ask = SetPriorityRequest { task_id: self.task, priority: self.priority };
        context.scheduler().await?.set_priority(request(ask)).await?;
        context.show(&changed, |_| format!("task {}: priority {}\n", changed.task_id, changed.priority))
    }
}
