//! The directory that an export makes: a storage path that is like any other once it is there.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use sp_sectors::{Disk, Layout, Output, RealDisk, Store, StoreMeta, exists, write_whole};
use sp_types::{AttemptId, ByteSize, FileKind, SectorId, StoreId, TaskId};

use super::super::record::Record;
use super::plan::{Plan, UNREAD, Wanted};
use crate::error::{CommandError, Exit};
use crate::output;

/// Work of an export bears this name, so that the work of a worker that may have the path attached is left alone.
const OWNER: &str = "sp-ctl-export";

/// No task has this number.
pub(super) const ATTEMPT: AttemptId = AttemptId { task: TaskId(0), number: 1 };

/// What a new file system has, and what a creation that was cut short leaves.
const EMPTY_ALL_THE_SAME: [&str; 2] = ["lost+found", "sectorstore.json.tmp"];

/// A chunk has a digest of 32 bytes in the manifest.
const MANIFEST_SHARE: u64 = (1 << 20) / 32;

/// The directory, open for writing by this export alone.
pub(super) struct Place {
    pub(super) store: Store,
    /// Locked while it is open.
    _alone: File,
}

/// The path that lies there, to look at; none if it is to be made. Refused if something else lies there.
pub(super) fn look(dir: &Path) -> Result<Option<Store>, CommandError> {
    let (disk, meta_path, shown) = (RealDisk, Layout::new(dir).meta(), dir.display());
    if exists(&disk, &meta_path).with_context(|| format!("cannot look into {shown}"))? {
        let meta = StoreMeta::read(&disk, &meta_path).map_err(anyhow::Error::new)?;
        if meta.can_seal || !meta.can_store {
            return Err(refused(format!("{shown} is a storage path, and none that an export has made")));
        }
        return Ok(Some(Store::observe(Arc::new(disk), dir).map_err(anyhow::Error::new)?));
    }
    if !exists(&disk, dir).with_context(|| format!("cannot look at {shown}"))? {
        return Ok(None);
    }
    let names = disk.list(dir).with_context(|| format!("cannot list {shown}"))?;
    match names.iter().find(|entry| !EMPTY_ALL_THE_SAME.contains(&entry.name.as_str())) {
        Some(found) => Err(refused(format!("{shown} is not empty ({} lies there), and no storage path", found.name))),
        None => Ok(None),
    }
}

/// A path that workers of this cluster use gets its files by them alone.
pub(super) fn is_attached(dir: &Path, store: &StoreId) -> CommandError {
    let text = format!("{} is path {store} of this cluster", dir.display());
    CommandError::new(Exit::Usage, text).hint(format!(
        "`sp-ctl storage move N --to {store}` takes a sector there; to export, name another directory, or detach this one"
    ))
}

fn refused(text: String) -> CommandError {
    CommandError::new(Exit::Usage, text)
        .hint("name a directory that is empty or not there, or one of an earlier export")
}

/// Does the store hold just that?
pub(super) fn has(store: &Store, sector: SectorId, kind: FileKind, root: [u8; 32]) -> Result<bool, CommandError> {
    let found = store.find(sector, kind).map_err(anyhow::Error::new)?;
    Ok(root != UNREAD && found.is_some_and(|info| info.id.root == root))
}

/// Refused unless there is room for everything that is still to come.
pub(super) fn check_space(dir: &Path, there: Option<&Store>, plans: &[Plan]) -> Result<(), CommandError> {
    let mut needed_bytes = 0u64;
    for Plan { sector, wanted, .. } in plans {
        for Wanted { kind, root, size_bytes, .. } in wanted {
            let is_there = there.map_or(Ok(false), |store| has(store, *sector, *kind, *root))?;
            needed_bytes += if is_there { 0 } else { size_bytes + size_bytes / MANIFEST_SHARE };
        }
    }
    // The directory may still have to be made.
    let on = dir.ancestors().find(|at| exists(&RealDisk, at).unwrap_or(false)).unwrap_or(dir);
    let space = RealDisk.space(on).with_context(|| format!("cannot measure {}", on.display()))?;
    enough(dir, needed_bytes, space.available_bytes)
}

fn enough(dir: &Path, needed_bytes: u64, available_bytes: u64) -> Result<(), CommandError> {
    if needed_bytes <= available_bytes {
        return Ok(());
    }
    let (needed, available) = (ByteSize(needed_bytes), ByteSize(available_bytes));
    let text = format!("{} has {available} free, and {needed} are still to come", dir.display());
    Err(CommandError::failed(text).hint("make room there, or export fewer sectors at once; nothing was written"))
}

