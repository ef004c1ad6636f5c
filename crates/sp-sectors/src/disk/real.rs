//! `Disk` over the machine's file systems.
// The one place of this crate that may touch the machine itself.
#![allow(clippy::disallowed_methods)]

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use rustix::fs::{CWD, RenameFlags, SeekFrom};
use rustix::io::Errno;

use super::{Disk, DiskFile, DiskLock, Entry, Metadata, PageBuffer, Sharing, Space};

/// The machine's disks.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealDisk;

/// An open file of the machine.
#[derive(Debug)]
pub struct RealFile(File);

const COPY_STEP_BYTES: usize = 1 << 30;
const BUFFER_BYTES: usize = 1 << 20;

/// What is written with one call. For longer ones file systems take larger pieces of memory, and those a virtual machine
/// has often given back to its host: fetching 1 GiB to ext4 took 3.5 CPU seconds with 1 MiB, and takes 1.7 with this.
const WRITE_BYTES: usize = 64 << 10;

impl RealDisk {
    /// Opens a file for reading (and for `sync`).
    pub fn file(&self, path: &Path) -> io::Result<RealFile> {
        File::open(path).map(RealFile)
    }

    /// Opens an existing file for reading and writing, content kept.
    pub fn file_to_write(&self, path: &Path) -> io::Result<RealFile> {
        OpenOptions::new().read(true).write(true).open(path).map(RealFile)
    }

    /// Creates a file for reading and writing; `AlreadyExists` if there is something.
    pub fn new_file(&self, path: &Path) -> io::Result<RealFile> {
        OpenOptions::new().read(true).write(true).create_new(true).open(path).map(RealFile)
    }
}

impl RealFile {
    /// Identity within the file system (the inode number).
    pub fn id(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.ino())
    }
}

