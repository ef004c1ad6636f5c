//! Fetches one replica into a work directory, chunk by chunk, each checked before it is written.
//!
//! Stores of this worker come first, then all sources at once, the best of them first. What is here stays here from one
//! try to the next.

mod local;
mod manifest;
mod plan;
mod speeds;
mod streams;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sp_net::refusals::Refused;
use sp_net::retry::Backoff;
use sp_proto::v1;
use sp_sectors::{Manifest, Receiver, Store, WorkDir};
use sp_types::{ErrorCode, TaskKind};

use super::Attempt;
use crate::assignment::Input;
use crate::failure::Failure;
use crate::node::Node;
use crate::pace::Class;
pub(crate) use speeds::Speeds;

/// Longest silence of a source.
const SILENCE: Duration = Duration::from_secs(30);

/// Tries while no source answers, with growing waits: about a minute, enough for a source to be started again.
const ROUNDS_MAX: u32 = 15;

/// Rounds through all sources while every one of them has wrong bytes.
const WRONG_ROUNDS_MAX: u32 = 2;

/// One fetch.
struct Fetching<'a> {
    node: &'a Node,
    attempt: &'a Attempt,
    input: &'a Input,
    work: WorkDir,
    /// For people.
    what: String,
    /// Kept from round to round, so that nothing is read again that has been checked.
    receiver: Option<Arc<Receiver>>,
    /// What was missing after the last round.
    left_bytes: u64,
}

/// Fetches into the work directory; returns the path there. Local stores come first, then the sources.
pub(super) async fn fetch(
    node: &Node,
    attempt: &Attempt,
    input: &Input,
    local: &[Store],
    work: WorkDir,
) -> Result<PathBuf, Failure> {
    let what = format!("fetching {} of {}", input.kind, input.sector);
    if local.is_empty() && input.sources.is_empty() {
        // Its holder is away, which does not mean that it is lost. Only the scheduler learns when that changes.
        let away = Failure::new(ErrorCode::Unavailable, "no worker that has it is connected; start that worker again");
        return Err(away.while_doing(what));
    }
    let _slot = match class(attempt) {
        // A proof waits: it goes before what has been waiting longer.
        Class::Urgent => None,
        Class::Bulk | Class::Background => {
            attempt.set_phase(v1::AttemptPhase::Preparing, format!("waits for its turn: {what}"));
            let slot = async { Ok(node.fetch_slots.acquire().await) };
            Some(attempt.unless_stopped(slot).await?)
        }
    };
    let mut backoff = Backoff::limited(Duration::from_millis(250), Duration::from_secs(8), ROUNDS_MAX);
    let mut wrong_rounds = 0;
    let mut fetching = Fetching { node, attempt, input, work, what, receiver: None, left_bytes: u64::MAX };
    loop {
        let failure = match fetching.round(local).await {
            Ok(manifest) => {
                // Another task may change what it brought before it publishes it.
                if attempt.assignment.task == TaskKind::Fetch {
                    attempt.brought().insert(input.kind, manifest);
                }
                return Ok(fetching.work.path(input.sector, input.kind));
            }
            Err(failure) => failure,
        };
        if fetching.got_on() {
            // What went wrong passes: a fetch of hours may meet more of it than one of seconds.
            backoff.reset();
            wrong_rounds = 0;
        }
        let what = &fetching.what;
        wrong_rounds += u32::from(failure.code == ErrorCode::DigestMismatch);
        let hopeless = matches!(failure.code, ErrorCode::NoSpace | ErrorCode::Cancelled | ErrorCode::AttemptEnded);
        if hopeless || wrong_rounds >= WRONG_ROUNDS_MAX {
            return Err(failure.while_doing(what));
        }
        tracing::warn!(attempt = %attempt.id(), reason = %failure, "{what}: trying again");
        attempt.set_phase(v1::AttemptPhase::Preparing, format!("{what}: {}", failure.message));
        if !attempt.unless_stopped(async { Ok(backoff.wait(&node.env).await) }).await? {
            return Err(failure.while_doing(what));
        }
    }
}

/// What the bytes are fetched for.
fn class(attempt: &Attempt) -> Class {
    match attempt.assignment.task {
        TaskKind::Commit1 | TaskKind::GenerateWindowPost | TaskKind::GenerateWinningPost => Class::Urgent,
        _ => Class::Bulk,
    }
}