impl Place {
    /// Opens the path, made if it is not there, and removes what an export that was killed has left.
    pub(super) fn open(dir: &Path) -> Result<Self, CommandError> {
        let (disk, meta) = (RealDisk, Layout::new(dir).meta());
        if !exists(&disk, &meta).with_context(|| format!("cannot look into {}", dir.display()))? {
            Store::create(&disk, dir, &StoreMeta::new(&new_id()?, false, true)).map_err(anyhow::Error::new)?;
        }
        let alone = alone(&meta)?;
        let store = Store::open_as(Arc::new(disk), dir, OWNER, &[].into()).map_err(anyhow::Error::new)?;
        Ok(Self { store, _alone: alone })
    }

    /// Shows the files of a sector, all of them or none, and then its record.
    pub(super) fn publish(&self, outputs: &[Output], record: &Record) -> Result<PathBuf, CommandError> {
        self.store.publish_outputs(ATTEMPT, outputs).map_err(anyhow::Error::new)?;
        let sector = SectorId { miner: record.miner, number: record.sector };
        let path = self.store.layout().root().join(format!("{sector}.json"));
        // A list, as `sectors import --record` takes it.
        let text = output::json_text(&[record])?;
        write_whole(&RealDisk, &path, text.as_bytes()).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    }

    /// Removes all that has come and is not shown.
    pub(super) fn clear(&self) -> Result<(), CommandError> {
        Ok(self.store.discard(ATTEMPT).map_err(anyhow::Error::new)?)
    }
}

/// Holds the file locked, so that no two exports work in one directory.
fn alone(meta: &Path) -> Result<File, CommandError> {
    let file = File::options().read(true).write(true).open(meta);
    let file = file.with_context(|| format!("cannot open {}", meta.display()))?;
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => {
            let text = format!("another export is at work with {}", meta.display());
            Err(CommandError::new(Exit::Unavailable, text).hint("wait for it, or name another directory"))
        }
        // On a file system without locks nobody can be told from another.
        Ok(()) | Err(TryLockError::Error(_)) => Ok(file),
    }
}

/// A random (version 4) UUID.
fn new_id() -> Result<StoreId, CommandError> {
    let mut bytes = [0; 16];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())
        .context("the system gives no random bytes")?;
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let text = hex::encode(bytes);
    let id = format!("{}-{}-{}-{}-{}", &text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..]);
    Ok(StoreId::new(id).map_err(anyhow::Error::new)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_empty_directory_or_an_earlier_export_is_taken() {
        let top = tempfile::tempdir().unwrap();
        let dir = top.path().join("a/b");
        assert!(look(&dir).unwrap().is_none());
        let place = Place::open(&dir).unwrap();
        let (id, meta) = (place.store.id().clone(), place.store.meta());
        assert_eq!((meta.can_seal, meta.can_store, id.as_str().len()), (false, true, 36));
        let second = Place::open(&dir).err().unwrap();
        assert!(second.line().contains("another export"), "{}", second.line());
        drop(place);
        assert_eq!(*look(&dir).unwrap().unwrap().id(), id);
        assert_eq!(*Place::open(&dir).unwrap().store.id(), id, "it is added to");

        StoreMeta { can_seal: true, ..(*meta).clone() }.write(&RealDisk, &Layout::new(&dir).meta()).unwrap();
        assert_eq!(look(&dir).err().unwrap().exit, Exit::Usage, "a path that seals is in use");

        let other = top.path().join("other");
        std::fs::create_dir_all(other.join("lost+found")).unwrap();
        assert!(look(&other).unwrap().is_none(), "a new file system is empty");
        std::fs::write(other.join("thesis.txt"), "").unwrap();
        let refused = look(&other).err().unwrap();
        assert!(refused.exit == Exit::Usage && refused.line().contains("thesis.txt"), "{}", refused.line());
        assert!(look(&other.join("thesis.txt")).is_err(), "not even a directory");
    }

    #[test]
    fn what_lies_there_of_a_killed_export_goes_and_of_a_worker_stays() {
        let top = tempfile::tempdir().unwrap();
        let place = Place::open(top.path()).unwrap();
        let root = place.store.work(ATTEMPT).unwrap().root();
        drop(place);
        let worker = Store::open_as(Arc::new(RealDisk), top.path(), "worker", &[].into()).unwrap();
        let theirs = worker.work("7.1".parse().unwrap()).unwrap().root();
        assert!(root.exists());
        Place::open(top.path()).unwrap();
        assert!(!root.exists() && theirs.exists());
    }

    #[test]
    fn too_little_room_is_told_before_anything_is_written() {
        let dir = Path::new("/mnt/disk");
        assert!(enough(dir, 5 << 30, 5 << 30).is_ok());
        let told = enough(dir, 5 << 30, 3 << 30).unwrap_err().line();
        assert!(told.contains("/mnt/disk") && told.contains("3 GiB") && told.contains("5 GiB"), "{told}");
    }
}
