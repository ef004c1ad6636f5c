//! The disk of a worker. File operations on a path that may hang (its file system is one of a network, or a process
//! serves it) are done by a small child of its own: a call that never comes back is in that child and not in the worker,
//! which gives the child up and can be stopped and started meanwhile.
//!
//! | what | where |
//! |---|---|
//! | which path a call is about, and whether that has a child | here; which file systems may hang: `mounts` |
//! | what one path asks, again when a child is gone and a new one has come | `path`, its open files `file` |
//! | the child, from the worker's side and from its own | `process`, `serve`; what they say: `wire` |
//! | how children start, and how those of an earlier run are known | `starter` |
// What the simulation replaces whole: it starts processes and threads and touches the machine itself.
#![allow(clippy::disallowed_methods)]

mod file;
mod handover;
mod mounts;
mod path;
mod process;
mod serve;
mod starter;
#[cfg(test)]
mod tests;
mod wire;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use sp_sectors::{Disk, DiskFile, DiskLock, Entry, Metadata, RealDisk, Sharing, Space};

use path::PathDisk;
pub use serve::serve;
pub use starter::DiskChildren;
use starter::Starter;

/// Which paths have a child of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DiskChildrenFor {
    /// Those on file systems that may hang: of a network, or served by a process.
    #[default]
    Auto,
    /// All.
    Always,
    /// None.
    Never,
}

/// The machine's disks, with a child for each path that may hang.
pub struct Disks {
    which: DiskChildrenFor,
    starter: Arc<Starter>,
    paths: RwLock<BTreeMap<PathBuf, Arc<PathDisk>>>,
}

impl Disks {
    /// Starts no child yet: each comes with the first look at its path.
    pub fn new(which: DiskChildrenFor, children: DiskChildren) -> io::Result<Self> {
        Ok(Self { which, starter: Starter::new(children)?, paths: RwLock::default() })
    }

    /// The storage path that something lies in.
    fn at(&self, path: &Path) -> Option<Arc<PathDisk>> {
        let paths = self.paths.read().unwrap_or_else(PoisonError::into_inner);
        path.ancestors().find_map(|root| paths.get(root)).cloned()
    }

    fn disk(&self, path: &Path) -> Arc<dyn Disk> {
        match self.at(path) {
            Some(found) => found,
            None => Arc::new(RealDisk),
        }
    }

    /// For a call about two names: the side that may hang, if only one does.
    fn disk_of_both(&self, from: &Path, to: &Path) -> Arc<dyn Disk> {
        match self.at(to).or_else(|| self.at(from)) {
            Some(found) => found,
            None => Arc::new(RealDisk),
        }
    }

    fn should_have_one(&self, root: &Path) -> bool {
        match self.which {
            DiskChildrenFor::Always => true,
            DiskChildrenFor::Never => false,
            DiskChildrenFor::Auto => mounts::may_hang(root),
        }
    }

    /// The path with its child, if it should have one; from then on it has.
    fn found(&self, root: &Path, has: impl FnOnce() -> bool) -> Option<Arc<PathDisk>> {
        let known = self.paths.read().unwrap_or_else(PoisonError::into_inner).get(root).cloned();
        if known.is_some() || !has() {
            return known;
        }
        let mut paths = self.paths.write().unwrap_or_else(PoisonError::into_inner);
        let new = || {
            tracing::info!(path = %root.display(), "its file operations are done by a child of its own");
            PathDisk::new(root, self.starter.clone())
        };
        Some(paths.entry(root.to_owned()).or_insert_with(new).clone())
    }
}

impl Disk for Disks {
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.disk(path).create_dir_all(path)
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.disk(path).open(path)
    }

    fn open_write(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.disk(path).open_write(path)
    }

    fn create_new(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.disk(path).create_new(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.disk(path).sync_dir(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk_of_both(from, to).rename(from, to)
    }

    fn replace(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk_of_both(from, to).replace(from, to)
    }

    fn exchange(&self, a: &Path, b: &Path) -> io::Result<()> {
        self.disk_of_both(a, b).exchange(a, b)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.disk(path).remove_file(path)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.disk(path).remove_dir_all(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        self.disk(path).list(path)
    }

    fn metadata(&self, path: &Path) -> io::Result<Metadata> {
        self.disk(path).metadata(path)
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk_of_both(from, to).hard_link(from, to)
    }

    fn copy(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk_of_both(from, to).copy(from, to)
    }

    fn clone_file(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk_of_both(from, to).clone_file(from, to)
    }

    fn lock(&self, path: &Path, sharing: Sharing) -> io::Result<DiskLock> {
        self.disk(path).lock(path, sharing)
    }

    fn space(&self, path: &Path) -> io::Result<Space> {
        self.disk(path).space(path)
    }

    fn look_at(&self, root: &Path) -> io::Result<()> {
        match self.found(root, || self.should_have_one(root)) {
            Some(path) => path.look(),
            None => Ok(()),
        }
    }

    fn give_up(&self, root: &Path) -> bool {
        // Without touching it: it may have become one that hangs since the last look.
        let has = || self.which == DiskChildrenFor::Auto && mounts::is_listed_as_one_that_may_hang(root);
        self.found(root, has).is_some_and(|path| {
            path.give_up();
            true
        })
    }

    fn let_go(&self, root: &Path) {
        let taken = self.paths.write().unwrap_or_else(PoisonError::into_inner).remove(root);
        if let Some(path) = taken {
            path.let_go();
        }
    }
}
