//! What a replica consists of: its files, the digest of each 1 MiB chunk, and the root over all of it.
//!
//! Digests are BLAKE2s-256. Chunk: plain digest of up to 1 MiB. Root of a file (personalisation `sp-file1`): length as
//! u64, then the chunk digests. Root of a directory (`sp-dir-1`): number of files as u32, then for each file, sorted by
//! name: length of the name as u16, name, length as u64, root. Numbers are little-endian. A kind that is a single file
//! has the root of that file.

mod digest;
mod head;
mod list;
#[cfg(test)]
mod tests;

use std::path::Path;

use sp_types::FileKind;

use crate::disk::Disk;
use crate::error::{Doing, StoreError};
pub use digest::{CHUNK_BYTES, chunk_digest, chunk_digests};
pub(crate) use digest::{LANES, zero_digest};
pub use head::{HEAD_BYTES_MAX, ManifestHead};

/// Most files in one replica. The largest cache of a published size has 40.
pub const FILES_MAX: usize = 1024;
/// Longest name of a file, bytes.
pub const NAME_BYTES_MAX: usize = 128;
/// Largest file, bytes: well above the largest of a published size, low enough that a lie costs no memory.
pub const FILE_BYTES_MAX: u64 = 1 << 40;

/// One file of a replica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestFile {
    /// Name within the directory; empty for a kind that is a single file.
    pub name: String,
    /// Length, bytes.
    pub size_bytes: u64,
    /// Digest of each 1 MiB; the last chunk may be shorter, an empty file has none.
    pub chunks: Vec<[u8; 32]>,
}

/// The manifest of a replica: valid by construction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    kind: FileKind,
    files: Vec<ManifestFile>,
    size_bytes: u64,
    root: [u8; 32],
}

/// A manifest that is not one, or content that is not what its manifest says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// The encoding is wrong.
    #[error("manifest does not parse: {0}")]
    Junk(&'static str),
    /// Made by a newer build.
    #[error("manifest has version {0}; this build reads up to version 1: upgrade it")]
    NewerVersion(u32),
    /// A name that is no plain file name.
    #[error("`{0}` cannot be the name of a file in a replica")]
    BadName(String),
    /// The same name twice.
    #[error("file `{0}` is listed twice")]
    Duplicate(String),
    /// Not the files that a replica of this kind has.
    #[error("a {kind} with {count} files makes no sense")]
    FileCount {
        /// Which kind.
        kind: FileKind,
        /// How many files are listed.
        count: usize,
    },
    /// Length and number of chunks do not fit.
    #[error("file `{name}`: {chunks} chunk digests for {size_bytes} bytes")]
    ChunkCount {
        /// Which file.
        name: String,
        /// Its length.
        size_bytes: u64,
        /// How many digests are there.
        chunks: usize,
    },
    /// The list does not have the root that its head names.
    #[error("manifest has root {found}, {wanted} was expected")]
    Root {
        /// Root of the list, hex.
        found: String,
        /// Root that was expected, hex.
        wanted: String,
    },
    /// Content differs from its manifest.
    #[error("file `{name}` differs from its manifest at byte {offset}")]
    Differs {
        /// Which file.
        name: String,
        /// Start of the first chunk that differs.
        offset: u64,
    },
}

impl ManifestFile {
    /// Number of chunks of a file of this length.
    pub fn chunk_count(size_bytes: u64) -> u64 {
        size_bytes.div_ceil(CHUNK_BYTES)
    }

    /// Length of the chunk that starts at `offset`; none if no chunk starts there.
    pub fn chunk_bytes(&self, offset: u64) -> Option<usize> {
        let starts = offset.is_multiple_of(CHUNK_BYTES) && offset < self.size_bytes;
        starts.then(|| (self.size_bytes - offset).min(CHUNK_BYTES) as usize)
    }

    fn check(&self) -> Result<(), ManifestError> {
        if self.size_bytes > FILE_BYTES_MAX || self.chunks.len() as u64 != Self::chunk_count(self.size_bytes) {
            let (name, chunks) = (self.name.clone(), self.chunks.len());
            return Err(ManifestError::ChunkCount { name, size_bytes: self.size_bytes, chunks });
        }
        Ok(())
    }
}

