//! Errors of the state: opening, reading, committing.

use std::path::PathBuf;

use crate::{KEY_BYTES_MAX, VALUE_BYTES_MAX};

/// The engine failed. Nothing can be said about what it holds until it is opened again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the state cannot be used: {reason}; free space or repair the disk, then restart this service")]
pub struct StateError {
    /// What the engine says.
    pub reason: String,
}

/// A batch that was not applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// A condition does not hold; nothing was changed.
    #[error("key `{}` is not as the batch requires; somebody else wrote it", key.escape_ascii())]
    Condition {
        /// The first key whose condition fails.
        key: Vec<u8>,
    },
    /// A key or value is too long; nothing was changed.
    #[error(
        "a row with a key of {key_bytes} and a value of {value_bytes} bytes exceeds the limits of {KEY_BYTES_MAX} and \
         {VALUE_BYTES_MAX}"
    )]
    TooLarge {
        /// Length of the key.
        key_bytes: usize,
        /// Length of the value.
        value_bytes: usize,
    },
    /// The engine failed; whether the batch is durable is unknown.
    #[error(transparent)]
    State(#[from] StateError),
}

/// A state file that cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("state file {} is open in another process; stop that one first", path.display())]
    Taken {
        /// The file.
        path: PathBuf,
    },
    /// A newer build wrote it.
    #[error(
        "state file {} has schema version {found}, this build knows up to {known}; run the newer build that wrote it",
        path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// Ours.
        known: u32,
    },
    /// Not our file, damaged, or the machine said no.
    #[error("cannot open state file {}: {reason}", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}
