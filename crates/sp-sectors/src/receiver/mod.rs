//! The receiving end of a fetch: takes chunks, checks each against the manifest before it writes it, resumes.
//!
//! No network here: whoever has the chunks hands them in, in any order, several threads at once. Chunks of zeros need
//! not be handed in at all: their digest says what they are, and a hole in the file reads as just that.

mod share;
mod stock;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sp_env::{CrashPoint, crash_point};
use sp_types::{FileKind, SectorId};

use crate::disk::{Disk, DiskFile, make_dirs, remove_any};
use crate::error::{Doing, StoreError};
use crate::manifest::{CHUNK_BYTES, Manifest, ManifestFile, chunk_digests};
use crate::store::{Output, WorkDir};
pub use share::{Shared, share};

/// Receives one replica into a work directory.
pub struct Receiver {
    work: WorkDir,
    sector: SectorId,
    manifest: Manifest,
    /// In the order of the manifest's files.
    stock: Vec<Mutex<Stock>>,
    /// Who writes. A file system lets one in at a time too, and the next one spins meanwhile.
    writing: Mutex<()>,
}

/// What of a file is here.
struct Stock {
    /// Per chunk: is it here and right?
    here: Vec<bool>,
    /// Chunks that are not.
    missing: usize,
    /// Open from the first write to the last.
    file: Option<Arc<dyn DiskFile>>,
}

/// Chunks that are still to come and lie next to each other in one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// File within the replica; empty for a kind that is a single file.
    pub name: String,
    /// Where the first chunk starts.
    pub offset: u64,
    /// Length of all of them.
    pub size_bytes: u64,
}

/// A chunk that has arrived.
#[derive(Debug, Clone, Copy)]
pub struct Chunk<'a> {
    /// File within the replica; empty for a kind that is a single file.
    pub name: &'a str,
    /// Where the chunk starts.
    pub offset: u64,
    /// All of its bytes.
    pub bytes: &'a [u8],
}

