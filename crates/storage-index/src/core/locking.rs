//! Locks in the index: asked for on the scheduler's stream, durable while they are held, ended with their attempts.
//!
//! Requests that wait are memory only: whoever waited asks again when the index has been away.

use sp_env::Monotonic;
use sp_types::{AttemptId, ErrorCode, SectorId, TaskId};

use super::locks::{Answer, Change, Lock, Manner, Why};
use super::{Core, Fact, Refusal, RowChange};

impl Core {
    /// The state was lost, or is new: for one lease after the scheduler has come nothing is locked but what it presents.
    pub(crate) fn await_locks(&mut self) {
        self.locks.present();
    }

    /// The scheduler has come: those whose attempts hold locks present them within a lease.
    pub(super) fn begin_presenting(&mut self) {
        self.presented_at = self.locks.is_presenting().then(|| Monotonic(self.now.0 + self.timing.lease_ms));
    }

    /// Opens the locks to everybody when the time has come.
    pub(super) fn end_presenting(&mut self) {
        if self.presented_at.is_some_and(|at| self.now >= at) {
            self.presented_at = None;
            let changes = self.locks.open();
            self.note_locks(changes);
        }
    }

    /// An attempt wants to read or to write files of a sector.
    pub(super) fn lock(&mut self, lock: Lock, manner: Manner) {
        let Lock { attempt, sector, .. } = lock;
        let (waits, refused, changes) = if self.is_ended(attempt) {
            let ended = Refusal::new(ErrorCode::AttemptEnded, format!("attempt {attempt} has ended"));
            (false, Some(ended), Vec::new())
        } else {
            let (answer, changes) = self.locks.lock(lock, manner);
            let refused = if let Answer::Refused(why) = answer { Some(refusal(why, sector)) } else { None };
            (answer == Answer::Waits, refused, changes)
        };
        let (own, others): (Vec<_>, Vec<_>) = changes.into_iter().partition(|change| change.attempt() == attempt);
        own.iter().for_each(|change| self.keep_lock(change));
        self.tell_scheduler(Fact::LockReply { attempt, sector, waits, refused });
        self.note_locks(others);
    }

    /// The attempt needs its locks no more.
    pub(super) fn unlock(&mut self, attempt: AttemptId) {
        let changes = self.locks.unlock(attempt);
        self.note_locks(changes);
    }

    /// Attempts of the task up to this number have ended.
    pub(super) fn unlock_up_to(&mut self, task: TaskId, number: u32) {
        let changes = self.locks.unlock_up_to(task, number);
        self.note_locks(changes);
    }

    /// Locks that are held, then requests that wait, each by sector.
    pub(crate) fn list_locks(&self) -> Vec<(Lock, bool)> {
        let held = self.locks.held().map(|lock| (*lock, false));
        held.chain(self.locks.waiting().map(|lock| (*lock, true))).collect()
    }

    /// Whoever has got what it waited for hears of it.
    fn note_locks(&mut self, changes: Vec<Change>) {
        for change in changes {
            self.keep_lock(&change);
            if let Change::Held(Lock { attempt, sector, .. }) = change {
                self.tell_scheduler(Fact::LockReply { attempt, sector, waits: false, refused: None });
            }
        }
    }

    fn keep_lock(&mut self, change: &Change) {
        self.rows.push(match *change {
            Change::Held(lock) => RowChange::PutLock(lock),
            Change::Gone(attempt, sector) => RowChange::DeleteLock(attempt, sector),
        });
    }
}

fn refusal(why: Why, sector: SectorId) -> Refusal {
    match why {
        Why::Empty => Refusal::new(ErrorCode::BadRequest, "the lock names no file; name what is read or written"),
        Why::Taken(by) => {
            Refusal::new(ErrorCode::Unavailable, format!("attempt {by} has locked files of {sector}; try again later"))
        }
        Why::HoldsOther(other) => {
            let message =
                format!("attempt {other} of the same task has, or waits for, another lock; release that first");
            Refusal::new(ErrorCode::BadRequest, message)
        }
        Why::NotYet => {
            let message = "the index has lost its state, and those who hold locks come first; try again in 15 s";
            Refusal::new(ErrorCode::Unavailable, message)
        }
        Why::TooMany => Refusal::new(ErrorCode::Unavailable, "too many locks are held or waited for; try again later"),
    }
}
