//! The head of a manifest: at most 1 KiB of JSON per replica, enough to list a store without reading the lists.

use serde::{Deserialize, Serialize};
use sp_types::{AttemptId, FileKind, Origin};

use super::{Manifest, ManifestError};

/// Longest head, bytes.
pub const HEAD_BYTES_MAX: u64 = 1024;

const VERSION: u32 = 1;

/// What a store knows of a replica without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestHead {
    /// Which kind.
    pub kind: FileKind,
    /// Root over its content.
    pub root: [u8; 32],
    /// Total length, bytes.
    pub size_bytes: u64,
    /// Number of files.
    pub file_count: u32,
    /// The attempt that made it; none for a file that came with a Lotus path.
    pub made_by: Option<AttemptId>,
    /// Which of the sectors that have had the number it was made for; none: as for `made_by`, or an older build made it.
    pub origin: Option<Origin>,
    /// The copy that counts.
    pub primary: bool,
}

#[derive(Serialize, Deserialize)]
struct Wire {
    version: u32,
    kind: String,
    root: String,
    size_bytes: u64,
    file_count: u32,
    #[serde(default)]
    made_by: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    origin: Option<String>,
    primary: bool,
}

#[derive(Deserialize)]
struct Version {
    version: u32,
}

impl ManifestHead {
    /// The head of a manifest that nobody is said to have made.
    pub fn of(manifest: &Manifest, primary: bool) -> Self {
        Self {
            kind: manifest.kind(),
            root: manifest.root(),
            size_bytes: manifest.size_bytes(),
            file_count: manifest.files().len() as u32,
            made_by: None,
            origin: None,
            primary,
        }
    }

    /// As bytes, at most `HEAD_BYTES_MAX`.
    pub fn encode(&self) -> Vec<u8> {
        let wire = Wire {
            version: VERSION,
            kind: self.kind.name().to_owned(),
            root: hex::encode(self.root),
            size_bytes: self.size_bytes,
            file_count: self.file_count,
            made_by: self.made_by.map(|a| a.to_string()),
            origin: self.origin.map(|o| o.to_string()),
            primary: self.primary,
        };
        serde_json::to_vec(&wire).expect("plain structs always serialise")
    }

    /// From bytes; anything that `encode` does not make is refused.
    pub fn decode(bytes: &[u8]) -> Result<Self, ManifestError> {
        if bytes.len() as u64 > HEAD_BYTES_MAX {
            return Err(ManifestError::Junk("longer than a head can be"));
        }
        let Version { version } = serde_json::from_slice(bytes).map_err(|_| ManifestError::Junk("no head"))?;
        if version > VERSION {
            return Err(ManifestError::NewerVersion(version));
        }
        let wire: Wire = serde_json::from_slice(bytes).map_err(|_| ManifestError::Junk("no head of version 1"))?;
        let mut root = [0; 32];
        hex::decode_to_slice(&wire.root, &mut root).map_err(|_| ManifestError::Junk("root is not 32 bytes of hex"))?;
        if root == [0; 32] {
            return Err(ManifestError::Junk("a root of zero stands for no root"));
        }
        let made_by = wire.made_by.map(|a| a.parse()).transpose().map_err(|_| ManifestError::Junk("made_by"))?;
        let origin = wire.origin.map(|o| o.parse()).transpose().map_err(|_| ManifestError::Junk("origin"))?;
        Ok(Self {
            kind: wire.kind.parse().map_err(|_| ManifestError::Junk("kind"))?,
            root,
            size_bytes: wire.size_bytes,
            file_count: wire.file_count,
            made_by,
            origin,
            primary: wire.primary,
        })
    }
}