/// A chunk was refused, or could not be kept.
#[derive(Debug, thiserror::Error)]
pub enum ReceiveError {
    /// The manifest names no such file.
    #[error("the manifest has no file `{0}`")]
    UnknownFile(String),
    /// No chunk of this file starts there.
    #[error("file `{name}` has no chunk at byte {offset}")]
    NoChunk {
        /// Which file.
        name: String,
        /// The offset that came.
        offset: u64,
    },
    /// The chunk has another length.
    #[error("file `{name}`, byte {offset}: {got} bytes came, {wanted} are right")]
    WrongLength {
        /// Which file.
        name: String,
        /// Start of the chunk.
        offset: u64,
        /// Length that came.
        got: usize,
        /// Length of the chunk.
        wanted: usize,
    },
    /// The bytes are not those of the manifest.
    #[error("file `{name}`, byte {offset}: the digest differs from the manifest; fetch the chunk again, or elsewhere")]
    WrongDigest {
        /// Which file.
        name: String,
        /// Start of the chunk.
        offset: u64,
    },
    /// Chunks are missing.
    #[error("{0} chunks are still missing")]
    Incomplete(usize),
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Receiver {
    /// Starts, or goes on: chunks that are there already are checked and kept, anything else that is there goes. A file
    /// that has a second name elsewhere is kept only if it is whole and right, and is never written to.
    pub fn open(work: &WorkDir, sector: SectorId, manifest: Manifest) -> Result<Self, ReceiveError> {
        let receiver = Self { work: work.clone(), sector, manifest, stock: Vec::new(), writing: Mutex::new(()) };
        let target = receiver.target();
        let disk = receiver.disk();
        let holder = if receiver.kind().is_directory() { Some(target.as_path()) } else { target.parent() };
        if receiver.kind().is_directory() && disk.metadata(&target).is_ok_and(|found| !found.is_dir) {
            remove_any(disk, &target).doing("remove", &target)?;
        }
        if let Some(dir) = holder {
            make_dirs(disk, dir).doing("create", dir)?;
        }
        if receiver.kind().is_directory() {
            for entry in disk.list(&target).doing("list", &target)? {
                if entry.is_dir || receiver.manifest.file(&entry.name).is_none() {
                    let path = target.join(&entry.name);
                    remove_any(disk, &path).doing("remove", &path)?;
                }
            }
        }
        let take = |file: &ManifestFile| stock::take(disk, &file_path(&target, file), file).map(Mutex::new);
        let stock = receiver.manifest.files().iter().map(take).collect::<Result<_, _>>()?;
        Ok(Self { stock, ..receiver })
    }

    /// The manifest that it fills.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// What is still to come, in order, as few stretches as it can be told in.
    pub fn missing(&self) -> Vec<Missing> {
        let mut missing: Vec<Missing> = Vec::new();
        for (file, stock) in self.manifest.files().iter().zip(&self.stock) {
            let (stock, first) = (lock(stock), missing.len());
            for (at, _) in stock.here.iter().enumerate().filter(|(_, here)| !**here) {
                let offset = at as u64 * CHUNK_BYTES;
                let size_bytes = (file.size_bytes - offset).min(CHUNK_BYTES);
                match missing[first..].last_mut().filter(|last| last.offset + last.size_bytes == offset) {
                    Some(last) => last.size_bytes += size_bytes,
                    None => missing.push(Missing { name: file.name.clone(), offset, size_bytes }),
                }
            }
        }
        missing
    }

    /// Takes one whole chunk. Nothing is written unless it is exactly what the manifest says.
    pub fn write(&self, name: &str, offset: u64, bytes: &[u8]) -> Result<(), ReceiveError> {
        self.write_many(&[Chunk { name, offset, bytes }]).pop().unwrap_or(Ok(()))
    }

    /// Takes whole chunks, each of which is written if it is exactly what the manifest says, whatever the others are.
    /// What became of each, in order. Digests several at once, so many chunks in one call cost less.
    pub fn write_many(&self, chunks: &[Chunk<'_>]) -> Vec<Result<(), ReceiveError>> {
        let places: Vec<_> = chunks.iter().map(|chunk| self.place(chunk)).collect();
        let fitting = chunks.iter().zip(&places).filter(|(_, place)| place.is_ok());
        let digests = chunk_digests(&fitting.map(|(chunk, _)| chunk.bytes).collect::<Vec<_>>());
        let mut digests = digests.into_iter();
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut keep = |(chunk, place): (&Chunk<'_>, Result<(usize, usize), ReceiveError>)| {
            let (file, at) = place?;
            let right = digests.next() == Some(self.manifest.files()[file].chunks[at]);
            let (name, offset) = (chunk.name, chunk.offset);
            if right {
                self.keep(file, at, chunk)
            } else {
                Err(ReceiveError::WrongDigest { name: name.to_owned(), offset })
            }
        };
        chunks.iter().zip(places).map(&mut keep).collect()
    }

    /// Which file and which of its chunks it claims to be.
    fn place(&self, chunk: &Chunk<'_>) -> Result<(usize, usize), ReceiveError> {
        let (offset, owned) = (chunk.offset, || chunk.name.to_owned());
        let file = self.manifest.files().binary_search_by(|f| f.name.as_str().cmp(chunk.name));
        let file = file.map_err(|_| ReceiveError::UnknownFile(owned()))?;
        let wanted = self.manifest.files()[file].chunk_bytes(offset);
        let wanted = wanted.ok_or_else(|| ReceiveError::NoChunk { name: owned(), offset })?;
        if chunk.bytes.len() != wanted {
            return Err(ReceiveError::WrongLength { name: owned(), offset, got: chunk.bytes.len(), wanted });
        }
        Ok((file, (offset / CHUNK_BYTES) as usize))
    }

    /// Writes a chunk that has been checked. What is here already is not written again.
    fn keep(&self, file: usize, at: usize, chunk: &Chunk<'_>) -> Result<(), ReceiveError> {
        let path = file_path(&self.target(), &self.manifest.files()[file]);
        let handle = {
            let mut stock = lock(&self.stock[file]);
            if stock.here[at] {
                return Ok(());
            }
            match &stock.file {
                Some(handle) => handle.clone(),
                None => {
                    let handle: Arc<dyn DiskFile> = self.disk().open_write(&path).doing("open", &path)?.into();
                    stock.file = Some(handle.clone());
                    handle
                }
            }
        };
        handle.write_at(chunk.bytes, chunk.offset).doing("write", &path)?;
        crash_point(CrashPoint::WorkerMidFetch);
        lock(&self.stock[file]).arrived(at);
        Ok(())
    }

    /// Says that all chunks are here. What it returns is ready for [`crate::Store::publish_outputs`] (as a copy that
    /// does not count; set `primary` for a move) as long as nobody changes it in the work directory.
    pub fn finish(&self) -> Result<Output, ReceiveError> {
        match self.stock.iter().map(|stock| lock(stock).missing).sum() {
            0 => {
                let kind = self.kind();
                let manifest = Some(self.manifest.clone());
                Ok(Output { sector: self.sector, kind, primary: false, origin: None, manifest })
            }
            missing => Err(ReceiveError::Incomplete(missing)),
        }
    }

    fn kind(&self) -> FileKind {
        self.manifest.kind()
    }

    fn disk(&self) -> &dyn Disk {
        self.work.store().disk()
    }

    fn target(&self) -> PathBuf {
        self.work.path(self.sector, self.kind())
    }
}

impl Stock {
    fn arrived(&mut self, at: usize) {
        if !std::mem::replace(&mut self.here[at], true) {
            self.missing -= 1;
        }
        if self.missing == 0 {
            self.file = None;
        }
    }
}

fn file_path(target: &Path, file: &ManifestFile) -> PathBuf {
    if file.name.is_empty() { target.to_owned() } else { target.join(&file.name) }
}

fn lock(stock: &Mutex<Stock>) -> MutexGuard<'_, Stock> {
    // What it says is true whenever it is let go: a panic elsewhere changes nothing.
    stock.lock().unwrap_or_else(PoisonError::into_inner)
}
