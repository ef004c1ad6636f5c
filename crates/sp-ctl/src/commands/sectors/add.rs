//! `sectors add FILE..`: makes a sector out of files and sends the bytes to the worker that packs them.

use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;
use sp_proto::v1::{AddPieceRequest, DataPiece, SectorSummary};
use sp_types::SectorState;

use super::wait::{state_of, wait_for};
use crate::context::{Context, request};
use crate::error::CommandError;
use crate::output;
use crate::transfer::{Purpose, Source, Upload, send_until_accepted};

/// Make a sector out of files, a piece each: sends them to the worker that packs them.
///
/// Every piece is padded to a power of two and starts at a multiple of that, so several fit best with the largest first.
/// Returns when the sector holds the data; sealing goes on without this command. A broken transfer goes on where it
/// stopped, and starts again when another worker takes over.
#[derive(Debug, clap::Args)]
pub(crate) struct Add {
    /// The files, in the order in which they come to lie in the sector.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
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
    /// Of all pieces together.
    data_digest: String,
    /// How many.
    pieces: usize,
    state: String,
}

impl Add {
    pub(crate) async fn run(self, context: &Context) -> Result<(), CommandError> {
        let Self { files, priority, wait, timeout } = self;
        let source = Source::open(&files)?;
        let mut scheduler = context.scheduler().await?;
        let (DataPiece { data_bytes, data_digest, name }, pieces) = source.announced();
        let count = files.len();
        let ask = AddPieceRequest { data_bytes, data_digest, name, priority, pieces };
        let sector = scheduler.add_piece(request(ask)).await?.into_inner().sector;
        output::note(&format!("sector {sector} is waiting for {}", source.describe()));
        let upload = Upload { source: &source, purpose: Purpose::Sector(sector), stall_limit: timeout };
        send_until_accepted(&mut scheduler, &upload).await?;
        let proving = |summary: &SectorSummary| summary.state == SectorState::Proving.to_string();
        let state = match wait {
            true => wait_for(&mut scheduler, sector, timeout, proving).await?.state,
            false => state_of(&mut scheduler, sector).await,
        };
        let added = Added { sector, data_bytes, data_digest: hex::encode(source.digest), pieces: count, state };
        let role = if count == 1 { "the piece" } else { "the pieces" };
        context.show(&added, |_| format!("Added {} as {role} of sector {sector}\n", source.describe()))
    }
}
