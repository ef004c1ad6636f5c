//! The layout of a `.params` file: a verifying key, then five counted blocks of uncompressed points (`proofs.md` B.2;
//! bellperson's `Parameters::write`).

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

const G1_BYTES: u64 = 96;
const G2_BYTES: u64 = 192;
/// alpha_g1, beta_g1, beta_g2, gamma_g2, delta_g1, delta_g2.
pub(crate) const KEY_HEAD_BYTES: u64 = 3 * G1_BYTES + 3 * G2_BYTES;
/// The blocks after the key, in order, and the bytes of one of their points.
const BLOCKS: [(&str, u64); 5] =
    [("h", G1_BYTES), ("l", G1_BYTES), ("a", G1_BYTES), ("b_g1", G1_BYTES), ("b_g2", G2_BYTES)];

/// How many points each part of a parameter file has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// Public inputs, the constant one included.
    pub ic: u32,
    /// Points of the h, l, a, b_g1 and b_g2 blocks.
    pub blocks: [u32; 5],
    /// Length of the file.
    pub length_bytes: u64,
}

/// Why a file has no layout.
pub(crate) enum LayoutError {
    Io(io::Error),
    /// The file ends inside the named part, or goes on after the last.
    Wrong(String),
}

impl Layout {
    /// Bytes of the verifying key with which the file starts; a `.vk` file holds just these.
    pub fn key_bytes(&self) -> u64 {
        key_bytes(self.ic)
    }

    /// Reads the counts of a parameter file, and checks that they add up to its length.
    pub(crate) fn read(path: &Path) -> Result<Self, LayoutError> {
        let mut file = File::open(path).map_err(LayoutError::Io)?;
        let length_bytes = file.metadata().map_err(LayoutError::Io)?.len();
        let mut count_at = |part: &str, offset: u64, point_bytes: u64| {
            let short = |end: u64| {
                LayoutError::Wrong(format!("it has {length_bytes} bytes, but its {part} part ends at byte {end}"))
            };
            if offset + 4 > length_bytes {
                return Err(short(offset + 4));
            }
            let mut count = [0; 4];
            file.seek(SeekFrom::Start(offset)).map_err(LayoutError::Io)?;
            file.read_exact(&mut count).map_err(LayoutError::Io)?;
            let count = u32::from_be_bytes(count);
            let end = offset + 4 + u64::from(count) * point_bytes;
            if end > length_bytes { Err(short(end)) } else { Ok((count, end)) }
        };
        let (ic, mut offset) = count_at("verifying key", KEY_HEAD_BYTES, G1_BYTES)?;
        let mut blocks = [0; 5];
        for (block, (name, point_bytes)) in blocks.iter_mut().zip(BLOCKS) {
            (*block, offset) = count_at(name, offset, point_bytes)?;
        }
        if offset != length_bytes {
            return Err(LayoutError::Wrong(format!("it has {length_bytes} bytes, but its parts end at byte {offset}")));
        }
        Ok(Self { ic, blocks, length_bytes })
    }
}

/// Bytes of a verifying key with this many public inputs.
pub(crate) fn key_bytes(ic: u32) -> u64 {
    KEY_HEAD_BYTES + 4 + u64::from(ic) * G1_BYTES
}

/// The verifying key at the start of a parameter file, without a look at the rest.
pub(crate) fn read_key(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let mut key = vec![0; KEY_HEAD_BYTES as usize + 4];
    file.read_exact(&mut key)?;
    let count = key[KEY_HEAD_BYTES as usize..].try_into().expect("four bytes");
    let rest = key_bytes(u32::from_be_bytes(count)) - key.len() as u64;
    if file.by_ref().take(rest).read_to_end(&mut key)? as u64 != rest {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(key)
}
