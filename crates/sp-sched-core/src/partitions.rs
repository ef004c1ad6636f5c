//! Which partition of a deadline has room for one more sector: counted beside the rows, so that nobody looks at every
//! sector for it.

use std::collections::{BTreeMap, BTreeSet};

use sp_types::{DeadlineIndex, PartitionIndex};

use crate::core::Core;
use crate::model::Sector;

/// Where a sector is proven.
type Place = (DeadlineIndex, PartitionIndex);

/// The partitions of every deadline, and who is in them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Partitions {
    deadlines: BTreeMap<DeadlineIndex, Deadline>,
    places: BTreeMap<u64, Place>,
}

#[derive(Debug, Clone, Default)]
struct Deadline {
    /// Sectors of each partition.
    taken: Vec<usize>,
    with_room: BTreeSet<usize>,
}

impl Partitions {
    /// The sector is there now; none: it is proven nowhere. A partition has room for so many.
    fn put(&mut self, number: u64, place: Option<Place>, room: usize) {
        let before = match place {
            Some(place) => self.places.insert(number, place),
            None => self.places.remove(&number),
        };
        if before == place {
            return;
        }
        if let Some((deadline, partition)) = before {
            self.deadlines.entry(deadline).or_default().count(partition, room, |taken| taken.saturating_sub(1));
        }
        if let Some((deadline, partition)) = place {
            self.deadlines.entry(deadline).or_default().count(partition, room, |taken| taken + 1);
        }
    }

    /// The first partition of the deadline with room.
    fn free(&self, deadline: DeadlineIndex) -> PartitionIndex {
        let partitions = self.deadlines.get(&deadline);
        let first = partitions.map_or(0, |d| d.with_room.first().copied().unwrap_or(d.taken.len()));
        PartitionIndex(u32::try_from(first).unwrap_or(u32::MAX))
    }
}

impl Deadline {
    fn count(&mut self, partition: PartitionIndex, room: usize, change: impl FnOnce(usize) -> usize) {
        let at = partition.0 as usize;
        while self.taken.len() <= at {
            self.with_room.insert(self.taken.len());
            self.taken.push(0);
        }
        self.taken[at] = change(self.taken[at]);
        match self.taken[at] < room {
            true => self.with_room.insert(at),
            false => self.with_room.remove(&at),
        };
    }
}

impl Core {
    /// Where the sector is proven, by its row.
    pub(crate) fn note_partition(&mut self, number: u64) {
        let place = self.sectors.get(&number).and_then(place_of);
        self.partitions.put(number, place, self.config.sector_size.sectors_per_partition());
    }

    /// The first partition of the deadline with room.
    pub(crate) fn free_partition(&self, deadline: DeadlineIndex) -> PartitionIndex {
        self.partitions.free(deadline)
    }

    /// The places that are noted are those of the rows.
    pub(crate) fn partitions_agree(&self) -> bool {
        let anew = self.sectors.values().filter_map(|s| Some((s.number, place_of(s)?)));
        anew.eq(self.partitions.places.iter().map(|(number, place)| (*number, *place)))
    }
}

fn place_of(sector: &Sector) -> Option<Place> {
    sector.location.filter(|_| !sector.state.is_gone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_first_partition_with_room_is_the_one_that_counting_finds(
            moves in prop::collection::vec((0u64..12, 0u32..2, 0u8..4), 1..60)
        ) {
            let room = 2;
            let (mut partitions, mut plain) = (Partitions::default(), BTreeMap::<u64, Place>::new());
            for (number, deadline, what) in moves {
                let deadline = DeadlineIndex(deadline);
                let place = (what > 0 && !plain.contains_key(&number)).then(|| (deadline, partitions.free(deadline)));
                match place {
                    Some(place) => drop(plain.insert(number, place)),
                    None => drop(plain.remove(&number)),
                }
                partitions.put(number, place, room);
                for deadline in [0, 1].map(DeadlineIndex) {
                    let taken = |at: u32| plain.values().filter(|p| **p == (deadline, PartitionIndex(at))).count();
                    let first = (0u32..).find(|at| taken(*at) < room).unwrap();
                    prop_assert_eq!(partitions.free(deadline), PartitionIndex(first));
                }
            }
        }
    }
}
