//! Several streams from several data planes into one receiver: each chunk is checked and written off the async threads.
//!
//! A stream is one call on a connection of its own. It asks the plan what to bring, hands over each chunk that comes,
//! and goes to the next source when its own fails. Two writers take the chunks in groups, since many digests at once
//! cost a fraction of one after the other.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::{join, join_all};
use sp_net::bulk;
use sp_proto::v1::{FileChunk, ReadFileRequest};
use sp_sectors::{CHUNK_BYTES, Chunk, ReceiveError, Receiver};
use sp_types::ErrorCode;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;

use super::plan::{Plan, Range, Task};
use super::{Fetching, bounded, class, manifest};
use crate::assignment::Source;
use crate::data_plane::CHUNK_WIRE_BYTES;
use crate::failure::Failure;

/// The method that is called.
const READ_FILE: &str = "/sp.v1.DataPlane/ReadFile";

/// Chunks that are checked and written together, if they are there in time.
const GROUP: usize = 8;

/// Chunks that wait for a writer. With two groups being written and what the connections hold it is what a fetch takes
/// of memory: well below 64 MiB.
const AHEAD: usize = 2;

/// How long a group waits for more chunks.
const GATHER: Duration = Duration::from_millis(20);

/// Whole chunks that the connections of a fetch together may hold unread; each gets its share, and at least two.
const WINDOWS: u32 = 10;

/// Writers: one reads digests while the other waits for its disk.
const WRITERS: usize = 2;

/// Failures of a source, one after the other on one stream, before that source is given up for this round.
const TRIES_MAX: u32 = 3;

/// Wait after a failure, times their number.
const PAUSE: Duration = Duration::from_millis(100);

/// How long a stream without work waits before it looks again.
const IDLE: Duration = Duration::from_millis(250);

/// A chunk on its way from a stream to a writer.
struct Arrived {
    source: usize,
    name: Arc<str>,
    chunk: FileChunk,
}

impl Arrived {
    fn chunk(&self) -> Chunk<'_> {
        Chunk { name: &self.name, offset: self.chunk.offset, bytes: &self.chunk.data }
    }
}

/// The same without its bytes.
struct Written {
    source: usize,
    name: Arc<str>,
    offset: u64,
    size_bytes: u64,
}

impl From<Arrived> for Written {
    fn from(Arrived { source, name, chunk }: Arrived) -> Self {
        Self { source, name, offset: chunk.offset, size_bytes: chunk.data.len() as u64 }
    }
}

/// What the streams of one round share.
struct Round<'a> {
    fetching: &'a Fetching<'a>,
    receiver: &'a Arc<Receiver>,
    sources: Vec<&'a Source>,
    /// Per source: why it is not asked any more in this round.
    given_up: Mutex<Vec<Option<Failure>>>,
    plan: Mutex<Plan>,
    window_bytes: u32,
    total_bytes: u64,
    /// Something waits again, or everything is here.
    changed: Notify,
    /// Our own side failed.
    broken: Mutex<Option<Failure>>,
    /// Everything is here, or our own side failed.
    stop: CancellationToken,
}

