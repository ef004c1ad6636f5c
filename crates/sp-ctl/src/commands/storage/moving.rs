//! `storage move N.. --to ID`: takes the finished files of sectors to another storage path, and waits until they are there.

use std::time::{Duration, Instant};

use serde::Serialize;
use sp_proto::v1::{Job, ListJobsRequest, MoveStorageRequest, TaskKind};

use crate::context::{Context, Scheduler, request};
use crate::error::{CommandError, Exit};
use crate::output;

const POLL_INTERVAL: Duration = Duration::from_millis(300);

/// Take the finished files of sectors to another storage path, where they stay until the next move. Each file is copied,
/// checked and made known before the old one goes; a crash at any point loses nothing, and the move goes on by itself.
#[derive(Debug, clap::Args)]
pub(crate) struct Move {
    /// Sector numbers.
    #[arg(required = true)]
    numbers: Vec<u64>,
    /// The ID of the path; see `sp-ctl storage list`.
    #[arg(long, value_name = "ID")]
    to: String,
    /// Return at once; `sp-ctl sealing jobs` shows how far it is.
    #[arg(long)]
    no_wait: bool,
    /// Give up waiting when nothing has moved on for this long. The move goes on all the same.
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = humantime::parse_duration)]
    timeout: Duration,
}

/// A sector, as `--json` prints it.
#[derive(Serialize)]
struct Row {
    sector: u64,
    to: String,
    /// Files that were elsewhere when it was asked for.
    files: u32,
    /// All of them are there.
    done: bool,
}

impl Move {
    pub(crate) async fn run(self, context: &Context) -> Result<(), CommandError> {
        let mut scheduler = context.scheduler().await?;
        let mut rows = Vec::new();
        for sector in &self.numbers {
            let files = missing(&mut scheduler, *sector, &self.to).await?;
            rows.push(Row { sector: *sector, to: self.to.clone(), files, done: files == 0 });
        }
        for row in rows.iter_mut().filter(|row| !row.done && !self.no_wait) {
            wait(&mut scheduler, row, self.timeout).await?;
            row.done = true;
        }
        context.show(&rows, |_| text(&rows))
    }
}

/// Asks for the move, and how many files are not there yet; asked again it changes nothing.
async fn missing(scheduler: &mut Scheduler, sector: u64, to: &str) -> Result<u32, CommandError> {
    let ask = MoveStorageRequest { sector, store: to.to_owned() };
    Ok(scheduler.move_storage(request(ask)).await?.into_inner().files)
}

async fn wait(scheduler: &mut Scheduler, row: &Row, limit: Duration) -> Result<(), CommandError> {
    let (mut last, mut since) = (String::new(), Instant::now());
    loop {
        match look(scheduler, row).await {
            Ok(None) => return Ok(()),
            Ok(Some(now)) if now != last => {
                output::note(&format!("sector {}: {now}", row.sector));
                (last, since) = (now, Instant::now());
            }
            Ok(Some(_)) => {}
            Err(failure) if failure.may_pass() => {}
            Err(failure) => return Err(failure),
        }
        if since.elapsed() > limit {
            let limit = humantime::format_duration(limit);
            let text = format!("the move of sector {} has stood at `{last}` for {limit}", row.sector);
            return Err(CommandError::new(Exit::Unavailable, text).hint(
                "`sp-ctl sealing jobs --reasons` shows what GET waits for; the move goes on without this command",
            ));
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// How far it is; none when it is done.
async fn look(scheduler: &mut Scheduler, row: &Row) -> Result<Option<String>, CommandError> {
    let jobs = scheduler.list_jobs(request(ListJobsRequest {})).await?.into_inner().jobs;
    let job = jobs.into_iter().find(|job| job.sector == row.sector && job.task() == TaskKind::Fetch);
    if let Some(Job { state, detail, fraction, .. }) = job {
        let percent = if fraction > 0.0 { format!(" {:.0} %", fraction * 100.0) } else { String::new() };
        return Ok(Some(format!("{state}{percent} {detail}").trim_end().to_owned()));
    }
    Ok(match missing(scheduler, row.sector, &row.to).await? {
        0 => None,
        files => Some(format!("{files} files wait for a worker")),
    })
}

fn text(rows: &[Row]) -> String {
    let line = |Row { sector, to, files, done }: &Row| match (files, done) {
        (0, _) => format!("Sector {sector} is on path {to} already\n"),
        (files, true) => format!("Moved {files} files of sector {sector} to path {to}\n"),
        (files, false) => format!("Moving {files} files of sector {sector} to path {to}\n"),
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_has_become_of_each_sector() {
        let row = |sector, files, done| Row { sector, to: "a".into(), files, done };
        let expected = "Sector 1 is on path a already\nMoved 2 files of sector 2 to path a\nMoving 3 files of sector 3 to path a\n";
        assert_eq!(text(&[row(1, 0, true), row(2, 2, true), row(3, 3, false)]), expected);
    }
}
