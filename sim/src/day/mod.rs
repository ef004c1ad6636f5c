//! Proving days: the production services prove what the chain asks for while machines die, disks hang, links break and
//! workers lie, and no partition is missed that could have been proven (law L6).
//!
//! A day is shortened: an epoch takes a second or so, and only some deadlines have sectors. It has sectors from its first
//! moment, which the operator has the scheduler take over; a few more are sealed on the same machines.

mod cast;
mod judge;
pub(crate) mod operator;
mod plan;
mod scenario;
pub(crate) mod shelf;

use scheduler::{Assignment, DEADLINE_EPOCHS, LocalChainOptions, ServiceOptions};

pub use scenario::{run, run_losing_proofs};

/// The lease of workers ...
pub const LEASE_MS: u64 = 5_000;
/// ... and how often they renew it.
const HEARTBEAT_MS: u64 = 1_000;
/// Part of the provers' time for rehearsals, in percent: the scheduler's default.
const REHEARSE_PERCENT: u64 = 5;
/// An epoch that was won is proven within this, by the scheduler's defaults.
pub const WIN_MS: u64 = 20_000;

/// What is special of a proving day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Day {
    /// Length of an epoch; the first one begins with the run.
    pub epoch_ms: u64,
    /// What is to be proven, by deadline and partition.
    pub partitions: Vec<Partition>,
    /// Workers for window PoSt.
    pub window: Vec<&'static str>,
    /// Workers for winning PoSt.
    pub winning: Vec<&'static str>,
    /// Workers that have the sectors, and seal.
    pub keepers: Vec<&'static str>,
    /// One epoch in so many is won; 0: none is.
    pub win_one_in: u32,
    /// Sectors that are sealed meanwhile.
    pub pledges: u32,
    /// Nothing goes wrong.
    pub quiet: bool,
}

/// A partition whose sectors are there from the beginning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// Its deadline.
    pub deadline: u32,
    /// Its index there.
    pub index: u32,
    /// Its sectors, and who has the files of each.
    pub sectors: Vec<(u64, &'static str)>,
}

impl Day {
    /// When an epoch begins, ms since the run began.
    pub fn ms_of(&self, epoch: i64) -> u64 {
        epoch.max(0).unsigned_abs() * self.epoch_ms
    }

    /// The first epoch after the last deadline that has something to be proven.
    pub fn last_close(&self) -> i64 {
        let last = self.partitions.iter().map(|partition| partition.deadline).max().unwrap_or(0);
        (i64::from(last) + 1) * DEADLINE_EPOCHS
    }

    /// Who has a sector; all of them for one that was sealed meanwhile.
    pub fn keepers_of(&self, sector: u64) -> Vec<&'static str> {
        let mut known = self.partitions.iter().flat_map(|partition| &partition.sectors);
        let known = known.find(|(number, _)| *number == sector);
        known.map_or_else(|| self.keepers.clone(), |(_, keeper)| vec![keeper])
    }

    /// The chain of such a day.
    pub(crate) fn set_chain(&self, options: &mut LocalChainOptions) {
        options.epoch_ms = self.epoch_ms;
        options.assignment = Assignment::Network;
        options.win_one_in = self.win_one_in;
    }

    /// The scheduler of such a day.
    pub(crate) fn set_scheduler(&self, options: &mut ServiceOptions) {
        options.lease_ms = LEASE_MS;
        options.heartbeat_ms = HEARTBEAT_MS;
        options.elections = self.win_one_in > 0;
        options.rehearse_percent = REHEARSE_PERCENT;
    }
}
