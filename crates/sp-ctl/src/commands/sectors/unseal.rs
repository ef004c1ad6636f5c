//! `sectors unseal N`: gets the data of a sector back.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde::Serialize;
use sp_proto::v1::{GetPieceReply, GetPieceRequest, UnsealSectorRequest};

use crate::context::{Context, Scheduler, request};
use crate::error::{CommandError, Exit};
use crate::output;
use crate::transfer::{Download, receive};

const POLL_INTERVAL: Duration = Duration::from_millis(300);

/// Get the data of a sector back, decoding the sealed file where no unsealed copy exists.
#[derive(Debug, clap::Args)]
pub(crate) struct Unseal {
    /// Sector number.
    number: u64,
    /// Where to write the data; it appears there whole and checked, or not at all. Without it the unsealed copy only
    /// comes into being on a worker.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Give up when there is no unsealed copy after this long.
    #[arg(long, value_name = "DURATION", default_value = "2h", value_parser = humantime::parse_duration)]
    timeout: Duration,
}

#[derive(Serialize)]
struct Unsealed {
    sector: u64,
    data_bytes: u64,
    data_digest: String,
    output: Option<String>,
}

impl Unseal {
    pub(crate) async fn run(self, context: &Context) -> Result<(), CommandError> {
        let Self { number, output, timeout } = self;
        let mut scheduler = context.scheduler().await?;
        scheduler.unseal_sector(request(UnsealSectorRequest { number })).await?;
        let piece = wait_for_copy(&mut scheduler, number, timeout).await?;
        if let Some(path) = &output {
            receive(&mut scheduler, &Download { number, path }, piece.clone()).await?;
        }
        let unsealed = Unsealed {
            sector: number,
            data_bytes: piece.data_bytes,
            data_digest: hex::encode(&piece.data_digest),
            output: output.as_ref().map(|path| path.display().to_string()),
        };
        context.show(&unsealed, |_| match &unsealed.output {
            Some(path) => format!("Wrote {} bytes of sector {number} to {path}\n", unsealed.data_bytes),
            None => format!("Sector {number} has an unsealed copy ({} bytes of data)\n", unsealed.data_bytes),
        })
    }
}

/// Waits until an unsealed copy can be read.
async fn wait_for_copy(scheduler: &mut Scheduler, number: u64, limit: Duration) -> Result<GetPieceReply, CommandError> {
    let (start, mut last) = (Instant::now(), String::new());
    loop {
        match scheduler.get_piece(request(GetPieceRequest { number })).await.map_err(CommandError::from) {
            Ok(reply) => {
                let reply = reply.into_inner();
                if let Some(failure) = reply.failed {
                    return Err(CommandError::from_failure(failure).context(format!("cannot unseal sector {number}")));
                }
                if !reply.data_url.is_empty() {
                    return Ok(reply);
                }
                if reply.detail != last {
                    output::note(&format!("sector {number}: {}", reply.detail));
                    last = reply.detail;
                }
            }
            Err(failure) if failure.may_pass() => last = failure.line(),
            Err(failure) => return Err(failure),
        }
        if start.elapsed() > limit {
            let text = format!("no unsealed copy of sector {number} after {}", humantime::format_duration(limit));
            return Err(CommandError::new(Exit::Unavailable, format!("{text}: {last}"))
                .hint("`sp-ctl sealing jobs --reasons` shows why UNS waits"));
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}
