//! Law L6 in a day: what was missed, could it have been proven? Judged from who was there, whatever the scheduler made of
//! it.

use std::collections::BTreeMap;
use std::ops::Range;

use scheduler::{CHALLENGE_LOOKBACK, DEADLINE_EPOCHS};
use sp_invariants::{Law, Spell, capacity_existed, proven_if_possible};
use sp_proto::v1::PartitionVerdict;

use super::{Day, LEASE_MS, WIN_MS};
use crate::cast::{Cast, SCHEDULER};
use crate::fake::TRY_MOST_MS;
use crate::faults::{Fault, Planned};
use crate::watch::{Closed, Judged, Watch};
use crate::world::World;

/// What a try takes at the worst, with all that is said about it, late messages among it.
const TRY_MS: u64 = TRY_MOST_MS + 4_000;

/// Whoever is started, or can be reached again, is connected within this: a connection that died in silence is given up
/// after 15 s, one that is being made after 5 s, and the next try comes within 3 s.
const CONNECTS_MS: u64 = 25_000;

/// A prover with somebody who has sectors.
struct Pair {
    prover: &'static str,
    keeper: &'static str,
    /// From when on it counts, and since nothing has been in the way.
    since_ms: Option<u64>,
    /// When it was ready before.
    spells: Vec<Range<u64>>,
}

/// See the module.
pub(super) struct Judge {
    day: Day,
    window: Vec<Pair>,
    winning: Vec<Pair>,
    /// What became of things.
    pub(super) outcomes: BTreeMap<&'static str, u64>,
}

impl Pair {
    fn look(&mut self, ready: bool, stumbled: bool, now_ms: u64) {
        let Some(since) = self.since_ms else {
            self.since_ms = ready.then_some(now_ms + CONNECTS_MS);
            return;
        };
        if ready && !stumbled {
            return;
        }
        if since < now_ms {
            self.spells.push(since..now_ms);
        }
        self.since_ms = ready.then_some(since.max(now_ms));
    }

    /// Every time without a break.
    fn all(&self, now_ms: u64) -> impl Iterator<Item = Range<u64>> {
        let still = self.since_ms.filter(|since| *since < now_ms).map(|since| since..now_ms);
        self.spells.iter().cloned().chain(still)
    }

    fn was_there(&self, within: &Range<u64>, now_ms: u64) -> bool {
        self.all(now_ms).any(|spell| spell.start <= within.start && within.end <= spell.end)
    }
}

