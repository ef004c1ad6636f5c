//! Which deadline the network gives a new sector to, as the miner actor does it (builtin-actors, `deadline_assignment`).

use std::cmp::{Ordering, Reverse};
use std::collections::BTreeMap;

use sp_types::{ChainEpoch, DeadlineIndex, PartitionIndex};

use crate::deadlines::{DEADLINE_EPOCHS, Opening};

/// Where a sector is proven.
pub type Place = (DeadlineIndex, PartitionIndex);

/// How sectors are given to deadlines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Assignment {
    /// As the network does it.
    #[default]
    Network,
    /// All to one deadline, for tests and demonstrations.
    Pack(DeadlineIndex),
}

/// Text that names no assignment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no assignment of sectors to deadlines: write `network`, or `pack:N` with N from 0 to 47")]
pub struct UnknownAssignment(String);

impl std::str::FromStr for Assignment {
    type Err = UnknownAssignment;

    fn from_str(text: &str) -> Result<Self, UnknownAssignment> {
        let packed = text.strip_prefix("pack:").and_then(|index| index.parse().ok());
        match packed {
            Some(index) if index < DeadlineIndex::COUNT => Ok(Self::Pack(DeadlineIndex(index))),
            None if text == "network" => Ok(Self::Network),
            _ => Err(UnknownAssignment(text.to_owned())),
        }
    }
}

/// What each deadline has.
#[derive(Debug, Clone, Default)]
pub(crate) struct Loads(BTreeMap<DeadlineIndex, Load>);

/// Sectors of one deadline: partitions are filled one after the other.
#[derive(Debug, Clone, Copy, Default)]
struct Load {
    sectors: u64,
    /// The last partition, and how many are in it.
    last: u32,
    in_last: u64,
}

impl Load {
    /// A partition with room.
    fn begun(self, room: u64) -> bool {
        (1..room).contains(&self.in_last)
    }

    /// Where the next one goes.
    fn next(self, room: u64) -> PartitionIndex {
        let full = self.in_last >= room;
        PartitionIndex(self.last + u32::from(full))
    }

    /// The least is taken: fewest partitions with the new sector in, then one with a partition that is begun (of these
    /// the fullest, so that runs of sectors stay together), then fewest sectors, then the lowest index. Here
    /// places of terminated sectors stay taken, so that counting partitions after a compaction changes nothing.
    fn rank(self, index: DeadlineIndex, room: u64) -> impl Ord + use<> {
        let begun = self.begun(room);
        let fullest = if begun { self.sectors } else { 0 };
        (self.next(room), !begun, Reverse(fullest), self.sectors, index)
    }
}

impl Loads {
    /// One more sector there.
    pub(crate) fn add(&mut self, (deadline, partition): Place) {
        let load = self.0.entry(deadline).or_default();
        load.sectors += 1;
        match partition.0.cmp(&load.last) {
            Ordering::Less => {}
            Ordering::Equal => load.in_last += 1,
            Ordering::Greater => (load.last, load.in_last) = (partition.0, 1),
        }
    }

    /// Where the next sector goes at this epoch, with partitions of `room` sectors. Nothing is noted.
    pub(crate) fn next(&self, assignment: Assignment, head: ChainEpoch, room: u64) -> Place {
        let open_for_it = |index: &DeadlineIndex| is_mutable(head, *index);
        let deadline = match assignment {
            Assignment::Pack(deadline) => deadline,
            Assignment::Network => (0..DeadlineIndex::COUNT)
                .map(DeadlineIndex)
                .filter(open_for_it)
                .min_by_key(|index| self.of(*index).rank(*index, room))
                .unwrap_or(DeadlineIndex(0)),
        };
        (deadline, self.of(deadline).next(room))
    }

    fn of(&self, deadline: DeadlineIndex) -> Load {
        self.0.get(&deadline).copied().unwrap_or_default()
    }
}

