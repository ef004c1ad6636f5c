//! What a child process of ours does first: tie its life to its parent's, and keep its answers apart from prints.

use std::fs::File;
use std::io;

use rustix::process::{Signal, getppid, set_parent_process_death_signal};

/// The child must not go on.
#[derive(Debug, thiserror::Error)]
pub enum ChildError {
    /// The parent died before the guard stood.
    #[error("the parent {expected} is gone (the parent is now {found}); start this through its supervisor")]
    Orphan {
        /// Who started us.
        expected: u32,
        /// Who owns us.
        found: u32,
    },
    /// The kernel refused.
    #[error("cannot ask for a signal when the parent dies: {0}")]
    Signal(rustix::io::Errno),
}

/// Makes the kernel kill this process when the thread that spawned it ends, and checks that it still lives.
///
/// The spawning thread must live as long as the child shall: spawn from a thread of its own, not from a pool. The
/// child calls this on its main thread: the request is gone with the thread that made it.
pub fn guard_parent(expected_ppid: u32) -> Result<(), ChildError> {
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(ChildError::Signal)?;
    // The parent may have died before the line above: then no signal will come.
    let found = getppid().map_or(0, |pid| pid.as_raw_nonzero().get().unsigned_abs());
    if found == expected_ppid { Ok(()) } else { Err(ChildError::Orphan { expected: expected_ppid, found }) }
}

/// Gives this process's stdout as a file for answers and points stdout at stderr, so that prints of libraries and
/// drivers cannot break the framing. Call it before anything prints.
pub fn move_stdout_aside() -> io::Result<File> {
    let aside = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdout(), 3)?;
    rustix::stdio::dup2_stdout(rustix::stdio::stderr())?;
    Ok(File::from(aside))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_parent_is_an_orphan() {
        // Harmless in a test: the runner waits for its children, and the setting is taken back below.
        let found = getppid().map_or(0, |pid| pid.as_raw_nonzero().get().unsigned_abs());
        assert!(guard_parent(found).is_ok());
        let error = guard_parent(found + 1).expect_err("not our parent");
        assert!(matches!(error, ChildError::Orphan { .. }));
        set_parent_process_death_signal(None).expect("taken back");
    }
}
