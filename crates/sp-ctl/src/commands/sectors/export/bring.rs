//! Brings one file of a sector from the data ports that have it into a work directory. Every chunk is compared with the
//! manifest before it is written; when a source breaks off or lies, the next one goes on from there.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use indicatif::ProgressBar;
use sp_proto::v1::{self, FileChunk, ReadFileRequest};
use sp_sectors::{Manifest, Missing, Output, Receiver, WorkDir};
use sp_types::{FileKind, SectorId, StoreId};
use tonic::Streaming;

use super::plan::{Source, UNREAD, Wanted, find_again};
use super::writer::Writer;
use super::{manifest, place};
use crate::context::{DataPlane, Scheduler, data_plane};
use crate::error::{CommandError, Exit};
use crate::transfer::STALL_LIMIT;

/// Rounds through all sources without a byte in between before we give up: with the waits below about a minute, enough for a
/// worker to be started again.
const ROUNDS_MAX: u32 = 10;

/// Longest wait between two rounds.
const WAIT_MAX: Duration = Duration::from_secs(8);

/// What one source did not bring.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The fault is here: no other source helps.
    Ours(CommandError),
    /// What it sent is not what was asked for.
    Wrong(String),
    /// It broke off, or does not have it (any more).
    Away(String),
}

/// One file of a sector on its way.
pub(super) struct Bringing<'a> {
    pub(super) work: &'a WorkDir,
    pub(super) sector: SectorId,
    pub(super) bar: &'a ProgressBar,
    wanted: Wanted,
    /// Kept from source to source, so that nothing comes twice.
    receiver: Option<Arc<Receiver>>,
    from: BTreeSet<StoreId>,
    /// It lies at its place already, of an earlier export.
    is_there: bool,
}

/// A file that is whole.
pub(super) struct Brought {
    /// None: it lay at its place already.
    pub(super) output: Option<Output>,
    pub(super) kind: FileKind,
    pub(super) root: [u8; 32],
    pub(super) size_bytes: u64,
    pub(super) from: BTreeSet<StoreId>,
}

impl<'a> Bringing<'a> {
    pub(super) fn new(work: &'a WorkDir, sector: SectorId, wanted: Wanted, bar: &'a ProgressBar) -> Self {
        Self { work, sector, bar, wanted, receiver: None, from: BTreeSet::new(), is_there: false }
    }

    /// Goes on until it is whole, or no source brings more of it.
    pub(super) async fn all(mut self, scheduler: &mut Scheduler) -> Result<Brought, CommandError> {
        let mut fruitless = 0;
        loop {
            let before = self.left_bytes();
            let Some(troubles) = self.round().await? else { return self.finish() };
            if self.left_bytes() < before {
                fruitless = 0;
            } else {
                fruitless += 1;
                let is_hopeless = troubles.iter().all(|(_, trouble)| matches!(trouble, Trouble::Wrong(_)));
                if is_hopeless || fruitless >= ROUNDS_MAX {
                    return Err(self.gave_up(troubles));
                }
                tokio::time::sleep(Duration::from_secs(1 << fruitless.min(4)).min(WAIT_MAX)).await;
            }
            self.find_again(scheduler).await;
        }
    }

    fn left_bytes(&self) -> u64 {
        let missing = |receiver: &Arc<Receiver>| receiver.missing().iter().map(|missing| missing.size_bytes).sum();
        self.receiver.as_ref().map_or(u64::MAX, missing)
    }

    /// Asks every source until nothing is missing; else what went wrong with each.
    async fn round(&mut self) -> Result<Option<Vec<(Source, Trouble)>>, CommandError> {
        let mut troubles = Vec::new();
        for source in self.wanted.sources.clone() {
            match self.from(&source).await {
                Ok(()) => return Ok(None),
                Err(Trouble::Ours(failure)) => return Err(failure),
                Err(trouble) => troubles.push((source, trouble)),
            }
        }
        Ok(Some(troubles))
    }

    /// Brings from this source what is still missing.
    async fn from(&mut self, source: &Source) -> Result<(), Trouble> {
        let mut port = data_plane(&source.data_url).await.map_err(|failure| Trouble::Away(failure.line()))?;
        let Some(receiver) = self.receiver_for(&mut port, source).await? else { return Ok(()) };
        for stretch in receiver.missing() {
            self.stretch(&mut port, source, &receiver, stretch).await?;
        }
        Ok(())
    }

    /// What takes the chunks of this source; none if the file is at its place already. A source whose copy nobody has read
    /// whole has to say first what that is.
    async fn receiver_for(&mut self, port: &mut DataPlane, source: &Source) -> Result<Option<Arc<Receiver>>, Trouble> {
        let root = self.receiver.as_ref().map_or(self.wanted.root, |receiver| receiver.manifest().root());
        if let Some(receiver) = self.receiver.as_ref().filter(|_| source.root == root) {
            return Ok(Some(receiver.clone()));
        }
        let manifest = manifest::read(port, source, self.sector, self.wanted.kind, root).await?;
        if self.receiver.is_none() {
            self.open(manifest).await?;
        }
        Ok(self.receiver.clone())
    }

