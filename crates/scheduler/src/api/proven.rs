//! What has been proven at the present opening of each deadline; memory only, an answer is proof enough.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use sp_types::{ChainEpoch, DeadlineIndex};

/// Proofs of one opening of a deadline.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    /// Partitions with an accepted proof.
    pub(super) partitions: BTreeSet<u32>,
    /// Sectors that could not be read.
    pub(super) faulty: BTreeSet<u64>,
}

/// The newest outcome of each deadline, with the opening it belongs to.
#[derive(Clone, Default)]
pub(super) struct Proven(Arc<Mutex<BTreeMap<DeadlineIndex, (ChainEpoch, Outcome)>>>);

impl Proven {
    /// Notes the outcome of an opening; a later one replaces it.
    pub(super) fn note(&self, deadline: DeadlineIndex, open: ChainEpoch, outcome: Outcome) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(deadline, (open, outcome));
    }

    /// What is known of an opening.
    pub(super) fn of(&self, deadline: DeadlineIndex, open: ChainEpoch) -> Outcome {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let outcome = all.get(&deadline).filter(|(noted, _)| *noted == open);
        outcome.map(|(_, outcome)| outcome.clone()).unwrap_or_default()
    }
}
