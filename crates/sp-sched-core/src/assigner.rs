//! Lotus's assigners: by what one open worker is preferred to another (`spec/lotus.md` 1.4).

use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How a task is given to one of several workers with an open window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Assigner {
    /// To the one that will probably have it done first, which is the least utilised one while nothing else is known.
    #[default]
    Utilization,
    /// To the one that has been given the fewest tasks since the youngest of them joined.
    Spread,
    /// To the one with the fewest tasks bound to it or running on it.
    SpreadQcount,
    /// As `Spread`, counted for each kind of task by itself.
    SpreadTasks,
    /// As `SpreadQcount`, counted for each kind of task by itself.
    SpreadTasksQcount,
    /// To any of them, by a seeded draw.
    Random,
}

/// A name that is no assigner.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "unknown assigner `{0}` (known: utilization, spread, experiment-spread-qcount, experiment-spread-tasks, \
     experiment-spread-tasks-qcount, experiment-random)"
)]
pub struct UnknownAssigner(pub String);

impl Assigner {
    /// Every assigner.
    pub const ALL: [Self; 6] =
        [Self::Utilization, Self::Spread, Self::SpreadQcount, Self::SpreadTasks, Self::SpreadTasksQcount, Self::Random];

    /// Lotus's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Utilization => "utilization",
            Self::Spread => "spread",
            Self::SpreadQcount => "experiment-spread-qcount",
            Self::SpreadTasks => "experiment-spread-tasks",
            Self::SpreadTasksQcount => "experiment-spread-tasks-qcount",
            Self::Random => "experiment-random",
        }
    }
}

/// The empty name is the default, as in Lotus.
impl FromStr for Assigner {
    type Err = UnknownAssigner;
    fn from_str(text: &str) -> Result<Self, UnknownAssigner> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        Self::ALL.into_iter().find(|a| a.name() == text).ok_or_else(|| UnknownAssigner(text.to_owned()))
    }
}

/// A number that depends on the seed and on how many were drawn, below `n`.
pub(crate) fn draw(seed: u64, drawn: u64, n: u64) -> u64 {
    // SplitMix64: the same everywhere, and good enough for a fair choice.
    let mut z = seed.wrapping_add(drawn.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (z ^ (z >> 31)) % n.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_lotus_s_and_others_are_refused() {
        for assigner in Assigner::ALL {
            assert_eq!(assigner.name().parse(), Ok(assigner));
        }
        assert_eq!("".parse(), Ok(Assigner::Utilization));
        assert!("fastest".parse::<Assigner>().unwrap_err().to_string().contains("experiment-random"));
    }

    #[test]
    fn draws_are_fair_and_repeatable() {
        let mut counts = [0; 4];
        (0..4_000).for_each(|n| counts[draw(7, n, 4) as usize] += 1);
        assert!(counts.iter().all(|c| (900..1_100).contains(c)), "{counts:?}");
        assert_eq!(draw(7, 3, 1_000), draw(7, 3, 1_000));
        assert_eq!(draw(7, 3, 0), 0);
    }
}
