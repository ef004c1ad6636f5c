//! A service's data directory: made if missing, owned by one process at a time.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

/// A data directory that is ours as long as this value lives.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    // Closing it gives the lock back; the kernel does so too when the process dies.
    _lock: File,
}

/// A data directory that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// Another process has it.
    #[error(
        "data directory {} belongs to process {pid}; stop that process, or give this one a directory of its own \
         (--data-dir)", path.display()
    )]
    Taken {
        /// The directory.
        path: PathBuf,
        /// Its owner.
        pid: String,
    },
    /// The machine said no.
    #[error("cannot use data directory {}: {source}", path.display())]
    Io {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl DataDir {
    /// Makes the directory if it is missing and takes its lock.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, DataDirError> {
        let path = path.into();
        match take(&path) {
            Ok(Ok(lock)) => Ok(Self { path, _lock: lock }),
            Ok(Err(pid)) => Err(DataDirError::Taken { path, pid }),
            Err(source) => Err(DataDirError::Io { path, source }),
        }
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// The locked file, or the pid of who holds it.
fn take(path: &Path) -> io::Result<Result<File, String>> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    let mut file = options.open(path.join("lock"))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => {
            let mut pid = String::new();
            file.read_to_string(&mut pid)?;
            let pid = pid.trim();
            return Ok(Err(if pid.is_empty() { "unknown".to_owned() } else { pid.to_owned() }));
        }
        Err(error) => return Err(error.into()),
    }
    file.set_len(0)?;
    file.seek(SeekFrom::Start(0))?;
    writeln!(file, "{}", std::process::id())?;
    Ok(Ok(file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_owner_at_a_time() {
        let dir = tempfile::tempdir().expect("temp dir");
        let path = dir.path().join("a/b");
        let first = DataDir::open(&path).expect("free");
        let error = DataDir::open(&path).expect_err("taken").to_string();
        assert!(error.contains(&std::process::id().to_string()), "{error}");
        assert!(error.contains(&path.display().to_string()), "{error}");
        drop(first);
        DataDir::open(&path).expect("free again");
    }

    #[test]
    fn a_file_in_the_way_is_an_error() {
        let dir = tempfile::tempdir().expect("temp dir");
        let path = dir.path().join("file");
        fs::write(&path, b"x").expect("write");
        assert!(matches!(DataDir::open(&path), Err(DataDirError::Io { .. })));
    }
}
