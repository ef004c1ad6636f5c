//! Operations on storage paths: begun without waiting for them, and seen to their end whatever has died meanwhile.

use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use sp_env::CrashPoint;

use crate::{Cluster, wait};

/// Longest that an operation may take after its processes are there again: leases end meanwhile, and tries wait.
const LIMIT: Duration = Duration::from_secs(120);

/// Kinds of operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// FIN of a sealed sector, and its way home.
    Finalize,
    /// A sector goes to a path of another worker.
    Fetch,
    /// A sector goes to another path of the same worker.
    Move,
    /// A directory with a file in it becomes a path.
    Attach,
    /// Every path of a worker is scrubbed.
    Scrub,
}

/// One operation.
#[derive(Debug, Clone)]
pub enum Operation {
    /// Of this sector.
    Finalize(u64),
    /// This sector goes to this store.
    Move(u64, String),
    /// Of this directory to this worker.
    Attach(String, PathBuf),
    /// Of everything that this worker has.
    Scrub(String),
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Finalize, Self::Fetch, Self::Move, Self::Attach, Self::Scrub];

    /// Points that one of this kind comes by.
    pub fn points(self) -> &'static [CrashPoint] {
        use CrashPoint as P;
        match self {
            Self::Finalize => &[
                P::WorkerAssigned,
                P::ExecutorStarted,
                P::ExecutorFinished,
                P::WorkerAnswered,
                P::WorkerBeforePublish,
                P::WorkerPublishRecorded,
                P::WorkerPublishData,
                P::WorkerMidPublish,
                P::WorkerPublishSwitched,
                P::WorkerAfterPublish,
                P::WorkerResultSaved,
                P::WorkerResultSent,
                P::SchedulerBeforePersist,
                P::SchedulerAfterPersist,
                P::SchedulerResultReceived,
                P::SchedulerBeforeAck,
            ],
            Self::Fetch => &[
                P::SchedulerBeforeReserve,
                P::IndexBeforeReserve,
                P::IndexAfterReserve,
                P::SchedulerBeforeAssign,
                P::WorkerMidFetch,
                P::WorkerFetched,
                P::WorkerBeforePublish,
                P::IndexBeforeDeclare,
                P::IndexAfterDeclare,
            ],
            Self::Move => &[
                P::WorkerMidShare,
                P::WorkerPublishRecorded,
                P::WorkerPublishData,
                P::WorkerMidPublish,
                P::WorkerPublishSwitched,
                P::WorkerAfterPublish,
                P::WorkerBeforeDelete,
                P::WorkerDeleteAside,
                P::WorkerDeleteTrash,
                P::WorkerAfterDelete,
                P::IndexBeforeDelete,
                P::IndexAfterDelete,
            ],
            Self::Attach => &[
                P::WorkerAttachNamed,
                P::WorkerAttachOpened,
                P::WorkerAttachSaved,
                P::WorkerMidDeclare,
                P::IndexBeforeAttach,
                P::IndexAfterAttach,
            ],
            Self::Scrub => &[P::WorkerMidScrub, P::WorkerScrubSaved],
        }
    }
}

impl Operation {
    /// Asks for it, and leaves whoever asks behind: the process that he waits for may be about to die.
    pub fn begin(&self, cluster: &Cluster) -> Result<Child> {
        let args = self.asked_with(true);
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let mut command = cluster.ctl_command(&args)?;
        Ok(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?)
    }

    fn asked_with(&self, first: bool) -> Vec<String> {
        let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
        match self {
            Self::Finalize(sector) => {
                words(&["sectors", "update-state", &sector.to_string(), "FinalizeSector", "--really-do-it"])
            }
            Self::Move(sector, store) => words(&["storage", "move", &sector.to_string(), "--to", store, "--no-wait"]),
            Self::Attach(worker, path) => {
                let path = path.display().to_string();
                let mut args = words(&["storage", "attach", "--worker", worker, &path]);
                if !Path::new(&path).join("sectorstore.json").exists() {
                    args.extend(words(&["--init", "--store", "--weight", "1"]));
                }
                args
            }
            Self::Scrub(worker) if first => words(&["storage", "scrub", "--worker", worker, "--anew", "--no-wait"]),
            Self::Scrub(worker) => words(&["storage", "scrub", "--worker", worker]),
        }
    }

    /// Asks again where that is needed, as an operator would, until it is done.
    pub fn see_to_its_end(&self, cluster: &Cluster) -> Result<()> {
        wait::until(&format!("{self:?} to end"), LIMIT, || Ok(self.has_ended(cluster)?.then_some(())))
    }

    fn has_ended(&self, cluster: &Cluster) -> Result<bool> {
        let args = self.asked_with(false);
        let ask = || cluster.ctl_json(&args.iter().map(String::as_str).collect::<Vec<_>>());
        match self {
            Self::Finalize(sector) => {
                let state = cluster.states()?.remove(sector).context("the sector is gone")?;
                if state == "Committing2" {
                    ask()?;
                }
                ensure!(state == "Proving", "sector {sector} is {state}");
                Ok(true)
            }
            Self::Move(..) => match ask()?[0]["done"] == true {
                true => Ok(true),
                false => bail!("it is still moving: {}", cluster.ctl_json(&["sealing", "jobs", "--reasons"])?),
            },
            Self::Attach(..) => {
                let attached = ask()?;
                let listed = cluster.ctl_json(&["storage", "list"])?;
                let is = |row: &&Value| row["store"] == attached["store"] && row["healthy"] == true;
                Ok(listed.as_array().context("no list")?.iter().any(|row| is(&row)))
            }
            Self::Scrub(_) => {
                ask()?;
                Ok(true)
            }
        }
    }
}
