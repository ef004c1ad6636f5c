//! Progress of long work on stderr: a line that is rewritten on a terminal, one line now and then elsewhere.

use std::io::{IsTerminal, Write, stderr};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use proofs_core::params::fetch::{FetchPhase, FetchProgress};
use proofs_core::params::{Phase, Progress};

const TERMINAL_EVERY: Duration = Duration::from_millis(200);
const PLAIN_EVERY: Duration = Duration::from_secs(5);

/// Shows progress events as they come, from any thread, but not all of them.
pub(crate) struct Display {
    terminal: bool,
    shown: Mutex<Option<(Phase, Instant)>>,
}

impl Display {
    pub(crate) fn new() -> Self {
        Self { terminal: stderr().is_terminal(), shown: Mutex::new(None) }
    }

    /// How often what goes on is worth a line.
    pub(crate) fn every(&self) -> Duration {
        if self.terminal { TERMINAL_EVERY } else { PLAIN_EVERY }
    }

    pub(crate) fn show(&self, progress: Progress) {
        let every = self.every();
        let Ok(mut shown) = self.shown.lock() else { return };
        if shown.is_some_and(|(phase, at)| phase == progress.phase && at.elapsed() < every) {
            return;
        }
        *shown = Some((progress.phase, Instant::now()));
        self.write(&line(&progress), false);
    }

    /// As [`Self::show`], for a fetch, which keeps to [`Self::every`] itself. That a source failed stays to be read.
    pub(crate) fn show_fetch(&self, progress: &FetchProgress) {
        self.write(&progress.to_string(), matches!(progress.phase, FetchPhase::Pausing { .. }));
    }

    fn write(&self, line: &str, stays: bool) {
        let start = if self.terminal { "\r\x1b[K" } else { "" };
        let end = if self.terminal && !stays { "" } else { "\n" };
        // Progress that cannot be shown is no reason to stop the work.
        let _ = write!(stderr(), "{start}{line}{end}");
    }

    /// Clears the line for the result that follows.
    pub(crate) fn done(&self) {
        if self.terminal {
            let _ = write!(stderr(), "\r\x1b[K");
        }
    }
}

fn line(progress: &Progress) -> String {
    let Progress { kind, size, phase, done, total } = progress;
    let what = match phase {
        Phase::Waiting => "waiting for another process that makes them".to_owned(),
        Phase::Checking => "checking what is there".to_owned(),
        Phase::Points => format!("{}% ({done} of {total} points)", done * 100 / (*total).max(1)),
        Phase::Publishing => "publishing".to_owned(),
    };
    format!("{kind} {size}: {what}")
}
