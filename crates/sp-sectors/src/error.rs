//! What can go wrong with a store, with the path and what was being done.

use std::io;
use std::path::{Path, PathBuf};

use sp_types::{FileKind, SectorId};

use crate::manifest::ManifestError;

/// An operation on a store failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file system refused.
    #[error("cannot {doing} {}: {source}", path.display())]
    Io {
        /// What was being done, as a verb.
        doing: &'static str,
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is a store already.
    #[error("{} is a sector store already; attach it as it is", .0.display())]
    AlreadyStore(PathBuf),
    /// `sectorstore.json` is missing.
    #[error("{} is no sector store; initialise it first, or correct the path", .0.display())]
    NotAStore(PathBuf),
    /// An attached path does not hold its store any more.
    #[error("{} does not hold store {wanted} any more ({found}): mount its disk there again, or detach the path", path.display())]
    Gone {
        /// The path.
        path: PathBuf,
        /// The store that was attached.
        wanted: String,
        /// What is there instead.
        found: String,
    },
    /// A file of ours or Lotus's does not parse.
    #[error("{} is damaged: {reason}; restore it, or remove it and attach the path again", path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The replica is not there.
    #[error("{kind} of {sector} is not in this store")]
    Missing {
        /// Whose.
        sector: SectorId,
        /// Which file.
        kind: FileKind,
    },
    /// There is a replica, with other content.
    #[error("{kind} of {sector} has root {found} in this store, not {wanted}")]
    OtherRoot {
        /// Whose.
        sector: SectorId,
        /// Which file.
        kind: FileKind,
        /// Root of what is there, hex.
        found: String,
        /// Root that was asked for, hex.
        wanted: String,
    },
    /// What is there was made for another sector of this number.
    #[error(
        "{kind} of {sector} in this store was made for another sector of this number: it is not replaced; see `sp-ctl storage cleanup`"
    )]
    OfAnother {
        /// Whose number it bears.
        sector: SectorId,
        /// Which file.
        kind: FileKind,
    },
    /// The replica has no file of this name.
    #[error("{kind} of {sector} has no file `{name}`")]
    NoSuchFile {
        /// Whose.
        sector: SectorId,
        /// Which kind.
        kind: FileKind,
        /// The name that was asked for.
        name: String,
    },
    /// The unsealed file holds only a part of its data, and not this one.
    #[error(
        "bytes {from} to {until} are not in the unsealed file of {sector}; `sp-ctl sectors unseal {}` makes a whole one", 
        .sector.number
    )]
    NotHeld {
        /// Whose.
        sector: SectorId,
        /// The first byte of the padded file that is not there.
        from: u64,
        /// The first one after it that is.
        until: u64,
    },
    /// The offset is not the start of a chunk of the file.
    #[error("offset {0} is not the start of a chunk")]
    BadOffset(u64),
    /// An attempt did not make what it was to publish.
    #[error("the attempt left no {kind} of {sector} in its work directory")]
    NoOutput {
        /// Whose.
        sector: SectorId,
        /// Which kind.
        kind: FileKind,
    },
    /// The store may not hold this.
    #[error("the store does not take {kind} of {sector}: {reason}")]
    Filtered {
        /// Whose.
        sector: SectorId,
        /// Which kind.
        kind: FileKind,
        /// Which filter.
        reason: String,
    },
    /// The store is read-only (neither CanSeal nor CanStore).
    #[error("the store is read-only: set CanSeal or CanStore in its sectorstore.json")]
    ReadOnly,
    /// A manifest is not valid, or does not fit the content.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
}

impl StoreError {
    /// The file system refused to be written: it is mounted read-only, or has made itself so after a fault.
    pub fn is_read_only(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::ReadOnlyFilesystem)
    }

    /// The path did not answer, or not to the end: nobody knows whether what was asked of it was done. It may be asked again
    /// once the path answers.
    pub fn is_unanswered(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::TimedOut)
    }
}

/// Adds what was being done, and where, to an I/O error.
pub(crate) trait Doing<T> {
    /// `doing` is a verb: "read", "rename".
    fn doing(self, doing: &'static str, path: &Path) -> Result<T, StoreError>;
}

impl<T> Doing<T> for io::Result<T> {
    fn doing(self, doing: &'static str, path: &Path) -> Result<T, StoreError> {
        self.map_err(|source| StoreError::Io { doing, path: path.to_owned(), source })
    }
}
