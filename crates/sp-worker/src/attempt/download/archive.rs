//! A cache that comes as a tar archive, as Lotus sends directories. Nothing of it is believed: plain files with known names
//! and possible sizes are written, once each, and anything else is refused.

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use futures_util::future::join;
use hyper::body::{Buf, Bytes};
use sp_sectors::Disk;
use sp_types::{ErrorCode, FileKind};
use tar::{Archive, EntryType};
use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::http::Answer;
use super::names::{CacheFile, Entry, entry};
use super::{Puller, cannot};
use crate::failure::Failure;

/// What an archive may have beside the bytes of its files: headers, padding, empty records at its end.
const FRAME_BYTES_MAX: u64 = 1 << 20;

/// Parts that wait to be unpacked.
const AHEAD: usize = 4;

/// Bytes that are written at once.
const WRITE_BYTES: usize = 256 << 10;

/// Which directory it is, and what may be in it.
#[derive(Debug, Clone)]
pub(super) struct Directory {
    pub(super) kind: FileKind,
    /// Name of the sector, which an archive may put before the names of its files.
    pub(super) sector: String,
    pub(super) files: Vec<CacheFile>,
}

impl Directory {
    /// No archive of it has more bytes.
    fn bytes_max(&self) -> u64 {
        FRAME_BYTES_MAX + self.files.iter().map(|file| file.size.most()).sum::<u64>()
    }
}

impl Puller<'_> {
    /// Unpacks the body into a directory that is there and empty.
    pub(super) async fn archive(&self, mut answer: Answer, to: &Path, what: &Directory) -> Result<(), Failure> {
        let (sender, receiver) = channel(AHEAD);
        let (disk, dir, directory) = (self.disk.clone(), to.to_owned(), what.clone());
        let unpacking = self.env.blocking(move || unpack(&disk, &dir, Incoming::new(receiver), &directory));
        let sending = self.send(&mut answer, sender, what.bytes_max());
        match join(sending, unpacking).await {
            // What is wrong with the source is why it cannot be unpacked.
            (Err(failure), _) => Err(failure),
            (Ok(()), unpacked) => unpacked,
        }
    }

    /// Hands the body on until it ends or nobody wants more of it.
    async fn send(&self, answer: &mut Answer, to: Sender<Bytes>, most: u64) -> Result<(), Failure> {
        let mut left = most;
        loop {
            let next = tokio::select! {
                biased;
                () = to.closed() => return Ok(()),
                next = answer.next(self.env, &self.limits) => next?,
            };
            let Some(bytes) = next else { return Ok(()) };
            let count = bytes.len() as u64;
            let too_much = || format!("its archive is longer than the {most} bytes that it may have");
            left = left.checked_sub(count).ok_or_else(|| wrong(too_much()))?;
            (self.pace)(count).await;
            if to.send(bytes).await.is_err() {
                return Ok(());
            }
        }
    }
}

/// Blocks.
fn unpack(disk: &Arc<dyn Disk>, dir: &Path, source: impl Read, what: &Directory) -> Result<(), Failure> {
    let broken = |error: io::Error| wrong(format!("its archive is none: {error}"));
    let mut seen = BTreeSet::new();
    let mut archive = Archive::new(source);
    // Raw: longer names and other extensions come as entries of their own, and are refused with them.
    for found in archive.entries().map_err(broken)?.raw(true) {
        let mut found = found.map_err(broken)?;
        let is_dir = match found.header().entry_type() {
            EntryType::Regular => false,
            EntryType::Directory => true,
            other => return Err(wrong(format!("its archive holds what is no plain file ({})", sort(other)))),
        };
        let file = match entry(&found.path_bytes(), is_dir, what.kind, &what.sector, &what.files).map_err(wrong)? {
            Entry::Directory => continue,
            Entry::File(file) => file,
        };
        if !seen.insert(file.name.clone()) {
            return Err(wrong(format!("its archive holds {} twice", file.name)));
        }
        let bytes = found.header().size().map_err(broken)?;
        file.size.check(bytes).map_err(|why| wrong(format!("{} {why}", file.name)))?;
        write(&**disk, &dir.join(&file.name), &mut found, bytes)?;
    }
    match what.files.iter().find(|file| !seen.contains(&file.name)) {
        Some(missing) => Err(Failure::new(ErrorCode::FileMissing, format!("its archive has no {}", missing.name))),
        None => Ok(()),
    }
}

fn write(disk: &dyn Disk, path: &Path, source: &mut impl Read, bytes: u64) -> Result<(), Failure> {
    let file = disk.create_new(path).map_err(cannot("create", path))?;
    let mut buffer = vec![0; WRITE_BYTES];
    let mut at = 0;
    while at < bytes {
        let room = buffer.len().min((bytes - at) as usize);
        let count = source.read(&mut buffer[..room]).map_err(|error| wrong(format!("its archive is none: {error}")))?;
        if count == 0 {
            return Err(wrong("its archive ends within a file".to_owned()));
        }
        file.write_at(&buffer[..count], at).map_err(cannot("write", path))?;
        at += count as u64;
    }
    file.sync().map_err(cannot("sync", path))
}

/// In words.
fn sort(kind: EntryType) -> &'static str {
    match kind {
        EntryType::Symlink | EntryType::Link => "a link",
        EntryType::Char | EntryType::Block | EntryType::Fifo => "a device",
        EntryType::GNULongName | EntryType::GNULongLink => "a name that is too long",
        EntryType::XHeader | EntryType::XGlobalHeader => "an extended header",
        EntryType::GNUSparse => "a file with holes",
        _ => "an entry of an unknown sort",
    }
}

fn wrong(message: String) -> Failure {
    Failure::new(ErrorCode::DigestMismatch, message)
}

/// What has come of the body, for whoever reads it in a thread.
struct Incoming {
    parts: Receiver<Bytes>,
    part: Bytes,
}

impl Incoming {
    fn new(parts: Receiver<Bytes>) -> Self {
        Self { parts, part: Bytes::new() }
    }
}

impl Read for Incoming {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.part.is_empty() {
            match self.parts.blocking_recv() {
                Some(part) => self.part = part,
                None => return Ok(0),
            }
        }
        let count = self.part.len().min(buffer.len());
        self.part.copy_to_slice(&mut buffer[..count]);
        Ok(count)
    }
}