impl AsFd for RealFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl DiskFile for RealFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut done = 0;
        while done < buffer.len() {
            match self.0.read_at(&mut buffer[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(n) => done += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(done)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut at = offset;
        for piece in bytes.chunks(WRITE_BYTES) {
            self.0.write_all_at(piece, at)?;
            at += piece.len() as u64;
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_all()
    }

    fn size_bytes(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn set_size(&self, size_bytes: u64) -> io::Result<()> {
        self.0.set_len(size_bytes)
    }

    fn next_data(&self, offset: u64) -> io::Result<Option<u64>> {
        // Moves the file's cursor, which nobody uses: every read and write here names its place.
        match rustix::fs::seek(&self.0, SeekFrom::Data(offset)) {
            Ok(at) => Ok(Some(at)),
            Err(Errno::NXIO) => Ok(None),
            Err(Errno::INVAL | Errno::OPNOTSUPP) => Ok((offset < self.size_bytes()?).then_some(offset)),
            Err(e) => Err(e.into()),
        }
    }

    fn is_shared(&self) -> io::Result<bool> {
        Ok(self.0.metadata()?.nlink() > 1)
    }
}

/// The disk takes no new file: it is full, or may only be read.
fn cannot_be_made(error: &io::Error) -> bool {
    use io::ErrorKind::{QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | ReadOnlyFilesystem)
}

/// `renameat2` is refused as invalid by file systems that do not know the flag (NFS, some FUSE).
fn flag_unknown(error: Errno) -> bool {
    matches!(error, Errno::INVAL | Errno::NOSYS | Errno::NOTSUP)
}

/// A copy in the kernel is refused across file systems and by some of them.
fn copy_unsupported(error: Errno) -> bool {
    matches!(error, Errno::OPNOTSUPP | Errno::INVAL | Errno::XDEV | Errno::NOSYS | Errno::NOTTY)
}

fn copy_in_kernel(from: &File, to: &File, size_bytes: u64) -> Result<(), Errno> {
    let (mut read_at, mut write_at) = (0, 0);
    while read_at < size_bytes {
        match rustix::fs::copy_file_range(from, Some(&mut read_at), to, Some(&mut write_at), COPY_STEP_BYTES) {
            // The file got shorter under us, or the file system gives up: the plain copy finds out which.
            Ok(0) => return Err(Errno::OPNOTSUPP),
            Ok(_) | Err(Errno::INTR) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

fn copy_by_hand(from: &File, to: &File) -> io::Result<()> {
    let (from, mut buffer, mut offset) = (RealFile(from.try_clone()?), PageBuffer::new(BUFFER_BYTES), 0);
    loop {
        let got = from.read_at(&mut buffer, offset)?;
        if got == 0 {
            return Ok(());
        }
        to.write_all_at(&buffer[..got], offset)?;
        offset += got as u64;
    }
}

impl Disk for RealDisk {
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        fs::create_dir_all(path)
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(self.file(path)?))
    }

    fn open_write(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(self.file_to_write(path)?))
    }

    fn create_new(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(self.new_file(path)?))
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        match rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
            // Whoever renames here holds the store alone, so looking first is as good.
            Err(e) if flag_unknown(e) => match fs::symlink_metadata(to) {
                Ok(_) => Err(io::ErrorKind::AlreadyExists.into()),
                Err(e) if e.kind() == io::ErrorKind::NotFound => fs::rename(from, to),
                Err(e) => Err(e),
            },
            other => Ok(other?),
        }
    }

    fn replace(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn exchange(&self, a: &Path, b: &Path) -> io::Result<()> {
        match rustix::fs::renameat_with(CWD, a, CWD, b, RenameFlags::EXCHANGE) {
            Err(e) if flag_unknown(e) => Err(io::ErrorKind::Unsupported.into()),
            other => Ok(other?),
        }
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir_all(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            entries.push(Entry { name, is_dir: entry.file_type()?.is_dir() });
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    fn metadata(&self, path: &Path) -> io::Result<Metadata> {
        let found = fs::metadata(path)?;
        // POSIX counts in units of 512 bytes, whatever the file system does.
        let allocated_bytes = found.blocks().saturating_mul(512);
        Ok(Metadata { is_dir: found.is_dir(), size_bytes: found.len(), allocated_bytes, id: found.ino() })
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::hard_link(from, to)
    }

    fn copy(&self, from: &Path, to: &Path) -> io::Result<()> {
        let from = File::open(from)?;
        let to = OpenOptions::new().write(true).create_new(true).open(to)?;
        match rustix::fs::ioctl_ficlone(&to, &from) {
            Err(e) if copy_unsupported(e) => {}
            other => return Ok(other?),
        }
        match copy_in_kernel(&from, &to, from.metadata()?.len()) {
            Err(e) if copy_unsupported(e) => copy_by_hand(&from, &to),
            other => Ok(other?),
        }
    }

    fn clone_file(&self, from: &Path, to: &Path) -> io::Result<()> {
        let from = File::open(from)?;
        let made = OpenOptions::new().write(true).create_new(true).open(to)?;
        let Err(error) = rustix::fs::ioctl_ficlone(&made, &from) else { return Ok(()) };
        fs::remove_file(to)?;
        Err(if copy_unsupported(error) { io::ErrorKind::Unsupported.into() } else { error.into() })
    }

    fn lock(&self, path: &Path, sharing: Sharing) -> io::Result<DiskLock> {
        let made = || OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
        let file = match sharing {
            Sharing::Alone => made()?,
            Sharing::Shared => match File::open(path) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => match made() {
                    // Nobody can lock it to change anything either.
                    Err(e) if cannot_be_made(&e) => return Ok(Box::new(())),
                    other => other?,
                },
                other => other?,
            },
        };
        let locked = match sharing {
            Sharing::Alone => file.lock(),
            Sharing::Shared => file.lock_shared(),
        };
        match locked {
            // What NFS says that was mounted without its lock service.
            Err(e) if e.raw_os_error() == Some(Errno::NOLCK.raw_os_error()) => Err(io::ErrorKind::Unsupported.into()),
            other => other.map(|()| -> DiskLock { Box::new(file) }),
        }
    }

    fn space(&self, path: &Path) -> io::Result<Space> {
        let found = rustix::fs::statvfs(path)?;
        let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
        Ok(Space { capacity_bytes: bytes(found.f_blocks), available_bytes: bytes(found.f_bavail) })
    }
}
