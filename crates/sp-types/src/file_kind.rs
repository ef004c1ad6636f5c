//! Kinds of sector files, with Lotus's names, bits and space tables (`storiface/filetype.go` semantics).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A kind of file that a sector has. The discriminants are Lotus's bits; `Vanilla` is ours and lies under `.sp/`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[repr(u32)]
pub enum FileKind {
    /// The padded data, exactly one sector size.
    Unsealed = 1,
    /// The encoded replica.
    Sealed = 2,
    /// Directory with layers, trees, `p_aux` and `t_aux`.
    Cache = 4,
    /// The replica after a snap update.
    Update = 8,
    /// The cache directory of a snap update.
    UpdateCache = 16,
    /// A piece that waits to be added.
    Piece = 32,
    /// Output of C1 or PR1 on its way to C2 or PR2.
    Vanilla = 64,
}

/// A name that is no file kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown file kind `{0}` (known: unsealed sealed cache update update-cache piece vanilla)")]
pub struct UnknownFileKind(pub String);

impl FileKind {
    /// Every kind, in order of its bit.
    pub const ALL: [Self; 7] =
        [Self::Unsealed, Self::Sealed, Self::Cache, Self::Update, Self::UpdateCache, Self::Piece, Self::Vanilla];

    /// Directory name below a path, and name in Lotus's filters.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unsealed => "unsealed",
            Self::Sealed => "sealed",
            Self::Cache => "cache",
            Self::Update => "update",
            Self::UpdateCache => "update-cache",
            Self::Piece => "piece",
            Self::Vanilla => "vanilla",
        }
    }

    /// Lotus's bit (64 for ours).
    pub fn bit(self) -> u32 {
        self as u32
    }

    /// True for the kinds that are directories of files.
    pub fn is_directory(self) -> bool {
        matches!(self, Self::Cache | Self::UpdateCache)
    }

    /// Space to reserve while sealing, in bytes, for a sector of `sector_size` bytes (tenths as in Lotus's table).
    pub fn sealing_bytes(self, sector_size: u64) -> u64 {
        let tenths = match self {
            Self::Cache => 141,
            Self::UpdateCache => 21,
            Self::Vanilla => 1,
            _ => 10,
        };
        tenths * sector_size / 10
    }

    /// Space that the finalised file needs, in bytes.
    pub fn finalized_bytes(self, sector_size: u64) -> u64 {
        let tenths = match self {
            Self::Cache | Self::UpdateCache | Self::Vanilla => 1,
            _ => 10,
        };
        tenths * sector_size / 10
    }
}

impl fmt::Display for FileKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for FileKind {
    type Err = UnknownFileKind;
    fn from_str(text: &str) -> Result<Self, UnknownFileKind> {
        Self::ALL.into_iter().find(|k| k.name() == text).ok_or_else(|| UnknownFileKind(text.to_owned()))
    }
}

/// A set of file kinds, kept as Lotus's bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FileKindSet(u32);

impl FileKindSet {
    /// No kind.
    pub const EMPTY: Self = Self(0);

    /// The set of these kinds.
    pub fn of(kinds: &[FileKind]) -> Self {
        Self(kinds.iter().fold(0, |bits, k| bits | k.bit()))
    }

    /// Adds a kind.
    pub fn insert(&mut self, kind: FileKind) {
        self.0 |= kind.bit();
    }

    /// Is the kind in the set?
    pub fn contains(self, kind: FileKind) -> bool {
        self.0 & kind.bit() != 0
    }

    /// The kinds in the set, in order of their bit.
    pub fn iter(self) -> impl Iterator<Item = FileKind> {
        FileKind::ALL.into_iter().filter(move |k| self.contains(*k))
    }

    /// Is some kind in both?
    pub fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// The kinds that are not in the other one.
    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// No kind in it?
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl FromIterator<FileKind> for FileKindSet {
    fn from_iter<I: IntoIterator<Item = FileKind>>(kinds: I) -> Self {
        let mut set = Self::EMPTY;
        kinds.into_iter().for_each(|k| set.insert(k));
        set
    }
}
