//! A state that counts its commits and what they take.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use sp_state::{Batch, CommitError, Row, State, StateError};

/// Another state, watched.
pub struct Counting<S> {
    inner: S,
    commits: AtomicU64,
    rows: AtomicU64,
    took_ms: Mutex<Vec<f64>>,
}

/// What was committed up to a moment.
#[derive(Debug, Clone, Copy)]
pub struct Committed {
    /// Batches.
    pub commits: u64,
    /// Rows in them.
    pub rows: u64,
}

impl<S> Counting<S> {
    /// Watches a state from now on.
    pub fn new(inner: S) -> Self {
        Self { inner, commits: AtomicU64::new(0), rows: AtomicU64::new(0), took_ms: Mutex::default() }
    }

    /// The counts.
    pub fn committed(&self) -> Committed {
        Committed { commits: self.commits.load(Ordering::SeqCst), rows: self.rows.load(Ordering::SeqCst) }
    }

    /// What each commit took since the last call, milliseconds.
    pub fn take_times(&self) -> Vec<f64> {
        std::mem::take(&mut self.took_ms.lock().expect("nothing panics while it is held"))
    }
}

impl<S: State> State for Counting<S> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        self.inner.get(key)
    }

    fn scan(&self, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<Vec<Row>, StateError> {
        self.inner.scan(prefix, after, limit)
    }

    fn commit(&self, batch: Batch) -> Result<(), CommitError> {
        let (rows, start) = (batch.len() as u64, Instant::now());
        let done = self.inner.commit(batch);
        self.commits.fetch_add(1, Ordering::SeqCst);
        self.rows.fetch_add(rows, Ordering::SeqCst);
        let ms = start.elapsed().as_secs_f64() * 1e3;
        self.took_ms.lock().expect("nothing panics while it is held").push(ms);
        done
    }
}
