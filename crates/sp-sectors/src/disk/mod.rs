//! The narrow interface to a file system: the calls that a path on disk needs, and no more.

mod mem;
mod pages;
mod real;
#[cfg(test)]
mod tests;
mod util;

use std::io;
use std::path::Path;

pub use mem::{Loss, MemDisk};
pub use pages::PageBuffer;
pub use real::{RealDisk, RealFile};
pub use util::{exists, make_dirs, read_all, remove_any, write_whole};

/// What is at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metadata {
    /// A directory, or else a file.
    pub is_dir: bool,
    /// Length of a file, bytes.
    pub size_bytes: u64,
    /// Space that a file takes, bytes: less than its length where it has holes.
    pub allocated_bytes: u64,
    /// Identity within the file system (the inode number): it moves along with a rename.
    pub id: u64,
}

/// One name in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The name, without the directory. Not UTF-8: with replacement characters, so it parses as no name of ours.
    pub name: String,
    /// A directory, or else a file.
    pub is_dir: bool,
}

/// Space in the file system that holds a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Space {
    /// Size, bytes.
    pub capacity_bytes: u64,
    /// Free for this user, bytes.
    pub available_bytes: u64,
}

/// Who else may have a lock at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    /// Nobody.
    Alone,
    /// Others that share it too.
    Shared,
}

/// A lock that is held until it is dropped.
pub type DiskLock = Box<dyn std::any::Any + Send + Sync>;

/// An open file. Writes are visible at once and durable after `sync`.
pub trait DiskFile: Send + Sync {
    /// Reads from `offset` until the buffer is full or the file ends; says how many bytes.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes all bytes at `offset`, growing the file where needed.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Makes content and length durable. The name needs `Disk::sync_dir`.
    fn sync(&self) -> io::Result<()>;
    /// Length, bytes.
    fn size_bytes(&self) -> io::Result<u64>;
    /// Sets the length. What it grows by reads as zero, and takes no space where the file system knows holes.
    fn set_size(&self, size_bytes: u64) -> io::Result<()>;
    /// Where the next stored bytes begin, from `offset` on: what lies before them is a hole and reads as zero. None:
    /// nothing but a hole up to the end. A file system that does not know holes says `offset`.
    fn next_data(&self, offset: u64) -> io::Result<Option<u64>>;
    /// Has it more than one name? What is written to it then changes under the other names too.
    fn is_shared(&self) -> io::Result<bool>;
}

/// A file system. All calls block; paths are absolute.
pub trait Disk: Send + Sync + 'static {
    /// Creates a directory and those above it; existing ones are fine.
    fn create_dir_all(&self, path: &Path) -> io::Result<()>;
    /// Opens a file for reading (and for `sync`).
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// Opens an existing file for reading and writing, content kept.
    fn open_write(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// Creates a file for reading and writing; `AlreadyExists` if there is something.
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// Makes the names in a directory durable.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
    /// Renames; `AlreadyExists` if there is something at `to`.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Renames a file over what may be at `to`, atomically.
    fn replace(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Swaps two names atomically; `Unsupported` where the file system cannot.
    fn exchange(&self, a: &Path, b: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove_file(&self, path: &Path) -> io::Result<()>;
    /// Removes a directory with all that is in it.
    fn remove_dir_all(&self, path: &Path) -> io::Result<()>;
    /// The names in a directory, sorted.
    fn list(&self, path: &Path) -> io::Result<Vec<Entry>>;
    /// What is at a path; `NotFound` if nothing.
    fn metadata(&self, path: &Path) -> io::Result<Metadata>;
    /// Gives a file a second name.
    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Copies a file to a new name, sharing its blocks where the file system can.
    fn copy(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Copies a file to a new name without copying its bytes: both share their blocks until one is written to.
    /// `Unsupported` where the file system cannot, or where the two names lie in different ones.
    fn clone_file(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Waits until no other process, on this host or another, has the file locked (or, to share it, has it for itself), and
    /// locks it until what is returned is dropped. The file is made if it is not there. `Unsupported` where the file system
    /// knows no locks.
    fn lock(&self, path: &Path, sharing: Sharing) -> io::Result<DiskLock>;
    /// Space in the file system of a path.
    fn space(&self, path: &Path) -> io::Result<Space>;

    /// Whoever looks whether a storage path is well begins with this. A disk that does the calls on it in a process of its
    /// own starts one where the last has been given up, and waits until it answers.
    fn look_at(&self, _root: &Path) -> io::Result<()> {
        Ok(())
    }

    /// Nothing that was asked of a storage path comes back. True: whoever waits hears of it, and the path may be looked at
    /// again at once; false: what was asked hangs on until the path answers.
    fn give_up(&self, _root: &Path) -> bool {
        false
    }

    /// A storage path is used no more.
    fn let_go(&self, _root: &Path) {}
}