/// Brings all that is missing. Of what goes wrong, one failure per source.
pub(super) async fn bring<'a>(
    fetching: &'a Fetching<'a>,
    receiver: &'a Arc<Receiver>,
    sources: impl Iterator<Item = &'a Source>,
) -> Result<(), Vec<Failure>> {
    let sources: Vec<_> = sources.collect();
    let streams = fetching.node.options.transfers.streams.max(1);
    let plan = Plan::new(receiver.missing(), streams);
    let streams = streams.min(plan.ranges());
    let round = Round {
        given_up: Mutex::new(vec![None; sources.len()]),
        total_bytes: receiver.manifest().size_bytes().max(1),
        plan: Mutex::new(plan),
        window_bytes: (WINDOWS / streams.max(1) as u32).max(2) * CHUNK_WIRE_BYTES,
        changed: Notify::new(),
        broken: Mutex::new(None),
        stop: CancellationToken::new(),
        fetching,
        receiver,
        sources,
    };
    let (sender, arrived) = mpsc::channel(AHEAD);
    let arrived = tokio::sync::Mutex::new(arrived);
    let bringing = (0..streams).map(|at| round.stream(at, sender.clone()));
    let bringing = join_all(bringing.collect::<Vec<_>>());
    drop(sender);
    let writing = join_all((0..WRITERS.min(streams)).map(|_| round.write(&arrived)).collect::<Vec<_>>());
    let all = async {
        tokio::select! {
            biased;
            () = round.stop.cancelled() => {}
            _ = join(bringing, writing) => {}
        }
        Ok(())
    };
    fetching.attempt.unless_stopped(all).await.map_err(|failure| vec![failure])?;
    if let Some(broken) = round.broken.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(vec![broken]);
    }
    match receiver.finish() {
        Ok(_) => Ok(()),
        Err(incomplete) => {
            let given_up = round.given_up.into_inner().unwrap_or_else(PoisonError::into_inner);
            let named = given_up.into_iter().zip(&round.sources);
            let reasons: Vec<_> =
                named.filter_map(|(failure, source)| Some(failure?.while_doing(&source.data_url))).collect();
            let unexplained = Failure::new(ErrorCode::Unavailable, incomplete.to_string());
            Err(if reasons.is_empty() { vec![unexplained] } else { reasons })
        }
    }
}

impl<'a> Round<'a> {
    /// One stream: ranges, one after the other, until everything is here or no source is left.
    async fn stream(&self, at: usize, sender: mpsc::Sender<Arrived>) {
        let node = self.fetching.node;
        let (mut source, mut tries) = (at % self.sources.len(), 0);
        let mut connection: Option<(usize, Channel)> = None;
        loop {
            let Some(living) = self.living(source) else { return };
            source = living;
            let changed = self.changed.notified();
            let task = self.plan().next(node.env.clock.monotonic().0);
            let (id, range) = match task {
                Task::Nothing => return,
                Task::Wait => {
                    let _ = node.env.timeout(IDLE, changed).await;
                    continue;
                }
                Task::Bring(id, range) => (id, range),
            };
            if connection.as_ref().is_none_or(|(of, _)| *of != source) {
                connection = None;
            }
            let began = node.env.clock.monotonic();
            let mut bytes = 0;
            let result = self.pull(id, &range, source, &mut connection, &sender, &mut bytes).await;
            self.plan().give_back(id);
            self.changed.notify_waiters();
            let url = &self.sources[source].data_url;
            node.speeds.note(url, bytes, node.env.clock.monotonic().since_ms(began));
            match result {
                Ok(()) => tries = 0,
                Err(failure) => {
                    connection = None;
                    tries = if bytes > 0 { 1 } else { tries + 1 };
                    node.speeds.failed(url);
                    if tries >= TRIES_MAX || !passes(failure.code) {
                        self.give_up(source, failure);
                        tries = 0;
                    } else {
                        node.env.clock.sleep(PAUSE * tries).await;
                    }
                }
            }
        }
    }

    /// Brings a range, or as much of it as comes and is still wanted. `bytes` counts what came.
    async fn pull(
        &self,
        id: u64,
        range: &Range,
        source: usize,
        connection: &mut Option<(usize, Channel)>,
        sender: &mpsc::Sender<Arrived>,
        bytes: &mut u64,
    ) -> Result<(), Failure> {
        let (node, from) = (self.fetching.node, self.sources[source]);
        let class = class(self.fetching.attempt);
        let channel = match connection {
            Some((_, channel)) => channel,
            None => {
                let bad_url = |e: sp_net::NetError| Failure::new(ErrorCode::BadRequest, e.to_string());
                let channel = bulk::channel(&node.env, &from.data_url, self.window_bytes).map_err(bad_url)?;
                &mut connection.insert((source, channel)).1
            }
        };
        let request = ReadFileRequest {
            replica: Some(manifest::replica(self.fetching.input, from, self.receiver.manifest().root())),
            attempt: Some(self.fetching.attempt.id().into()),
            name: range.name.clone(),
            offset: range.from,
            size_bytes: range.to - range.from,
            urgent: class == crate::pace::Class::Urgent,
        };
        let mut chunks = bounded(node, bulk::call(channel, READ_FILE, &request)).await?;
        let (name, mut at): (Arc<str>, _) = (range.name.as_str().into(), range.from);
        while at < self.plan().end(id) && self.living(source) == Some(source) {
            drop(node.fetching.begin(class, CHUNK_BYTES).await);
            let chunk: Option<FileChunk> = bounded(node, chunks.message()).await?;
            let chunk = chunk.ok_or_else(|| Failure::new(ErrorCode::Unavailable, "the source ended early"))?;
            let size = chunk.data.len() as u64;
            if chunk.offset != at || size == 0 || size > range.to - at {
                return Err(Failure::new(ErrorCode::DigestMismatch, "the source sent another range than asked for"));
            }
            at += size;
            *bytes += size;
            if !self.plan().came(id, size, node.env.clock.monotonic().0) {
                break;
            }
            if sender.send(Arrived { source, name: name.clone(), chunk }).await.is_err() {
                break;
            }
        }
        Ok(())
    }

