//! L6: whether what was missed could have been proven. Knows when each prover was ready, and keeps a log if asked to.

use std::collections::BTreeMap;
use std::ops::Range;

use sp_chain::{CHALLENGE_LOOKBACK, Opening, Verdict};
use sp_invariants::{Spell, capacity_existed, proven_if_possible};
use sp_types::ChainEpoch;

use crate::chain::time_of;
use crate::plan::{HOUR, TRY_MS};
use crate::world::World;

/// Spells that ended longer ago matter to no opening.
const KEPT_MS: u64 = 2 * HOUR;

/// A partition that was missed though it could have been proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Breach {
    pub opening: Opening,
    pub partition: u32,
}

#[derive(Default)]
pub struct Judge {
    /// Of each prover: since when it is ready, and when it was before.
    ready_since: BTreeMap<usize, u64>,
    spells: Vec<Spell>,
    /// Partitions that were judged, those of them that were missed, and why that was a breach.
    pub partitions: u32,
    pub missed: u32,
    pub breaches: Vec<Breach>,
    /// Of what is written down, and what was.
    pub listens_to: Option<Range<u64>>,
    pub log: Vec<String>,
}

impl Judge {
    pub fn listens(&self, now: u64) -> bool {
        self.listens_to.as_ref().is_some_and(|range| range.contains(&now))
    }

    pub fn write(&mut self, line: String) {
        self.log.push(line);
    }

    /// Could this prover prove from now on?
    pub fn worker(&mut self, at: usize, ready: bool, now: u64) {
        if ready {
            self.ready_since.entry(at).or_insert(now);
        } else if let Some(from_ms) = self.ready_since.remove(&at) {
            self.spells.retain(|spell| spell.until_ms + KEPT_MS > now);
            self.spells.push(Spell { from_ms, until_ms: now, try_ms: TRY_MS });
        }
    }

    fn spells(&self, now: u64) -> impl Iterator<Item = Spell> {
        let still = self.ready_since.values().map(move |from| Spell { from_ms: *from, until_ms: now, try_ms: TRY_MS });
        still.chain(self.spells.iter().copied())
    }
}

impl World {
    /// An opening has closed: what was missed, and could have been proven?
    pub fn judge_closed(&mut self, opening: Opening) {
        let Some(record) = self.chain.ledger.records().find(|record| record.open == opening.open).cloned() else {
            return;
        };
        let missed: Vec<u32> =
            record.partitions.iter().filter(|(_, p)| p.verdict == Verdict::Missed).map(|(at, _)| *at).collect();
        self.judge.partitions += record.partitions.len() as u32;
        self.judge.missed += missed.len() as u32;
        let possible = !missed.is_empty() && self.could_be_proven(opening);
        let breaches = missed.into_iter().filter(|_| !proven_if_possible(false, possible));
        self.judge.breaches.extend(breaches.map(|partition| Breach { opening, partition }));
    }

    /// All partitions of the opening: beside those of its neighbours, or while it is the only one that can be proven.
    fn could_be_proven(&self, opening: Opening) -> bool {
        let (judge, lease_ms, now) = (&self.judge, self.config.lease_ms, self.now);
        let of = |opening: Opening| self.chain.ledger.partitions(opening).len();
        let (before, after) = (opening.preceding(), opening.following());
        // Lotus trusts randomness an epoch later. What was proven before the scheduler died counts.
        let (first, close) = (time_of(ChainEpoch(opening.challenge.0 + 1)), time_of(opening.close));
        let alone = time_of(opening.open).max(first)..time_of(ChainEpoch(opening.close.0 - CHALLENGE_LOOKBACK));
        let all = of(before) + of(opening) + of(after);
        capacity_existed(judge.spells(now), &(first..close), lease_ms, all)
            || capacity_existed(judge.spells(now), &alone, lease_ms, of(opening))
    }
}
