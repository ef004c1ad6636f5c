//! What the scheduler's core is given from outside, counted where it is sent.

use std::sync::atomic::{AtomicU64, Ordering};

/// Events by who sends them.
#[derive(Debug, Default)]
pub struct Tally {
    /// Facts and answers of the index.
    pub facts: AtomicU64,
    /// Results of workers.
    pub results: AtomicU64,
    /// Renewals of workers.
    pub renewals: AtomicU64,
    /// Results that the scheduler has acknowledged.
    pub acknowledged: AtomicU64,
    /// Sectors whose last task is acknowledged.
    pub sealed: AtomicU64,
    /// Proofs that the verifier was asked about.
    pub verdicts: AtomicU64,
}

impl Tally {
    /// One more.
    pub fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::SeqCst);
    }

    /// Up to now.
    pub fn read(counter: &AtomicU64) -> u64 {
        counter.load(Ordering::SeqCst)
    }

    /// Every event of these kinds; requests and answers of the chain are not among them.
    pub fn events(&self) -> u64 {
        [&self.facts, &self.results, &self.renewals, &self.verdicts].into_iter().map(Self::read).sum()
    }
}
