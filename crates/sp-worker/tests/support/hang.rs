//! A disk of which one directory can hang, as a mount of a server that is gone does: calls wait until it is let go.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex};

use sp_sectors::{Disk, DiskFile, DiskLock, Entry, MemDisk, Metadata, Sharing, Space};

/// See the module.
#[derive(Clone)]
pub struct HangingDisk {
    disk: MemDisk,
    below: PathBuf,
    gate: Arc<(Mutex<bool>, Condvar)>,
}

impl HangingDisk {
    pub fn new(disk: MemDisk, below: &str) -> Self {
        Self { disk, below: below.into(), gate: Arc::default() }
    }

    pub fn hang(&self, hangs: bool) {
        *self.gate.0.lock().unwrap() = hangs;
        self.gate.1.notify_all();
    }

    fn on(&self, path: &Path) -> &MemDisk {
        if path.starts_with(&self.below) {
            self.wait();
        }
        &self.disk
    }

    fn wait(&self) {
        drop(self.gate.1.wait_while(self.gate.0.lock().unwrap(), |hangs| *hangs).unwrap());
    }

    /// The file as this disk shows it.
    fn file(&self, path: &Path, file: Box<dyn DiskFile>) -> Box<dyn DiskFile> {
        if !path.starts_with(&self.below) {
            return file;
        }
        Box::new(HangingFile { disk: self.clone(), file })
    }
}

/// An open file in the directory that can hang.
struct HangingFile {
    disk: HangingDisk,
    file: Box<dyn DiskFile>,
}

impl HangingFile {
    fn on(&self) -> &dyn DiskFile {
        self.disk.wait();
        &*self.file
    }
}

impl DiskFile for HangingFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.on().read_at(buffer, offset)
    }
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.on().write_at(bytes, offset)
    }
    fn sync(&self) -> io::Result<()> {
        self.on().sync()
    }
    fn size_bytes(&self) -> io::Result<u64> {
        self.on().size_bytes()
    }
    fn set_size(&self, size_bytes: u64) -> io::Result<()> {
        self.on().set_size(size_bytes)
    }
    fn next_data(&self, offset: u64) -> io::Result<Option<u64>> {
        self.on().next_data(offset)
    }
    fn is_shared(&self) -> io::Result<bool> {
        self.on().is_shared()
    }
}

impl Drop for HangingDisk {
    fn drop(&mut self) {
        // A runtime waits for its blocked threads.
        if Arc::strong_count(&self.gate) == 1 {
            self.hang(false);
        }
    }
}

impl Disk for HangingDisk {
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.on(path).create_dir_all(path)
    }
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(self.file(path, self.on(path).open(path)?))
    }
    fn open_write(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(self.file(path, self.on(path).open_write(path)?))
    }
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(self.file(path, self.on(path).create_new(path)?))
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.on(path).sync_dir(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.on(from).rename(from, to)
    }
    fn replace(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.on(from).replace(from, to)
    }
    fn exchange(&self, a: &Path, b: &Path) -> io::Result<()> {
        self.on(a).exchange(a, b)
    }
    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.on(path).remove_file(path)
    }
    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.on(path).remove_dir_all(path)
    }
    fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        self.on(path).list(path)
    }
    fn metadata(&self, path: &Path) -> io::Result<Metadata> {
        self.on(path).metadata(path)
    }
    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.on(from).hard_link(from, to)
    }
    fn clone_file(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.on(from).clone_file(from, to)
    }
    fn copy(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.on(from).copy(from, to)
    }
    fn lock(&self, path: &Path, sharing: Sharing) -> io::Result<DiskLock> {
        self.on(path).lock(path, sharing)
    }
    fn space(&self, path: &Path) -> io::Result<Space> {
        self.on(path).space(path)
    }
}
