//! Sends a piece to the worker that waits for it: resumes where it broke, starts anew on another attempt's ticket.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::stream;
use indicatif::ProgressBar;
use sp_proto::v1::{Piece, UploadPart, UploadStatusReply, UploadStatusRequest};

use super::progress::bytes_bar;
use super::purpose::Answer;
use super::{PART_BYTES, Purpose, STALL_LIMIT, Source};
use crate::context::{Scheduler, data_plane, request};
use crate::error::{CommandError, Exit};

const POLL_INTERVAL: Duration = Duration::from_millis(300);

/// What to send, and for what.
#[derive(Debug)]
pub(crate) struct Upload<'a> {
    pub(crate) source: &'a Source,
    pub(crate) purpose: Purpose,
    /// Give up when nothing has moved for this long.
    pub(crate) stall_limit: Duration,
}

/// How far the transfer is: a change of any of this is movement.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Position {
    ticket: String,
    received_bytes: u64,
    complete: bool,
}

/// Sends until the scheduler says that the piece is in the sector, or what it comes to.
pub(crate) async fn send_until_accepted(
    scheduler: &mut Scheduler,
    upload: &Upload<'_>,
) -> Result<Option<Piece>, CommandError> {
    let purpose = upload.purpose;
    let bar = bytes_bar(&purpose.to_string(), upload.source.size_bytes);
    let (mut position, mut moved, mut waiting) = (Position::default(), Instant::now(), String::from("no answer yet"));
    loop {
        match step(scheduler, upload, &mut position, &bar).await {
            Ok(Step::Accepted(piece)) => {
                bar.finish_and_clear();
                return Ok(piece);
            }
            Ok(Step::Moved) => moved = Instant::now(),
            Ok(Step::Waiting(detail)) => waiting = detail,
            Err(failure) if failure.exit == Exit::Failed || failure.exit == Exit::NotFound => {
                bar.abandon();
                return Err(failure.context(format!("the piece of {purpose} was not taken")));
            }
            Err(failure) => waiting = failure.line(),
        }
        if moved.elapsed() > upload.stall_limit {
            bar.abandon();
            let limit = humantime::format_duration(upload.stall_limit);
            let text = format!("{purpose}: nothing has moved for {limit}, last: {waiting}");
            return Err(CommandError::new(Exit::Unavailable, text)
                .hint("`sp-ctl sealing jobs --reasons` shows why no worker takes the piece"));
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

enum Step {
    Accepted(Option<Piece>),
    Moved,
    Waiting(String),
}

async fn step(
    scheduler: &mut Scheduler,
    upload: &Upload<'_>,
    position: &mut Position,
    bar: &ProgressBar,
) -> Result<Step, CommandError> {
    let (data_url, ticket) = match upload.purpose.ask(scheduler).await? {
        Answer::Accepted(piece) => return Ok(Step::Accepted(piece)),
        Answer::Waiting(detail) => return Ok(Step::Waiting(detail)),
        Answer::Send { data_url, ticket } => (data_url, ticket),
        Answer::Failed(failure) => {
            let mut failure = CommandError::from_failure(failure);
            // It failed for good: whatever its code says of a second try does not hold here.
            failure.exit = Exit::Failed;
            return Err(failure);
        }
    };
    // Whatever goes wrong at the data port may pass: the next answer of the scheduler may name another one.
    let sent = tokio::select! {
        sent = send(&data_url, &ticket, upload.source, bar) => sent,
        () = upload.purpose.elsewhere(scheduler, &ticket) => {
            return Ok(Step::Waiting("the piece is not wanted there any more".to_owned()));
        }
    };
    let (received_bytes, complete, trouble) = match sent {
        Ok(UploadStatusReply { received_bytes, complete }) => (received_bytes, complete, None),
        Err(SendFailure { received_bytes, cause }) => (received_bytes, false, Some(cause)),
    };
    let now = Position { ticket, received_bytes, complete };
    let moved = now != *position;
    *position = now;
    match trouble {
        Some(cause) if !moved => Ok(Step::Waiting(cause.line())),
        _ if moved => Ok(Step::Moved),
        _ => Ok(Step::Waiting("the worker is at work on the piece".to_owned())),
    }
}

struct SendFailure {
    /// What had arrived when the transfer began; what arrived since shows next time.
    received_bytes: u64,
    cause: CommandError,
}

/// One transfer, from where the worker says that it stands.
async fn send(url: &str, ticket: &str, source: &Source, bar: &ProgressBar) -> Result<UploadStatusReply, SendFailure> {
    let mut received_bytes = 0;
    let outcome = async {
        let mut port = data_plane(url).await?;
        let ask = UploadStatusRequest { ticket: ticket.to_owned() };
        let status = port.upload_status(request(ask)).await?.into_inner();
        received_bytes = status.received_bytes;
        bar.set_position(received_bytes);
        if status.complete {
            return Ok(status);
        }
        let sent = Arc::new(AtomicU64::new(received_bytes));
        let parts = parts(source, ticket, received_bytes, Arc::clone(&sent), bar.clone())?;
        tokio::select! {
            reply = port.upload_piece(parts) => Ok(reply?.into_inner()),
            () = stalled(&sent) => Err(CommandError::new(Exit::Unavailable, format!("the transfer to {url} stalled"))),
        }
    };
    let outcome: Result<UploadStatusReply, CommandError> = outcome.await;
    outcome.map_err(|cause| SendFailure { received_bytes, cause })
}

/// The rest of the data as a stream of parts. A file that cannot be read any more ends the stream early: the worker
/// then reports less than was announced.
fn parts(
    source: &Source,
    ticket: &str,
    offset: u64,
    sent: Arc<AtomicU64>,
    bar: ProgressBar,
) -> Result<impl futures_util::Stream<Item = UploadPart> + Send + use<>, CommandError> {
    let bytes = source.read_from(offset)?;
    // The first message names the ticket and the offset; the data follows in messages of its own.
    let first = UploadPart { ticket: ticket.to_owned(), offset, ..UploadPart::default() };
    Ok(stream::unfold((Some(first), bytes), move |(first, mut bytes)| {
        let (sent, bar) = (Arc::clone(&sent), bar.clone());
        async move {
            if let Some(first) = first {
                return Some((first, (None, bytes)));
            }
            let mut data = Vec::with_capacity(PART_BYTES);
            let read = bytes.by_ref().take(PART_BYTES as u64).read_to_end(&mut data).ok()?;
            if read == 0 {
                return None;
            }
            let all = sent.fetch_add(read as u64, Ordering::Relaxed) + read as u64;
            bar.set_position(all);
            Some((UploadPart { data: data.into(), ..UploadPart::default() }, (None, bytes)))
        }
    }))
}

/// Completes when the counter has not moved for `STALL_LIMIT`.
async fn stalled(sent: &AtomicU64) {
    loop {
        let before = sent.load(Ordering::Relaxed);
        tokio::time::sleep(STALL_LIMIT).await;
        if sent.load(Ordering::Relaxed) == before {
            return;
        }
    }
}
