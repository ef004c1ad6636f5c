//! `sealing jobs`: tasks that wait, run or return, in Lotus's columns.

use serde::Serialize;
use sp_proto::v1::{GpuShare, Job, ListJobsRequest};

use crate::context::{Context, request};
use crate::error::CommandError;
use crate::layout::{self, task_code};

/// List tasks that wait, run or return.
#[derive(Debug, clap::Args)]
pub(crate) struct Jobs {
    /// Below each task: what it does now, and for a queued one why each worker cannot take it.
    #[arg(long)]
    reasons: bool,
}

/// A job, as `--json` prints it.
#[derive(Debug, Serialize)]
struct JobRow {
    id: String,
    task_id: u64,
    attempt: u32,
    task: String,
    /// None for DC.
    sector: Option<u64>,
    worker_id: String,
    host_name: String,
    state: String,
    age_ms: u64,
    fraction: f64,
    detail: String,
    reasons: Vec<String>,
    failures: u32,
    last_error: String,
    gpus: Vec<GpuRow>,
}

/// A GPU of a job, as `--json` prints it.
#[derive(Debug, Serialize)]
struct GpuRow {
    id: String,
    index: u32,
    share: f64,
}

/// States in the order of the listing: what ends first comes first.
const STATE_ORDER: [&str; 11] = [
    "orphaned",
    "returning",
    "verifying",
    "publishing",
    "running",
    "prepared",
    "preparing",
    "waiting",
    "reserving",
    "assigned",
    "queued",
];

impl Jobs {
    pub(crate) async fn run(self, context: &Context) -> Result<(), CommandError> {
        let reply = context.scheduler().await?.list_jobs(request(ListJobsRequest {})).await?.into_inner();
        context.note_stale(reply.stale_ms);
        let mut rows: Vec<JobRow> = reply.jobs.into_iter().map(JobRow::from).collect();
        rows.sort_by_key(|row| (row.state_order(), row.state.clone(), std::cmp::Reverse(row.age_ms), row.task_id));
        context.show(&rows, |_| text(&rows, self.reasons))
    }
}

impl JobRow {
    fn state_order(&self) -> usize {
        // `assigned(1)` and so on: by the window in their own order.
        let name = self.state.split('(').next().unwrap_or_default();
        STATE_ORDER.iter().position(|state| *state == name).unwrap_or(STATE_ORDER.len())
    }
}

impl From<Job> for JobRow {
    fn from(job: Job) -> Self {
        let id = if job.attempt == 0 { job.task_id.to_string() } else { format!("{}.{}", job.task_id, job.attempt) };
        Self {
            id,
            task_id: job.task_id,
            attempt: job.attempt,
            task: task_code(job.task),
            sector: layout::sector_of(job.task, job.sector),
            worker_id: job.worker_id,
            host_name: job.host_name,
            state: job.state,
            age_ms: job.age_ms,
            fraction: job.fraction,
            detail: job.detail,
            reasons: job.reasons,
            failures: job.failures,
            last_error: job.last_error,
            gpus: job.gpus.into_iter().map(|GpuShare { id, index, share }| GpuRow { id, index, share }).collect(),
        }
    }
}

fn text(rows: &[JobRow], reasons: bool) -> String {
    let mut table = vec![["ID", "Sector", "Worker", "Hostname", "Task", "State", "Time"].map(String::from).to_vec()];
    for row in rows {
        let worker = if row.worker_id.is_empty() { "00000000" } else { &row.worker_id };
        table.push(vec![
            row.id.clone(),
            layout::sector_text(row.sector),
            worker.chars().take(8).collect(),
            row.host_name.clone(),
            row.task.clone(),
            row.state.clone(),
            layout::go_duration(row.age_ms),
        ]);
    }
    let lines = layout::table_lines(&table);
    let mut text = String::new();
    for (at, line) in lines.iter().enumerate() {
        text += line;
        text.push('\n');
        // The first line is the head; row i stands on line i + 1.
        if let Some(row) = at.checked_sub(1).and_then(|i| rows.get(i)).filter(|_| reasons) {
            notes(row).iter().for_each(|note| text += &format!("    {note}\n"));
        }
    }
    text
}

fn notes(row: &JobRow) -> Vec<String> {
    let mut notes = Vec::new();
    if !row.detail.is_empty() {
        let percent = if row.fraction > 0.0 { format!(" ({:.0}%)", row.fraction * 100.0) } else { String::new() };
        notes.push(format!("{}{percent}", row.detail));
    }
    notes.extend(row.gpus.iter().map(|gpu| format!("{:.2} of GPU {} ({})", gpu.share, gpu.index, gpu.id)));
    notes.extend(row.reasons.iter().cloned());
    if row.failures > 0 {
        notes.push(format!("failed {} times, last: {}", row.failures, row.last_error));
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(task_id: u64, attempt: u32, state: &str) -> JobRow {
        JobRow::from(Job {
            task_id,
            attempt,
            task: sp_proto::v1::TaskKind::PreCommit1 as i32,
            sector: 198,
            worker_id: if attempt == 0 { String::new() } else { "3215dab2-07f8".into() },
            host_name: if attempt == 0 { String::new() } else { "pc1workers".into() },
            state: state.into(),
            age_ms: 832_440,
            reasons: vec!["pc1workers: does not take PC1".into()],
            ..Job::default()
        })
    }

    #[test]
    fn columns_are_lotuses_and_reasons_follow() {
        let rows = [job(12, 1, "running"), job(13, 0, "queued")];
        let expected = "ID    Sector  Worker    Hostname    Task  State    Time\n\
                        12.1  198     3215dab2  pc1workers  PC1   running  13m52.4s\n\
                        13    198     00000000              PC1   queued   13m52.4s\n";
        assert_eq!(text(&rows, false), expected);
        assert!(text(&rows, true).ends_with("13m52.4s\n    pc1workers: does not take PC1\n"));
    }

    #[test]
    fn a_job_names_its_gpus() {
        let gpu = GpuRow { id: "GPU-8932f937".into(), index: 1, share: 0.5 };
        let row = JobRow { gpus: vec![gpu], reasons: vec![], ..job(12, 1, "running") };
        assert_eq!(notes(&row), ["0.50 of GPU 1 (GPU-8932f937)"]);
        assert_eq!(serde_json::to_value(&row).unwrap()["gpus"][0]["share"], 0.5);
    }

    #[test]
    fn nothing_to_do_prints_the_head() {
        assert_eq!(text(&[], true), "ID  Sector  Worker  Hostname  Task  State  Time\n");
    }
}