impl Fetching<'_> {
    /// Tries every store and every source. Wrong bytes are the reason that is told, whatever else went wrong.
    async fn round(&mut self, local: &[Store]) -> Result<Manifest, Failure> {
        let mut reasons = Vec::new();
        for store in local {
            self.attempt.set_phase(v1::AttemptPhase::Preparing, format!("{} from store {}", self.what, store.id()));
            match self.bring_local(store).await {
                Ok(manifest) => return Ok(manifest),
                Err(failure) => reasons.push(failure.while_doing(format!("store {}", store.id()))),
            }
        }
        match self.bring_remote().await {
            Ok(manifest) => return Ok(manifest),
            Err(failures) => reasons.extend(failures),
        }
        let none = "no source has it; run the task that makes it again, or attach the store that holds it";
        let telling = [ErrorCode::Cancelled, ErrorCode::NoSpace, ErrorCode::DigestMismatch];
        let code = telling.into_iter().find(|code| reasons.iter().any(|f| f.code == *code));
        let code = code.or(reasons.last().map(|f| f.code)).unwrap_or(ErrorCode::FileMissing);
        let texts: Vec<_> = reasons.iter().map(|f| f.message.as_str()).collect();
        Err(Failure::new(code, if texts.is_empty() { none.to_owned() } else { texts.join("; ") }))
    }

    /// Has more come since this was asked last?
    fn got_on(&mut self) -> bool {
        let Some(receiver) = &self.receiver else { return false };
        let left_bytes = receiver.missing().iter().map(|missing| missing.size_bytes).sum();
        left_bytes < std::mem::replace(&mut self.left_bytes, left_bytes)
    }

    /// From the data planes of other workers, from several at once.
    async fn bring_remote(&mut self) -> Result<Manifest, Vec<Failure>> {
        let node = self.node;
        // Not read through our own data plane: those stores were tried before.
        let sources: Vec<_> = self.input.sources.iter().filter(|source| source.data_url != *node.data_url()).collect();
        let sources = node.speeds.order(&sources, |source| &source.data_url);
        if sources.is_empty() {
            return Err(vec![]);
        }
        let urls: Vec<_> = sources.iter().map(|source| source.data_url.as_str()).collect();
        self.attempt.set_phase(v1::AttemptPhase::Preparing, format!("{} from {}", self.what, urls.join(", ")));
        let mut reasons = Vec::new();
        if self.receiver.is_none() {
            for source in &sources {
                match self.open_receiver(source).await {
                    Ok(receiver) => {
                        self.receiver = Some(Arc::new(receiver));
                        break;
                    }
                    Err(failure) => {
                        node.speeds.failed(&source.data_url);
                        self.blame(&source.data_url, &failure);
                        reasons.push(failure.while_doing(&source.data_url));
                    }
                }
            }
        }
        let Some(receiver) = &self.receiver else { return Err(reasons) };
        let brought = streams::bring(self, receiver, sources.into_iter().copied()).await;
        match brought {
            Ok(()) => Ok(receiver.manifest().clone()),
            Err(failures) => Err(reasons.into_iter().chain(failures).collect()),
        }
    }

    /// Counts what a source has sent that cannot be believed.
    fn blame(&self, url: &str, failure: &Failure) {
        if matches!(failure.code, ErrorCode::DigestMismatch | ErrorCode::BadRequest) {
            let about = format!("{}: {url}", self.what);
            self.node.refusals.note(Refused::Source, failure.code, &about, &failure.message);
        }
    }

    async fn open_receiver(&self, source: &crate::assignment::Source) -> Result<Receiver, Failure> {
        let manifest = self.attempt.unless_stopped(manifest::read(self, source)).await?;
        let (work, sector) = (self.work.clone(), self.input.sector);
        Ok(self.node.env.blocking(move || Receiver::open(&work, sector, manifest)).await?)
    }
}

/// A call or the next message of a stream, with a bound on the silence.
async fn bounded<T>(node: &Node, future: impl Future<Output = Result<T, tonic::Status>>) -> Result<T, Failure> {
    match node.env.timeout(SILENCE, future).await {
        Ok(result) => result.map_err(|status| match Failure::from(&status) {
            // By the peer or by the way there, not by those who want this attempt.
            Failure { code: ErrorCode::Cancelled, message } => Failure::new(ErrorCode::Unavailable, message),
            failure => failure,
        }),
        Err(elapsed) => Err(Failure::new(ErrorCode::Unavailable, elapsed.to_string())),
    }
}
