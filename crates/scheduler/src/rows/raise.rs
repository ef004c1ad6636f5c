//! Rows that an older build has written become those of this one.

use std::collections::BTreeMap;

use prost::Message;
use sp_chain::Place;
use sp_state::{Batch, State};
use sp_types::PartitionIndex;

use super::ledger::{place_key, place_row};
use super::schema::{Schema, schema_key};
use super::{RowError, sector, sectors};

/// From here on rows of this build's layout may be written: an older build must refuse them.
pub(super) fn raise(state: &dyn State, found: Schema, version: u32) -> Result<Schema, RowError> {
    if found.version == version {
        return Ok(found);
    }
    let mut batch = Batch::new();
    if found.version < 6 {
        keep_places(state, &found, &mut batch)?;
    }
    let raised = Schema { version, ..found };
    batch.put(schema_key(), raised.encode());
    state.commit(batch).map_err(|e| RowError::new("meta/schema", e))?;
    Ok(raised)
}

/// Before version 6 the scheduler chose the partitions, and one of a sector on its way here only once it had come.
fn keep_places(state: &dyn State, found: &Schema, batch: &mut Batch) -> Result<(), RowError> {
    let (mut taken, mut coming) = (BTreeMap::new(), vec![]);
    for sector in sectors(state)? {
        match (sector.location, &sector.receive) {
            (Some(place), _) if !sector.state.is_gone() => {
                *taken.entry(place).or_insert(0) += 1;
                batch.put(place_key(sector.number), place_row(place));
            }
            (None, Some(_)) => coming.push(sector),
            _ => {}
        }
    }
    let room = found.sector_size.sectors_per_partition();
    for mut sector in coming {
        let Some(receive) = &mut sector.receive else { continue };
        let place = (receive.place.0, PartitionIndex(0));
        receive.place = with_room(place, room, &taken);
        *taken.entry(receive.place).or_insert(0) += 1;
        batch.put(place_key(sector.number), place_row(receive.place));
        batch.put(sector::key(sector.number), sector::encode(&sector).encode_to_vec());
    }
    Ok(())
}

/// The first partition of its deadline, from this one on, with room.
fn with_room(mut place: Place, room: usize, taken: &BTreeMap<Place, usize>) -> Place {
    while taken.get(&place).is_some_and(|taken| *taken >= room) {
        place.1.0 += 1;
    }
    place
}
