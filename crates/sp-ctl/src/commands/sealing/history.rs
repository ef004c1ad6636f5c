//! `sealing history`: attempts that are over, newest first: who did what, how long it took, how it ended.

use serde::Serialize;
use sp_proto::v1::{FinishedAttempt, ListHistoryRequest};
use sp_types::TaskKind;

use crate::context::{Context, request};
use crate::error::CommandError;
use crate::layout::{self, task_code};

/// List attempts that are over, newest first: done, failed, lost with their worker's process, or ended (aborted,
/// superseded).
#[derive(Debug, clap::Args)]
pub(crate) struct History {
    /// Only of this sector.
    #[arg(long, value_name = "N")]
    sector: Option<u64>,
    /// Only of this kind of task, such as PC1.
    #[arg(long, value_name = "KIND")]
    task: Option<TaskKind>,
    /// Only of this worker: id, the start of it, or name.
    #[arg(long, value_name = "W")]
    worker: Option<String>,
    /// At most so many.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
}

/// An attempt, as `--json` prints it.
#[derive(Debug, Serialize)]
struct Row {
    id: String,
    task_id: u64,
    attempt: u32,
    task: String,
    /// None for DC.
    sector: Option<u64>,
    worker_id: String,
    worker: String,
    queued_unix_ms: u64,
    started_unix_ms: u64,
    took_ms: u64,
    result: String,
    reason: String,
}

impl History {
    pub(crate) async fn run(self, context: &Context) -> Result<(), CommandError> {
        let Self { sector, task, worker, limit } = self;
        let task = task.map_or(sp_proto::v1::TaskKind::Unspecified, Into::into) as i32;
        let ask = ListHistoryRequest { sector, task, worker: worker.unwrap_or_default(), limit };
        let reply = context.scheduler().await?.list_history(request(ask)).await?.into_inner();
        let rows: Vec<Row> = reply.attempts.into_iter().map(Row::from).collect();
        context.show(&rows, |_| text(&rows))
    }
}

impl From<FinishedAttempt> for Row {
    fn from(finished: FinishedAttempt) -> Self {
        let FinishedAttempt {
            attempt,
            task,
            sector,
            worker_id,
            worker_name,
            queued_unix_ms,
            started_unix_ms,
            took_ms,
            result,
            reason,
        } = finished;
        let attempt = attempt.unwrap_or_default();
        Self {
            id: format!("{}.{}", attempt.task, attempt.number),
            task_id: attempt.task,
            attempt: attempt.number,
            task: task_code(task),
            sector: layout::sector_of(task, sector),
            worker_id,
            worker: worker_name,
            queued_unix_ms,
            started_unix_ms,
            took_ms,
            result,
            reason,
        }
    }
}

fn text(rows: &[Row]) -> String {
    let head = ["ID", "Sector", "Task", "Worker", "Queued", "Started", "Took", "Result", "Reason"];
    let line = |row: &Row| {
        vec![
            row.id.clone(),
            layout::sector_text(row.sector),
            row.task.clone(),
            row.worker.clone(),
            layout::local_date_time(row.queued_unix_ms),
            layout::local_date_time(row.started_unix_ms),
            layout::go_duration(row.took_ms),
            row.result.clone(),
            row.reason.clone(),
        ]
    };
    layout::table(&head, &rows.iter().map(line).collect::<Vec<_>>())
}
