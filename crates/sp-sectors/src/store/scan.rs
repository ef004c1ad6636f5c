//! Reads what a store holds from its directories, and removes what nobody needs.

use std::collections::BTreeSet;

use sp_types::{AttemptId, FileKind, ReplicaId, ReplicaInfo, SectorId, Soundness};

use super::Store;
use crate::disk::{Entry, read_all, remove_any, write_whole};
use crate::error::{Doing, StoreError};
use crate::manifest::{HEAD_BYTES_MAX, ManifestHead};

/// What lies in a store.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Listed {
    /// Every replica that could be looked at.
    pub replicas: Vec<ReplicaInfo>,
    /// Where something lies whose manifest cannot be read: nothing can be said of it, and it is not gone.
    pub unread: Vec<(SectorId, FileKind)>,
}

impl Store {
    /// Every replica in this store, from the manifest heads. Files of a Lotus path that nobody has read whole yet have
    /// no head: they are listed with a root of zero, primary if the path is CanStore.
    pub fn replicas(&self) -> Result<Vec<ReplicaInfo>, StoreError> {
        Ok(self.list()?.replicas)
    }

    /// The same, and what cannot be listed: one file that cannot be read keeps none of the others from being known. An
    /// error when nothing at all can be read.
    pub fn list(&self) -> Result<Listed, StoreError> {
        let _switch = self.switch_read()?;
        let (mut listed, mut failure) = (Listed::default(), None);
        for kind in FileKind::ALL {
            for sector in self.sectors(kind)? {
                match self.replica_info(sector, kind) {
                    Ok(found) => listed.replicas.extend(found),
                    Err(error) => {
                        tracing::error!(store = %self.id(), %sector, %kind, %error, "a file cannot be listed");
                        listed.unread.push((sector, kind));
                        failure = Some(error).filter(|error| matches!(error, StoreError::Io { .. })).or(failure);
                    }
                }
            }
        }
        match failure {
            // The disk, and not a file.
            Some(error) if listed.replicas.is_empty() => Err(error),
            _ => {
                *self.used() = Some(listed.replicas.iter().map(|r| r.size_bytes).sum());
                Ok(listed)
            }
        }
    }

    /// What is known of one replica; none if it is not here.
    pub fn find(&self, sector: SectorId, kind: FileKind) -> Result<Option<ReplicaInfo>, StoreError> {
        let _switch = self.switch_read()?;
        self.replica_info(sector, kind)
    }

    /// The head of a replica's manifest; none if it has none. Of one that is damaged, what its list says: that is
    /// named after the root, and checked against it.
    pub(super) fn head(&self, sector: SectorId, kind: FileKind) -> Result<Option<ManifestHead>, StoreError> {
        match self.head_on_disk(sector, kind) {
            Err(damaged @ StoreError::Damaged { .. }) => match self.head_of_list(sector, kind)? {
                Some(head) => Ok(Some(head)),
                None => Err(damaged),
            },
            other => other,
        }
    }

    fn head_of_list(&self, sector: SectorId, kind: FileKind) -> Result<Option<ManifestHead>, StoreError> {
        let mut found = Vec::new();
        for name in self.manifests_named(sector, kind)? {
            let text = name.strip_suffix(".list").and_then(|name| name.rsplit_once('.')).map(|(_, root)| root);
            let mut root = [0; 32];
            if text.is_some_and(|text| hex::decode_to_slice(text, &mut root).is_ok()) {
                found.extend(self.list_of(sector, kind, &root).ok());
            }
        }
        // Of two lists nobody can say which is that of the files.
        let is_only = found.len() == 1;
        Ok(found.pop().filter(|_| is_only).map(|manifest| ManifestHead::of(&manifest, true)))
    }

    /// What there is of the replica's manifest.
    fn manifests_named(&self, sector: SectorId, kind: FileKind) -> Result<Vec<String>, StoreError> {
        let (dir, prefix) = (self.layout().manifest_dir(kind), format!("{sector}."));
        let entries = self.disk().list(&dir).doing("list", &dir)?;
        Ok(entries.into_iter().map(|entry| entry.name).filter(|name| name.starts_with(&prefix)).collect())
    }

