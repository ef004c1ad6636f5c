//! `sectors snap N FILE..`: puts files in place of the zeros of an Available sector.

use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;
use sp_proto::v1::{DataPiece, SectorSummary, SnapSectorRequest};
use sp_types::SectorState;

use super::wait::wait_for;
use crate::context::{Context, request};
use crate::error::CommandError;
use crate::output;
use crate::transfer::{Purpose, Source, Upload, send_until_accepted};

/// Put files in place of the zeros of an Available sector, a piece each (SnapDeals).
///
/// Returns when the sector's worker has the data; the update goes on without this command, and the sector is proven as
/// it was until the update is accepted. Given again with the same files it goes on where it was broken off.
#[derive(Debug, clap::Args)]
pub(crate) struct Snap {
    /// Sector number; it must be Available (see `mark-for-update`).
    number: u64,
    /// The files, in the order in which they come to lie in the sector.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Of the sector's tasks from now on; higher goes first [default: 1024].
    #[arg(long, allow_negative_numbers = true)]
    priority: Option<i64>,
    /// Wait until the update is accepted and the sector proves it.
    #[arg(long)]
    wait: bool,
    /// Give up when nothing has moved for this long.
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = humantime::parse_duration)]
    timeout: Duration,
}

#[derive(Serialize)]
struct Snapped {
    sector: u64,
    data_bytes: u64,
    data_digest: String,
    state: String,
}

impl Snap {
    pub(crate) async fn run(self, context: &Context) -> Result<(), CommandError> {
        let Self { number, files, priority, wait, timeout } = self;
        let source = Source::open(&files)?;
        let mut scheduler = context.scheduler().await?;
        let (DataPiece { data_bytes, data_digest, name }, pieces) = source.announced();
        let ask = SnapSectorRequest { number, data_bytes, data_digest, name, priority, pieces };
        let mut state = scheduler.snap_sector(request(ask)).await?.into_inner().state;
        output::note(&format!("sector {number} is waiting for {}", source.describe()));
        let upload = Upload { source: &source, purpose: Purpose::Sector(number), stall_limit: timeout };
        send_until_accepted(&mut scheduler, &upload).await?;
        if wait {
            state = wait_for(&mut scheduler, number, timeout, at_rest).await.and_then(|s| updated(&s))?;
        }
        let snapped = Snapped { sector: number, data_bytes, data_digest: hex::encode(source.digest), state };
        context.show(&snapped, |_| match wait {
            true => format!("Sector {number} proves its update with {}\n", source.describe()),
            false => format!("Sector {number} is being updated with {}\n", source.describe()),
        })
    }
}

fn at_rest(summary: &SectorSummary) -> bool {
    summary.state == SectorState::Proving.to_string()
}

/// Somebody may have aborted the update meanwhile.
fn updated(summary: &SectorSummary) -> Result<String, CommandError> {
    match summary.updated {
        true => Ok(summary.state.clone()),
        false => Err(CommandError::failed(format!("the update of sector {} was aborted", summary.number))),
    }
}
