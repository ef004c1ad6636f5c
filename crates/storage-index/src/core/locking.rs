//! Locks in the index: asked for together with space, durable while they are held, ended with their attempts.

use std::collections::BTreeSet;

use sp_types::{AttemptId, ErrorCode, SectorId, TaskId};

use super::locks::{Lock, Why};
use super::{Core, Refusal, RowChange};

impl Core {
    /// The state was lost, or is new: nothing is locked but what the scheduler presents, until it has presented all.
    pub(crate) fn await_locks(&mut self) {
        self.locks.present();
    }

    /// The scheduler has presented every attempt that goes on: others hold nothing any more, though their end may have
    /// been said while nobody listened.
    pub(super) fn end_presenting(&mut self) {
        self.locks.open();
        self.is_told = true;
        let presented = std::mem::take(&mut self.presented);
        let holders: BTreeSet<AttemptId> = self.locks.holders().chain(self.reservations.holders()).collect();
        for attempt in holders.difference(&presented) {
            self.release(*attempt);
            self.unlock(*attempt);
        }
    }

    /// Why the attempt may not read or write these files of a sector.
    pub(super) fn lock_refusal(&self, lock: &Lock, is_presented: bool) -> Option<Refusal> {
        self.locks.refusal(lock, is_presented).map(|why| refusal(why, lock.sector))
    }

    /// Gives a lock that is not refused.
    pub(super) fn lock(&mut self, lock: Lock) {
        if let Some(held) = self.locks.lock(lock) {
            self.rows.push(RowChange::PutLock(held));
        }
    }

    /// The attempt needs its lock no more.
    pub(super) fn unlock(&mut self, attempt: AttemptId) {
        let gone = self.locks.unlock(attempt);
        self.drop_locks(gone);
    }

    /// Attempts of the task up to this number have ended.
    pub(super) fn unlock_up_to(&mut self, task: TaskId, number: u32) {
        let gone = self.locks.unlock_up_to(task, number);
        self.drop_locks(gone);
    }

    /// Every lock, by sector.
    pub(crate) fn list_locks(&self) -> Vec<Lock> {
        self.locks.held().copied().collect()
    }

    fn drop_locks(&mut self, gone: impl IntoIterator<Item = (AttemptId, SectorId)>) {
        self.rows.extend(gone.into_iter().map(|(attempt, sector)| RowChange::DeleteLock(attempt, sector)));
    }
}

fn refusal(why: Why, sector: SectorId) -> Refusal {
    match why {
        Why::Taken(by) => Refusal::new(ErrorCode::Locked, format!("attempt {by} has locked files of {sector}")),
        Why::HasOther(other) => {
            let message = format!("the attempt has locked files of {other}; release those first");
            Refusal::new(ErrorCode::BadRequest, message)
        }
        Why::NotYet => {
            let message = "the index has lost its state, and those who hold locks come first; try again";
            Refusal::new(ErrorCode::Unavailable, message)
        }
        Why::TooMany => Refusal::new(ErrorCode::Unavailable, "too many locks are held; try again later"),
    }
}
