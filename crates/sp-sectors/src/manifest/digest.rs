//! BLAKE2s over chunks, files and directories.

use std::io;
use std::path::Path;
use std::sync::OnceLock;

use blake2s_simd::many::{HashManyJob, hash_many};
use blake2s_simd::{Hash, Params};

use super::ManifestFile;
use crate::disk::{Disk, PageBuffer};

/// Length of a chunk: what one digest covers, and what one message of a fetch carries.
pub const CHUNK_BYTES: u64 = 1 << 20;

/// Chunks that are digested at once: the lanes of AVX2.
pub(crate) const LANES: usize = 8;

/// The digest of one chunk.
pub fn chunk_digest(bytes: &[u8]) -> [u8; 32] {
    *blake2s_simd::blake2s(bytes).as_array()
}

/// The digests of these chunks, in order, several at once: much faster than one by one.
pub fn chunk_digests(chunks: &[&[u8]]) -> Vec<[u8; 32]> {
    let params = Params::new();
    let mut jobs: Vec<_> = chunks.iter().map(|chunk| HashManyJob::new(&params, chunk)).collect();
    hash_many(jobs.iter_mut());
    jobs.iter().map(|job| *job.to_hash().as_array()).collect()
}

/// The digest of a chunk of so many zero bytes.
pub(crate) fn zero_digest(size_bytes: usize) -> [u8; 32] {
    static WHOLE: OnceLock<[u8; 32]> = OnceLock::new();
    let digest = |size_bytes| chunk_digest(&vec![0; size_bytes]);
    match size_bytes as u64 == CHUNK_BYTES {
        true => *WHOLE.get_or_init(|| digest(size_bytes)),
        false => digest(size_bytes),
    }
}

fn personal(tag: &[u8; 8]) -> blake2s_simd::State {
    Params::new().personal(tag).to_state()
}

fn finish(state: &blake2s_simd::State) -> [u8; 32] {
    let hash: Hash = state.finalize();
    *hash.as_array()
}

/// Root of one file.
pub(super) fn file_root(file: &ManifestFile) -> [u8; 32] {
    let mut state = personal(b"sp-file1");
    state.update(&file.size_bytes.to_le_bytes());
    for chunk in &file.chunks {
        state.update(chunk);
    }
    finish(&state)
}

/// Root of a directory; the files are sorted by name.
pub(super) fn dir_root(files: &[ManifestFile]) -> [u8; 32] {
    let mut state = personal(b"sp-dir-1");
    state.update(&(files.len() as u32).to_le_bytes());
    for file in files {
        state.update(&(file.name.len() as u16).to_le_bytes());
        state.update(file.name.as_bytes());
        state.update(&file.size_bytes.to_le_bytes());
        state.update(&file_root(file));
    }
    finish(&state)
}

/// Length and chunk digests of a file, several chunks at once.
pub(super) fn digest_file(disk: &dyn Disk, path: &Path) -> io::Result<(u64, Vec<[u8; 32]>)> {
    let file = disk.open(path)?;
    let size_bytes = file.size_bytes()?;
    let group = (CHUNK_BYTES * LANES as u64).min(size_bytes) as usize;
    let (mut buffer, mut digests, mut offset) = (PageBuffer::new(group), Vec::new(), 0);
    while offset < size_bytes {
        let want = (size_bytes - offset).min(group as u64) as usize;
        if file.read_at(&mut buffer[..want], offset)? != want {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file got shorter while it was read"));
        }
        digests.extend(chunk_digests(&buffer[..want].chunks(CHUNK_BYTES as usize).collect::<Vec<_>>()));
        offset += want as u64;
    }
    Ok((size_bytes, digests))
}
