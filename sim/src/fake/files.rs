//! What a fake stage does to files, as steps, so that it can be stopped between any two; durable at the end only.

use std::io;
use std::path::{Path, PathBuf};

use sp_sectors::{Disk, read_all, remove_any};

/// Longest file of a fake stage.
const FILE_BYTES_MAX: u64 = 8 << 20;

/// One change.
#[derive(Debug, Clone)]
pub(super) enum Step {
    MakeDir(PathBuf),
    /// Nothing may be there.
    Create(PathBuf, Vec<u8>),
    Overwrite(PathBuf, Vec<u8>),
    Remove(PathBuf),
    /// Whatever is there.
    Clear(PathBuf),
}

impl Step {
    pub(super) fn carry_out(&self, disk: &dyn Disk) -> io::Result<()> {
        match self {
            Self::MakeDir(path) => disk.create_dir_all(path),
            Self::Create(path, bytes) => disk.create_new(path)?.write_at(bytes, 0),
            Self::Overwrite(path, bytes) => disk.open_write(path)?.write_at(bytes, 0),
            Self::Remove(path) => disk.remove_file(path),
            Self::Clear(path) => remove_any(disk, path),
        }
    }
}

pub(super) fn read(disk: &dyn Disk, path: &Path) -> io::Result<Vec<u8>> {
    read_all(disk, path, FILE_BYTES_MAX)
}

/// Makes a file, or a directory with the files in it, durable, and its name.
pub(super) fn sync(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    if disk.metadata(path)?.is_dir {
        for entry in disk.list(path)? {
            disk.open(&path.join(entry.name))?.sync()?;
        }
        disk.sync_dir(path)?;
    } else {
        disk.open(path)?.sync()?;
    }
    path.parent().map_or(Ok(()), |parent| disk.sync_dir(parent))
}
