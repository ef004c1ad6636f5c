//! What the scheduler says is under way, and whether it was a given process that had it in hand when it died.

use anyhow::{Context, Result};
use serde_json::Value;

use crate::{Cluster, executions};

/// States in which a worker itself does something for an attempt.
const AT_WORK: [&str; 3] = ["preparing", "running", "publishing"];

/// An attempt, or a task that waits for one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// `12.1`, or `12` while it is queued.
    pub id: String,
    /// Number of the sector.
    pub sector: u64,
    /// Short name of the phase.
    pub phase: String,
    /// The worker; empty while it is queued.
    pub worker: String,
    /// State in the listing.
    pub state: String,
}

/// Who is killed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Victim {
    /// `scheduler` or `index`.
    Service(String),
    /// A worker with its executors.
    Worker(String),
    /// The executors of a worker.
    Executors(String),
}

impl Victim {
    /// How the process is called in a pair of process and phase. Executors of all workers are one kind of process.
    pub fn label(&self) -> &str {
        match self {
            Self::Service(name) | Self::Worker(name) => name,
            Self::Executors(_) => "executor",
        }
    }

    /// Is this job in its hands, so that a kill now would meet it? Every attempt is in the hands of scheduler and index.
    pub fn has(&self, job: &Job) -> bool {
        match self {
            Self::Service(_) => job.state != "queued",
            Self::Worker(name) => job.worker == *name && AT_WORK.contains(&job.state.as_str()),
            Self::Executors(name) => job.worker == *name && job.state == "running",
        }
    }

    /// Those of `jobs`, as they were listed at the kill, that it did meet. The listing is a heartbeat old: what a worker
    /// was at is checked against what it left behind.
    pub fn met(&self, cluster: &Cluster, jobs: &[Job]) -> Result<Vec<Job>> {
        let mut met = vec![];
        for job in jobs.iter().filter(|job| self.has(job)) {
            let so = match self {
                Self::Service(_) => true,
                Self::Worker(name) => {
                    let dir = cluster.data_dir(name);
                    dir.join("attempts").join(&job.id).is_dir() && !dir.join("results").join(&job.id).exists()
                }
                Self::Executors(name) => executions::cut_short(&cluster.log(name), &job.id)?,
            };
            met.extend(so.then(|| job.clone()));
        }
        Ok(met)
    }
}

/// Everything that `sealing jobs` lists.
pub fn list(cluster: &Cluster) -> Result<Vec<Job>> {
    let jobs = cluster.ctl_json(&["sealing", "jobs"])?;
    let list = jobs.as_array().context("`sealing jobs --json` is no list")?;
    list.iter().map(|job| parse(job).with_context(|| format!("a job without its fields: {job}"))).collect()
}

fn parse(job: &Value) -> Option<Job> {
    let text = |key: &str| job[key].as_str().map(str::to_owned);
    Some(Job {
        id: text("id")?,
        sector: job["sector"].as_u64()?,
        phase: text("task")?,
        worker: text("host_name")?,
        state: text("state")?,
    })
}
