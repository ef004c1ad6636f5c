//! The list of a manifest on disk: names, lengths and chunk digests, binary.
//!
//! `SPMF`, version u32, number of files u32; then per file: length of the name u16, name, length u64, digests of 32
//! bytes each, as many as the length asks for. Little-endian, nothing after the last file.

use sp_types::FileKind;

use super::{FILE_BYTES_MAX, FILES_MAX, Manifest, ManifestError, ManifestFile, NAME_BYTES_MAX};

const MAGIC: &[u8; 4] = b"SPMF";
const VERSION: u32 = 1;

/// Takes bytes from the front, never past the end.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], ManifestError> {
        let (head, rest) = self.0.split_at_checked(count).ok_or(ManifestError::Junk("ends too early"))?;
        self.0 = rest;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], ManifestError> {
        let mut bytes = [0; N];
        bytes.copy_from_slice(self.take(N)?);
        Ok(bytes)
    }

    fn file(&mut self) -> Result<ManifestFile, ManifestError> {
        let name_bytes = usize::from(u16::from_le_bytes(self.array()?));
        if name_bytes > NAME_BYTES_MAX {
            return Err(ManifestError::Junk("a name is too long"));
        }
        let name = std::str::from_utf8(self.take(name_bytes)?).map_err(|_| ManifestError::Junk("a name is no text"))?;
        let size_bytes = u64::from_le_bytes(self.array()?);
        if size_bytes > FILE_BYTES_MAX {
            return Err(ManifestError::Junk("a file is too long"));
        }
        let digests = self.take(ManifestFile::chunk_count(size_bytes) as usize * 32)?;
        let (chunks, _) = digests.as_chunks::<32>();
        Ok(ManifestFile { name: name.to_owned(), size_bytes, chunks: chunks.to_vec() })
    }
}

impl Manifest {
    /// The list as bytes.
    pub fn encode_list(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(VERSION.to_le_bytes());
        bytes.extend((self.files().len() as u32).to_le_bytes());
        for file in self.files() {
            bytes.extend((file.name.len() as u16).to_le_bytes());
            bytes.extend(file.name.as_bytes());
            bytes.extend(file.size_bytes.to_le_bytes());
            bytes.extend(file.chunks.as_flattened());
        }
        bytes
    }

    /// From the bytes of a list; refused unless it is exactly one and has this root.
    pub fn decode_list(kind: FileKind, root: &[u8; 32], bytes: &[u8]) -> Result<Self, ManifestError> {
        let mut reader = Reader(bytes);
        if reader.array::<4>()? != *MAGIC {
            return Err(ManifestError::Junk("not a manifest list"));
        }
        let version = u32::from_le_bytes(reader.array()?);
        if version != VERSION {
            return Err(ManifestError::NewerVersion(version));
        }
        let count = u32::from_le_bytes(reader.array()?) as usize;
        if count > FILES_MAX {
            return Err(ManifestError::Junk("too many files"));
        }
        let files = (0..count).map(|_| reader.file()).collect::<Result<_, _>>()?;
        if !reader.0.is_empty() {
            return Err(ManifestError::Junk("bytes after the last file"));
        }
        Self::with_root(kind, files, root)
    }
}
