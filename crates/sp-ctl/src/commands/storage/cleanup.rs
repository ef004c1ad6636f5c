//! `storage cleanup`: shows files of sectors that nobody knows, and deletes those of the sectors that an operator names.

use std::time::{Duration, Instant};

use serde::Serialize;
use sp_proto::v1::{
    CleanUpSectorRequest, FindStorageRequest, ListUnclaimedRequest, SectorStatusRequest, SectorSummary, UnclaimedSector,
};
use sp_types::{ByteSize, SectorState};

use super::kind_label;
use crate::commands::sectors::moved::said_so;
use crate::context::{Context, Scheduler, request};
use crate::error::{CommandError, Exit};
use crate::layout;
use crate::output;

const POLL_INTERVAL: Duration = Duration::from_millis(300);

/// Show files on storage paths that belong to no sector of this cluster, and delete those of the sectors that you name.
/// Nothing is deleted unasked: they may be sectors that were never imported (`sp-ctl sectors import`), or all that is
/// left of a lost data directory, even where a sector has their number now. What you keep can be pinned with `sp-ctl sectors pin`.
#[derive(Debug, clap::Args)]
pub(crate) struct Cleanup {
    /// Sectors whose files are to go.
    #[arg(conflicts_with = "all")]
    numbers: Vec<u64>,
    /// The files of every sector that is listed and not pinned are to go.
    #[arg(long)]
    all: bool,
    /// You have looked at the list, and need none of the files.
    #[arg(long)]
    really_do_it: bool,
    /// Return at once; the scheduler goes on with it.
    #[arg(long)]
    no_wait: bool,
    /// Give up waiting when nothing has gone for this long. The scheduler goes on with it all the same.
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = humantime::parse_duration)]
    timeout: Duration,
}

/// Files that nobody claims and that bear one number, as `--json` prints them.
#[derive(Debug, Serialize)]
struct Row {
    sector: u64,
    kinds: Vec<String>,
    size_bytes: u64,
    stores: Vec<String>,
    pinned: bool,
    reason: String,
    /// There is a sector of this number now, and they were made for another one.
    of_another: bool,
}

/// A sector whose files go, as `--json` prints it.
#[derive(Debug, Serialize)]
struct Swept {
    sector: u64,
    state: String,
}

impl Cleanup {
    pub(crate) async fn run(self, context: &Context) -> Result<(), CommandError> {
        let mut scheduler = context.scheduler().await?;
        let numbers = match (self.all, self.numbers.is_empty()) {
            (false, true) => {
                let rows = unclaimed(&mut scheduler).await?;
                return context.show(&rows, |_| text(&rows));
            }
            (false, false) => self.numbers.clone(),
            (true, _) => {
                let rows = unclaimed(&mut scheduler).await?;
                rows.iter().filter(|row| !row.pinned).map(|row| row.sector).collect()
            }
        };
        said_so(self.really_do_it, || "`sp-ctl storage cleanup` shows what would be deleted".to_owned())?;
        let mut swept = Vec::new();
        for sector in numbers {
            let ask = CleanUpSectorRequest { sector };
            let state = scheduler.clean_up_sector(request(ask)).await?.into_inner().state;
            swept.push(Swept { sector, state });
        }
        // Only a sector that goes with them says when they are gone.
        let removing = [SectorState::Removing, SectorState::RemoveFailed].map(|state| state.to_string());
        for row in swept.iter_mut().filter(|row| !self.no_wait && removing.contains(&row.state)) {
            row.state = wait(&mut scheduler, row.sector, self.timeout).await?;
        }
        let line = |row: &Swept| match removing.contains(&row.state) || row.state == SectorState::Removed.to_string() {
            true => format!("Sector {} is {}\n", row.sector, row.state),
            false => format!("Sector {} stays {}; what was not its own is being deleted\n", row.sector, row.state),
        };
        context.show(&swept, |_| swept.iter().map(line).collect())
    }
}

async fn unclaimed(scheduler: &mut Scheduler) -> Result<Vec<Row>, CommandError> {
    let reply = scheduler.list_unclaimed(request(ListUnclaimedRequest {})).await?.into_inner();
    Ok(reply.sectors.into_iter().map(Row::from).collect())
}

/// Waits until no file of the sector is known any more.
async fn wait(scheduler: &mut Scheduler, sector: u64, limit: Duration) -> Result<String, CommandError> {
    let (mut last, mut since) = (usize::MAX, Instant::now());
    loop {
        let (why, given_up) = match look(scheduler, sector).await {
            Ok((summary, _)) if summary.state == SectorState::Removed.to_string() => return Ok(summary.state),
            Ok((summary, left)) => {
                if left < last {
                    output::note(&format!("sector {sector}: {left} files are still to be deleted"));
                    (last, since) = (left, Instant::now());
                }
                (summary.last_error, summary.state == SectorState::RemoveFailed.to_string())
            }
            // The scheduler or the index may be starting again; what was asked for is durable.
            Err(failure) if failure.may_pass() => (failure.line(), false),
            Err(failure) => return Err(failure),
        };
        if given_up || since.elapsed() > limit {
            let left = if last == usize::MAX { "the".to_owned() } else { last.to_string() };
            let text = format!("{left} files of sector {sector} are still there: {why}");
            return Err(CommandError::new(Exit::Unavailable, text)
                .hint("their paths may be away: the scheduler deletes them as soon as it can, without this command"));
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// How the sector stands, and how many files of it are known.
async fn look(scheduler: &mut Scheduler, sector: u64) -> Result<(SectorSummary, usize), CommandError> {
    let ask = SectorStatusRequest { number: sector, ..SectorStatusRequest::default() };
    let summary = scheduler.sector_status(request(ask)).await?.into_inner().summary.unwrap_or_default();
    if summary.state == SectorState::Removed.to_string() {
        return Ok((summary, 0));
    }
    let found = scheduler.find_storage(request(FindStorageRequest { sector })).await?.into_inner();
    Ok((summary, found.replicas.len()))
}

impl From<UnclaimedSector> for Row {
    fn from(found: UnclaimedSector) -> Self {
        let UnclaimedSector { sector, kinds, stores, pin, is_of_another } = found;
        Self {
            sector,
            kinds: kinds.into_iter().map(kind_label).collect(),
            size_bytes: stores.iter().map(|on| on.size_bytes).sum(),
            stores: stores.into_iter().map(|on| on.store).collect(),
            pinned: pin.is_some(),
            reason: pin.map(|pin| pin.reason).unwrap_or_default(),
            of_another: is_of_another,
        }
    }
}

fn text(rows: &[Row]) -> String {
    if rows.is_empty() {
        return "Every file on every path belongs to a sector of this cluster\n".to_owned();
    }
    let pin = |row: &Row| match (row.pinned, row.reason.as_str()) {
        (false, _) => String::new(),
        (true, "") => "pinned".to_owned(),
        (true, reason) => format!("pinned: {reason}"),
    };
    let line = |row: &Row| {
        let size = ByteSize(row.size_bytes).to_string();
        let star = if row.of_another { "*" } else { "" };
        vec![format!("{}{star}", row.sector), row.kinds.join(","), size, row.stores.join(","), pin(row)]
    };
    let table =
        layout::table(&["Sector", "Files", "Size", "Paths", "Kept"], &rows.iter().map(line).collect::<Vec<_>>());
    let remark = match rows.iter().any(|row| row.of_another) {
        true => "* made for another sector, of before the one that has this number now\n",
        false => "",
    };
    table + remark
}
