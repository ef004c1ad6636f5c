//! `workers show W`: everything about one worker.

use sp_proto::v1::WorkerStatus;

use super::find;
use crate::context::Context;
use crate::error::CommandError;
use crate::layout::workers::{self, WorkerRow};
use crate::layout::{Paint, task_code};

/// Show one worker: session, tasks, windows, paths, limits.
#[derive(Debug, clap::Args)]
pub(crate) struct Show {
    /// Id, the start of it, or name.
    worker: String,
}

impl Show {
    pub(crate) async fn run(self, context: &Context) -> Result<(), CommandError> {
        let status = find(context, &self.worker).await?;
        let row = WorkerRow::from(status.clone());
        context.show(&row, |paint| text(&status, &row, paint))
    }
}

fn text(status: &WorkerStatus, row: &WorkerRow, paint: &Paint) -> String {
    let codes = |tasks: &[i32]| tasks.iter().map(|t| task_code(*t)).collect::<Vec<_>>().join(" ");
    let mut text = workers::text(std::slice::from_ref(row), paint);
    text += &format!("\tSession: {}\n", status.session_id);
    text += &format!("\tHost: {}\n\tBuild: {}\n", status.host_id, status.build);
    text += &format!("\tTask types: {}\n", codes(&status.tasks));
    if !status.disabled_tasks.is_empty() {
        text += &format!("\tDisabled: {}\n", codes(&status.disabled_tasks));
    }
    if !status.disabled_reason.is_empty() {
        text += &format!("\tNo work: {}\n", status.disabled_reason);
    }
    text += &format!("\tState: {}\n", state(status));
    for at in 0..status.windows_limit as usize {
        let tasks = status.windows.get(at).map(|w| w.tasks.as_slice()).unwrap_or_default();
        let tasks: Vec<String> = tasks.iter().map(ToString::to_string).collect();
        let tasks = if tasks.is_empty() { "open".to_owned() } else { tasks.join(" ") };
        text += &format!("\tWindow {}: {tasks}\n", at + 1);
    }
    for store in &status.stores {
        text += &format!("\tPath: {store}\n");
    }
    text
}

fn state(status: &WorkerStatus) -> &'static str {
    match (status.draining, status.cordoned, status.empty) {
        (true, _, true) => "drained, empty",
        (true, _, false) if status.finish_pipelines => "draining, finishes its sectors",
        (true, _, false) => "draining",
        (false, true, _) => "cordoned",
        (false, false, true) => "idle",
        (false, false, false) => "working",
    }
}
