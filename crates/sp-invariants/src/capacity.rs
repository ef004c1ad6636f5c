//! L6: could a partition have been proven in time? Judged from who was there, whatever the scheduler made of it.

use std::ops::Range;

/// A time without a break in which a worker that proves rightly was ready, alive and connected. Times are in ms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spell {
    /// From then on.
    pub from_ms: u64,
    /// Until then.
    pub until_ms: u64,
    /// What reading and proving a partition takes there at the worst.
    pub try_ms: u64,
}

impl Spell {
    /// How many partitions could have been proven one after the other in the part of it that lies within: after a lease,
    /// for whoever had them before may have died unnoticed, and but for one try, which may have been in vain.
    fn room(self, within: &Range<u64>, lease_ms: u64) -> u64 {
        let (from, until) = (self.from_ms.max(within.start), self.until_ms.min(within.end));
        let tries = until.saturating_sub(from).saturating_sub(lease_ms).checked_div(self.try_ms);
        tries.unwrap_or(0).saturating_sub(1)
    }
}

/// L6: capacity existed for so many partitions, between the first moment at which they could be proven and their close. For
/// one partition that is an unbroken 2 x (read + prove) + lease of some worker.
pub fn capacity_existed(
    spells: impl IntoIterator<Item = Spell>,
    within: &Range<u64>,
    lease_ms: u64,
    partitions: usize,
) -> bool {
    let room: u64 = spells.into_iter().map(|spell| spell.room(within, lease_ms)).sum();
    room >= partitions as u64
}

/// L6: a partition is proven in time if there was capacity for it.
pub fn proven_if_possible(proven: bool, capacity_existed: bool) -> bool {
    proven || !capacity_existed
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: u64 = 15;
    const TRY: u64 = 100;

    fn spell(from_ms: u64, until_ms: u64) -> Spell {
        Spell { from_ms, until_ms, try_ms: TRY }
    }

    fn for_one(spells: &[Spell]) -> bool {
        capacity_existed(spells.iter().copied(), &(1_000..3_000), LEASE, 1)
    }

    #[test]
    fn two_tries_and_a_lease_without_a_break_are_enough_and_not_a_moment_less() {
        assert!(for_one(&[spell(1_500, 1_715)]));
        assert!(!for_one(&[spell(1_500, 1_714)]));
        assert!(!for_one(&[spell(1_500, 1_700), spell(1_701, 1_900)]), "a break begins it anew");
        assert!(!for_one(&[]));
    }

    #[test]
    fn what_lies_outside_does_not_count() {
        assert!(!for_one(&[spell(0, 1_214)]) && for_one(&[spell(0, 1_215)]));
        assert!(!for_one(&[spell(2_786, 9_000)]) && for_one(&[spell(2_785, 9_000)]));
        assert!(!for_one(&[spell(0, 900)]) && !for_one(&[spell(3_100, 4_000)]));
    }

    #[test]
    fn more_partitions_need_more_time_or_more_workers() {
        let exists = |spells: &[Spell], n| capacity_existed(spells.iter().copied(), &(0..10_000), LEASE, n);
        assert!(exists(&[spell(0, 415)], 3) && !exists(&[spell(0, 415)], 4));
        assert!(exists(&[spell(0, 415), spell(0, 215)], 4));
        assert!(exists(&[], 0));
    }

    #[test]
    fn a_worker_of_which_nothing_is_known_is_none() {
        let unknown = Spell { from_ms: 0, until_ms: 10_000, try_ms: 0 };
        assert!(!for_one(&[unknown]));
    }

    #[test]
    fn only_what_could_have_been_proven_is_a_breach() {
        assert!(proven_if_possible(true, true) && proven_if_possible(true, false) && proven_if_possible(false, false));
        assert!(!proven_if_possible(false, true));
    }
}
