//! The receiving end of a fetch: takes chunks, checks each against the manifest before it writes it, resumes.
//!
//! No network here: whoever has the chunks hands them in, in any order.

use std::path::{Path, PathBuf};

use sp_types::{FileKind, SectorId};

use crate::disk::{Disk, make_dirs, remove_any};
use crate::error::{Doing, StoreError};
use crate::manifest::{CHUNK_BYTES, Manifest, ManifestFile, chunk_digest};
use crate::store::{Output, WorkDir};

/// Receives one replica into a work directory.
pub struct Receiver {
    work: WorkDir,
    sector: SectorId,
    manifest: Manifest,
    /// Per file, per chunk: is it here and right?
    here: Vec<Vec<bool>>,
}

/// A chunk that is still to come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingChunk {
    /// File within the replica; empty for a kind that is a single file.
    pub name: String,
    /// Where the chunk starts.
    pub offset: u64,
    /// Its length.
    pub size_bytes: usize,
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
    /// Starts, or goes on: chunks that are there already are checked and kept, anything else that is there goes.
    pub fn open(work: &WorkDir, sector: SectorId, manifest: Manifest) -> Result<Self, ReceiveError> {
        let receiver = Self { work: work.clone(), sector, manifest, here: Vec::new() };
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
        let here = receiver.manifest.files().iter().map(|file| receiver.take_stock(file)).collect::<Result<_, _>>()?;
        Ok(Self { here, ..receiver })
    }

    /// The manifest that it fills.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The chunks that are still to come, in order.
    pub fn missing(&self) -> impl Iterator<Item = MissingChunk> + '_ {
        self.manifest.files().iter().zip(&self.here).flat_map(|(file, here)| {
            here.iter().enumerate().filter(|(_, here)| !**here).map(|(at, _)| {
                let offset = at as u64 * CHUNK_BYTES;
                let size_bytes = (file.size_bytes - offset).min(CHUNK_BYTES) as usize;
                MissingChunk { name: file.name.clone(), offset, size_bytes }
            })
        })
    }

    /// Takes one whole chunk. Nothing is written unless it is exactly what the manifest says.
    pub fn write(&mut self, name: &str, offset: u64, bytes: &[u8]) -> Result<(), ReceiveError> {
        let owned = || name.to_owned();
        let at = self.manifest.files().iter().position(|f| f.name == name);
        let at = at.ok_or_else(|| ReceiveError::UnknownFile(owned()))?;
        let file = &self.manifest.files()[at];
        let wanted = file.chunk_bytes(offset).ok_or_else(|| ReceiveError::NoChunk { name: owned(), offset })?;
        if bytes.len() != wanted {
            return Err(ReceiveError::WrongLength { name: owned(), offset, got: bytes.len(), wanted });
        }
        let chunk = (offset / CHUNK_BYTES) as usize;
        if file.chunks[chunk] != chunk_digest(bytes) {
            return Err(ReceiveError::WrongDigest { name: owned(), offset });
        }
        let path = self.file_path(file);
        self.disk().open_write(&path).and_then(|f| f.write_at(bytes, offset)).doing("write", &path)?;
        self.here[at][chunk] = true;
        Ok(())
    }

    /// Says that all chunks are here. What it returns is ready for [`crate::Store::publish_outputs`] (as a copy that
    /// does not count; set `primary` for a move) as long as nobody changes it in the work directory.
    pub fn finish(self) -> Result<Output, ReceiveError> {
        match self.missing().count() {
            0 => {
                let kind = self.kind();
                Ok(Output { sector: self.sector, kind, primary: false, manifest: Some(self.manifest) })
            }
            missing => Err(ReceiveError::Incomplete(missing)),
        }
    }

    /// Which chunks of a file are there and right. Creates the file; one that is too long starts over.
    fn take_stock(&self, file: &ManifestFile) -> Result<Vec<bool>, StoreError> {
        let path = self.file_path(file);
        let found = self.disk().metadata(&path);
        if found.as_ref().is_ok_and(|m| m.is_dir || m.size_bytes > file.size_bytes) {
            remove_any(self.disk(), &path).doing("remove", &path)?;
        }
        let content = match self.disk().open(&path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                self.disk().create_new(&path).doing("create", &path)?;
                return Ok(vec![false; file.chunks.len()]);
            }
            other => other.doing("open", &path)?,
        };
        let mut buffer = vec![0; CHUNK_BYTES.min(file.size_bytes) as usize];
        let mut here = Vec::with_capacity(file.chunks.len());
        for (at, digest) in file.chunks.iter().enumerate() {
            let offset = at as u64 * CHUNK_BYTES;
            let wanted = (file.size_bytes - offset).min(CHUNK_BYTES) as usize;
            let got = content.read_at(&mut buffer[..wanted], offset).doing("read", &path)?;
            here.push(got == wanted && chunk_digest(&buffer[..wanted]) == *digest);
        }
        Ok(here)
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

    fn file_path(&self, file: &ManifestFile) -> PathBuf {
        let target = self.target();
        if file.name.is_empty() { target } else { Path::new(&target).join(&file.name) }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use super::*;
    use crate::disk::{Loss, MemDisk};
    use crate::store::Store;
    use crate::store_meta::StoreMeta;

    const SECTOR: SectorId = SectorId { miner: 1000, number: 1 };

    /// A store with a published cache of three files, and an empty store.
    fn two_stores(disk: &MemDisk) -> (Store, sp_types::ReplicaId, Store) {
        let open = |name: &str| {
            let meta = StoreMeta::new(&sp_types::StoreId::new(name).unwrap(), true, false);
            Store::init(Arc::new(disk.clone()), &Path::new("/").join(name), &meta).unwrap()
        };
        let (from, to) = (open("from"), open("to"));
        let work = from.work("1.1".parse().unwrap()).unwrap();
        let cache = work.path(SECTOR, FileKind::Cache);
        disk.create_dir_all(&cache).unwrap();
        for (name, size) in [("empty", 0), ("p_aux", 64), ("layer-1.dat", (2 << 20) + 9)] {
            let content: Vec<u8> = (0..size).map(|i| (i / 7) as u8).collect();
            disk.create_new(&cache.join(name)).unwrap().write_at(&content, 0).unwrap();
        }
        let id = from.publish(work.attempt(), &[(SECTOR, FileKind::Cache)]).unwrap().remove(0).id;
        (from, id, to)
    }

    #[test]
    fn a_replica_arrives_chunk_by_chunk_and_resumes_after_a_crash() {
        let disk = MemDisk::default();
        let (from, id, to) = two_stores(&disk);
        let (attempt, manifest) = ("2.1".parse().unwrap(), from.manifest(&id).unwrap());
        let mut receiver = Receiver::open(&to.work(attempt).unwrap(), SECTOR, manifest.clone()).unwrap();
        let missing: Vec<_> = receiver.missing().collect();
        assert_eq!(missing.len(), 4);
        let first = &missing[0];
        receiver.write(&first.name, first.offset, &from.read_chunk(&id, &first.name, first.offset).unwrap()).unwrap();
        assert!(matches!(receiver.finish(), Err(ReceiveError::Incomplete(3))));

        disk.crash(Loss::Nothing);
        let to = Store::open(Arc::new(disk.clone()), Path::new("/to"), &BTreeSet::from([attempt])).unwrap();
        let work = to.work(attempt).unwrap();
        let stray = work.path(SECTOR, FileKind::Cache).join("stray");
        disk.create_new(&stray).unwrap();
        let mut receiver = Receiver::open(&work, SECTOR, manifest.clone()).unwrap();
        let missing: Vec<_> = receiver.missing().collect();
        assert_eq!((missing.len(), missing.contains(first)), (3, false));
        for MissingChunk { name, offset, size_bytes } in missing {
            let chunk = from.read_chunk(&id, &name, offset).unwrap();
            assert_eq!(chunk.len(), size_bytes);
            receiver.write(&name, offset, &chunk).unwrap();
        }
        let output = receiver.finish().unwrap();
        let info = to.publish_outputs(attempt, &[output]).unwrap().remove(0);
        assert_eq!((info.id.root, info.primary), (id.root, false));
        to.verify(&info.id).unwrap();
    }

    #[test]
    fn whatever_is_not_the_manifests_is_refused() {
        let disk = MemDisk::default();
        let (from, id, to) = two_stores(&disk);
        let work = to.work("2.1".parse().unwrap()).unwrap();
        let mut receiver = Receiver::open(&work, SECTOR, from.manifest(&id).unwrap()).unwrap();
        let good = from.read_chunk(&id, "p_aux", 0).unwrap();
        let mut bad = good.clone();
        bad[3] ^= 1;
        assert!(matches!(receiver.write("p_aux", 0, &bad), Err(ReceiveError::WrongDigest { .. })));
        bad.push(0);
        assert!(matches!(receiver.write("p_aux", 0, &bad), Err(ReceiveError::WrongLength { got: 65, wanted: 64, .. })));
        assert!(matches!(receiver.write("p_aux", 0, &good[..63]), Err(ReceiveError::WrongLength { .. })));
        for offset in [1, 64, CHUNK_BYTES, u64::MAX] {
            assert!(matches!(receiver.write("p_aux", offset, &good), Err(ReceiveError::NoChunk { .. })), "{offset}");
        }
        assert!(matches!(receiver.write("empty", 0, b"x"), Err(ReceiveError::NoChunk { .. })));
        for name in ["../p_aux", "/p_aux", "", "other"] {
            assert!(matches!(receiver.write(name, 0, &good), Err(ReceiveError::UnknownFile(_))), "{name}");
        }
        assert_eq!(receiver.missing().count(), 4, "nothing was kept");
        receiver.write("p_aux", 0, &good).unwrap();
        assert_eq!(receiver.missing().count(), 3);
    }

    #[test]
    fn bytes_that_rotted_while_it_was_away_are_fetched_again() {
        let disk = MemDisk::default();
        let (from, id, to) = two_stores(&disk);
        let (work, manifest) = (to.work("2.1".parse().unwrap()).unwrap(), from.manifest(&id).unwrap());
        let mut receiver = Receiver::open(&work, SECTOR, manifest.clone()).unwrap();
        for chunk in receiver.missing().collect::<Vec<_>>() {
            receiver
                .write(&chunk.name, chunk.offset, &from.read_chunk(&id, &chunk.name, chunk.offset).unwrap())
                .unwrap();
        }
        let layer = work.path(SECTOR, FileKind::Cache).join("layer-1.dat");
        disk.open_write(&layer).unwrap().write_at(b"?", CHUNK_BYTES + 5).unwrap();
        let aux = work.path(SECTOR, FileKind::Cache).join("p_aux");
        disk.open_write(&aux).unwrap().write_at(b"longer", 64).unwrap();
        let receiver = Receiver::open(&work, SECTOR, manifest).unwrap();
        let missing: Vec<_> = receiver.missing().map(|c| (c.name, c.offset)).collect();
        assert_eq!(missing, [("layer-1.dat".to_owned(), CHUNK_BYTES), ("p_aux".to_owned(), 0)]);
    }
}
