//! What is built from the calls of `Disk`: whole files, directories with durable names.

use std::io;
use std::path::{Path, PathBuf};

use super::Disk;

/// Is something at this path?
pub fn exists(disk: &dyn Disk, path: &Path) -> io::Result<bool> {
    match disk.metadata(path) {
        Ok(_) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(e),
    }
}

/// Creates a directory and makes every name that was new durable.
pub fn make_dirs(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    let mut missing = Vec::new();
    for at in path.ancestors() {
        if exists(disk, at)? {
            break;
        }
        missing.push(at);
    }
    disk.create_dir_all(path)?;
    for at in missing.into_iter().rev() {
        if let Some(parent) = at.parent() {
            disk.sync_dir(parent)?;
        }
    }
    Ok(())
}

/// Removes a file or a directory; nothing there is fine.
pub fn remove_any(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    let removed = match disk.metadata(path) {
        Ok(found) if found.is_dir => disk.remove_dir_all(path),
        Ok(_) => disk.remove_file(path),
        Err(e) => Err(e),
    };
    match removed {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// The whole content of a file; refuses more than `bytes_max`.
pub fn read_all(disk: &dyn Disk, path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let file = disk.open(path)?;
    let size = file.size_bytes()?;
    if size > bytes_max {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("{size} bytes, at most {bytes_max} expected")));
    }
    let mut bytes = vec![0; size as usize];
    let got = file.read_at(&mut bytes, 0)?;
    bytes.truncate(got);
    Ok(bytes)
}

/// Writes a whole small file so that nobody ever sees a part of it: aside, sync, rename, sync the directory.
pub fn write_whole(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut aside = path.as_os_str().to_owned();
    aside.push(".tmp");
    let aside = PathBuf::from(aside);
    remove_any(disk, &aside)?;
    let written = || {
        let file = disk.create_new(&aside)?;
        file.write_at(bytes, 0)?;
        file.sync()?;
        drop(file);
        disk.replace(&aside, path)
    };
    if let Err(error) = written() {
        // Nobody would look for it. A disk that does not take this either keeps it until the next start.
        let _ = disk.remove_file(&aside);
        return Err(error);
    }
    match path.parent() {
        Some(parent) => disk.sync_dir(parent),
        None => Ok(()),
    }
}
