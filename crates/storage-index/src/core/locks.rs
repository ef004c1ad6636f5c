//! Locks on the files of sectors: who reads, and who writes.
//!
//! A lock belongs to a task, through its attempts: attempts of one task never shut each other out, so that the successor
//! of an orphan shares what the orphan holds, and the lock ends with the last of them. Pure; the rules:
//!
//! 1. All kinds of a request are locked, or none. Tasks share what they read; what one writes, no other reads or writes.
//! 2. Nobody waits here: a request that is in conflict is refused and leaves nothing behind. Who comes next is for the
//!    scheduler to say: it knows every task of a sector, so nobody waits in a circle, and nobody holds space meanwhile.
//! 3. After a loss of the state only those are granted that were held before and are presented, until all have been.

use std::collections::BTreeMap;

use sp_types::{AttemptId, FileLock, SectorId, TaskId};

/// Locks of all attempts.
const LOCKS_MAX: usize = 200_000;

/// Why a lock is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    /// This attempt of another task has it.
    Taken(AttemptId),
    /// The attempt has locked files of this sector.
    HasOther(SectorId),
    /// Those who held locks before the state was lost come first.
    NotYet,
    /// There are too many.
    TooMany,
}

/// A lock that is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lock {
    pub(crate) attempt: AttemptId,
    pub(crate) sector: SectorId,
    pub(crate) modes: FileLock,
    /// Milliseconds since the Unix epoch.
    pub(crate) since_unix_ms: u64,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Locks {
    sectors: BTreeMap<SectorId, Vec<Lock>>,
    /// The sector of each attempt that holds a lock.
    attempts: BTreeMap<AttemptId, SectorId>,
    /// Only what is presented is granted.
    presenting: bool,
}

impl Locks {
    /// The state was lost: nothing is granted until [`Self::open`] but what is presented.
    pub(crate) fn present(&mut self) {
        self.presenting = true;
    }

    /// Whoever held something has said so.
    pub(crate) fn open(&mut self) {
        self.presenting = false;
    }

    /// Takes a lock back that was durable.
    pub(crate) fn restore(&mut self, lock: Lock) {
        self.hold(lock);
    }

    /// May an attempt that has not ended have the lock? Asked again for what it has, the answer is the same.
    pub(crate) fn refusal(&self, wanted: &Lock, is_presented: bool) -> Option<Why> {
        if self.presenting && !is_presented {
            return Some(Why::NotYet);
        }
        if let Some(other) = self.attempts.get(&wanted.attempt).filter(|sector| **sector != wanted.sector) {
            return Some(Why::HasOther(*other));
        }
        let held = self.of_sector(wanted.sector);
        let task = wanted.attempt.task;
        let against = |lock: &&Lock| lock.attempt.task != task && !lock.modes.contested(wanted.modes).is_empty();
        if let Some(other) = held.iter().find(against) {
            return Some(Why::Taken(other.attempt));
        }
        (self.attempts.len() >= LOCKS_MAX && !self.attempts.contains_key(&wanted.attempt)).then_some(Why::TooMany)
    }

    /// Gives the attempt a lock for which there is no [`Self::refusal`]. What it holds from now on, if that is news.
    pub(crate) fn lock(&mut self, wanted: Lock) -> Option<Lock> {
        let has = |lock: &Lock| lock.attempt == wanted.attempt && lock.modes.covers(wanted.modes);
        (!self.of_sector(wanted.sector).iter().any(has)).then(|| self.hold(wanted))
    }

    /// The attempt has ended, or needs nothing any more. The lock that is gone, if it had one.
    pub(crate) fn unlock(&mut self, attempt: AttemptId) -> Option<(AttemptId, SectorId)> {
        let sector = self.attempts.remove(&attempt)?;
        if let Some(held) = self.sectors.get_mut(&sector) {
            held.retain(|lock| lock.attempt != attempt);
            if held.is_empty() {
                self.sectors.remove(&sector);
            }
        }
        Some((attempt, sector))
    }

    /// Attempts of the task up to this number have ended. The locks that are gone.
    pub(crate) fn unlock_up_to(&mut self, task: TaskId, number: u32) -> Vec<(AttemptId, SectorId)> {
        let all = AttemptId { task, number: 0 }..=AttemptId { task, number };
        let ended: Vec<AttemptId> = self.attempts.range(all).map(|(attempt, _)| *attempt).collect();
        ended.into_iter().filter_map(|attempt| self.unlock(attempt)).collect()
    }

    /// Every lock, by sector.
    pub(crate) fn held(&self) -> impl Iterator<Item = &Lock> {
        self.sectors.values().flatten()
    }

    /// Attempts that hold a lock.
    pub(crate) fn holders(&self) -> impl Iterator<Item = AttemptId> {
        self.attempts.keys().copied()
    }

    fn of_sector(&self, sector: SectorId) -> &[Lock] {
        self.sectors.get(&sector).map_or(&[], Vec::as_slice)
    }

    /// Adds a lock, or widens the one that the attempt has.
    fn hold(&mut self, lock: Lock) -> Lock {
        self.attempts.insert(lock.attempt, lock.sector);
        let held = self.sectors.entry(lock.sector).or_default();
        match held.iter_mut().find(|held| held.attempt == lock.attempt) {
            Some(held) => {
                held.modes = held.modes.joined(lock.modes);
                *held
            }
            None => {
                held.push(lock);
                lock
            }
        }
    }
}
