//! `sectors add FILE`: makes a sector out of a file and sends the bytes to the worker that packs it.

use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;
use sp_proto::v1::{AddPieceRequest, SectorSummary};
use sp_types::SectorState;

use super::wait::{state_of, wait_for};
use crate::context::{Context, request};
use crate::error::CommandError;
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
    /// Of the sector's tasks; higher goes first [default: 1024, CC sectors have 0].
    #[arg(long, allow_negative_numbers = true)]
    priority: Option<i64>,
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
        let Self { file, priority, wait, timeout } = self;
        let source = Source::open(&file)?;
        let mut scheduler = context.scheduler().await?;
        let (data_bytes, data_digest) = (source.size_bytes, source.digest.to_vec());
        let ask = AddPieceRequest { data_bytes, data_digest, name: source.name(), priority };
        let sector = scheduler.add_piece(request(ask)).await?.into_inner().sector;
        output::note(&format!("sector {sector} is waiting for {}", file.display()));
        let upload = Upload { source: &source, sector, stall_limit: timeout };
        send_until_accepted(&mut scheduler, &upload).await?;
        let proving = |summary: &SectorSummary| summary.state == SectorState::Proving.to_string();
        let state = match wait {
            true => wait_for(&mut scheduler, sector, timeout, proving).await?.state,
            false => state_of(&mut scheduler, sector).await,
        };
        let added = Added { sector, data_bytes: source.size_bytes, data_digest: hex::encode(source.digest), state };
        context.show(&added, |_| format!("Added {} as the piece of sector {sector}\n", file.display()))
    }
}
