//! The fourteen laws, by id, and how often each was found broken.

use std::sync::atomic::{AtomicU64, Ordering};

/// A law of the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Law {
    /// No sector file lost.
    L1,
    /// One effective completion per task.
    L2,
    /// One submission per sector step.
    L3,
    /// Hosts are never over-committed.
    L4,
    /// Nothing leaked.
    L5,
    /// PoSt starts in time.
    L6,
    /// Published edges only.
    L7,
    /// Acknowledged means durable.
    L8,
    /// The index equals the disk.
    L9,
    /// Verified before visible.
    L10,
    /// Progress.
    L11,
    /// Bounded.
    L12,
    /// Deterministic.
    L13,
    /// Least privilege.
    L14,
}

static BROKEN: [AtomicU64; Law::ALL.len()] = [const { AtomicU64::new(0) }; Law::ALL.len()];

impl Law {
    /// Every law.
    pub const ALL: [Self; 14] = [
        Self::L1,
        Self::L2,
        Self::L3,
        Self::L4,
        Self::L5,
        Self::L6,
        Self::L7,
        Self::L8,
        Self::L9,
        Self::L10,
        Self::L11,
        Self::L12,
        Self::L13,
        Self::L14,
    ];

    /// `L1` to `L14`.
    pub fn id(self) -> &'static str {
        ["L1", "L2", "L3", "L4", "L5", "L6", "L7", "L8", "L9", "L10", "L11", "L12", "L13", "L14"][self as usize]
    }

    /// The law in one line.
    pub fn text(self) -> &'static str {
        match self {
            Self::L1 => "no sector file is lost: a delete names a replica and leaves another, or was decided",
            Self::L2 => "one effective completion per task: the first valid result of any attempt not ended",
            Self::L3 => "one submission per sector step, or per partition and randomness",
            Self::L4 => "a host's resources are never over-committed",
            Self::L5 => "no lock or reservation outlives its attempt",
            Self::L6 => "a PoSt partition starts in time if a feasible worker exists",
            Self::L7 => "a sector moves only along the published edges",
            Self::L8 => "what was acknowledged survives the loss of every process",
            Self::L9 => "the index equals the disk after a reconcile",
            Self::L10 => "bytes are verified before they are visible",
            Self::L11 => "once faults stop, every runnable task finishes",
            Self::L12 => "queues, streams and temporary space are bounded",
            Self::L13 => "the same seed gives the same trace",
            Self::L14 => "a node touches only what it is leased",
        }
    }
}

/// Counts a breach.
pub fn note(law: Law) {
    BROKEN[law as usize].fetch_add(1, Ordering::Relaxed);
}

/// How often the law was found broken since the process started.
pub fn violations(law: Law) -> u64 {
    BROKEN[law as usize].load(Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_follow_the_order_and_breaches_are_counted() {
        for (at, law) in Law::ALL.into_iter().enumerate() {
            assert_eq!(law.id(), format!("L{}", at + 1));
            assert!(!law.text().is_empty());
        }
        note(Law::L9);
        assert_eq!(violations(Law::L9), 1);
    }

    #[test]
    #[should_panic(expected = "law L12 broken")]
    fn a_breach_panics_under_debug_assertions() {
        crate::check!(Law::L12, crate::bounded(3, 2), "three of {}", 2);
    }
}
