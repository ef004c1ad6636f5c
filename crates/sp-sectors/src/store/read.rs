//! Reads published replicas: their manifests and their chunks.

use std::path::PathBuf;

use sp_types::{FileKind, ReplicaId, ReplicaInfo, SectorId};

use super::Store;
use crate::disk::{DiskFile, Metadata, read_all, write_whole};
use crate::error::{Doing, StoreError};
use crate::manifest::{CHUNK_BYTES, FILES_MAX, Manifest, ManifestError, ManifestHead};
use crate::partial::Filled;

/// Longest list: a terabyte of chunks.
const LIST_BYTES_MAX: u64 = (32 << 20) + (FILES_MAX as u64) * 256;

/// A file of a published replica, open. See [`Store::open_file`].
pub struct ReplicaFile {
    file: Box<dyn DiskFile>,
    path: PathBuf,
    size_bytes: u64,
}

impl ReplicaFile {
    /// Its length, bytes.
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// Length of the chunk that starts at `offset`; refused if no chunk starts there.
    pub fn chunk_bytes(&self, offset: u64) -> Result<usize, StoreError> {
        if !offset.is_multiple_of(CHUNK_BYTES) || offset >= self.size_bytes {
            return Err(StoreError::BadOffset(offset));
        }
        Ok((self.size_bytes - offset).min(CHUNK_BYTES) as usize)
    }

    /// Reads from `offset` on until the buffer is full or the file ends; says how many bytes.
    pub fn read_chunk(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, StoreError> {
        self.file.read_at(buffer, offset).doing("read", &self.path)
    }

    /// Of an unsealed file: what it holds of its data.
    pub fn filled(&self) -> Result<Filled, StoreError> {
        let filled = Filled::read(self.size_bytes, |offset, bytes| {
            let mut part = vec![0; bytes];
            self.read_chunk(offset, &mut part).map(|_| part)
        });
        filled?.map_err(|error| StoreError::Damaged { path: self.path.clone(), reason: error.to_string() })
    }
}

impl Store {
    /// The manifest of a replica, checked against its root. A foreign replica (root zero) is read whole, gets its
    /// manifest written, and is from then on known by its root.
    pub fn manifest(&self, replica: &ReplicaId) -> Result<Manifest, StoreError> {
        {
            let _switch = self.switch_read()?;
            if let Some(head) = self.check_root(replica)? {
                return self.read_list(replica.sector, &head);
            }
        }
        self.adopt(replica.sector, replica.kind)?;
        let _switch = self.switch_read()?;
        match self.head(replica.sector, replica.kind)? {
            Some(head) => self.read_list(replica.sector, &head),
            // A read-only path cannot keep it.
            None => Manifest::of_path(self.disk(), replica.kind, &self.layout().replica(replica.sector, replica.kind)),
        }
    }

    /// Gives a foreign replica (a file that came with a Lotus path) its manifest by reading it whole. One that has a
    /// manifest is left as it is.
    pub fn adopt(&self, sector: SectorId, kind: FileKind) -> Result<ReplicaInfo, StoreError> {
        let path = self.layout().replica(sector, kind);
        let before = self.found(&path)?.ok_or(StoreError::Missing { sector, kind })?;
        if let Some(head) = self.head(sector, kind)? {
            return Ok(self.info_of(sector, &head));
        }
        let manifest = Manifest::of_path(self.disk(), kind, &path)?;
        self.give_manifest(sector, before, &manifest)
    }

    /// Writes the manifest of a foreign replica that has been read whole since it was as `before`. On a read-only path
    /// it is not kept.
    pub(super) fn give_manifest(
        &self,
        sector: SectorId,
        before: Metadata,
        manifest: &Manifest,
    ) -> Result<ReplicaInfo, StoreError> {
        let kind = manifest.kind();
        let path = self.layout().replica(sector, kind);
        let head = ManifestHead::of(manifest, self.meta().can_store);
        if !self.writable() {
            return Ok(self.info_of(sector, &head));
        }
        let _switch = self.switch_write()?;
        // A publish may have taken its place while it was read.
        if self.found(&path)?.is_none_or(|now| now != before) {
            return Err(StoreError::Missing { sector, kind });
        }
        if let Some(head) = self.head(sector, kind)? {
            return Ok(self.info_of(sector, &head));
        }
        let list = self.layout().list(sector, kind, &head.root);
        write_whole(self.disk(), &list, &manifest.encode_list()).doing("write", &list)?;
        let path = self.layout().head(sector, kind);
        write_whole(self.disk(), &path, &head.encode()).doing("write", &path)?;
        Ok(self.info_of(sector, &head))
    }

