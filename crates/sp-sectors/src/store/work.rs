//! The work directory of an attempt: what it makes lies here until it is published.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use sp_types::{AttemptId, FileKind, ReplicaId, SectorId};

use super::Store;
use crate::disk::{make_dirs, read_all, remove_any, write_whole};
use crate::error::{Doing, StoreError};

/// How a published replica gets into a work directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CopyMode {
    /// A copy of its own (blocks shared where the file system can): the stage may change it.
    Copy,
    /// Large files by hard link, without copying: the stage may add and remove files, and must not change large ones.
    /// Files of up to 1 MiB are copied, since upstream writes `p_aux` and `t_aux` in place.
    Link,
}

/// The work directory of one attempt in one store.
#[derive(Clone)]
pub struct WorkDir {
    store: Store,
    attempt: AttemptId,
}

const COPY_ALWAYS_BYTES: u64 = 1 << 20;

/// Longest name of a worker.
const OWNER_BYTES_MAX: u64 = 1024;

impl Store {
    /// The work directory of an attempt, created if it is not there. It survives restarts as long as `Store::open` is
    /// told to keep it.
    pub fn work(&self, attempt: AttemptId) -> Result<WorkDir, StoreError> {
        self.check_writable()?;
        self.own(attempt)?;
        let work = WorkDir::existing(self, attempt);
        for kind in FileKind::ALL {
            let dir = work.root().join(kind.name());
            self.disk().create_dir_all(&dir).doing("create", &dir)?;
        }
        Ok(work)
    }

    /// The attempts of this worker that have a work directory.
    pub fn work_attempts(&self) -> Result<Vec<AttemptId>, StoreError> {
        let dir = self.layout().work_dir();
        let mut own = Vec::new();
        // A read-only path may have come without it.
        for entry in there(self.disk().list(&dir)).doing("list", &dir)?.unwrap_or_default() {
            if let Ok(attempt) = entry.name.parse()
                && !self.is_others(attempt)?
            {
                own.push(attempt);
            }
        }
        Ok(own)
    }

    /// The attempts of other workers that have left work here, and whose they are.
    pub fn others_work(&self) -> Result<Vec<(AttemptId, String)>, StoreError> {
        let dir = self.layout().owners_dir();
        let mut others = Vec::new();
        for entry in there(self.disk().list(&dir)).doing("list", &dir)?.unwrap_or_default() {
            if let Ok(attempt) = entry.name.parse()
                && let Some(owner) = self.owner_of(attempt)?.filter(|owner| *owner != self.0.owner)
            {
                others.push((attempt, owner));
            }
        }
        Ok(others)
    }

    /// Space that the attempts of this worker have taken in their work directories so far, bytes: what they have made or
    /// brought. Attempts that change their files meanwhile are counted as they are met.
    pub fn work_bytes(&self) -> Result<BTreeMap<AttemptId, u64>, StoreError> {
        let mut bytes = BTreeMap::new();
        for attempt in self.work_attempts()? {
            // What a publish has put aside there was not made by the attempt.
            let replaced = self.layout().replaced_dir(attempt);
            bytes.insert(attempt, self.tree_bytes(&self.layout().work(attempt), &replaced)?);
        }
        Ok(bytes)
    }

    /// Space below a directory, `but` one; what goes meanwhile takes none.
    fn tree_bytes(&self, dir: &Path, but: &Path) -> Result<u64, StoreError> {
        let mut sum = 0u64;
        for entry in there(self.disk().list(dir)).doing("list", dir)?.unwrap_or_default() {
            let path = dir.join(&entry.name);
            let taken = match entry.is_dir {
                true if path == *but => 0,
                true => self.tree_bytes(&path, but)?,
                false => {
                    let found = there(self.disk().metadata(&path)).doing("look at", &path)?;
                    found.map_or(0, |found| found.allocated_bytes)
                }
            };
            sum = sum.saturating_add(taken);
        }
        Ok(sum)
    }

    /// Removes the work directory of an attempt that needs it no more; none there is fine.
    pub fn discard(&self, attempt: AttemptId) -> Result<(), StoreError> {
        self.check_writable()?;
        let _switch = self.switch_write()?;
        // A publish that was interrupted still needs what lies there.
        self.settle()?;
        self.forget_work(attempt)
    }

