//! `sealing sched-diag`: the queue and the windows as JSON, in the words of Lotus's command of this name.

use serde::Serialize;
use sp_proto::convert::task_kind;
use sp_proto::v1::{InfoRequest, Job, ListJobsRequest, ListWorkersRequest, WorkerStatus};

use crate::context::{Context, request};
use crate::error::CommandError;
use crate::output;

/// Print the scheduler's queue and windows as JSON, with a reason for everything that waits.
#[derive(Debug, clap::Args)]
pub(crate) struct SchedDiag {}

#[derive(Serialize)]
struct Diag {
    #[serde(rename = "SchedInfo")]
    info: SchedInfo,
    #[serde(rename = "Waiting")]
    waiting: Vec<Waiting>,
}

#[derive(Serialize)]
struct SchedInfo {
    /// One entry for every window that could still be opened.
    #[serde(rename = "OpenWindows")]
    open_windows: Vec<String>,
    #[serde(rename = "Requests")]
    requests: Vec<Queued>,
}

#[derive(Serialize)]
struct Queued {
    #[serde(rename = "SchedId")]
    id: u64,
    #[serde(rename = "Sector")]
    sector: SectorId,
    #[serde(rename = "TaskType")]
    task: String,
    #[serde(rename = "Reasons")]
    reasons: Vec<String>,
}

#[derive(Serialize)]
struct SectorId {
    #[serde(rename = "Miner")]
    miner: u64,
    #[serde(rename = "Number")]
    number: u64,
}

/// A task that is bound to a worker and has not started.
#[derive(Serialize)]
struct Waiting {
    #[serde(rename = "SchedId")]
    id: u64,
    #[serde(rename = "Worker")]
    worker: String,
    #[serde(rename = "State")]
    state: String,
    #[serde(rename = "Reason")]
    reason: String,
}

impl SchedDiag {
    pub(crate) async fn run(self, context: &Context) -> Result<(), CommandError> {
        let mut scheduler = context.scheduler().await?;
        let miner = scheduler.info(request(InfoRequest {})).await?.into_inner().miner;
        let workers = scheduler.list_workers(request(ListWorkersRequest {})).await?.into_inner();
        let jobs = scheduler.list_jobs(request(ListJobsRequest {})).await?.into_inner();
        context.note_stale(workers.stale_ms.max(jobs.stale_ms));
        let (workers, jobs) = (workers.workers, jobs.jobs);
        let (queued, rest): (Vec<Job>, Vec<Job>) = jobs.into_iter().partition(|job| job.state == "queued");
        output::print_json(&Diag {
            info: SchedInfo {
                open_windows: workers.iter().flat_map(open_windows).collect(),
                requests: queued.into_iter().map(|job| entry(miner, job)).collect(),
            },
            waiting: rest.into_iter().filter(|job| job.state.starts_with("assigned")).map(Waiting::from).collect(),
        })
    }
}

fn open_windows(worker: &WorkerStatus) -> Vec<String> {
    let used = worker.windows.len();
    let limit = if worker.connected && !worker.cordoned { worker.windows_limit as usize } else { 0 };
    vec![worker.worker_id.clone(); limit.saturating_sub(used)]
}

fn entry(miner: u64, job: Job) -> Queued {
    let task = task_kind(job.task).map(|kind| kind.wire().to_owned()).unwrap_or_default();
    Queued { id: job.task_id, sector: SectorId { miner, number: job.sector }, task, reasons: job.reasons }
}

impl From<Job> for Waiting {
    fn from(job: Job) -> Self {
        Self { id: job.task_id, worker: job.worker_id, state: job.state, reason: job.detail }
    }
}
