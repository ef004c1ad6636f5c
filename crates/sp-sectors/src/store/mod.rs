//! A store: one attached path, opened, with what it holds and how full it is.

mod cut;
mod delete;
mod journal;
mod observe;
mod publish;
mod read;
mod restore;
mod scan;
mod scrub;
#[cfg(test)]
mod tests;
mod work;

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use sp_env::{CrashPoint, crash_point};
use sp_types::{AttemptId, FileKind, SectorId, StoreId};

use crate::disk::{Disk, DiskLock, Sharing, Space, exists, make_dirs, remove_any};
use crate::error::{Doing, StoreError};
use crate::layout::Layout;
use crate::store_meta::StoreMeta;
pub use cut::Cut;
pub use delete::Deleted;
pub use observe::{Seen, Stray};
pub use publish::Output;
pub use read::ReplicaFile;
pub use scan::Listed;
pub use scrub::{Scrub, ScrubFault, ScrubReason, ScrubStep, Scrubbed};
pub use work::{CopyMode, WorkDir};

/// One attached path. Clones share it. Workers of several hosts may have it open, each under its own name
/// ([`Store::open_as`]).
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    disk: Arc<dyn Disk>,
    layout: Layout,
    id: StoreId,
    meta: RwLock<Arc<StoreMeta>>,
    /// Which worker has it open; empty for one that has it alone.
    owner: String,
    /// Another process may have it: nothing is written here.
    observed: bool,
    /// Held for writing while a replica and its manifest change places, for reading while both are opened; and with it a
    /// lock on a file, against other processes.
    switch: RwLock<()>,
    /// Bytes of all replicas: as of the last scan, with what came and went by this process since. None before it.
    used_bytes: Mutex<Option<u64>>,
    /// Something has come to its place, or will, that nobody names: its publish failed after it was certain, or its
    /// attempt ended before it was declared.
    late: AtomicBool,
    /// It was said that the file system has no locks.
    lockless: Once,
}

/// Replicas and manifests stay as they are, or change, while this is held.
struct Switching<'a> {
    // Let go of in this order.
    _outside: DiskLock,
    _inside: Inside<'a>,
}

enum Inside<'a> {
    Reads(#[allow(dead_code, reason = "held, never looked at")] RwLockReadGuard<'a, ()>),
    Writes(#[allow(dead_code, reason = "held, never looked at")] RwLockWriteGuard<'a, ()>),
}

/// How full a store is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StoreStat {
    /// Size of the file system, bytes.
    pub capacity_bytes: u64,
    /// Free in the file system, before reservations, bytes.
    pub fs_available_bytes: u64,
    /// Used by published replicas, bytes.
    pub used_bytes: u64,
    /// Used by attempts of this worker so far, bytes; never more than when `fs_available_bytes` was measured.
    pub work: BTreeMap<AttemptId, u64>,
}

impl Store {
    /// Makes a directory into a store: writes `sectorstore.json` and opens it. Refused if it is one already.
    pub fn init(disk: Arc<dyn Disk>, path: &Path, meta: &StoreMeta) -> Result<Self, StoreError> {
        Self::create(&*disk, path, meta)?;
        Self::open(disk, path, &BTreeSet::new())
    }

    /// The same without opening it.
    pub fn create(disk: &dyn Disk, path: &Path, meta: &StoreMeta) -> Result<(), StoreError> {
        let layout = Layout::new(path);
        if exists(disk, &layout.meta()).doing("read", &layout.meta())? {
            return Err(StoreError::AlreadyStore(path.to_owned()));
        }
        make_dirs(disk, path).doing("create", path)?;
        meta.write(disk, &layout.meta())?;
        crash_point(CrashPoint::WorkerAttachNamed);
        Ok(())
    }

    /// Opens a store that nobody else has: see [`Store::open_as`].
    pub fn open(disk: Arc<dyn Disk>, path: &Path, keep: &BTreeSet<AttemptId>) -> Result<Self, StoreError> {
        Self::open_as(disk, path, "", keep)
    }

    /// Opens a store: creates missing directories, finishes publishes that a crash interrupted, and removes the work
    /// directories of the worker's attempts but those in `keep`, manifests without a replica, and other leftovers of ours.
    /// Work of other workers, which may be at it now, is left alone.
    ///
    /// A path that is neither CanSeal nor CanStore is only read.
    pub fn open_as(
        disk: Arc<dyn Disk>,
        path: &Path,
        owner: &str,
        keep: &BTreeSet<AttemptId>,
    ) -> Result<Self, StoreError> {
        let store = Self::opened(disk, path, owner, false)?;
        match if store.writable() { store.make_ready(keep) } else { Ok(()) } {
            // What lies there can still be read.
            Err(error) if error.is_read_only() => store.list_anew(),
            ready => ready?,
        }
        Ok(store)
    }

    fn opened(disk: Arc<dyn Disk>, path: &Path, owner: &str, observed: bool) -> Result<Self, StoreError> {
        let layout = Layout::new(path);
        if !exists(&*disk, &layout.meta()).doing("read", &layout.meta())? {
            return Err(StoreError::NotAStore(path.to_owned()));
        }
        let (id, meta) = read_meta(&*disk, &layout)?;
        let (meta, switch) = (RwLock::new(Arc::new(meta)), RwLock::new(()));
        let (used_bytes, late) = (Mutex::new(None), AtomicBool::new(false));
        let (owner, lockless) = (owner.to_owned(), Once::new());
        Ok(Self(Arc::new(Inner { disk, layout, id, meta, owner, observed, switch, used_bytes, late, lockless })))
    }