impl Judge {
    pub(super) fn new(day: &Day) -> Self {
        let pairs = |provers: &[&'static str]| {
            let with = |prover: &'static str| {
                day.keepers.iter().map(move |keeper| Pair { prover, keeper, since_ms: None, spells: Vec::new() })
            };
            provers.iter().flat_map(|prover| with(prover)).collect()
        };
        Self { window: pairs(&day.window), winning: pairs(&day.winning), day: day.clone(), outcomes: BTreeMap::new() }
    }

    /// Who is ready now?
    pub(super) fn look(&mut self, world: &mut World, cast: &Cast, under_way: &[Planned]) {
        let now_ms = world.now_ms;
        let stumbled = world.stage.watch.take_stumbled();
        for pair in self.window.iter_mut().chain(&mut self.winning) {
            let trio = [SCHEDULER, pair.prover, pair.keeper];
            let free = under_way.iter().all(|planned| !is_in_the_way(&planned.fault, trio, cast));
            let ready = free && trio.into_iter().all(|host| world.runs(host));
            pair.look(ready, stumbled.contains(pair.prover), now_ms);
        }
    }

    fn count(&mut self, what: &'static str, more: usize) {
        *self.outcomes.entry(what).or_default() += more as u64;
    }

    // === window PoSt ===

    /// An opening has closed.
    pub(super) fn closed(&mut self, closed: &Closed, watch: &Watch, now_ms: u64) {
        let Closed { open, deadline, ref partitions, late, refused } = *closed;
        self.count("late proofs", late as usize);
        if refused > 0 {
            watch.broken(Law::L3, format!("deadline {deadline}: the chain has refused {refused} proofs"));
        }
        for partition in partitions {
            self.judge(open, deadline, partition, watch, now_ms);
        }
    }

    fn judge(&mut self, open: i64, deadline: u32, partition: &Judged, watch: &Watch, now_ms: u64) {
        let Judged { index, verdict, ref skipped } = *partition;
        let keepers = self.keepers_of(deadline, index);
        let possible = keepers.iter().all(|keeper| self.could_be_proven(open, deadline, keeper, now_ms));
        self.count("partitions with capacity", usize::from(possible));
        if verdict == PartitionVerdict::Proven {
            self.count("partitions proven", 1);
            self.count("sectors left out", skipped.len());
            if !skipped.is_empty() && self.all_were_there(open, now_ms) {
                watch.failed(format!("deadline {deadline}, partition {index}: {skipped:?} are left out without need"));
            }
            return;
        }
        if proven_if_possible(false, possible) {
            return self.count("missed, nobody could prove", 1);
        }
        watch.broken(Law::L6, format!("deadline {deadline}: partition {index} is missed and could have been proven"));
    }

    fn keepers_of(&self, deadline: u32, index: u32) -> Vec<&'static str> {
        let known = self.day.partitions.iter().find(|p| (p.deadline, p.index) == (deadline, index));
        known.map_or_else(|| self.day.keepers.clone(), |p| p.sectors.iter().map(|(_, keeper)| *keeper).collect())
    }

    /// All partitions of the opening: beside those of its neighbours, or while it is the only one that can be proven.
    fn could_be_proven(&self, open: i64, deadline: u32, keeper: &str, now_ms: u64) -> bool {
        let of = |deadline: u32| self.day.partitions.iter().filter(|p| p.deadline == deadline).count();
        let (before, after) = (deadline.checked_sub(1).map_or(0, of), of(deadline + 1));
        // It may have sectors that were sealed today.
        let here = of(deadline).max(1);
        // Randomness is trusted an epoch later. What was proven before the scheduler fell counts.
        let first_ms = self.day.ms_of(open - CHALLENGE_LOOKBACK + 1);
        let close = open + DEADLINE_EPOCHS;
        let whole = first_ms..self.day.ms_of(close);
        let alone = self.day.ms_of(open).max(first_ms)..self.day.ms_of(close - CHALLENGE_LOOKBACK);
        let spells = || {
            let pairs = self.window.iter().filter(|pair| pair.keeper == keeper);
            let spells = pairs.flat_map(|pair| pair.all(now_ms));
            spells.map(|spell| Spell { from_ms: spell.start, until_ms: spell.end, try_ms: TRY_MS })
        };
        capacity_existed(spells(), &whole, LEASE_MS, before + here + after)
            || capacity_existed(spells(), &alone, LEASE_MS, here)
    }

    fn all_were_there(&self, open: i64, now_ms: u64) -> bool {
        let within = self.day.ms_of(open - CHALLENGE_LOOKBACK)..self.day.ms_of(open + DEADLINE_EPOCHS);
        self.window.iter().all(|pair| pair.was_there(&within, now_ms))
    }

    // === winning PoSt ===

    /// An epoch was won so long ago that its proof has come, or will not.
    pub(super) fn won(&mut self, epoch: i64, sector: u64, proven: bool, watch: &Watch, now_ms: u64) {
        if proven {
            return self.count("epochs won and proven", 1);
        }
        let won_ms = self.day.ms_of(epoch);
        let within = won_ms..won_ms + WIN_MS;
        let keepers = self.day.keepers_of(sector);
        let there = |prover: &&'static str| {
            let with = |keeper: &&'static str| {
                self.winning
                    .iter()
                    .any(|pair| (pair.prover, pair.keeper) == (*prover, *keeper) && pair.was_there(&within, now_ms))
            };
            keepers.iter().all(with)
        };
        // The local chain lets a sector win from the moment that it is committed, the network only long after that: one that
        // was sealed today may be finalized still.
        let is_settled = self.day.partitions.iter().any(|p| p.sectors.iter().any(|(number, _)| *number == sector));
        if is_settled && self.day.winning.iter().any(there) {
            watch.broken(Law::L6, format!("epoch {epoch} was won in vain, and sector {sector} could have been proven"));
        }
        self.count("epochs won in vain", 1);
    }
}

/// Is one of the three kept from its part in a proof, or one from another?
fn is_in_the_way(fault: &Fault, trio: [&str; 3], cast: &Cast) -> bool {
    let one_of = |host: &&str| trio.contains(host);
    match fault {
        Fault::Partition(a, b) | Fault::OneWay(a, b) | Fault::Stall(a, b) | Fault::Slow(a, b, _) => {
            one_of(a) && one_of(b)
        }
        Fault::Kill(_) | Fault::Stop(_) | Fault::PowerCut(..) | Fault::CutInCalls(..) | Fault::IndexLost => {
            fault.downs(cast).iter().any(one_of)
        }
        Fault::DiskFull(host) | Fault::SyncError(host) | Fault::Hangs(host) | Fault::Lies(host) => one_of(host),
        Fault::DiskSlow(machine, _) => {
            cast.machines().iter().any(|(name, hosts)| name == machine && hosts.iter().any(one_of))
        }
        Fault::ChainDown | Fault::ChainForgetful | Fault::VerifierDown | Fault::VerifierSlow(_) => true,
        Fault::Clock(..) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_was_away_counts_again_once_it_had_time_to_connect() {
        let mut pair = Pair { prover: "window-a", keeper: "keeper-a", since_ms: None, spells: Vec::new() };
        pair.look(true, false, 0);
        pair.look(true, false, 40_000);
        pair.look(true, true, 50_000);
        pair.look(false, false, 60_000);
        pair.look(true, false, 70_000);
        let spells = |pair: &Pair, now| pair.all(now).collect::<Vec<_>>();
        assert_eq!(spells(&pair, 80_000), [25_000..50_000, 50_000..60_000]);
        assert_eq!(spells(&pair, 99_000), [25_000..50_000, 50_000..60_000, 95_000..99_000]);
        assert!(pair.was_there(&(30_000..40_000), 99_000) && !pair.was_there(&(30_000..60_000), 99_000));
    }
}
