//! What can be wrong with a file of a replica, and how it is said.

use std::fmt;

use crate::manifest::CHUNK_BYTES;

/// What is wrong with one file of a replica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScrubFault {
    /// Name within the directory; empty for a kind that is a single file.
    pub name: String,
    /// Index of the first chunk that is bad.
    pub chunk: u64,
    /// Chunks that are bad.
    pub bad_chunks: u64,
    /// What is wrong with the first one.
    pub reason: ScrubReason,
}

/// Why a chunk is bad.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScrubReason {
    /// Its bytes are not those that were digested.
    Differs,
    /// The file ends before it does, after so many bytes.
    Cut(u64),
    /// The file goes on where it should end, up to so many bytes.
    Long(u64),
    /// The file is not there.
    Missing,
    /// The manifest knows no such file.
    Extra,
    /// The system cannot read it.
    Unreadable(String),
    /// The manifest itself cannot be used.
    Manifest(String),
    /// The whole replica is gone, and nobody has deleted it.
    Lost,
}

impl ScrubFault {
    pub(super) fn whole(name: &str, chunks: usize, reason: ScrubReason) -> Self {
        Self { name: name.to_owned(), chunk: 0, bad_chunks: chunks.max(1) as u64, reason }
    }

    /// Where the first bad chunk starts in the file, bytes.
    pub fn offset(&self) -> u64 {
        self.chunk * CHUNK_BYTES
    }
}

impl fmt::Display for ScrubFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (chunk, offset) = (self.chunk, self.offset());
        if !self.name.is_empty() {
            write!(f, "{}: ", self.name)?;
        }
        match &self.reason {
            ScrubReason::Differs => write!(f, "chunk {chunk} (byte {offset}) differs from its digest")?,
            ScrubReason::Cut(bytes) => write!(f, "chunk {chunk} is cut: the file ends after {bytes} bytes")?,
            ScrubReason::Long(bytes) => write!(f, "it has {bytes} bytes, more than its manifest says")?,
            ScrubReason::Missing => write!(f, "the file is not there")?,
            ScrubReason::Extra => write!(f, "its manifest knows no such file")?,
            ScrubReason::Unreadable(why) => write!(f, "chunk {chunk} (byte {offset}) cannot be read: {why}")?,
            ScrubReason::Manifest(why) => write!(f, "its manifest cannot be used: {why}")?,
            ScrubReason::Lost => write!(f, "it is gone, and nobody has deleted it; its manifest is still here")?,
        }
        if self.bad_chunks > 1 { write!(f, "; {} chunks are bad", self.bad_chunks) } else { Ok(()) }
    }
}
