//! Scrubs a replica: reads it whole, compares every chunk with its digest, and names what is wrong with it.
//!
//! A scrub goes on in steps, so that whoever runs it can pace it, and leave it between two of them. It stops at nothing:
//! a file that is cut, gone or unreadable is a fault, and the next one is read. What is published, moved or deleted
//! meanwhile is no fault.

mod fault;
mod list;

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use sp_types::{ReplicaId, ReplicaInfo};

use super::Store;
use crate::disk::{DiskFile, Entry, Metadata, PageBuffer};
use crate::error::{Doing, StoreError};
use crate::manifest::{CHUNK_BYTES, LANES, Manifest, ManifestFile, chunk_digests};
pub use fault::{ScrubFault, ScrubReason};
use list::Standing;

/// Faults that are kept of one replica: one for each file, and no directory needs to name more to be known as bad.
const FAULTS_MAX: usize = 64;

/// A scrub of one replica under way. See [`Store::scrub`].
pub struct Scrub {
    store: Store,
    replica: ReplicaId,
    /// Read with one step, a multiple of a chunk.
    run_bytes: u64,
    plan: Option<Plan>,
    open: Option<Open>,
    /// Files of a foreign replica that have been read.
    digested: Vec<ManifestFile>,
    faults: Vec<ScrubFault>,
    buffer: PageBuffer,
}

/// What is to be read.
struct Plan {
    /// How the foreign replica was when it began; none for one with a manifest.
    foreign: Option<Metadata>,
    /// Backwards, so that the next one is at the end. Without digests where there is no manifest.
    files: Vec<ManifestFile>,
}

/// The file that is being read.
struct Open {
    file: Box<dyn DiskFile>,
    expected: ManifestFile,
    /// Length on disk.
    size_bytes: u64,
    offset: u64,
    fault: Option<ScrubFault>,
}

/// What a step has done.
#[derive(Debug)]
pub enum ScrubStep {
    /// So many bytes were read; there is more.
    Read(u64),
    /// The replica has been read whole. Further steps make no sense.
    Done(Scrubbed),
}

/// What came of a scrub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scrubbed {
    /// Every byte is what the manifest says.
    Sound,
    /// It had no digests, and has them now.
    Adopted(ReplicaInfo),
    /// It has no digests, could be read, and its path is read-only: they were not kept.
    Unkept,
    /// Another one has taken its place, or it has left this store.
    Gone,
    /// These files are not what they should be; never empty.
    Faulty(Vec<ScrubFault>),
}

impl Store {
    /// A scrub of this replica, which reads so many bytes with each step (at least one chunk). Nothing is read yet.
    pub fn scrub(&self, replica: ReplicaId, run_bytes: u64) -> Scrub {
        let run_bytes = run_bytes.max(CHUNK_BYTES).next_multiple_of(CHUNK_BYTES);
        let (digested, faults, buffer) = (vec![], vec![], PageBuffer::default());
        Scrub { store: self.clone(), replica, run_bytes, plan: None, open: None, digested, faults, buffer }
    }
}

impl Scrub {
    /// Which replica.
    pub fn replica(&self) -> &ReplicaId {
        &self.replica
    }

    /// The most that the next step reads, bytes.
    pub fn next_bytes(&self) -> u64 {
        let next = self.plan.as_ref().and_then(|plan| plan.files.last());
        let rest = match (&self.open, next) {
            (Some(open), _) => open.end().saturating_sub(open.offset),
            (None, Some(next)) => next.size_bytes,
            (None, None) => 0,
        };
        rest.min(self.run_bytes)
    }

    /// Reads on. Blocks.
    pub fn step(&mut self) -> ScrubStep {
        if self.plan.is_none() {
            return match self.begin() {
                Ok(plan) => {
                    self.plan = Some(plan);
                    ScrubStep::Read(0)
                }
                Err(scrubbed) => ScrubStep::Done(scrubbed),
            };
        }
        if self.open.is_none() {
            let next = self.plan.as_mut().and_then(|plan| plan.files.pop());
            if next.is_none_or(|next| self.open_next(next).is_err()) {
                return ScrubStep::Done(self.end());
            }
        }
        let Some(mut open) = self.open.take() else { return ScrubStep::Read(0) };
        let bytes = self.read_run(&mut open);
        match open.offset < open.end() {
            true => self.open = Some(open),
            false => self.close(open),
        }
        ScrubStep::Read(bytes)
    }

