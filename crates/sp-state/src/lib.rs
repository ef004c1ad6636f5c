//! Durable state of a service: an ordered key/value store with atomic, conditional batches.
//!
//! Engines: [`Redb`] (one file, fsync on every commit) and [`Memory`] (tests and simulation). The trait is narrow, so
//! that one conformance suite can hold every engine to it. Keys and values are the service's own; nothing here knows
//! what they mean. Calls block: run them where blocking is allowed.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod batch;
mod error;
mod memory;
mod redb_file;

pub use batch::{Batch, Condition};
pub use error::{CommitError, OpenError, StateError};
pub use memory::Memory;
pub use redb::StorageBackend;
pub use redb_file::Redb;

/// Longest key, bytes.
pub const KEY_BYTES_MAX: usize = 1024;

/// Longest value, bytes.
pub const VALUE_BYTES_MAX: usize = 16 << 20;

/// A key and its value.
pub type Row = (Vec<u8>, Vec<u8>);

/// An ordered key/value store. Every call sees all commits that returned before it began.
pub trait State: Send + Sync + 'static {
    /// The value of a key.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateError>;

    /// At most `limit` rows whose key begins with `prefix` and is greater than `after`, by rising key. To page, pass
    /// the last key of one page as `after` of the next; pages are separate reads, and commits may fall between them.
    fn scan(&self, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<Vec<Row>, StateError>;

    /// Applies a batch if all its conditions hold, else nothing of it. Durable when it returns.
    ///
    /// After [`CommitError::State`] it is unknown whether the batch is durable; open the state again to find out.
    fn commit(&self, batch: Batch) -> Result<(), CommitError>;

    /// Every row under a prefix, in pages.
    fn scan_all(&self, prefix: &[u8]) -> Result<Vec<Row>, StateError> {
        const PAGE: usize = 1024;
        let mut rows: Vec<Row> = Vec::new();
        loop {
            let page = self.scan(prefix, rows.last().map(|(key, _)| key.as_slice()), PAGE)?;
            let full = page.len() == PAGE;
            rows.extend(page);
            if !full {
                return Ok(rows);
            }
        }
    }
}

impl<S: State + ?Sized> State for std::sync::Arc<S> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        (**self).get(key)
    }

    fn scan(&self, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<Vec<Row>, StateError> {
        (**self).scan(prefix, after, limit)
    }

    fn commit(&self, batch: Batch) -> Result<(), CommitError> {
        (**self).commit(batch)
    }
}

/// Where a scan begins.
fn scan_start<'a>(prefix: &'a [u8], after: Option<&'a [u8]>) -> std::ops::Bound<&'a [u8]> {
    match after {
        Some(after) if after >= prefix => std::ops::Bound::Excluded(after),
        _ => std::ops::Bound::Included(prefix),
    }
}
