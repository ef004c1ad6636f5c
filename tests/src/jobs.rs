//! What is under way, and whether it was a given process that had it in hand when it was killed.

use std::collections::BTreeSet;

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

    /// Attempt and phase of everything that is in its hands, so that a kill now would meet it. Every attempt is in the
    /// hands of scheduler and index.
    pub fn at_work(&self, cluster: &Cluster) -> Result<Vec<(String, String)>> {
        match self {
            Self::Service(_) => {
                let given = list(cluster)?.into_iter().filter(|job| job.state != "queued");
                Ok(given.map(|job| (job.id, job.phase)).collect())
            }
            Self::Worker(name) | Self::Executors(name) => executions::at_work(&cluster.log(name)),
        }
    }

    /// Phases that a kill has met; `before` is what it was at before.
    pub fn met(&self, cluster: &Cluster, before: &[(String, String)]) -> Result<BTreeSet<String>> {
        let mut met = BTreeSet::new();
        match self {
            Self::Service(_) => met.extend(before.iter().map(|(_, phase)| phase.clone())),
            Self::Executors(name) => {
                for (attempt, phase) in before {
                    if executions::cut_short(&cluster.log(name), attempt)? {
                        met.insert(phase.clone());
                    }
                }
            }
            Self::Worker(name) => {
                // The scheduler lives on and still knows what the worker said last, which is a heartbeat old; its log
                // says what its executors were at. What it had done by then is not on its disk any more.
                let told =
                    list(cluster)?.into_iter().filter(|j| j.worker == *name && AT_WORK.contains(&j.state.as_str()));
                let at_work = executions::at_work(&cluster.log(name))?;
                let all = told.map(|job| (job.id, job.phase)).chain(at_work);
                met.extend(all.filter(|(id, _)| holds(cluster, name, id)).map(|(_, phase)| phase));
            }
        }
        Ok(met)
    }
}

/// Does this worker's disk say that it has the attempt, and no result of it yet?
fn holds(cluster: &Cluster, worker: &str, attempt: &str) -> bool {
    let dir = cluster.data_dir(worker);
    dir.join("attempts").join(attempt).is_dir() && !dir.join("results").join(attempt).exists()
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
