//! A batch: writes that happen together, under conditions that are checked together.

use std::collections::BTreeMap;

use crate::{CommitError, KEY_BYTES_MAX, VALUE_BYTES_MAX};

/// What must hold, just before a batch is applied, for it to be applied at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// The key has exactly this value.
    Equals(Vec<u8>),
    /// The key is not there.
    Absent,
}

impl Condition {
    /// True when it holds for what is there.
    pub fn holds(&self, found: Option<&[u8]>) -> bool {
        match self {
            Self::Equals(value) => found == Some(value.as_slice()),
            Self::Absent => found.is_none(),
        }
    }
}

/// Writes and conditions. Of several writes to one key the last one counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    conditions: Vec<(Vec<u8>, Condition)>,
    // No value means delete.
    writes: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
}

impl Batch {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a key.
    pub fn put(&mut self, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> &mut Self {
        self.writes.insert(key.into(), Some(value.into()));
        self
    }

    /// Removes a key; one that is not there stays so.
    pub fn delete(&mut self, key: impl Into<Vec<u8>>) -> &mut Self {
        self.writes.insert(key.into(), None);
        self
    }

    /// Demands that a key has this value before the batch.
    pub fn require_equals(&mut self, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> &mut Self {
        self.conditions.push((key.into(), Condition::Equals(value.into())));
        self
    }

    /// Demands that a key is not there before the batch.
    pub fn require_absent(&mut self, key: impl Into<Vec<u8>>) -> &mut Self {
        self.conditions.push((key.into(), Condition::Absent));
        self
    }

    /// Adds another batch's conditions, then its writes over these.
    pub fn append(&mut self, other: Self) -> &mut Self {
        self.conditions.extend(other.conditions);
        self.writes.extend(other.writes);
        self
    }

    /// True without writes.
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }

    /// Number of keys written.
    pub fn len(&self) -> usize {
        self.writes.len()
    }

    /// The conditions.
    pub fn conditions(&self) -> &[(Vec<u8>, Condition)] {
        &self.conditions
    }

    /// The writes, by rising key; no value means delete.
    pub fn writes(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        self.writes.iter().map(|(key, value)| (key.as_slice(), value.as_deref()))
    }

    /// Refuses keys and values over the limits, before anything is written.
    pub(crate) fn check_sizes(&self) -> Result<(), CommitError> {
        for (key, value) in &self.writes {
            let value_bytes = value.as_ref().map_or(0, Vec::len);
            if key.len() > KEY_BYTES_MAX || value_bytes > VALUE_BYTES_MAX {
                return Err(CommitError::TooLarge { key_bytes: key.len(), value_bytes });
            }
        }
        Ok(())
    }
}