    async fn open(&mut self, manifest: Manifest) -> Result<(), Trouble> {
        let (work, sector) = (self.work.clone(), self.sector);
        (self.wanted.root, self.wanted.size_bytes) = (manifest.root(), manifest.size_bytes());
        self.is_there = place::has(work.store(), sector, manifest.kind(), manifest.root()).map_err(Trouble::Ours)?;
        if self.is_there {
            return Ok(());
        }
        let opening = tokio::task::spawn_blocking(move || Receiver::open(&work, sector, manifest));
        let receiver = opening.await.map_err(|error| Trouble::Ours(CommandError::failed(error.to_string())))?;
        self.receiver = Some(Arc::new(receiver.map_err(|e| Trouble::Ours(anyhow::Error::new(e).into()))?));
        // Zeros are there without being sent.
        self.bar.inc(self.wanted.size_bytes.saturating_sub(self.left_bytes()));
        Ok(())
    }

    async fn stretch(
        &mut self,
        port: &mut DataPlane,
        source: &Source,
        receiver: &Arc<Receiver>,
        stretch: Missing,
    ) -> Result<(), Trouble> {
        let Missing { name, offset, size_bytes } = stretch;
        let mut writer = Writer::new(receiver, &name, self.bar);
        let replica = replica(source, self.sector, self.wanted.kind, receiver.manifest().root());
        let ask = ReadFileRequest { replica: Some(replica), attempt: None, name, offset, size_bytes, urgent: false };
        let mut chunks = within(port.read_file(ask)).await?.into_inner();
        let (mut at, end) = (offset, offset + size_bytes);
        let mut came = Ok(());
        while at < end && came.is_ok() {
            came = match next(&mut chunks, at, end).await {
                Ok(chunk) => {
                    at += chunk.data.len() as u64;
                    writer.push(chunk).await
                }
                Err(trouble) => Err(trouble),
            };
        }
        // What has come before it broke off counts.
        let kept = writer.flush().await;
        if writer.has_written {
            self.from.insert(source.store.clone());
        }
        came.and(kept)
    }

    /// The file may have been moved since, or its worker have come back. While nobody knows, those of before are asked again.
    async fn find_again(&mut self, scheduler: &mut Scheduler) {
        let Ok(Some(now)) = find_again(scheduler, self.sector, self.wanted.kind).await else { return };
        if [now.root, UNREAD].contains(&self.wanted.root) || now.root == UNREAD {
            self.wanted.sources = now.sources;
        }
    }

    fn finish(self) -> Result<Brought, CommandError> {
        let Wanted { kind, root, size_bytes, .. } = self.wanted;
        let output = match &self.receiver {
            Some(receiver) => {
                let output = receiver.finish().map_err(anyhow::Error::new)?;
                // The only copy where it is taken.
                Some(Output { primary: true, ..output })
            }
            None => None,
        };
        Ok(Brought { output, kind, root, size_bytes, from: self.from })
    }

    fn gave_up(&self, troubles: Vec<(Source, Trouble)>) -> CommandError {
        let is_wrong = troubles.iter().any(|(_, trouble)| matches!(trouble, Trouble::Wrong(_)));
        let reason = |(source, trouble): (Source, Trouble)| {
            let what = match trouble {
                Trouble::Wrong(what) | Trouble::Away(what) => what,
                Trouble::Ours(failure) => failure.line(),
            };
            format!("path {} ({}): {what}", source.store, source.data_url)
        };
        let reasons: Vec<String> = troubles.into_iter().map(reason).collect();
        let (kind, number) = (self.wanted.kind, self.sector.number);
        let text = format!("no path gives a good {kind} file of sector {number}: {}", reasons.join("; "));
        match is_wrong {
            true => CommandError::failed(text).hint(
                "attach a path that has a good copy and export again; `sp-ctl storage scrub --store ID` finds all that is \
                 wrong on a path",
            ),
            false => CommandError::new(Exit::Unavailable, text)
                .hint("export again when the workers that have it are back; what is there whole is not read again"),
        }
    }
}

/// The next whole chunk of a stretch.
async fn next(chunks: &mut Streaming<FileChunk>, at: u64, end: u64) -> Result<FileChunk, Trouble> {
    let chunk = within(chunks.message()).await?;
    let chunk = chunk.ok_or_else(|| Trouble::Away(format!("the transfer ended early, at byte {at}")))?;
    let size_bytes = chunk.data.len() as u64;
    if chunk.offset != at || size_bytes == 0 || size_bytes > end - at {
        return Err(Trouble::Wrong(format!("at byte {at} it sent other bytes than asked for")));
    }
    Ok(chunk)
}

/// The copy that a source is asked for. A root of zero: nobody has read it whole.
pub(super) fn replica(source: &Source, sector: SectorId, kind: FileKind, root: [u8; 32]) -> v1::Replica {
    v1::Replica {
        miner: sector.miner,
        sector: sector.number,
        kind: v1::FileKind::from(kind) as i32,
        store: source.store.to_string(),
        root: if root == UNREAD { vec![] } else { root.to_vec() },
        ..v1::Replica::default()
    }
}

/// A call or the next message of a stream, with a bound on the silence.
pub(super) async fn within<T>(future: impl Future<Output = Result<T, tonic::Status>>) -> Result<T, Trouble> {
    let silent = |_| Trouble::Away(format!("it has been silent for {} s", STALL_LIMIT.as_secs()));
    Ok(tokio::time::timeout(STALL_LIMIT, future).await.map_err(silent)??)
}

impl From<tonic::Status> for Trouble {
    fn from(status: tonic::Status) -> Self {
        Self::Away(CommandError::from(status).line())
    }
}