/// A plain name: letters, digits, dot, dash, underscore; not starting with a dot.
fn plain_name(name: &str) -> bool {
    let shape = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    !name.is_empty() && name.len() <= NAME_BYTES_MAX && shape && !name.starts_with('.')
}

impl Manifest {
    /// Takes the files in any order. A kind that is a single file has exactly one, without a name.
    pub fn new(kind: FileKind, mut files: Vec<ManifestFile>) -> Result<Self, ManifestError> {
        let count_fits = if kind.is_directory() { files.len() <= FILES_MAX } else { files.len() == 1 };
        if !count_fits {
            return Err(ManifestError::FileCount { kind, count: files.len() });
        }
        files.sort_by(|a, b| a.name.cmp(&b.name));
        for file in &files {
            file.check()?;
            let name_fits = if kind.is_directory() { plain_name(&file.name) } else { file.name.is_empty() };
            if !name_fits {
                return Err(ManifestError::BadName(file.name.clone()));
            }
        }
        if let Some(pair) = files.windows(2).find(|pair| pair[0].name == pair[1].name) {
            return Err(ManifestError::Duplicate(pair[0].name.clone()));
        }
        let root = if kind.is_directory() { digest::dir_root(&files) } else { digest::file_root(&files[0]) };
        let size_bytes = files.iter().map(|f| f.size_bytes).sum();
        Ok(Self { kind, files, size_bytes, root })
    }

    /// The same, refused unless it has this root.
    pub fn with_root(kind: FileKind, files: Vec<ManifestFile>, root: &[u8; 32]) -> Result<Self, ManifestError> {
        Self::new(kind, files)?.expect_root(root)
    }

    /// Reads a whole replica and digests it.
    pub fn of_path(disk: &dyn Disk, kind: FileKind, path: &Path) -> Result<Self, StoreError> {
        if !kind.is_directory() {
            let (size_bytes, chunks) = digest::digest_file(disk, path).doing("digest", path)?;
            return Ok(Self::new(kind, vec![ManifestFile { name: String::new(), size_bytes, chunks }])?);
        }
        let mut files = Vec::new();
        for entry in disk.list(path).doing("list", path)? {
            if entry.is_dir || !plain_name(&entry.name) {
                return Err(ManifestError::BadName(entry.name).into());
            }
            let at = path.join(&entry.name);
            let (size_bytes, chunks) = digest::digest_file(disk, &at).doing("digest", &at)?;
            files.push(ManifestFile { name: entry.name, size_bytes, chunks });
        }
        Ok(Self::new(kind, files)?)
    }

    /// Reads a whole replica and compares it with this manifest.
    pub fn verify(&self, disk: &dyn Disk, path: &Path) -> Result<(), StoreError> {
        let found = Self::of_path(disk, self.kind, path)?;
        match self.first_difference(&found) {
            Some((name, offset)) => Err(ManifestError::Differs { name, offset }.into()),
            None => Ok(()),
        }
    }

    fn first_difference(&self, found: &Self) -> Option<(String, u64)> {
        for file in &self.files {
            let Some(other) = found.file(&file.name) else {
                return Some((file.name.clone(), 0));
            };
            let chunks = file.chunks.len().max(other.chunks.len());
            if let Some(at) = (0..chunks).find(|&i| file.chunks.get(i) != other.chunks.get(i)) {
                return Some((file.name.clone(), at as u64 * CHUNK_BYTES));
            }
        }
        found.files.iter().find(|f| self.file(&f.name).is_none()).map(|extra| (extra.name.clone(), 0))
    }

    fn expect_root(self, root: &[u8; 32]) -> Result<Self, ManifestError> {
        if self.root != *root {
            return Err(ManifestError::Root { found: hex::encode(self.root), wanted: hex::encode(root) });
        }
        Ok(self)
    }

    /// Which kind of replica.
    pub fn kind(&self) -> FileKind {
        self.kind
    }

    /// Its files, sorted by name.
    pub fn files(&self) -> &[ManifestFile] {
        &self.files
    }

    /// The file of this name (empty for a kind that is a single file).
    pub fn file(&self, name: &str) -> Option<&ManifestFile> {
        let at = self.files.binary_search_by(|f| f.name.as_str().cmp(name)).ok()?;
        self.files.get(at)
    }

    /// Total length, bytes.
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// Root over everything.
    pub fn root(&self) -> [u8; 32] {
        self.root
    }
}