    /// Takes chunks in groups until no stream is left.
    async fn write(&self, arrived: &tokio::sync::Mutex<mpsc::Receiver<Arrived>>) {
        loop {
            let group = {
                let mut arrived = arrived.lock().await;
                self.gather(&mut arrived).await
            };
            if group.is_empty() {
                return;
            }
            let receiver = self.receiver.clone();
            let writing = move || {
                let results = receiver.write_many(&group.iter().map(Arrived::chunk).collect::<Vec<_>>());
                group.into_iter().zip(results).map(|(arrived, result)| (arrived.into(), result)).collect::<Vec<_>>()
            };
            for (arrived, result) in self.fetching.node.env.blocking(writing).await {
                self.account(&arrived, result);
            }
            self.changed.notify_waiters();
            let left = self.plan().left_bytes();
            if left == 0 {
                // Not even a stream that hangs is waited for.
                self.stop.cancel();
            }
            self.fetching.attempt.set_fraction(1.0 - left as f64 / self.total_bytes as f64);
        }
    }

    /// The next group: as many as come soon, at least one unless there are no more.
    async fn gather(&self, arrived: &mut mpsc::Receiver<Arrived>) -> Vec<Arrived> {
        let mut group = Vec::with_capacity(GROUP);
        group.extend(arrived.recv().await);
        if group.is_empty() {
            return group;
        }
        let more = async {
            while group.len() < GROUP {
                match arrived.recv().await {
                    Some(next) => group.push(next),
                    None => return,
                }
            }
        };
        // What came in time is in the group, whether or not it is full.
        let _ = self.fetching.node.env.timeout(GATHER, more).await;
        group
    }

    /// What became of a chunk: here, or wrong and its source to blame, or our own disk refused it.
    fn account(&self, arrived: &Written, result: Result<(), ReceiveError>) {
        let Written { name, offset, size_bytes, .. } = arrived;
        let failure = match result {
            Ok(()) => return self.plan().checked(name, *offset, *size_bytes, true),
            Err(ReceiveError::Store(error)) => {
                *lock(&self.broken) = Some(error.into());
                return self.stop.cancel();
            }
            Err(wrong) => Failure::from(wrong),
        };
        self.plan().checked(name, *offset, *size_bytes, false);
        self.give_up(arrived.source, failure);
    }

    /// A source that is still asked: this one, or the next in order of their speed.
    fn living(&self, source: usize) -> Option<usize> {
        let given_up = lock(&self.given_up);
        [source].into_iter().chain(0..self.sources.len()).find(|at| given_up[*at].is_none())
    }

    fn give_up(&self, source: usize, failure: Failure) {
        self.fetching.blame(&self.sources[source].data_url, &failure);
        lock(&self.given_up)[source].get_or_insert(failure);
        self.changed.notify_waiters();
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        lock(&self.plan)
    }
}

/// Failures that may pass by themselves: the connection broke, or the source has too much to do.
fn passes(code: ErrorCode) -> bool {
    matches!(code, ErrorCode::Unavailable | ErrorCode::Internal | ErrorCode::TimedOut | ErrorCode::Cancelled)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
