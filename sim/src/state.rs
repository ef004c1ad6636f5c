//! State that outlives its process: a map in memory, and a hold on it that dies with the process.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sp_state::{Batch, CommitError, Memory, Row, State, StateError};

/// The state as one run of a process holds it. When the process is killed, what its destructors do reaches nothing.
#[derive(Clone)]
pub struct Held {
    rows: Memory,
    alive: Arc<AtomicBool>,
}

impl Held {
    /// A hold on these rows for a process that is alive.
    pub fn new(rows: &Memory, alive: &Arc<AtomicBool>) -> Self {
        Self { rows: rows.clone(), alive: alive.clone() }
    }

    fn check(&self) -> Result<(), StateError> {
        match self.alive.load(Ordering::SeqCst) {
            true => Ok(()),
            false => Err(StateError { reason: "the simulated process is dead".into() }),
        }
    }
}

impl State for Held {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        self.check()?;
        self.rows.get(key)
    }

    fn scan(&self, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<Vec<Row>, StateError> {
        self.check()?;
        self.rows.scan(prefix, after, limit)
    }

    fn commit(&self, batch: Batch) -> Result<(), CommitError> {
        self.check()?;
        self.rows.commit(batch)
    }
}
