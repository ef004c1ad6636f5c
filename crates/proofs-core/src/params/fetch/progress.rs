//! How far a fetch is: what is reported, and how often.

use std::fmt;
use std::time::{Duration, Instant};

use sp_types::ByteSize;

use super::wanted::Wanted;

/// What is done to a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FetchPhase {
    /// Another process is fetching it.
    Waiting,
    /// Digesting what is there already.
    Checking,
    /// It is coming.
    Fetching,
    /// The source failed for the time being.
    Pausing {
        /// How.
        why: String,
        /// Until it is asked again.
        pause: Duration,
    },
    /// Bringing it to the disk, whole.
    Publishing,
}

/// How far a fetch is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchProgress {
    /// Which file.
    pub label: String,
    /// Which of them, from 1.
    pub number: usize,
    /// How many there are.
    pub of: usize,
    /// What is being done.
    pub phase: FetchPhase,
    /// Bytes there are or were looked at.
    pub done_bytes: u64,
    /// Bytes there will be, where that is known.
    pub total_bytes: Option<u64>,
    /// Bytes a second since the phase began.
    pub rate_bytes: Option<u64>,
}

/// Reports on one file, but not more often than is asked for.
pub(super) struct Reporter<'a> {
    wanted: &'a Wanted,
    number: usize,
    of: usize,
    every: Duration,
    progress: &'a dyn Fn(&FetchProgress),
    /// The last report, and when it was.
    said: Option<(FetchPhase, Instant)>,
    /// When the phase began, and with how many bytes.
    began: (Instant, u64),
}

impl<'a> Reporter<'a> {
    pub(super) fn new(
        wanted: &'a Wanted,
        index: usize,
        of: usize,
        every: Duration,
        progress: &'a dyn Fn(&FetchProgress),
    ) -> Self {
        Self { wanted, number: index + 1, of, every, progress, said: None, began: (Instant::now(), 0) }
    }

    pub(super) fn waiting(&mut self) {
        self.report(FetchPhase::Waiting, 0, None);
    }

    pub(super) fn checking(&mut self, done: u64, total: u64) {
        self.report(FetchPhase::Checking, done, Some(total));
    }

    pub(super) fn fetching(&mut self, done: u64, total: Option<u64>) {
        self.report(FetchPhase::Fetching, done, total);
    }

    pub(super) fn pausing(&mut self, why: &str, pause: Duration, done: u64) {
        self.report(FetchPhase::Pausing { why: why.to_owned(), pause }, done, None);
    }

    pub(super) fn publishing(&mut self, length: u64) {
        self.report(FetchPhase::Publishing, length, Some(length));
    }

    fn report(&mut self, phase: FetchPhase, done: u64, total: Option<u64>) {
        let now = Instant::now();
        match &self.said {
            Some((said, at)) if *said == phase => {
                if now.duration_since(*at) < self.every {
                    return;
                }
            }
            _ => self.began = (now, done),
        }
        let (began, first) = self.began;
        let spent = now.duration_since(began).as_secs_f64();
        // Less than that says nothing.
        let rate = (spent >= 0.1).then(|| (done.saturating_sub(first) as f64 / spent) as u64);
        (self.progress)(&self.state(phase.clone(), done, total, rate));
        self.said = Some((phase, now));
    }

    fn state(&self, phase: FetchPhase, done: u64, total: Option<u64>, rate: Option<u64>) -> FetchProgress {
        let (label, number, of) = (self.wanted.label.clone(), self.number, self.of);
        FetchProgress { label, number, of, phase, done_bytes: done, total_bytes: total, rate_bytes: rate }
    }
}

/// One line, as it is shown to people.
impl fmt::Display for FetchProgress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { label, number, of, phase, done_bytes, total_bytes, rate_bytes } = self;
        write!(f, "{number}/{of} {label}: ")?;
        let done = ByteSize(*done_bytes);
        match phase {
            FetchPhase::Waiting => return write!(f, "waiting for another process that fetches it"),
            FetchPhase::Pausing { why, pause } => {
                return write!(f, "{why}; again in {:.0} s, {done} are there", pause.as_secs_f64().ceil());
            }
            FetchPhase::Publishing => return write!(f, "bringing {done} to the disk"),
            FetchPhase::Checking => write!(f, "checking what is there, ")?,
            FetchPhase::Fetching => {}
        }
        match total_bytes {
            Some(total) => {
                write!(f, "{}% of {}", done_bytes.saturating_mul(100) / (*total).max(1), ByteSize(*total))?;
            }
            None => write!(f, "{done}")?,
        }
        match rate_bytes {
            Some(rate) => write!(f, ", {}/s", ByteSize(*rate)),
            None => Ok(()),
        }
    }
}