    fn begin(&mut self) -> Result<Plan, Scrubbed> {
        let (store, replica) = (self.store.clone(), self.replica.clone());
        let unusable = |error: StoreError| {
            let reason = ScrubReason::Manifest(error.to_string());
            Scrubbed::Faulty(vec![ScrubFault::whole("", 1, reason)])
        };
        let _switch = store.switch_read().map_err(unusable)?;
        let place = store.layout().replica(replica.sector, replica.kind);
        match store.standing(&replica) {
            Standing::Gone => Err(Scrubbed::Gone),
            Standing::Lost => Err(Scrubbed::Faulty(vec![ScrubFault::whole("", 1, ScrubReason::Lost)])),
            Standing::Unknown(error) => Err(unusable(error)),
            Standing::Here(Some(head)) => {
                let manifest = store.read_list(replica.sector, &head).map_err(unusable)?;
                self.name_extras(&manifest, &place);
                Ok(Plan { foreign: None, files: manifest.files().iter().rev().cloned().collect() })
            }
            Standing::Here(None) => {
                let foreign = store.found(&place).map_err(unusable)?.ok_or(Scrubbed::Gone)?;
                let files = self.foreign_files(&place, foreign).map_err(unusable)?;
                Ok(Plan { foreign: Some(foreign), files })
            }
        }
    }

    /// Files of the directory that are not in the manifest. A directory that cannot be listed shows when its files are
    /// opened.
    fn name_extras(&mut self, manifest: &Manifest, place: &Path) {
        if !self.replica.kind.is_directory() {
            return;
        }
        let entries = self.store.disk().list(place).unwrap_or_default();
        let extra = |entry: &Entry| entry.is_dir || manifest.file(&entry.name).is_none();
        for entry in entries.into_iter().filter(extra).take(FAULTS_MAX) {
            self.faults.push(ScrubFault::whole(&entry.name, 1, ScrubReason::Extra));
        }
    }

    fn foreign_files(&self, place: &Path, found: Metadata) -> Result<Vec<ManifestFile>, StoreError> {
        let file = |name: String, size_bytes| ManifestFile { name, size_bytes, chunks: vec![] };
        if !self.replica.kind.is_directory() {
            return Ok(vec![file(String::new(), found.size_bytes)]);
        }
        let disk = self.store.disk();
        let mut files = Vec::new();
        for entry in disk.list(place).doing("list", place)?.into_iter().rev() {
            let path = place.join(&entry.name);
            files.push(file(entry.name, disk.metadata(&path).doing("read", &path)?.size_bytes));
        }
        Ok(files)
    }

    /// Opens a file, or says why that cannot be. Fails when it would be a file of another replica.
    fn open_next(&mut self, expected: ManifestFile) -> Result<(), ()> {
        let (store, replica) = (self.store.clone(), &self.replica);
        let path = self.path(&expected.name);
        let opened = {
            let _switch = match store.switch_read() {
                Ok(switch) => switch,
                Err(error) => {
                    let reason = ScrubReason::Unreadable(error.to_string());
                    self.add(ScrubFault::whole(&expected.name, expected.chunks.len(), reason));
                    return Ok(());
                }
            };
            if !matches!(store.standing(replica), Standing::Here(_)) {
                return Err(());
            }
            store.disk().open(&path).and_then(|file| file.size_bytes().map(|size_bytes| (file, size_bytes)))
        };
        match opened {
            Ok((file, size_bytes)) => {
                self.open = Some(Open { file, expected, size_bytes, offset: 0, fault: None });
            }
            Err(error) => {
                let reason = match error.kind() {
                    ErrorKind::NotFound => ScrubReason::Missing,
                    _ => ScrubReason::Unreadable(error.to_string()),
                };
                self.add(ScrubFault::whole(&expected.name, expected.chunks.len(), reason));
            }
        }
        Ok(())
    }

    fn path(&self, name: &str) -> PathBuf {
        let place = self.store.layout().replica(self.replica.sector, self.replica.kind);
        if name.is_empty() { place } else { place.join(name) }
    }

    fn foreign(&self) -> Option<Metadata> {
        self.plan.as_ref().and_then(|plan| plan.foreign)
    }

    /// Reads one run of a file; says how many bytes.
    fn read_run(&mut self, open: &mut Open) -> u64 {
        let (began, foreign) = (open.offset, self.foreign().is_some());
        let end = open.end().min(open.offset + self.run_bytes);
        while open.offset < end {
            let bytes = (end - open.offset).min(CHUNK_BYTES * LANES as u64) as usize;
            if self.buffer.len() < bytes {
                self.buffer = PageBuffer::new(bytes);
            }
            let buffer = &mut self.buffer[..bytes];
            match open.file.read_at(buffer, open.offset) {
                Ok(got) if got == bytes => open.digest(buffer, foreign),
                // Which of them it is.
                _ => open.read_single(buffer, foreign),
            }
            open.offset += bytes as u64;
        }
        open.offset - began
    }