    /// One chunk of one file of a replica: the bytes from `offset` (a multiple of 1 MiB) on, at most 1 MiB. Whoever
    /// gets them compares them with the manifest.
    pub fn read_chunk(&self, replica: &ReplicaId, name: &str, offset: u64) -> Result<Vec<u8>, StoreError> {
        let file = self.open_file(replica, name)?;
        let mut chunk = vec![0; file.chunk_bytes(offset)?];
        let got = file.read_chunk(offset, &mut chunk)?;
        chunk.truncate(got);
        Ok(chunk)
    }

    /// One file of a replica, for reading several of its chunks. It stays the file of this replica, whatever is
    /// published or deleted meanwhile.
    pub fn open_file(&self, replica: &ReplicaId, name: &str) -> Result<ReplicaFile, StoreError> {
        let (sector, kind) = (replica.sector, replica.kind);
        let no_file = || StoreError::NoSuchFile { sector, kind, name: name.to_owned() };
        let place = self.layout().replica(sector, kind);
        let path = match (kind.is_directory(), name.is_empty()) {
            (false, true) => place,
            // The name came from afar: it is looked for in the directory, never used as a path by itself.
            (true, false) => {
                let entries = self.disk().list(&place).map_err(|_| StoreError::Missing { sector, kind })?;
                if !entries.iter().any(|e| e.name == name && !e.is_dir) {
                    return Err(no_file());
                }
                place.join(name)
            }
            _ => return Err(no_file()),
        };
        let file = {
            let _switch = self.switch_read()?;
            self.check_root(replica)?;
            self.disk().open(&path).doing("open", &path)?
        };
        let size_bytes = file.size_bytes().doing("read", &path)?;
        Ok(ReplicaFile { file, path, size_bytes })
    }

    /// Reads a replica whole and compares it with its manifest.
    pub fn verify(&self, replica: &ReplicaId) -> Result<(), StoreError> {
        let manifest = self.manifest(replica)?;
        manifest.verify(self.disk(), &self.layout().replica(replica.sector, replica.kind))
    }

    /// The head of the replica if it is the one that is meant; none if both are without a root.
    pub(super) fn check_root(&self, replica: &ReplicaId) -> Result<Option<ManifestHead>, StoreError> {
        let (sector, kind) = (replica.sector, replica.kind);
        if replica.store != *self.id() || !self.has_data(sector, kind)? {
            return Err(StoreError::Missing { sector, kind });
        }
        let head = self.head(sector, kind)?;
        if head.is_none() && !self.writable() {
            // It cannot be kept here which root it has; whoever reads it compares what he gets with that.
            return Ok(None);
        }
        let found = head.as_ref().map_or([0; 32], |h| h.root);
        if found != replica.root {
            let (found, wanted) = (hex::encode(found), hex::encode(replica.root));
            return Err(StoreError::OtherRoot { sector, kind, found, wanted });
        }
        Ok(head)
    }

    pub(super) fn read_list(&self, sector: SectorId, head: &ManifestHead) -> Result<Manifest, StoreError> {
        self.list_of(sector, head.kind, &head.root)
    }

    /// The list that is named after this root.
    pub(super) fn list_of(&self, sector: SectorId, kind: FileKind, root: &[u8; 32]) -> Result<Manifest, StoreError> {
        let path = self.layout().list(sector, kind, root);
        let bytes = read_all(self.disk(), &path, LIST_BYTES_MAX).doing("read", &path)?;
        let damaged = |e: ManifestError| StoreError::Damaged { path, reason: e.to_string() };
        Manifest::decode_list(kind, root, &bytes).map_err(damaged)
    }
}
