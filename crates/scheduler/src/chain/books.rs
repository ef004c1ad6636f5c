//! The local chain's books, kept in rows: every step is one batch, and is durable when it is answered.

use std::sync::{Arc, Mutex, PoisonError};

use sp_chain::{Assignment, Change, Ledger};
use sp_state::{Batch, State};
use sp_types::ChainEpoch;

use crate::rows::{books, note};

/// The ledger with its rows.
pub(super) struct Books {
    state: Arc<dyn State>,
    assignment: Assignment,
    /// Sectors of a partition.
    room: u64,
    /// Read when it is looked at for the first time, and again after a step that could not be kept.
    ledger: Mutex<Option<Ledger>>,
    /// One step at a time. Whoever only looks does not wait for a row to be written.
    step: Mutex<()>,
}

impl Books {
    pub(super) fn new(state: Arc<dyn State>, assignment: Assignment, room: u64) -> Self {
        Self { state, assignment, room, ledger: Mutex::default(), step: Mutex::default() }
    }

    /// Judges what has closed by now, then takes a step. Blocks.
    pub(super) fn step<T>(
        &self,
        head: ChainEpoch,
        what: impl FnOnce(&mut Ledger) -> (T, Vec<Change>),
    ) -> Result<T, String> {
        let _alone = self.step.lock().unwrap_or_else(PoisonError::into_inner);
        let (answer, changes) = self.with(|ledger| {
            let mut changes = ledger.advance(head);
            let (answer, more) = what(ledger);
            changes.extend(more);
            (answer, changes)
        })?;
        if !changes.is_empty() {
            let mut batch = Batch::new();
            changes.iter().for_each(|change| note(&mut batch, change));
            if let Err(error) = self.state.commit(batch) {
                *self.ledger.lock().unwrap_or_else(PoisonError::into_inner) = None;
                return Err(error.to_string());
            }
        }
        Ok(answer)
    }

    /// Looks at the books as they are, what is just being written included. Blocks for as long as rows are read.
    pub(super) fn look<T>(&self, look: impl FnOnce(&Ledger) -> T) -> Result<T, String> {
        self.with(|ledger| look(ledger))
    }

    fn with<T>(&self, what: impl FnOnce(&mut Ledger) -> T) -> Result<T, String> {
        let mut known = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        let ledger = match &mut *known {
            Some(ledger) => ledger,
            none => none.insert(self.read()?),
        };
        Ok(what(ledger))
    }

    fn read(&self) -> Result<Ledger, String> {
        let mut ledger = Ledger::new(self.assignment, self.room);
        let rows = books(self.state.as_ref()).map_err(|error| error.to_string())?;
        rows.into_iter().for_each(|row| ledger.load(row));
        Ok(ledger)
    }
}