    /// Removes the work directory, and then the word whose it is.
    pub(super) fn forget_work(&self, attempt: AttemptId) -> Result<(), StoreError> {
        for path in [self.layout().work(attempt), self.layout().owner(attempt)] {
            remove_any(self.disk(), &path).doing("remove", &path)?;
        }
        Ok(())
    }

    /// Does the attempt belong to another worker that has this path attached?
    pub(super) fn is_others(&self, attempt: AttemptId) -> Result<bool, StoreError> {
        Ok(!self.0.owner.is_empty() && self.owner_of(attempt)?.is_some_and(|owner| owner != self.0.owner))
    }

    /// Says, durably and before there is anything of it, that the attempt belongs to this worker.
    fn own(&self, attempt: AttemptId) -> Result<(), StoreError> {
        if self.0.owner.is_empty() || self.owner_of(attempt)?.as_ref() == Some(&self.0.owner) {
            return Ok(());
        }
        // Another worker may be sweeping.
        let _switch = self.switch_write()?;
        let path = self.layout().owner(attempt);
        write_whole(self.disk(), &path, self.0.owner.as_bytes()).doing("write", &path)
    }

    fn owner_of(&self, attempt: AttemptId) -> Result<Option<String>, StoreError> {
        let path = self.layout().owner(attempt);
        match read_all(self.disk(), &path, OWNER_BYTES_MAX) {
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            other => Ok(Some(String::from_utf8_lossy(&other.doing("read", &path)?).into_owned())),
        }
    }
}

impl WorkDir {
    pub(super) fn existing(store: &Store, attempt: AttemptId) -> Self {
        Self { store: store.clone(), attempt }
    }

    /// Whose it is.
    pub fn attempt(&self) -> AttemptId {
        self.attempt
    }

    /// The store that it lies in.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The directory itself; files other than replicas go to a name of their own below it.
    pub fn root(&self) -> PathBuf {
        self.store.layout().work(self.attempt)
    }

    /// Where the attempt makes a replica. The directory that holds it exists; the replica is the attempt's to create.
    pub fn path(&self, sector: SectorId, kind: FileKind) -> PathBuf {
        self.store.layout().work_replica(self.attempt, sector, kind)
    }

    /// Brings a published replica of this store into the work directory, in place of what may be there.
    pub fn take_copy(&self, replica: &ReplicaId, mode: CopyMode) -> Result<PathBuf, StoreError> {
        let (disk, kind) = (self.store.disk(), replica.kind);
        let to = self.path(replica.sector, kind);
        remove_any(disk, &to).doing("remove", &to)?;
        if let Some(dir) = to.parent() {
            make_dirs(disk, dir).doing("create", dir)?;
        }
        let from = self.store.layout().replica(replica.sector, kind);
        self.store.check_root(replica)?;
        let before = disk.metadata(&from).doing("read", &from)?;
        self.copy_files(&from, &to, kind, mode)?;
        // A published replica is only ever replaced as a whole: if it is still the same one, the copy is of one piece.
        self.store.check_root(replica)?;
        if disk.metadata(&from).doing("read", &from)?.id != before.id {
            return Err(StoreError::Missing { sector: replica.sector, kind });
        }
        Ok(to)
    }

    fn copy_files(&self, from: &Path, to: &Path, kind: FileKind, mode: CopyMode) -> Result<(), StoreError> {
        let disk = self.store.disk();
        if !kind.is_directory() {
            return disk.copy(from, to).doing("copy", from);
        }
        disk.create_dir_all(to).doing("create", to)?;
        for entry in disk.list(from).doing("list", from)? {
            let (source, target) = (from.join(&entry.name), to.join(&entry.name));
            let size_bytes = disk.metadata(&source).doing("read", &source)?.size_bytes;
            if mode == CopyMode::Copy || size_bytes <= COPY_ALWAYS_BYTES {
                disk.copy(&source, &target).doing("copy", &source)?;
            } else {
                disk.hard_link(&source, &target).doing("link", &source)?;
            }
        }
        Ok(())
    }
}

/// None for what is not there.
fn there<T>(found: io::Result<T>) -> io::Result<Option<T>> {
    match found {
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        other => other.map(Some),
    }
}
