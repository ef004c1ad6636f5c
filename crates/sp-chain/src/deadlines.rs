//! The proving period: 48 deadlines of 60 epochs, each with its challenge and its fault cutoff (`lotus.md` 5.1).

use serde::{Deserialize, Serialize};
use sp_types::{ChainEpoch, DeadlineIndex};

/// Epochs of one deadline.
pub const DEADLINE_EPOCHS: i64 = 60;

/// Epochs of a proving period.
pub const PERIOD_EPOCHS: i64 = DEADLINE_EPOCHS * DeadlineIndex::COUNT as i64;

/// The randomness of a deadline is drawn this many epochs before it opens.
pub const CHALLENGE_LOOKBACK: i64 = 20;

/// Faults can be declared until this many epochs before it opens.
pub const FAULT_CUTOFF: i64 = 70;

/// One opening of one deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Opening {
    /// Which deadline.
    pub index: DeadlineIndex,
    /// Start of its proving period.
    pub period_start: ChainEpoch,
    /// First epoch in which a proof is accepted.
    pub open: ChainEpoch,
    /// First epoch in which none is accepted any more.
    pub close: ChainEpoch,
    /// Epoch of the randomness.
    pub challenge: ChainEpoch,
    /// Last epoch in which faults could be declared.
    pub fault_cutoff: ChainEpoch,
}

impl Opening {
    /// The opening of a deadline in the proving period that starts at `period_start`.
    fn of(period_start: i64, index: DeadlineIndex) -> Self {
        let open = period_start + i64::from(index.0) * DEADLINE_EPOCHS;
        Self {
            index,
            period_start: ChainEpoch(period_start),
            open: ChainEpoch(open),
            close: ChainEpoch(open + DEADLINE_EPOCHS),
            challenge: ChainEpoch(open - CHALLENGE_LOOKBACK),
            fault_cutoff: ChainEpoch(open - FAULT_CUTOFF),
        }
    }

    /// The deadline that is open at `head`.
    pub fn current(head: ChainEpoch) -> Self {
        let period_start = period_start(head).0;
        let index = (head.0 - period_start) / DEADLINE_EPOCHS;
        Self::of(period_start, DeadlineIndex(index as u32))
    }

    /// The one that opens when this one closes.
    pub fn following(self) -> Self {
        Self::current(self.close)
    }

    /// The one that closed when this one opened.
    pub fn preceding(self) -> Self {
        Self::current(ChainEpoch(self.open.0 - 1))
    }

    /// Is its randomness there for good? One epoch after it was drawn, as Lotus has it.
    pub fn is_drawn(self, head: ChainEpoch) -> bool {
        head > self.challenge
    }

    /// Are proofs taken?
    pub fn is_open(self, head: ChainEpoch) -> bool {
        (self.open..self.close).contains(&head)
    }

    /// The opening of `index` that can be proven at `head`: the newest one whose randomness is drawn.
    pub fn provable(head: ChainEpoch, index: DeadlineIndex) -> Self {
        let start = period_start(head).0;
        let newest = [start + PERIOD_EPOCHS, start].map(|start| Self::of(start, index));
        let drawn = newest.into_iter().find(|opening| opening.challenge <= head);
        drawn.unwrap_or_else(|| Self::of(start - PERIOD_EPOCHS, index))
    }

    /// The opening of `index` that is open at `head` or comes next.
    pub fn next(head: ChainEpoch, index: DeadlineIndex) -> Self {
        let start = period_start(head).0;
        let here = Self::of(start, index);
        if here.close > head { here } else { Self::of(start + PERIOD_EPOCHS, index) }
    }
}

/// Start of the proving period that holds `head`.
pub fn period_start(head: ChainEpoch) -> ChainEpoch {
    ChainEpoch(head.0.div_euclid(PERIOD_EPOCHS) * PERIOD_EPOCHS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_openings() {
        // head, deadline open then
        for (head, index) in [(0, 0), (59, 0), (60, 1), (2879, 47), (2880, 0), (5759, 47), (-1, 47)] {
            let opening = Opening::current(ChainEpoch(head));
            assert_eq!(opening.index.0, index, "{head}");
            assert!((opening.open.0..opening.close.0).contains(&head), "{head}");
        }
        let opening = Opening::current(ChainEpoch(2880 + 130));
        let figures = (opening.open.0, opening.close.0, opening.challenge.0, opening.fault_cutoff.0);
        assert_eq!(figures, (3000, 3060, 2980, 2930));
        assert_eq!(opening.period_start.0, 2880);
    }

    #[test]
    fn openings_follow_each_other_over_the_end_of_a_period() {
        let last = Opening::current(ChainEpoch(2879));
        assert_eq!((last.following().index.0, last.following().open.0), (0, 2880));
        assert_eq!(last.following().preceding(), last);
        assert_eq!((last.is_drawn(last.challenge), last.is_drawn(ChainEpoch(last.challenge.0 + 1))), (false, true));
        assert_eq!([2819, 2820, 2879, 2880].map(|head| last.is_open(ChainEpoch(head))), [false, true, true, false]);
    }

    #[test]
    fn the_provable_opening_has_its_randomness() {
        // head, deadline, opens at
        let table = [
            (0, 0, 0),
            (0, 1, 60 - 2880),
            (40, 1, 60),
            (39, 1, 60 - 2880),
            (2860, 0, 2880),
            (2859, 0, 0),
            (2880, 47, 47 * 60),
            (5700, 47, 5700),
            (5679, 47, 2820),
        ];
        for (head, index, open) in table {
            let opening = Opening::provable(ChainEpoch(head), DeadlineIndex(index));
            assert_eq!(opening.open.0, open, "deadline {index} at {head}");
            assert!(opening.challenge.0 <= head);
        }
    }

    #[test]
    fn the_next_opening_is_open_or_ahead() {
        for (head, index, open) in [(0, 0, 0), (59, 0, 0), (60, 0, 2880), (10, 3, 180), (2879, 47, 2820)] {
            assert_eq!(Opening::next(ChainEpoch(head), DeadlineIndex(index)).open.0, open, "{index} at {head}");
        }
    }
}
