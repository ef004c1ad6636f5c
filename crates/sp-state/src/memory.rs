//! State in memory: for tests, and for a simulated crash, where the process dies and its map lives on.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock};

use crate::{Batch, CommitError, Row, State, StateError, scan_start};

/// State in memory. Clones share one map: keep a clone and the next run of a service finds what the last one committed.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    rows: Arc<RwLock<BTreeMap<Vec<u8>, Vec<u8>>>>,
}

impl Memory {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }
}

// A poisoned lock is taken all the same: a batch is checked before its first write, and the writes cannot panic.
impl State for Memory {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        Ok(self.rows.read().unwrap_or_else(PoisonError::into_inner).get(key).cloned())
    }

    fn scan(&self, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<Vec<Row>, StateError> {
        let rows = self.rows.read().unwrap_or_else(PoisonError::into_inner);
        let range = rows.range::<[u8], _>((scan_start(prefix, after), Bound::Unbounded));
        let matching = range.take_while(|(key, _)| key.starts_with(prefix)).take(limit);
        Ok(matching.map(|(key, value)| (key.clone(), value.clone())).collect())
    }

    fn commit(&self, batch: Batch) -> Result<(), CommitError> {
        batch.check_sizes()?;
        let mut rows = self.rows.write().unwrap_or_else(PoisonError::into_inner);
        for (key, condition) in batch.conditions() {
            if !condition.holds(rows.get(key).map(Vec::as_slice)) {
                return Err(CommitError::Condition { key: key.clone() });
            }
        }
        for (key, value) in batch.writes() {
            match value {
                Some(value) => rows.insert(key.to_vec(), value.to_vec()),
                None => rows.remove(key),
            };
        }
        Ok(())
    }
}
