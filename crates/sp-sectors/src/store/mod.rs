//! A store: one attached path, opened, with what it holds and how full it is.

mod delete;
mod journal;
mod publish;
mod read;
mod scan;
#[cfg(test)]
mod tests;
mod work;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use sp_types::{AttemptId, FileKind, SectorId, StoreId};

use crate::disk::{Disk, exists, make_dirs};
use crate::error::{Doing, StoreError};
use crate::layout::Layout;
use crate::store_meta::StoreMeta;
pub use delete::Deleted;
pub use publish::Output;
pub use read::ReplicaFile;
pub use work::{CopyMode, WorkDir};

/// One attached path. Clones share it; at most one process has it open for writing.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    disk: Arc<dyn Disk>,
    layout: Layout,
    id: StoreId,
    meta: StoreMeta,
    /// Held for writing while a replica and its manifest change places, for reading while both are opened.
    switch: RwLock<()>,
    /// Bytes of all replicas at the last scan; none after a change.
    used_bytes: Mutex<Option<u64>>,
    /// Something has come to its place, or will, that nobody names: its publish failed after it was certain, or its
    /// attempt ended before it was declared.
    late: AtomicBool,
}

/// How full a store is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StoreStat {
    /// Size of the file system, bytes.
    pub capacity_bytes: u64,
    /// Free in the file system, before reservations, bytes.
    pub fs_available_bytes: u64,
    /// Used by published replicas, bytes.
    pub used_bytes: u64,
}

impl Store {
    /// Makes a directory into a store: writes `sectorstore.json` and opens it. Refused if it is one already.
    pub fn init(disk: Arc<dyn Disk>, path: &Path, meta: &StoreMeta) -> Result<Self, StoreError> {
        let layout = Layout::new(path);
        if exists(&*disk, &layout.meta()).doing("read", &layout.meta())? {
            return Err(StoreError::AlreadyStore(path.to_owned()));
        }
        make_dirs(&*disk, path).doing("create", path)?;
        meta.write(&*disk, &layout.meta())?;
        Self::open(disk, path, &BTreeSet::new())
    }

    /// Opens a store: creates missing directories, finishes publishes that a crash interrupted, and removes the work
    /// directories of all attempts but those in `keep`, manifests without a replica, and other leftovers of ours.
    ///
    /// A path that is neither CanSeal nor CanStore is only read.
    pub fn open(disk: Arc<dyn Disk>, path: &Path, keep: &BTreeSet<AttemptId>) -> Result<Self, StoreError> {
        let layout = Layout::new(path);
        if !exists(&*disk, &layout.meta()).doing("read", &layout.meta())? {
            return Err(StoreError::NotAStore(path.to_owned()));
        }
        let meta = StoreMeta::read(&*disk, &layout.meta())?;
        let damaged = |reason: String| StoreError::Damaged { path: layout.meta(), reason };
        let id = StoreId::new(meta.id.clone()).map_err(|e| damaged(e.to_string()))?;
        for unknown in meta.filters().unknown() {
            tracing::warn!(path = %path.display(), entry = unknown, "a filter names nothing that exists; it matches nothing");
        }
        let (switch, used_bytes, late) = (RwLock::new(()), Mutex::new(None), AtomicBool::new(false));
        let store = Self(Arc::new(Inner { disk, layout, id, meta, switch, used_bytes, late }));
        if store.writable() {
            for dir in store.layout().directories() {
                make_dirs(store.disk(), &dir).doing("create", &dir)?;
            }
            let _switch = store.switch_write();
            store.settle()?;
            store.sweep(keep)?;
        }
        Ok(store)
    }

    /// Identity of the path.
    pub fn id(&self) -> &StoreId {
        &self.0.id
    }

    /// Its `sectorstore.json`, as it was when the store was opened.
    pub fn meta(&self) -> &StoreMeta {
        &self.0.meta
    }

    /// Where things lie in it.
    pub fn layout(&self) -> &Layout {
        &self.0.layout
    }

    /// The path of a replica, for executors that read it themselves. Nobody writes there.
    pub fn replica_path(&self, sector: SectorId, kind: FileKind) -> std::path::PathBuf {
        self.layout().replica(sector, kind)
    }

    /// Space, and what the replicas use of it as of the last scan or change.
    pub fn stat(&self) -> Result<StoreStat, StoreError> {
        let root = self.layout().root();
        let known = *self.used();
        let used_bytes = match known {
            Some(bytes) => bytes,
            None => self.replicas()?.iter().map(|r| r.size_bytes).sum(),
        };
        let space = self.disk().space(root).doing("measure", root)?;
        Ok(StoreStat { capacity_bytes: space.capacity_bytes, fs_available_bytes: space.available_bytes, used_bytes })
    }

    /// False for a path that is neither CanSeal nor CanStore.
    pub fn writable(&self) -> bool {
        self.meta().can_seal || self.meta().can_store
    }

    pub(crate) fn disk(&self) -> &dyn Disk {
        &*self.0.disk
    }

    fn check_writable(&self) -> Result<(), StoreError> {
        if self.writable() { Ok(()) } else { Err(StoreError::ReadOnly) }
    }

    fn used(&self) -> MutexGuard<'_, Option<u64>> {
        self.0.used_bytes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For every change of the replicas. Forgets what they use.
    fn switch_write(&self) -> RwLockWriteGuard<'_, ()> {
        *self.used() = None;
        // The lock guards files, not memory: a panic while it was held is settled by the journal.
        self.0.switch.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn switch_read(&self) -> RwLockReadGuard<'_, ()> {
        self.0.switch.read().unwrap_or_else(PoisonError::into_inner)
    }
}
