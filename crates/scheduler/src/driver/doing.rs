//! What the driver is at, and since when: for whoever waits for it in vain.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use sp_env::Monotonic;

/// Work that has gone on for less explains no wait.
const LONG_MS: u64 = 500;

/// What it does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Work {
    /// It waits for something to happen.
    #[default]
    Nothing,
    /// The core deals with an event of this group.
    Event(&'static str),
    /// So many rows are made durable.
    Commit(usize),
    /// What was decided is sent, questions are answered.
    Answers,
    /// A board is made.
    Board,
}

/// Its present work, where others can see it.
#[derive(Clone, Default)]
pub(crate) struct Doing(Arc<Mutex<(Work, Monotonic)>>);

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("waiting for something to do"),
            Self::Event(group) => write!(f, "dealing with one event ({group})"),
            Self::Commit(rows) => write!(f, "making {rows} rows durable"),
            Self::Answers => f.write_str("sending what it has decided"),
            Self::Board => f.write_str("publishing how things are"),
        }
    }
}

impl Doing {
    /// It begins something else.
    pub(super) fn begin(&self, work: Work, at: Monotonic) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = (work, at);
    }

    /// How long its present work has gone on.
    pub(super) fn lasts_ms(&self, now: Monotonic) -> u64 {
        let (work, since) = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if work == Work::Nothing { 0 } else { now.since_ms(since) }
    }

    /// Why it does not answer, in words; none when nothing speaks for its being stuck.
    pub(super) fn in_words(&self, now: Monotonic, waiting: usize) -> Option<String> {
        let (work, since) = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let ms = now.since_ms(since);
        let behind = if waiting > 0 { format!(", and {waiting} things wait for it") } else { String::new() };
        if work != Work::Nothing && ms >= LONG_MS {
            return Some(format!("the scheduling loop has been {work} for {:.1} s{behind}", ms as f64 / 1e3));
        }
        (waiting > 0).then(|| format!("the scheduling loop has much to do{behind}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_work_is_named_with_its_time() {
        let doing = Doing::default();
        assert_eq!(doing.in_words(Monotonic(9_000), 0), None, "it has nothing to do");
        doing.begin(Work::Commit(7), Monotonic(1_000));
        assert_eq!(doing.in_words(Monotonic(1_200), 0), None, "so long takes any disk");
        let words = "the scheduling loop has been making 7 rows durable for 3.2 s, and 2 things wait for it";
        assert_eq!(doing.in_words(Monotonic(4_200), 2).as_deref(), Some(words));
        assert_eq!(doing.lasts_ms(Monotonic(4_200)), 3_200);
        doing.begin(Work::Event("result"), Monotonic(4_200));
        let words = "the scheduling loop has much to do, and 1024 things wait for it";
        assert_eq!(doing.in_words(Monotonic(4_201), 1_024).as_deref(), Some(words));
    }
}
