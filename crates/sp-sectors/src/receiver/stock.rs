//! Taking stock of a file that is partly there: which of its chunks are right.

use std::path::Path;

use super::Stock;
use crate::disk::{Disk, DiskFile, PageBuffer, remove_any};
use crate::error::{Doing, StoreError};
use crate::manifest::{CHUNK_BYTES, LANES, ManifestFile, chunk_digests, zero_digest};

/// Which chunks of a file are there and right. Creates the file, at its full length; one that is too long starts over,
/// and so does one that is not whole and has a second name, since writing to it would change that too.
pub(super) fn take(disk: &dyn Disk, path: &Path, file: &ManifestFile) -> Result<Stock, StoreError> {
    let found = disk.metadata(path);
    if found.as_ref().is_ok_and(|m| m.is_dir || m.size_bytes > file.size_bytes) {
        remove_any(disk, path).doing("remove", path)?;
    }
    let mut content = match disk.open_write(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => create(disk, path, file)?,
        other => other.doing("open", path)?,
    };
    let shared = content.is_shared().doing("read", path)?;
    let short = content.size_bytes().doing("read", path)? < file.size_bytes;
    let mut here = vec![false; file.chunks.len()];
    if short && !shared {
        content.set_size(file.size_bytes).doing("extend", path)?;
    }
    if !(short && shared) {
        here = right_chunks(&*content, file).doing("read", path)?;
    }
    if shared && (short || here.contains(&false)) {
        remove_any(disk, path).doing("remove", path)?;
        content = create(disk, path, file)?;
        here = right_chunks(&*content, file).doing("read", path)?;
    }
    let missing = here.iter().filter(|here| !**here).count();
    let file = (missing > 0).then(|| content.into());
    Ok(Stock { here, missing, file })
}

fn create(disk: &dyn Disk, path: &Path, file: &ManifestFile) -> Result<Box<dyn DiskFile>, StoreError> {
    let content = disk.create_new(path).doing("create", path)?;
    content.set_size(file.size_bytes).doing("extend", path)?;
    Ok(content)
}

/// Compares every chunk with the manifest, several at once. Holes are not read: they are zeros.
fn right_chunks(content: &dyn DiskFile, file: &ManifestFile) -> std::io::Result<Vec<bool>> {
    let mut here = vec![false; file.chunks.len()];
    let (mut buffers, mut waiting) = (Vec::new(), Vec::new());
    let mut data_at = content.next_data(0)?;
    for (at, digest) in file.chunks.iter().enumerate() {
        let offset = at as u64 * CHUNK_BYTES;
        let size = (file.size_bytes - offset).min(CHUNK_BYTES) as usize;
        if data_at.is_some_and(|data_at| data_at < offset) {
            data_at = content.next_data(offset)?;
        }
        if data_at.is_none_or(|data_at| data_at >= offset + size as u64) {
            here[at] = *digest == zero_digest(size);
            continue;
        }
        let slot = waiting.len();
        if buffers.len() == slot {
            buffers.push(PageBuffer::new(CHUNK_BYTES as usize));
        }
        if content.read_at(&mut buffers[slot][..size], offset)? == size {
            waiting.push((at, size));
        }
        if waiting.len() == LANES {
            compare(&buffers, &waiting, file, &mut here);
            waiting.clear();
        }
    }
    compare(&buffers, &waiting, file, &mut here);
    Ok(here)
}

fn compare(buffers: &[PageBuffer], waiting: &[(usize, usize)], file: &ManifestFile, here: &mut [bool]) {
    let chunks: Vec<_> = buffers.iter().zip(waiting).map(|(buffer, (_, size))| &buffer[..*size]).collect();
    for ((at, _), digest) in waiting.iter().zip(chunk_digests(&chunks)) {
        here[*at] = file.chunks[*at] == digest;
    }
}
