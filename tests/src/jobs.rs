//! What is under way, and which process had what of it in hand when it was killed.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::{Cluster, executions};

/// What a sector goes through from its first byte to its home.
pub const PHASES: [&str; 7] = ["AP", "PC1", "PC2", "C1", "C2", "FIN", "GET"];

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

/// A kind of process. All workers are one, and so are all executors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// `sp-scheduler`.
    Scheduler,
    /// `sp-storage-index`.
    Index,
    /// `sp-sealing-worker`.
    Worker,
    /// A child of it that computes.
    Executor,
}

/// A kind of process, and the phase of a job that it had in hand when it was killed.
pub type Pair = (Kind, &'static str);

/// Attempts and their phases.
pub type Attempts = BTreeMap<String, &'static str>;

/// Who is killed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Victim {
    /// Every attempt is in its hands.
    Scheduler,
    /// And in its.
    Index,
    /// A worker with its executors.
    Worker(String),
    /// The executors of a worker.
    Executors(String),
}

/// An attempt as its worker's disk has it.
struct Held {
    id: String,
    phase: &'static str,
    has_result: bool,
}

/// Every pair that there is. They are 27: nobody computes in GET, so no executor is met at it.
pub fn pairs() -> BTreeSet<Pair> {
    let kinds = [Kind::Scheduler, Kind::Index, Kind::Worker, Kind::Executor];
    let all = kinds.into_iter().flat_map(|kind| PHASES.map(|phase| (kind, phase)));
    all.filter(|pair| *pair != (Kind::Executor, "GET")).collect()
}

impl Victim {
    /// Of which kind it is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Scheduler => Kind::Scheduler,
            Self::Index => Kind::Index,
            Self::Worker(_) => Kind::Worker,
            Self::Executors(_) => Kind::Executor,
        }
    }

    /// Everything that is in its hands, so that a kill now would meet it: of an executor what it computes, of a worker what
    /// it has begun and has no result of, of scheduler and index every attempt that some worker has.
    pub fn in_hand(&self, cluster: &Cluster) -> Result<Attempts> {
        let mut in_hand = Attempts::new();
        match self {
            Self::Scheduler | Self::Index => {
                for worker in cluster.names(crate::Role::Sealing) {
                    in_hand.extend(on_disk(cluster, &worker)?.into_iter().map(|held| (held.id, held.phase)));
                }
            }
            Self::Worker(name) => {
                let open = on_disk(cluster, name)?.into_iter().filter(|held| !held.has_result);
                in_hand.extend(open.map(|held| (held.id, held.phase)));
            }
            Self::Executors(name) => {
                let at_work = executions::at_work(&cluster.log(name))?;
                in_hand.extend(at_work.into_iter().filter_map(|(id, task)| Some((id, known(&task)?))));
            }
        }
        Ok(in_hand)
    }

    /// Phases that a kill has met; asked while it is dead. `before`: what its executors had in hand.
    pub fn met(&self, cluster: &Cluster, before: &Attempts) -> Result<BTreeSet<&'static str>> {
        let mut met = match self {
            Self::Executors(_) => before.clone(),
            _ => self.in_hand(cluster)?,
        };
        match self {
            Self::Scheduler | Self::Index => {}
            Self::Worker(_) => {
                // The scheduler lives on, and knows what only waited for room.
                let waits = list(cluster)?.into_iter().filter(|job| job.state == "prepared");
                for job in waits {
                    met.remove(&job.id);
                }
            }
            Self::Executors(name) => {
                for attempt in before.keys() {
                    if !executions::cut_short(&cluster.log(name), attempt)? {
                        met.remove(attempt);
                    }
                }
            }
        }
        Ok(met.into_values().collect())
    }
}

/// What a worker's disk says that it has, as far as it has begun.
fn on_disk(cluster: &Cluster, worker: &str) -> Result<Vec<Held>> {
    let (attempts, results) = (cluster.data_dir(worker).join("attempts"), cluster.data_dir(worker).join("results"));
    let entries = std::fs::read_dir(&attempts)?.collect::<std::io::Result<Vec<_>>>()?;
    if entries.is_empty() {
        return Ok(vec![]);
    }
    let begun = executions::begun(&cluster.log(worker))?;
    let held = |entry: &std::fs::DirEntry| {
        let id = entry.file_name().to_string_lossy().into_owned();
        let phase = known(begun.get(&id)?)?;
        let has_result = results.join(&id).exists();
        Some(Held { id, phase, has_result })
    };
    Ok(entries.iter().filter_map(held).collect())
}

/// The phase of this name, if it is one that leads a sector home.
fn known(task: &str) -> Option<&'static str> {
    PHASES.into_iter().find(|phase| *phase == task)
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
