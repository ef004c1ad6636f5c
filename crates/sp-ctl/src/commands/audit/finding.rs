//! One thing that is wrong, and how it is said.

use std::fmt;

use serde::Serialize;
use sp_types::{FileKind, SectorId};

/// What kind of fault it is; a stable word for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Fault {
    /// Listed, and not there.
    Missing,
    /// There, and not what is listed or what its manifest says.
    Differs,
    /// There, and not listed.
    Unlisted,
    /// A finished sector lacks a file.
    Incomplete,
    /// Left over by an attempt that is no more, or by a step that was cut short.
    Leftover,
    /// Reserved for nobody.
    Reserved,
    /// Locked by nobody.
    Locked,
    /// The bytes are not those that were digested.
    Damaged,
    /// What lies there cannot be read or understood.
    Unreadable,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(super) struct Finding {
    pub(super) fault: Fault,
    /// ID of the path; empty when it is about none.
    pub(super) store: String,
    /// Where, on this host; empty when it is about no place.
    pub(super) path: String,
    /// Number of the sector, if it is about one.
    pub(super) sector: Option<u64>,
    /// Lotus's name of the kind of file, if it is about one.
    pub(super) kind: Option<&'static str>,
    /// What is wrong, in words.
    pub(super) reason: String,
}

impl Finding {
    /// About something at a place.
    pub(super) fn at(fault: Fault, store: &str, path: impl fmt::Display, reason: impl Into<String>) -> Self {
        let (store, path) = (store.to_owned(), path.to_string());
        Self { fault, store, path, sector: None, kind: None, reason: reason.into() }
    }

    /// About a sector as a whole.
    pub(super) fn of_sector(self, sector: SectorId) -> Self {
        Self { sector: Some(sector.number), ..self }
    }

    /// About a file of a sector.
    pub(super) fn of(self, sector: SectorId, kind: FileKind) -> Self {
        Self { sector: Some(sector.number), kind: Some(kind.name()), ..self }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { store, path, sector, kind, reason, .. } = self;
        match (sector, kind) {
            (Some(sector), Some(kind)) => write!(f, "sector {sector}, {kind}: {reason}")?,
            (Some(sector), None) => write!(f, "sector {sector}: {reason}")?,
            _ => f.write_str(reason)?,
        }
        match (path.is_empty(), store.is_empty()) {
            (false, false) => write!(f, " ({path}, path {store})"),
            (true, false) => write!(f, " (path {store})"),
            (false, true) => write!(f, " ({path})"),
            (true, true) => Ok(()),
        }
    }
}
