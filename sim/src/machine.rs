//! A machine: its clock, its boots, how slow its disks are. Processes on it come and go.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use sp_types::{BadId, HostId};

use crate::rng::Rng;

/// Clocks of machines differ by up to this much.
const CLOCK_SKEW_MS: u64 = 30_000;

/// Blocking work starts at most so much later than asked for.
const DISK_DELAY_MS: u64 = 4;

/// One machine.
#[derive(Debug)]
pub struct Machine {
    /// Its name.
    pub name: &'static str,
    boots: AtomicU64,
    clock_ms: AtomicI64,
    disk_delay_ms: AtomicU64,
}

impl Machine {
    /// A machine whose clock is wrong by what the seed says.
    pub fn new(name: &'static str, seed: u64) -> Arc<Self> {
        let skew_ms = Rng::new(seed, name, 0).range(0, CLOCK_SKEW_MS) as i64;
        Arc::new(Self {
            name,
            boots: AtomicU64::new(0),
            clock_ms: AtomicI64::new(skew_ms),
            disk_delay_ms: AtomicU64::new(DISK_DELAY_MS),
        })
    }

    /// It boots.
    pub fn boot(&self) {
        self.boots.fetch_add(1, Ordering::SeqCst);
    }

    /// Machine and boot, as real workers say it.
    pub fn host_id(&self) -> Result<HostId, BadId> {
        HostId::new(format!("{}-{}", self.name, self.boots.load(Ordering::SeqCst)))
    }

    /// Its wall clock is set, forward or back; the monotonic one goes on.
    pub fn set_clock(&self, by_ms: i64) {
        self.clock_ms.fetch_add(by_ms, Ordering::SeqCst);
    }

    /// How far its wall clock is off.
    pub fn clock_ms(&self) -> i64 {
        self.clock_ms.load(Ordering::SeqCst)
    }

    /// Its disks are so slow, or as usual.
    pub fn set_disk_delay(&self, ms: Option<u64>) {
        self.disk_delay_ms.store(ms.unwrap_or(DISK_DELAY_MS), Ordering::SeqCst);
    }

    /// The longest that blocking work waits now.
    pub fn disk_delay_ms(&self) -> u64 {
        self.disk_delay_ms.load(Ordering::SeqCst)
    }
}
