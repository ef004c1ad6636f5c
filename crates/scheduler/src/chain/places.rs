//! Where the local chain has its sectors proven: given once, kept for good.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use sp_state::{Batch, State};
use sp_types::ChainEpoch;

use super::assign::{Assignment, Loads, Place};
use crate::rows::{place_key, place_row, places};

/// The places, as far as they are in the rows.
pub(super) struct Places {
    state: Arc<dyn State>,
    assignment: Assignment,
    /// Sectors of a partition.
    room: u64,
    /// Read when the first one is asked for.
    known: Mutex<Option<Known>>,
}

#[derive(Default)]
struct Known {
    places: BTreeMap<u64, Place>,
    loads: Loads,
}

impl Places {
    pub(super) fn new(state: Arc<dyn State>, assignment: Assignment, room: u64) -> Self {
        Self { state, assignment, room, known: Mutex::default() }
    }

    /// The place of the sector; a new one is given its own, which is durable when this returns. Blocks.
    pub(super) fn of(&self, sector: u64, head: ChainEpoch) -> Result<Place, String> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let known = match &mut *known {
            Some(known) => known,
            none => none.insert(self.read()?),
        };
        if let Some(place) = known.places.get(&sector) {
            return Ok(*place);
        }
        let place = known.loads.next(self.assignment, head, self.room);
        let mut batch = Batch::new();
        batch.require_absent(place_key(sector)).put(place_key(sector), place_row(place));
        self.state.commit(batch).map_err(|error| error.to_string())?;
        known.note(sector, place);
        Ok(place)
    }

    fn read(&self) -> Result<Known, String> {
        let mut known = Known::default();
        let rows = places(self.state.as_ref()).map_err(|error| error.to_string())?;
        rows.into_iter().for_each(|(sector, place)| known.note(sector, place));
        Ok(known)
    }
}

impl Known {
    fn note(&mut self, sector: u64, place: Place) {
        self.places.insert(sector, place);
        self.loads.add(place);
    }
}
