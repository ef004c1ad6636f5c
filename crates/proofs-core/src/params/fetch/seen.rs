//! What was digested once need not be digested at every start: a record beside the file says so while the file stays
//! the one that it was.

use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Whether the file was found to have this digest, and has not been changed or replaced since.
pub(super) fn is_recorded(path: &Path, digest: &str) -> bool {
    let recorded = || Ok::<_, io::Error>(fs::read(place(path))? == line(&fs::metadata(path)?, digest).as_bytes());
    recorded().unwrap_or(false)
}

/// Whether a record could be written. Where it cannot, every start would digest the file again.
pub(super) fn is_possible(path: &Path) -> bool {
    File::options().create(true).truncate(false).append(true).open(place(path)).is_ok()
}

/// Writes down that the file, which was like this when it was read, has this digest. One that is missing or torn costs
/// another look and no more.
pub(super) fn record(path: &Path, metadata: &Metadata, digest: &str) {
    let _ = fs::write(place(path), line(metadata, digest));
}

/// Everything that tells one state of a file from another.
fn line(metadata: &Metadata, digest: &str) -> String {
    let (seconds, nanoseconds) = (metadata.mtime(), metadata.mtime_nsec());
    format!("{digest} {} bytes, inode {}, changed at {seconds}.{nanoseconds:09}\n", metadata.len(), metadata.ino())
}

fn place(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.checked"))
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn a_record_holds_until_the_file_is_another() {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("v28-test.params");
        assert!(!is_recorded(&path, "d"));
        fs::write(&path, "one").unwrap();
        assert!(is_possible(&path) && !is_recorded(&path, "d"));
        record(&path, &fs::metadata(&path).unwrap(), "d");
        assert!(is_recorded(&path, "d") && !is_recorded(&path, "e"));
        let aside = dir.path().join("aside");
        fs::write(&aside, "two").unwrap();
        fs::rename(&aside, &path).unwrap();
        assert!(!is_recorded(&path, "d"));
        assert!(!is_possible(&dir.path().join("none/v28-test.params")));
    }
}
