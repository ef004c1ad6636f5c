//! The file system of a worker: `MemDisk`, asked only when the worker lives and its disk is in order.

use std::io;
use std::path::Path;
use std::sync::Arc;

use sp_sectors::{Disk, DiskFile, DiskLock, Entry, MemDisk, Metadata, Sharing, Space};

use super::Trouble;

/// See the module. Whoever only looks uses the `MemDisk` below it.
#[derive(Clone)]
pub struct FlakyDisk {
    /// What is on it.
    pub below: MemDisk,
    /// What is wrong with it.
    pub trouble: Arc<Trouble>,
}

struct FlakyFile {
    below: Box<dyn DiskFile>,
    trouble: Arc<Trouble>,
}

impl FlakyDisk {
    fn file(&self, below: Box<dyn DiskFile>) -> Box<dyn DiskFile> {
        Box::new(FlakyFile { below, trouble: self.trouble.clone() })
    }
}

impl DiskFile for FlakyFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.trouble.read()?;
        self.below.read_at(buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.trouble.change(true)?;
        self.below.write_at(bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.trouble.sync()?;
        self.below.sync()
    }

    fn size_bytes(&self) -> io::Result<u64> {
        self.trouble.read()?;
        self.below.size_bytes()
    }

    fn set_size(&self, size_bytes: u64) -> io::Result<()> {
        self.trouble.change(false)?;
        self.below.set_size(size_bytes)
    }

    fn next_data(&self, offset: u64) -> io::Result<Option<u64>> {
        self.trouble.read()?;
        self.below.next_data(offset)
    }

    fn is_shared(&self) -> io::Result<bool> {
        self.trouble.read()?;
        self.below.is_shared()
    }
}

impl Disk for FlakyDisk {
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        // Only a directory that is not there needs room.
        self.trouble.change(self.below.metadata(path).is_err())?;
        self.below.create_dir_all(path)
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.trouble.read()?;
        self.below.open(path).map(|file| self.file(file))
    }

    fn open_write(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.trouble.read()?;
        self.below.open_write(path).map(|file| self.file(file))
    }

    fn create_new(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.trouble.change(true)?;
        self.below.create_new(path).map(|file| self.file(file))
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.trouble.sync()?;
        self.below.sync_dir(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.trouble.change(false)?;
        self.below.rename(from, to)
    }

    fn replace(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.trouble.change(false)?;
        self.below.replace(from, to)
    }

    fn exchange(&self, a: &Path, b: &Path) -> io::Result<()> {
        self.trouble.change(false)?;
        self.below.exchange(a, b)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.trouble.change(false)?;
        self.below.remove_file(path)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.trouble.change(false)?;
        self.below.remove_dir_all(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        self.trouble.read()?;
        self.below.list(path)
    }

    fn metadata(&self, path: &Path) -> io::Result<Metadata> {
        self.trouble.read()?;
        self.below.metadata(path)
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.trouble.change(true)?;
        self.below.hard_link(from, to)
    }

    fn copy(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.trouble.change(true)?;
        self.below.copy(from, to)
    }

    fn clone_file(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.trouble.change(true)?;
        self.below.clone_file(from, to)
    }

    fn lock(&self, path: &Path, sharing: Sharing) -> io::Result<DiskLock> {
        self.trouble.read()?;
        self.below.lock(path, sharing)
    }

    fn space(&self, path: &Path) -> io::Result<Space> {
        self.trouble.read()?;
        let space = self.below.space(path)?;
        let available_bytes = if self.trouble.is_full() { 0 } else { space.available_bytes };
        Ok(Space { available_bytes, ..space })
    }
}