    fn close(&mut self, open: Open) {
        let Open { mut expected, size_bytes, fault, .. } = open;
        let mut fault = fault;
        if self.foreign().is_none() && size_bytes != expected.size_bytes {
            let (whole, all) = (size_bytes / CHUNK_BYTES, expected.chunks.len() as u64);
            let (chunk, bad_chunks, reason) = match size_bytes < expected.size_bytes {
                true => (whole, all - whole, ScrubReason::Cut(size_bytes)),
                false => (all, 1, ScrubReason::Long(size_bytes)),
            };
            let name = expected.name.clone();
            fault.get_or_insert(ScrubFault { name, chunk, bad_chunks: 0, reason }).bad_chunks += bad_chunks;
        }
        match fault {
            Some(fault) => self.add(fault),
            None if self.foreign().is_some() => {
                expected.size_bytes = size_bytes;
                self.digested.push(expected);
            }
            None => {}
        }
    }

    fn add(&mut self, fault: ScrubFault) {
        if self.faults.len() < FAULTS_MAX {
            self.faults.push(fault);
        }
    }

    /// All has been read, or what is left is not of this replica any more.
    fn end(&mut self) -> Scrubbed {
        let faults = std::mem::take(&mut self.faults);
        let standing = match self.store.switch_read() {
            Ok(_switch) => self.store.standing(&self.replica),
            Err(error) => Standing::Unknown(error),
        };
        match (standing, self.foreign()) {
            (Standing::Gone, _) => Scrubbed::Gone,
            (Standing::Lost, _) => Scrubbed::Faulty(vec![ScrubFault::whole("", 1, ScrubReason::Lost)]),
            (Standing::Here(_) | Standing::Unknown(_), _) if !faults.is_empty() => Scrubbed::Faulty(faults),
            (Standing::Here(_), None) => Scrubbed::Sound,
            (Standing::Here(_), Some(before)) => self.adopt(before),
            (Standing::Unknown(error), _) => {
                let reason = ScrubReason::Manifest(error.to_string());
                Scrubbed::Faulty(vec![ScrubFault::whole("", 1, reason)])
            }
        }
    }

    /// Gives a foreign replica that could be read its manifest.
    fn adopt(&mut self, before: Metadata) -> Scrubbed {
        let files = std::mem::take(&mut self.digested);
        let manifest = Manifest::new(self.replica.kind, files).map_err(StoreError::from);
        let kept = manifest.and_then(|manifest| self.store.give_manifest(self.replica.sector, before, &manifest));
        match kept {
            Ok(_) if !self.store.writable() => Scrubbed::Unkept,
            Ok(info) => Scrubbed::Adopted(info),
            Err(StoreError::Missing { .. }) => Scrubbed::Gone,
            Err(error) => {
                let reason = ScrubReason::Manifest(error.to_string());
                Scrubbed::Faulty(vec![ScrubFault::whole("", 1, reason)])
            }
        }
    }
}

impl Open {
    /// Where reading ends: at the last chunk that is whole. The rest is known to be bad by its length alone.
    fn end(&self) -> u64 {
        match self.size_bytes < self.expected.size_bytes {
            true => self.size_bytes / CHUNK_BYTES * CHUNK_BYTES,
            false => self.expected.size_bytes,
        }
    }

    /// Compares chunks from the offset on, or takes their digests.
    fn digest(&mut self, bytes: &[u8], foreign: bool) {
        let digests = chunk_digests(&bytes.chunks(CHUNK_BYTES as usize).collect::<Vec<_>>());
        if foreign {
            self.expected.chunks.extend(digests);
            return;
        }
        for (chunk, digest) in (self.offset / CHUNK_BYTES..).zip(digests) {
            if self.expected.chunks.get(chunk as usize) != Some(&digest) {
                self.bad(chunk, ScrubReason::Differs);
            }
        }
    }

    /// Reads chunk by chunk what cannot be read as one.
    fn read_single(&mut self, buffer: &mut [u8], foreign: bool) {
        let began = self.offset;
        for bytes in buffer.chunks_mut(CHUNK_BYTES as usize) {
            let chunk = self.offset / CHUNK_BYTES;
            match self.file.read_at(bytes, self.offset) {
                Ok(got) if got == bytes.len() => self.digest(bytes, foreign),
                // Cut while it was read.
                Ok(got) => self.bad(chunk, ScrubReason::Cut(self.offset + got as u64)),
                Err(error) => self.bad(chunk, ScrubReason::Unreadable(error.to_string())),
            }
            self.offset += bytes.len() as u64;
        }
        self.offset = began;
    }

    fn bad(&mut self, chunk: u64, reason: ScrubReason) {
        let name = self.expected.name.clone();
        self.fault.get_or_insert(ScrubFault { name, chunk, bad_chunks: 0, reason }).bad_chunks += 1;
    }
}