    /// Reads `sectorstore.json` again. A path that may be written from now on is made ready for it, as [`Store::open`]
    /// does.
    pub fn reload(&self, keep: &BTreeSet<AttemptId>) -> Result<(), StoreError> {
        let meta = self.meta_on_disk()?;
        let was_writable = self.writable();
        *self.0.meta.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(meta);
        if self.writable() && !was_writable { self.make_ready(keep) } else { Ok(()) }
    }

    /// Is the store still where it was, and can it be written if it may be? An unmounted disk leaves an empty directory
    /// behind, which must not be taken for a store that has lost everything. A full disk is no fault: its space says so.
    /// Nor is one that has become read-only: [`StoreError::is_read_only`], and what lies there can still be read.
    pub fn probe(&self) -> Result<(), StoreError> {
        self.meta_on_disk()?;
        if !self.writable() {
            return Ok(());
        }
        let probe = self.layout().probe(&self.0.owner);
        remove_any(self.disk(), &probe).doing("remove", &probe)?;
        match self.disk().create_new(&probe) {
            Err(e) if matches!(e.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded) => return Ok(()),
            other => drop(other.doing("create", &probe)?),
        }
        self.disk().remove_file(&probe).doing("remove", &probe)
    }

    fn meta_on_disk(&self) -> Result<StoreMeta, StoreError> {
        let gone = |found: String| {
            let path = self.layout().root().to_owned();
            StoreError::Gone { path, wanted: self.id().to_string(), found }
        };
        let meta = self.layout().meta();
        if !exists(self.disk(), &meta).doing("read", &meta)? {
            return Err(gone("no sectorstore.json is there".to_owned()));
        }
        match read_meta(self.disk(), self.layout())? {
            (id, meta) if id == *self.id() => Ok(meta),
            (id, _) => Err(gone(format!("store {id} is there"))),
        }
    }

    fn make_ready(&self, keep: &BTreeSet<AttemptId>) -> Result<(), StoreError> {
        for dir in self.layout().directories() {
            make_dirs(self.disk(), &dir).doing("create", &dir)?;
        }
        let _switch = self.switch_write()?;
        self.settle()?;
        self.sweep(keep)
    }

    /// Identity of the path.
    pub fn id(&self) -> &StoreId {
        &self.0.id
    }

    /// Its `sectorstore.json`, as it was when the store was opened or reloaded.
    pub fn meta(&self) -> Arc<StoreMeta> {
        self.0.meta.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Where things lie in it.
    pub fn layout(&self) -> &Layout {
        &self.0.layout
    }

    /// The path of a replica, for executors that read it themselves. Nobody writes there.
    pub fn replica_path(&self, sector: SectorId, kind: FileKind) -> std::path::PathBuf {
        self.layout().replica(sector, kind)
    }

    /// Space, and what the replicas use of it: as of the last scan, with what this process has changed since.
    pub fn stat(&self) -> Result<StoreStat, StoreError> {
        let root = self.layout().root();
        let known = *self.used();
        let used_bytes = match known {
            Some(bytes) => bytes,
            None => self.replicas()?.iter().map(|r| r.size_bytes).sum(),
        };
        let work = if self.writable() { self.work_bytes()? } else { BTreeMap::new() };
        let Space { capacity_bytes, available_bytes } = self.disk().space(root).doing("measure", root)?;
        Ok(StoreStat { capacity_bytes, fs_available_bytes: available_bytes, used_bytes, work })
    }

    /// False for a path that is neither CanSeal nor CanStore, and for one that is only observed.
    pub fn writable(&self) -> bool {
        let meta = self.meta();
        !self.0.observed && (meta.can_seal || meta.can_store)
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

    /// Replicas of so many bytes have come, and others have gone. Listing a store takes minutes where it is large, so
    /// the figure is carried along.
    fn count(&self, came_bytes: u64, gone_bytes: u64) {
        if let Some(used) = &mut *self.used() {
            *used = used.saturating_add(came_bytes).saturating_sub(gone_bytes);
        }
    }

    /// For every change of the replicas.
    fn switch_write(&self) -> Result<Switching<'_>, StoreError> {
        // The lock guards files, not memory: a panic while it was held is settled by the journal.
        let inside = Inside::Writes(self.0.switch.write().unwrap_or_else(PoisonError::into_inner));
        Ok(Switching { _outside: self.lock_file(Sharing::Alone)?, _inside: inside })
    }

    fn switch_read(&self) -> Result<Switching<'_>, StoreError> {
        let inside = Inside::Reads(self.0.switch.read().unwrap_or_else(PoisonError::into_inner));
        // Nothing of ours is made in a path that is only read.
        let outside = if self.writable() { self.lock_file(Sharing::Shared)? } else { Box::new(()) };
        Ok(Switching { _outside: outside, _inside: inside })
    }

    fn lock_file(&self, sharing: Sharing) -> Result<DiskLock, StoreError> {
        let path = self.layout().lock();
        match self.disk().lock(&path, sharing) {
            Err(e) if e.kind() == ErrorKind::Unsupported => {
                let store = self.id();
                self.0.lockless.call_once(|| {
                    tracing::warn!(%store, "its file system knows no locks: only one host may have this path attached");
                });
                Ok(Box::new(()))
            }
            other => other.doing("lock", &path),
        }
    }
}

/// `sectorstore.json` of a path, and the identity that it gives.
fn read_meta(disk: &dyn Disk, layout: &Layout) -> Result<(StoreId, StoreMeta), StoreError> {
    let meta = StoreMeta::read(disk, &layout.meta())?;
    let damaged = |reason: String| StoreError::Damaged { path: layout.meta(), reason };
    let id = StoreId::new(meta.id.clone()).map_err(|e| damaged(e.to_string()))?;
    for unknown in meta.filters().unknown() {
        let path = layout.root().display();
        tracing::warn!(%path, entry = unknown, "a filter names nothing that exists; it matches nothing");
    }
    Ok((id, meta))
}
