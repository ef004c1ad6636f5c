//! Small checks on the files and directories that a stage is given.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use sp_types::SectorSize;

use super::StageError;

/// Bytes compared or hashed at a time; a power of two.
pub(super) const BLOCK_BYTES: usize = 1 << 20;

/// Refuses a sector file that is missing or does not have the sector's size.
pub(super) fn check_sector_file(stage: &'static str, path: &Path, size: SectorSize) -> Result<(), StageError> {
    let found = fs::metadata(path).map_err(StageError::io(stage, path))?.len();
    if found == size.bytes() {
        return Ok(());
    }
    let expected = size.bytes();
    Err(StageError::corrupt(stage, format!("{} has {found} bytes, a {size} sector has {expected}", path.display())))
}

/// Creates a file of the sector's size, which upstream maps and overwrites. One that is there already is refused.
pub(super) fn create_sector_file(stage: &'static str, path: &Path, size: SectorSize) -> Result<(), StageError> {
    let created = File::create_new(path).and_then(|file| file.set_len(size.bytes()));
    created.map_err(StageError::io(stage, path))
}

/// Creates `dir` if it is missing and refuses it if it holds anything: upstream skips a layer whose file has the right
/// length whatever is in it, so a stage never starts on leftovers.
pub(super) fn require_empty_dir(stage: &'static str, dir: &Path) -> Result<(), StageError> {
    fs::create_dir_all(dir).map_err(StageError::io(stage, dir))?;
    let mut entries = fs::read_dir(dir).map_err(StageError::io(stage, dir))?;
    match entries.next() {
        None => Ok(()),
        Some(_) => {
            Err(StageError::bad_input(stage, format!("{} is not empty; start in a new directory", dir.display())))
        }
    }
}

/// Whether the first `bytes` bytes of two files are equal.
pub(super) fn same_start(stage: &'static str, left: &Path, right: &Path, bytes: u64) -> Result<bool, StageError> {
    let mut readers = [
        File::open(left).map_err(StageError::io(stage, left))?,
        File::open(right).map_err(StageError::io(stage, right))?,
    ];
    let (mut a, mut b) = (vec![0; BLOCK_BYTES], vec![0; BLOCK_BYTES]);
    let mut rest = bytes;
    while rest > 0 {
        let step = rest.min(BLOCK_BYTES as u64) as usize;
        readers[0].read_exact(&mut a[..step]).map_err(StageError::io(stage, left))?;
        readers[1].read_exact(&mut b[..step]).map_err(StageError::io(stage, right))?;
        if a[..step] != b[..step] {
            return Ok(false);
        }
        rest -= step as u64;
    }
    Ok(true)
}
