//! FUS: makes an unsealed file that holds only some ranges out of one that holds them, in steps. The other one is only read.

use std::ops::Range;
use std::path::PathBuf;

use sp_types::ReplicaId;

use super::{ReplicaFile, Store, WorkDir};
use crate::disk::{DiskFile, PageBuffer, remove_any};
use crate::error::{Doing, StoreError};
use crate::manifest::{CHUNK_BYTES, Manifest, ManifestError, chunk_digest};
use crate::partial::Filled;

/// Chunks of one step: so long nobody can stop it.
const STEP_CHUNKS: u64 = 16;

/// A file that is being made. What is not kept is never written and stays a hole.
pub struct Cut {
    from: ReplicaFile,
    manifest: Manifest,
    to: Box<dyn DiskFile>,
    path: PathBuf,
    kept: Filled,
    /// Where it is, in bytes of the padded file.
    at: u64,
}

impl Store {
    /// Begins to make an unsealed file of these ranges, in bytes of the padded file, in a work directory, in place of what
    /// may be there. Refused unless the replica, which lies in this store, holds all of them. A foreign one is read whole
    /// first: what is kept must be what was there.
    pub fn cut(&self, replica: &ReplicaId, keep: Vec<Range<u64>>, work: &WorkDir) -> Result<Cut, StoreError> {
        let (sector, kind) = (replica.sector, replica.kind);
        let manifest = self.manifest(replica)?;
        let from = self.open_file(&ReplicaId { root: manifest.root(), ..replica.clone() }, "")?;
        let filled = from.filled()?;
        let damaged = |reason: String| StoreError::Damaged { path: self.replica_path(sector, kind), reason };
        let kept = Filled::of(filled.data_bytes(), keep).map_err(|error| damaged(error.to_string()))?;
        if let Some(missing) = kept.ranges().iter().find_map(|range| filled.first_missing(range)) {
            return Err(StoreError::NotHeld { sector, from: missing.start, until: missing.end });
        }
        let (disk, path) = (work.store().disk(), work.path(sector, kind));
        remove_any(disk, &path).doing("remove", &path)?;
        let to = disk.create_new(&path).doing("create", &path)?;
        to.set_size(kept.data_bytes()).doing("extend", &path)?;
        Ok(Cut { from, manifest, to, path, kept, at: 0 })
    }
}

impl Cut {
    /// Copies some more, each byte compared with the digest of its chunk. True: the file is whole and durable.
    pub fn step(&mut self) -> Result<bool, StoreError> {
        for _ in 0..STEP_CHUNKS {
            let Some(part) = self.next() else { return self.finish().map(|()| true) };
            self.copy(part)?;
        }
        Ok(false)
    }

    /// How much of it is done, 0 to 1.
    pub fn fraction(&self) -> f64 {
        self.at as f64 / self.kept.data_bytes() as f64
    }

    /// The next part that is kept and lies within one chunk.
    fn next(&self) -> Option<Range<u64>> {
        let range = self.kept.ranges().iter().find(|range| range.end > self.at)?;
        let start = range.start.max(self.at);
        let chunk_end = (start / CHUNK_BYTES + 1) * CHUNK_BYTES;
        Some(start..range.end.min(chunk_end))
    }

    fn copy(&mut self, part: Range<u64>) -> Result<(), StoreError> {
        let start = part.start / CHUNK_BYTES * CHUNK_BYTES;
        let mut chunk = PageBuffer::new(self.from.chunk_bytes(start)?);
        let got = self.from.read_chunk(start, &mut chunk)?;
        let expected = self.manifest.files().first().and_then(|f| f.chunks.get((start / CHUNK_BYTES) as usize));
        if expected != Some(&chunk_digest(&chunk[..got])) {
            return Err(ManifestError::Differs { name: String::new(), offset: start }.into());
        }
        let bytes = &chunk[(part.start - start) as usize..(part.end - start) as usize];
        self.to.write_at(bytes, part.start).doing("write", &self.path)?;
        self.at = part.end;
        Ok(())
    }

    fn finish(&mut self) -> Result<(), StoreError> {
        self.at = self.kept.data_bytes();
        self.to.write_at(&self.kept.trailer(), self.at).doing("write", &self.path)?;
        self.to.sync().doing("sync", &self.path)
    }
}
