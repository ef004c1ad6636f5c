//! Gets the data of a piece, or a part of it: streams it aside, checks the digest of the whole, then shows it under its name.
//! A part has no digest of its own: the worker compares it with those of its file.

use std::fs::File;
use std::io::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use indicatif::ProgressBar;
use sp_proto::v1::{GetPieceReply, GetPieceRequest, ReadPieceRequest};

use super::STALL_LIMIT;
use super::progress::bytes_bar;
use crate::context::{Scheduler, data_plane, request};
use crate::error::{CommandError, Exit};

/// Transfers that may break without a byte in between before we give up.
const BREAKS_MAX: u32 = 5;

/// What to get, and where it goes.
#[derive(Debug)]
pub(crate) struct Download<'a> {
    pub(crate) number: u64,
    pub(crate) path: &'a Path,
    /// Commitment of the piece that the data is of; empty where all of the sector's is.
    pub(crate) piece: Vec<u8>,
    /// Of the data of the sector; not empty.
    pub(crate) range: Range<u64>,
    /// BLAKE2s-256 of what is to come; none for a part of a piece.
    pub(crate) digest: Option<Vec<u8>>,
}

impl Download<'_> {
    fn bytes(&self) -> u64 {
        self.range.end - self.range.start
    }
}

/// Gets it from the copy that `piece` names. A broken transfer goes on where it stopped, from whom the scheduler then names.
pub(crate) async fn receive(
    scheduler: &mut Scheduler,
    download: &Download<'_>,
    mut piece: GetPieceReply,
) -> Result<(), CommandError> {
    let mut aside = Aside::create(download.path)?;
    let bar = bytes_bar(&format!("sector {}", download.number), download.bytes());
    let mut breaks = 0;
    while aside.received_bytes < download.bytes() {
        let before = aside.received_bytes;
        let Err(failure) = stream(download, &piece, &mut aside, &bar).await else { continue };
        breaks = if aside.received_bytes > before { 1 } else { breaks + 1 };
        if breaks >= BREAKS_MAX || failure.exit == Exit::Failed {
            bar.abandon();
            return Err(failure.context(format!("cannot read the data of sector {}", download.number)));
        }
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        let ask = GetPieceRequest { number: download.number, piece: download.piece.clone() };
        // Another copy may have taken over; while nobody answers, the last one named is asked again.
        if let Ok(reply) = scheduler.get_piece(request(ask)).await {
            let reply = reply.into_inner();
            if !reply.data_url.is_empty() && reply.data_digest == piece.data_digest {
                piece = reply;
            }
        }
    }
    bar.finish_and_clear();
    if let Some(digest) = &download.digest {
        aside.check(digest)?;
    }
    aside.publish()
}

async fn stream(
    download: &Download<'_>,
    piece: &GetPieceReply,
    aside: &mut Aside,
    bar: &ProgressBar,
) -> Result<(), CommandError> {
    let mut port = data_plane(&piece.data_url).await?;
    let offset = download.range.start + aside.received_bytes;
    let ask = ReadPieceRequest {
        miner: piece.miner,
        sector: download.number,
        root: piece.root.clone(),
        offset,
        size_bytes: download.range.end - offset,
    };
    let mut chunks = port.read_piece(ask).await?.into_inner();
    while aside.received_bytes < download.bytes() {
        let at = download.range.start + aside.received_bytes;
        let broken =
            |reason: &str| CommandError::new(Exit::Unavailable, format!("{} at byte {at}: {reason}", piece.data_url));
        let chunk =
            tokio::time::timeout(STALL_LIMIT, chunks.message()).await.map_err(|_| broken("the transfer stalled"))?;
        let Some(chunk) = chunk? else { return Err(broken("the transfer ended early")) };
        if chunk.offset != at || chunk.data.len() as u64 > download.range.end - at {
            return Err(broken("it sent other bytes than asked for"));
        }
        aside.append(&chunk.data)?;
        bar.set_position(aside.received_bytes);
    }
    Ok(())
}

/// A file next to its destination that nobody sees under the final name before it is whole.
struct Aside {
    file: File,
    path: PathBuf,
    destination: PathBuf,
    digest: blake2s_simd::State,
    received_bytes: u64,
    published: bool,
}

impl Aside {
    fn create(destination: &Path) -> Result<Self, CommandError> {
        let Some(name) = destination.file_name() else {
            let text = format!("{} does not name a file", destination.display());
            return Err(CommandError::new(Exit::Usage, text));
        };
        let path = destination.with_file_name(format!(".{}.{}.part", name.to_string_lossy(), std::process::id()));
        let file = File::create(&path).with_context(|| format!("cannot create {}", path.display()))?;
        let (digest, destination) = (blake2s_simd::State::new(), destination.to_owned());
        Ok(Self { file, path, destination, digest, received_bytes: 0, published: false })
    }

    fn append(&mut self, data: &[u8]) -> Result<(), CommandError> {
        self.file.write_all(data).with_context(|| format!("cannot write {}", self.path.display()))?;
        self.digest.update(data);
        self.received_bytes += data.len() as u64;
        Ok(())
    }

    /// Compares what has come, which is all of a piece.
    fn check(&mut self, expected: &[u8]) -> Result<(), CommandError> {
        let digest = self.digest.finalize();
        if expected.is_empty() && self.received_bytes > 0 {
            return Err(CommandError::failed("the scheduler names no digest of the data, so it cannot be checked"));
        }
        if self.received_bytes > 0 && digest.as_bytes() != expected {
            let error = CommandError::failed(format!(
                "the data has digest {} where {} was sealed; {} was not written",
                digest.to_hex(),
                hex::encode(expected),
                self.destination.display()
            ));
            return Err(error.hint("the unsealed copy is damaged: `sectors release-unsealed N`, then unseal again"));
        }
        Ok(())
    }

    fn publish(&mut self) -> Result<(), CommandError> {
        let shown = self.destination.display().to_string();
        self.file.sync_all().with_context(|| format!("cannot write {shown}"))?;
        std::fs::rename(&self.path, &self.destination).with_context(|| format!("cannot rename to {shown}"))?;
        self.published = true;
        let parent = self.destination.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let directory = File::open(parent).with_context(|| format!("cannot open {}", parent.display()))?;
        Ok(directory.sync_all().with_context(|| format!("cannot write {}", parent.display()))?)
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        if !self.published {
            // Nothing more can be done about a part that cannot be removed.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
