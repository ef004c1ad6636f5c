//! `sealing data-cid FILE`: has a worker compute the commitment of a piece that is in no sector.

use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;
use sp_proto::v1::{AbortJobRequest, DataCidReply, DataCidRequest, Piece};
use sp_types::ByteSize;
use tokio::signal::unix::{SignalKind, signal};

use crate::context::{Context, Scheduler, request, within};
use crate::error::{CommandError, Exit};
use crate::layout::unsealed_cid;
use crate::output;
use crate::transfer::{Purpose, Source, Upload, send_until_accepted};

/// The scheduler keeps what is asked for in memory: after its restart it is asked for again, so often.
const BEGUN_AGAIN_MAX: u32 = 3;

/// What a command that is ended leaves behind is cleaned up within this, or by the scheduler a minute later.
const CANCEL_LIMIT: Duration = Duration::from_secs(5);

/// Compute the commitment of a file as a piece (CommP) on a worker, without a sector.
///
/// Prints the CID and the padded size. A broken transfer goes on where it stopped, and starts again when another worker
/// takes over; if the scheduler restarts meanwhile, everything starts again. Ended early, the command cancels the task.
#[derive(Debug, clap::Args)]
pub(crate) struct DataCid {
    /// The file.
    file: PathBuf,
    /// Padded size of the piece, in bytes or with a unit: zeros follow the data up to it [default: the smallest power of
    /// two that holds the file]
    #[arg(value_parser = padded_size)]
    padded_size: Option<u64>,
    /// Give up when nothing has moved for this long.
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = humantime::parse_duration)]
    timeout: Duration,
}

#[derive(Serialize)]
struct Computed {
    cid: String,
    padded_bytes: u64,
    commitment: String,
    data_bytes: u64,
    data_digest: String,
}

fn padded_size(text: &str) -> Result<u64, String> {
    let bytes = match text.parse() {
        Ok(bytes) => bytes,
        Err(_) => text.parse::<ByteSize>().map_err(|e| e.to_string())?.0,
    };
    // On the wire 0 is the smallest that fits.
    if bytes == 0 { Err("a piece has a size".to_owned()) } else { Ok(bytes) }
}

impl DataCid {
    pub(crate) async fn run(self, context: &Context) -> Result<(), CommandError> {
        let Self { file, padded_size, timeout } = self;
        let source = Source::open(&[file])?;
        let mut scheduler = context.scheduler().await?;
        let mut again = 0;
        let piece = loop {
            match compute(&mut scheduler, &source, padded_size.unwrap_or(0), timeout).await {
                Err(failure) if failure.exit == Exit::NotFound && again < BEGUN_AGAIN_MAX => {
                    again += 1;
                    output::note(&format!("the scheduler has forgotten the task ({}); again", failure.line()));
                }
                other => break other?,
            }
        };
        let Piece { padded_bytes, commitment } = piece;
        let computed = Computed {
            cid: unsealed_cid(&commitment),
            padded_bytes,
            commitment: hex::encode(&commitment),
            data_bytes: source.size_bytes,
            data_digest: hex::encode(source.digest),
        };
        context.show(&computed, |_| format!("{}   {padded_bytes}\n", computed.cid))
    }
}

/// One task from its beginning to its end; whatever ends it here ends it there.
async fn compute(
    scheduler: &mut Scheduler,
    source: &Source,
    padded_bytes: u64,
    stall_limit: Duration,
) -> Result<Piece, CommandError> {
    // From here on a signal cleans up instead of ending the process.
    let open = |kind| signal(kind).map_err(|e| CommandError::failed(format!("cannot watch for signals: {e}")));
    let (mut int, mut term) = (open(SignalKind::interrupt())?, open(SignalKind::terminate())?);
    let (data, _) = source.announced();
    let ask = DataCidRequest { data: Some(data), padded_bytes };
    let DataCidReply { task_id, padded_bytes } = scheduler.data_cid(request(ask)).await?.into_inner();
    let size = ByteSize(padded_bytes);
    output::note(&format!("task {task_id} is waiting for {}, as a piece of {size}", source.describe()));
    let mut asking = scheduler.clone();
    let upload = Upload { source, purpose: Purpose::DataCid(task_id), stall_limit };
    let outcome = tokio::select! {
        outcome = send_until_accepted(&mut asking, &upload) => outcome,
        _ = int.recv() => Err(CommandError::silent(130)),
        _ = term.recv() => Err(CommandError::silent(143)),
    };
    if outcome.is_err() {
        let ask = AbortJobRequest { id: task_id.to_string(), reason: "its client has ended".to_owned() };
        // It may be over already, and without a scheduler there is nothing to cancel.
        let _ = scheduler.abort_job(within(CANCEL_LIMIT, ask)).await;
    }
    outcome?.ok_or_else(|| CommandError::failed("the scheduler names no commitment"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_a_unit_or_none() {
        assert_eq!(padded_size("2048"), Ok(2048));
        assert_eq!(padded_size("32GiB"), Ok(1 << 35));
        assert!(padded_size("0").is_err() && padded_size("many").is_err() && padded_size("-1").is_err());
    }
}
