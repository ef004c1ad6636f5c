//! What is wrong with a disk at the moment, and the fuse that cuts its power between two calls.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Shared by all disks of one process; calls ask it before they do anything.
#[derive(Debug, Default)]
pub struct Trouble {
    /// The process is dead: nothing reaches the disk any more.
    dead: AtomicBool,
    /// No room for anything new.
    full: AtomicBool,
    /// The next sync fails; what it was to save may be lost until a later one.
    failing_sync: AtomicBool,
    /// Calls that change something, until the power goes; 0 for no fuse, 1 for one that has blown.
    fuse: AtomicU64,
    /// It has said no since the process was started.
    refused: AtomicBool,
}

const NO_FUSE: u64 = 0;
const BLOWN: u64 = 1;

impl Trouble {
    /// From now on nothing reaches the disk.
    pub fn kill(&self) {
        self.dead.store(true, Ordering::SeqCst);
    }

    /// A new process has the disk.
    pub fn revive(&self) {
        self.dead.store(false, Ordering::SeqCst);
        self.fuse.store(NO_FUSE, Ordering::SeqCst);
        self.failing_sync.store(false, Ordering::SeqCst);
        self.refused.store(false, Ordering::SeqCst);
    }

    /// The disk is full, or is not any more.
    pub fn set_full(&self, full: bool) {
        self.full.store(full, Ordering::SeqCst);
    }

    /// The next sync fails.
    pub fn fail_next_sync(&self) {
        self.failing_sync.store(true, Ordering::SeqCst);
    }

    /// The power goes after so many more calls that change something.
    pub fn cut_after(&self, calls: u64) {
        self.fuse.store(BLOWN + 1 + calls, Ordering::SeqCst);
    }

    /// No fuse any more, unless it has blown.
    pub fn mend_fuse(&self) {
        if !self.is_cut() {
            self.fuse.store(NO_FUSE, Ordering::SeqCst);
        }
    }

    /// The next sync does not fail.
    pub fn mend_sync(&self) {
        self.failing_sync.store(false, Ordering::SeqCst);
    }

    /// The fuse has blown: the machine is to be treated as one without power.
    pub fn is_cut(&self) -> bool {
        self.fuse.load(Ordering::SeqCst) == BLOWN
    }

    /// The disk has refused something since the process was started: it may well end for that.
    pub fn has_refused(&self) -> bool {
        self.refused.load(Ordering::SeqCst)
    }

    /// The disk is full.
    pub fn is_full(&self) -> bool {
        self.full.load(Ordering::SeqCst)
    }

    /// Before a read.
    pub fn read(&self) -> io::Result<()> {
        if self.dead.load(Ordering::SeqCst) || self.is_cut() {
            return Err(self.refuse(io::Error::other("the simulated process is dead")));
        }
        Ok(())
    }

    /// Before a change; `growing` ones need room.
    pub fn change(&self, growing: bool) -> io::Result<()> {
        self.read()?;
        let left = self.fuse.load(Ordering::SeqCst);
        if left != NO_FUSE {
            self.fuse.store(left - 1, Ordering::SeqCst);
            self.read()?;
        }
        if growing && self.is_full() {
            return Err(self.refuse(io::ErrorKind::StorageFull.into()));
        }
        Ok(())
    }

    /// Before a sync.
    pub fn sync(&self) -> io::Result<()> {
        self.change(false)?;
        if self.failing_sync.swap(false, Ordering::SeqCst) {
            return Err(self.refuse(io::Error::other("simulated I/O error")));
        }
        Ok(())
    }

    fn refuse(&self, error: io::Error) -> io::Error {
        self.refused.store(true, Ordering::SeqCst);
        error
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fuse_lets_so_many_changes_pass() {
        let trouble = Trouble::default();
        trouble.cut_after(2);
        assert!(trouble.change(true).is_ok() && trouble.change(false).is_ok() && !trouble.is_cut());
        assert!(trouble.read().is_ok());
        assert!(trouble.change(false).is_err() && trouble.is_cut() && trouble.read().is_err());
        assert!(trouble.change(false).is_err() && trouble.is_cut(), "a blown fuse stays blown");
        trouble.revive();
        assert!(trouble.change(true).is_ok() && !trouble.has_refused());
    }

    #[test]
    fn a_full_disk_takes_nothing_new() {
        let trouble = Trouble::default();
        trouble.set_full(true);
        assert_eq!(trouble.change(true).unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert!(trouble.change(false).is_ok() && trouble.sync().is_ok() && trouble.has_refused());
    }
}
