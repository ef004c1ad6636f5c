//! `workers`: every worker. Its halves are `sealing workers` and `proving workers`.

use sp_proto::v1::ListWorkersRequest;

use crate::context::{Context, request};
use crate::error::CommandError;
use crate::layout::hosts;
use crate::layout::workers::{self, WorkerRow};

/// List workers, what they do and how full they are.
#[derive(Debug, clap::Args)]
pub(crate) struct Workers {}

/// Which workers to list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Half {
    All,
    Sealing,
    Proving,
}

impl Workers {
    pub(crate) async fn run(self, context: &Context) -> Result<(), CommandError> {
        list(context, Half::All).await
    }
}

/// Lists one half of the workers, or all. One without tasks is in both halves, as in Lotus.
pub(crate) async fn list(context: &Context, half: Half) -> Result<(), CommandError> {
    let reply = context.scheduler().await?.list_workers(request(ListWorkersRequest {})).await?.into_inner();
    let mut rows: Vec<WorkerRow> = reply.workers.into_iter().map(WorkerRow::from).collect();
    // Before the halves: a host's sum is of all its workers.
    hosts::sum_up(&mut rows);
    rows.retain(|row| match half {
        Half::All => true,
        Half::Sealing => row.is_sealing() || row.tasks.is_empty(),
        Half::Proving => !row.is_sealing() || row.tasks.is_empty(),
    });
    rows.sort_by(|a, b| a.worker_id.cmp(&b.worker_id));
    context.show(&rows, |paint| workers::text(&rows, paint))
}