    /// The head as it was written.
    pub(super) fn head_on_disk(&self, sector: SectorId, kind: FileKind) -> Result<Option<ManifestHead>, StoreError> {
        let path = self.layout().head(sector, kind);
        let bytes = match read_all(self.disk(), &path, HEAD_BYTES_MAX) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            other => other.doing("read", &path)?,
        };
        let head = ManifestHead::decode(&bytes);
        let head = head.map_err(|e| StoreError::Damaged { path: path.clone(), reason: e.to_string() })?;
        if head.kind != kind {
            return Err(StoreError::Damaged { path, reason: format!("it describes the kind {}", head.kind) });
        }
        Ok(Some(head))
    }

    pub(super) fn id_of(&self, sector: SectorId, kind: FileKind, root: [u8; 32]) -> ReplicaId {
        ReplicaId { sector, kind, store: self.id().clone(), root }
    }

    pub(super) fn info_of(&self, sector: SectorId, head: &ManifestHead) -> ReplicaInfo {
        let id = self.id_of(sector, head.kind, head.root);
        let (size_bytes, primary, origin) = (head.size_bytes, head.primary, head.origin);
        ReplicaInfo { id, size_bytes, primary, origin, soundness: Soundness::Unknown }
    }

    /// Is there something of this kind at the replica's place?
    pub(super) fn has_data(&self, sector: SectorId, kind: FileKind) -> Result<bool, StoreError> {
        let path = self.layout().replica(sector, kind);
        match self.disk().metadata(&path) {
            Ok(found) => Ok(found.is_dir == kind.is_directory()),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(false),
            Err(e) => Err(e).doing("read", &path),
        }
    }

    fn replica_info(&self, sector: SectorId, kind: FileKind) -> Result<Option<ReplicaInfo>, StoreError> {
        if !self.has_data(sector, kind)? {
            return Ok(None);
        }
        if let Some(head) = self.head(sector, kind)? {
            return Ok(Some(self.info_of(sector, &head)));
        }
        let (id, size_bytes) = (self.id_of(sector, kind, [0; 32]), self.foreign_bytes(sector, kind)?);
        let (primary, soundness) = (self.meta().can_store, Soundness::Unknown);
        Ok(Some(ReplicaInfo { id, size_bytes, primary, origin: None, soundness }))
    }

    /// Length of what lies at the replica's place; 0 if nothing does.
    pub(super) fn bytes_at(&self, sector: SectorId, kind: FileKind) -> Result<u64, StoreError> {
        Ok(self.replica_info(sector, kind)?.map_or(0, |info| info.size_bytes))
    }

    /// Length of a replica without a manifest.
    pub(super) fn foreign_bytes(&self, sector: SectorId, kind: FileKind) -> Result<u64, StoreError> {
        let path = self.layout().replica(sector, kind);
        let size = |path: &std::path::Path| Ok(self.disk().metadata(path).doing("read", path)?.size_bytes);
        if !kind.is_directory() {
            return size(&path);
        }
        let files = self.disk().list(&path).doing("list", &path)?;
        files.iter().filter(|e| !e.is_dir).map(|e| size(&path.join(&e.name))).sum()
    }

    /// The sectors that have something of this kind. Names that are no sector's are Lotus's temporary ones, or a mistake.
    pub(super) fn sectors(&self, kind: FileKind) -> Result<Vec<SectorId>, StoreError> {
        let dir = self.layout().kind_dir(kind);
        let entries = match self.disk().list(&dir) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(vec![]),
            other => other.doing("list", &dir)?,
        };
        let mut sectors = Vec::new();
        for Entry { name, is_dir } in entries {
            match name.parse() {
                Ok(sector) if is_dir == kind.is_directory() => sectors.push(sector),
                _ if name == "fetching" => {}
                _ => tracing::warn!(dir = %dir.display(), name, "this is no sector file; it is left alone"),
            }
        }
        Ok(sectors)
    }

    /// Removes what a crash may have left: work of ended attempts, trash, manifests of no replica, half-written ones.
    pub(super) fn sweep(&self, keep: &BTreeSet<AttemptId>) -> Result<(), StoreError> {
        for dir in [self.layout().work_dir(), self.layout().owners_dir()] {
            for entry in self.disk().list(&dir).doing("list", &dir)? {
                let path = dir.join(&entry.name);
                match entry.name.parse::<AttemptId>() {
                    Ok(attempt) if keep.contains(&attempt) || self.is_others(attempt)? => {}
                    Ok(attempt) => self.forget_work(attempt)?,
                    Err(_) => remove_any(self.disk(), &path).doing("remove", &path)?,
                }
            }
        }
        for kind in FileKind::ALL {
            // A replica that is seen to be gone must stay gone before its manifest goes.
            let data = self.layout().kind_dir(kind);
            self.disk().sync_dir(&data).doing("sync", &data)?;
            let needed = self.needed_manifests(kind)?;
            let dir = self.layout().manifest_dir(kind);
            for entry in self.disk().list(&dir).doing("list", &dir)? {
                if !needed.contains(&entry.name) {
                    let path = dir.join(&entry.name);
                    remove_any(self.disk(), &path).doing("remove", &path)?;
                }
            }
        }
        Ok(())
    }

    fn needed_manifests(&self, kind: FileKind) -> Result<BTreeSet<String>, StoreError> {
        let mut needed = BTreeSet::new();
        for sector in self.sectors(kind)? {
            match self.head_on_disk(sector, kind) {
                Ok(Some(head)) => {
                    let paths = [self.layout().head(sector, kind), self.layout().list(sector, kind, &head.root)];
                    needed.extend(paths.iter().filter_map(|p| Some(p.file_name()?.to_str()?.to_owned())));
                }
                Ok(None) => {}
                Err(error) => {
                    tracing::error!(store = %self.id(), %sector, %kind, %error, "a manifest cannot be read");
                    self.mend_head(sector, kind)?;
                    needed.extend(self.manifests_named(sector, kind)?);
                }
            }
        }
        Ok(needed)
    }

    /// Writes a damaged head anew if its list is there.
    fn mend_head(&self, sector: SectorId, kind: FileKind) -> Result<(), StoreError> {
        let Some(head) = self.head_of_list(sector, kind)? else { return Ok(()) };
        let path = self.layout().head(sector, kind);
        write_whole(self.disk(), &path, &head.encode()).doing("write", &path)?;
        tracing::warn!(store = %self.id(), %sector, %kind, "its head was written anew from its list");
        Ok(())
    }
}
