//! `audit`: compares what the scheduler and the storage index say with what lies on the disks of this host.

mod check;
mod digests;
mod finding;
mod paths;
#[cfg(test)]
mod tests;
mod told;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;
use sp_sectors::RealDisk;

use crate::context::Context;
use crate::error::{CommandError, Exit};
use finding::Finding;
use paths::{Looked, Paths, Skipped};
use told::Told;

/// What is seen in two looks so far apart is not just under way.
const BETWEEN_LOOKS: Duration = Duration::from_secs(1);

/// Compare what is said of storage paths with what lies on them, and name what is wrong.
#[derive(Debug, clap::Args)]
pub(crate) struct Audit {
    /// Look at a storage path here, whatever place is recorded for it. May be given several times.
    #[arg(long = "path", value_name = "DIR")]
    paths: Vec<PathBuf>,
    /// Go on looking until nothing is wrong twice in a row, but not longer than this.
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    wait: Option<Duration>,
    /// Also read every file whole and compare it with its digests.
    #[arg(long)]
    digests: bool,
}

/// What one look saw.
struct Look {
    findings: BTreeSet<Finding>,
    looked: Vec<Looked>,
    skipped: Vec<Skipped>,
    /// Finished sectors.
    finished: usize,
}

/// What came of it, as `--json` prints it.
#[derive(Debug, Serialize)]
struct Report {
    clean: bool,
    findings: Vec<Finding>,
    paths: Vec<PathRow>,
    skipped: Vec<Skipped>,
    finished_sectors: usize,
}

/// A path that was looked at.
#[derive(Debug, Serialize)]
struct PathRow {
    store: String,
    path: String,
    files: usize,
}

impl Audit {
    pub(crate) async fn run(self, context: &Context) -> Result<(), CommandError> {
        let mut look = self.until_sure(context).await?;
        if self.digests {
            let found = digests::read_whole(&look.looked, BETWEEN_LOOKS).await?;
            look.findings.extend(found);
        }
        let report = Report::of(look);
        context.show(&report, |_| report.text())?;
        match report.findings.len() {
            0 => Ok(()),
            many => Err(CommandError::new(Exit::Failed, format!("{many} things are wrong")).hint(
                "`sp-ctl storage redeclare` has paths read again, `sectors status N --log` shows what happened to a sector",
            )),
        }
    }

    /// Looks until two looks agree; with `--wait`, that nothing is wrong.
    async fn until_sure(&self, context: &Context) -> Result<Look, CommandError> {
        let end = Instant::now() + self.wait.unwrap_or_default();
        let mut before: Option<BTreeSet<Finding>> = None;
        loop {
            let mut look = match self.look(context).await {
                Err(failure) if failure.may_pass() && Instant::now() < end => {
                    before = None;
                    tokio::time::sleep(BETWEEN_LOOKS).await;
                    continue;
                }
                other => other?,
            };
            let clean = look.findings.is_empty();
            if let Some(before) = &before {
                let was_clean = before.is_empty();
                let lasting: BTreeSet<Finding> = look.findings.intersection(before).cloned().collect();
                let is_late = Instant::now() >= end;
                if (clean && was_clean) || (self.wait.is_none() || is_late) {
                    // Who waited for a clean look and never had two is told what the last one saw.
                    if self.wait.is_none() || !lasting.is_empty() {
                        look.findings = lasting;
                    }
                    return Ok(look);
                }
            } else if clean && self.wait.is_none() {
                return Ok(look);
            }
            before = Some(std::mem::take(&mut look.findings));
            tokio::time::sleep(BETWEEN_LOOKS).await;
        }
    }

    async fn look(&self, context: &Context) -> Result<Look, CommandError> {
        let told = told::ask(context).await?;
        let paths = self.paths.clone();
        let looking = move || look_at_disks(&told, &paths);
        tokio::task::spawn_blocking(looking).await.map_err(|e| CommandError::failed(e.to_string()))?
    }
}

fn look_at_disks(told: &Told, given: &[PathBuf]) -> Result<Look, CommandError> {
    let Paths { looked, skipped, mut findings } = paths::look(Arc::new(RealDisk), told, given)?;
    findings.extend(looked.iter().flat_map(|path| check::path(told, path)));
    findings.extend(check::sectors(told));
    findings.extend(check::reservations(told));
    findings.extend(check::locks(told));
    let finished = told.sectors.iter().filter(|sector| check::is_finished(sector)).count();
    Ok(Look { findings: findings.into_iter().collect(), looked, skipped, finished })
}

impl Report {
    fn of(look: Look) -> Self {
        let Look { findings, looked, skipped, finished } = look;
        let row = |Looked { store, path, seen, .. }: &Looked| PathRow {
            store: store.id().to_string(),
            path: path.display().to_string(),
            files: seen.len(),
        };
        Self {
            clean: findings.is_empty(),
            findings: findings.into_iter().collect(),
            paths: looked.iter().map(row).collect(),
            skipped,
            finished_sectors: finished,
        }
    }

    fn text(&self) -> String {
        let mut text: String = self.findings.iter().map(|finding| format!("{finding}\n")).collect();
        let files: usize = self.paths.iter().map(|path| path.files).sum();
        for Skipped { store, local_path, reason } in &self.skipped {
            text += &format!("not looked at: {store} ({local_path}): {reason}\n");
        }
        let (paths, sectors) = (self.paths.len(), self.finished_sectors);
        text + &format!("{files} files on {paths} paths, {sectors} finished sectors: {}\n", self.verdict())
    }

    fn verdict(&self) -> String {
        match self.findings.len() {
            0 => "nothing is wrong".to_owned(),
            many => format!("{many} things are wrong"),
        }
    }
}
