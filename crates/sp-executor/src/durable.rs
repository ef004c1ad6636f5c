//! Makes what a stage wrote durable: every file, then the directories that name them.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use sp_types::ErrorCode;

use crate::Refused;

/// Flushes a file, or a directory with everything in it, and the directory that holds it.
pub(crate) fn sync_tree(path: &Path) -> io::Result<()> {
    sync_down(path).map_err(|e| named(path, &e))?;
    match path.parent() {
        Some(parent) => File::open(parent).and_then(|d| d.sync_all()).map_err(|e| named(parent, &e)),
        None => Ok(()),
    }
}

/// Writes a file that is not there yet, durable when it returns.
pub(crate) fn write_new(stage: &str, path: &Path, bytes: &[u8]) -> Result<(), Refused> {
    let written = File::create_new(path).and_then(|mut file| file.write_all(bytes));
    written.map_err(|e| Refused::new(ErrorCode::ExecutorFailed, format!("{stage}: {}: {e}", path.display())))?;
    Ok(sync_tree(path)?)
}

fn sync_down(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        for entry in fs::read_dir(path)? {
            sync_down(&entry?.path())?;
        }
    }
    File::open(path)?.sync_all()
}

fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{} could not be made durable: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_trees_are_flushed_and_missing_ones_named() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("cache")).unwrap();
        fs::write(dir.path().join("cache/p_aux"), b"x").unwrap();
        sync_tree(&dir.path().join("cache")).unwrap();
        sync_tree(&dir.path().join("cache/p_aux")).unwrap();
        let error = sync_tree(&dir.path().join("missing")).unwrap_err();
        assert!(error.to_string().contains("missing could not be made durable"), "{error}");
    }
}
