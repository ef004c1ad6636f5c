//! `sectors add FILE`: makes a sector out of a file and sends the bytes to the worker that packs it.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde::Serialize;
use sp_proto::v1::{AddPieceRequest, SectorStatusRequest};
use sp_types::SectorState;

use crate::context::{Context, Scheduler, request};
use crate::error::{CommandError, Exit};
use crate::output;
use crate::transfer::{Source, Upload, send_until_accepted};

/// Make a sector out of a file: sends it to the worker that packs it.
///
/// Returns when the sector holds the data; sealing goes on without this command. A broken transfer goes on where it
/// stopped, and starts again when another worker takes over.
#[derive(Debug, clap::Args)]
pub(crate) struct Add {
    /// The file.
    file: PathBuf,
    /// Wait until the sector is sealed and proving.
    #[arg(long)]
    wait: bool,
    /// Give up when nothing has moved for this long.
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = humantime::parse_duration)]
    timeout: Duration,
}

#[derive(Serialize)]
struct Added {
    sector: u64,
    data_bytes: u64,
    data_digest: String,
    state: String,
}

impl Add {
    pub(crate) async fn run(self, context: &Context) -> Result<(), CommandError> {
        let Self { file, wait, timeout } = self;
        let source = Source::open(&file)?;
        let mut scheduler = context.scheduler().await?;
        let ask =
            AddPieceRequest { data_bytes: source.size_bytes, data_digest: source.digest.to_vec(), name: source.name() };
        let sector = scheduler.add_piece(request(ask)).await?.into_inner().sector;
        output::note(&format!("sector {sector} is waiting for {}", file.display()));
        let upload = Upload { source: &source, sector, stall_limit: timeout };
        send_until_accepted(&mut scheduler, &upload).await?;
        let state = if wait {
            wait_for_proving(&mut scheduler, sector, timeout).await?
        } else {
            state_of(&mut scheduler, sector).await
        };
        let added = Added { sector, data_bytes: source.size_bytes, data_digest: hex::encode(source.digest), state };
        context.show(&added, |_| format!("Added {} as the piece of sector {sector}\n", file.display()))
    }
}

/// The state now. The piece is in the sector: that nobody answers at this moment is no failure any more.
async fn state_of(scheduler: &mut Scheduler, number: u64) -> String {
    let reply = scheduler.sector_status(request(SectorStatusRequest { number, log: false })).await;
    let summary = reply.ok().and_then(|reply| reply.into_inner().summary);
    summary.map_or_else(|| "unknown".to_owned(), |summary| summary.state)
}

/// Waits until a sector is proving. Gives up when it fails, or when its state has not changed for `limit`.
async fn wait_for_proving(scheduler: &mut Scheduler, number: u64, limit: Duration) -> Result<String, CommandError> {
    let (mut last, mut since) = (String::new(), Instant::now());
    loop {
        let ask = SectorStatusRequest { number, log: false };
        match scheduler.sector_status(request(ask)).await.map_err(CommandError::from) {
            Ok(reply) => {
                let summary = reply.into_inner().summary.unwrap_or_default();
                if summary.state == SectorState::Proving.to_string() {
                    return Ok(summary.state);
                }
                if summary.state == SectorState::Failed.to_string() {
                    return Err(CommandError::failed(format!("sector {number} failed: {}", summary.last_error))
                        .hint(format!("`sp-ctl sectors status {number} --log` shows what happened")));
                }
                let now = format!("{} {}", summary.state, summary.waiting);
                if now != last {
                    output::note(&format!("sector {number}: {now}"));
                    (last, since) = (now, Instant::now());
                }
            }
            Err(failure) if failure.may_pass() => {}
            Err(failure) => return Err(failure),
        }
        if since.elapsed() > limit {
            let text = format!("sector {number} has stood in {last} for {}", humantime::format_duration(limit));
            return Err(CommandError::new(Exit::Unavailable, text).hint(
                "`sp-ctl sealing jobs --reasons` shows what is waited for; the sector goes on without this command",
            ));
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}