/// A deadline that is open, or whose challenge window is the next one, takes no new sectors: their proof would be due
/// before anybody could have prepared it.
fn is_mutable(head: ChainEpoch, index: DeadlineIndex) -> bool {
    head.0 < Opening::next(head, index).open.0 - DEADLINE_EPOCHS
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn loads(of: &[(u32, u64)], room: u64) -> Loads {
        let mut loads = Loads::default();
        for (index, sectors) in of {
            let partitions = (0..*sectors).map(|sector| PartitionIndex((sector / room) as u32));
            partitions.for_each(|partition| loads.add((DeadlineIndex(*index), partition)));
        }
        loads
    }

    #[test]
    fn the_table_of_choices() {
        // sectors of deadlines, head, room, deadline and partition of the next one
        let full = |from: u32, sectors: u64| (from..48).map(|index| (index, sectors)).collect::<Vec<_>>();
        let table = [
            // In deadline 0 a sector is given neither to it nor to the one after it.
            (vec![], 0, 2, (2, 0)),
            (vec![], 59, 2, (2, 0)),
            (vec![], 60, 2, (0, 0)),
            // A begun partition first.
            (vec![(2, 1), (9, 1)], 0, 2, (2, 0)),
            (vec![(2, 2), (9, 1)], 0, 2, (9, 0)),
            // Of two begun ones the fuller.
            (vec![(5, 1), (7, 3)], 0, 4, (7, 0)),
            // Never a second partition while another deadline has none.
            (vec![(2, 2), (3, 2)], 0, 2, (4, 0)),
            // All are full: the first one that takes any begins its second partition.
            (full(0, 2), 0, 2, (2, 1)),
        ];
        for (of, head, room, (deadline, partition)) in table {
            let place = loads(&of, room).next(Assignment::Network, ChainEpoch(head), room);
            assert_eq!((place.0.0, place.1.0), (deadline, partition), "{of:?} at {head}");
        }
        let packed = loads(&[(3, 5)], 2).next(Assignment::Pack(DeadlineIndex(3)), ChainEpoch(180), 2);
        assert_eq!((packed.0.0, packed.1.0), (3, 2), "even while it is open");
        // Rows of an older build: partitions that are not full, and are never filled again.
        let mut gaps = Loads::default();
        [(3, 0), (3, 1), (3, 1)].iter().for_each(|(d, p)| gaps.add((DeadlineIndex(*d), PartitionIndex(*p))));
        assert_eq!(gaps.next(Assignment::Pack(DeadlineIndex(3)), ChainEpoch(0), 2).1, PartitionIndex(2));
    }

    #[test]
    fn assignments_are_read_and_nonsense_is_refused() {
        assert_eq!("network".parse(), Ok(Assignment::Network));
        assert_eq!("pack:47".parse(), Ok(Assignment::Pack(DeadlineIndex(47))));
        for bad in ["", "pack", "pack:", "pack:48", "pack:-1", "Network", "pack:1:2"] {
            assert!(bad.parse::<Assignment>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn partitions_fill_one_after_the_other_and_stay_level(
            heads in prop::collection::vec(0i64..6000, 1..400), room in 1u64..5
        ) {
            let mut heads = heads;
            heads.sort_unstable();
            let mut loads = Loads::default();
            for head in heads {
                let head = ChainEpoch(head);
                let (deadline, partition) = loads.next(Assignment::Network, head, room);
                prop_assert!(is_mutable(head, deadline));
                prop_assert_eq!(u64::from(partition.0), loads.of(deadline).sectors / room);
                let partitions = |index| (loads.of(index).sectors + 1).div_ceil(room);
                let others = (0..DeadlineIndex::COUNT).map(DeadlineIndex).filter(|index| is_mutable(head, *index));
                prop_assert_eq!(Some(partitions(deadline)), others.map(partitions).min());
                loads.add((deadline, partition));
            }
        }
    }
}
