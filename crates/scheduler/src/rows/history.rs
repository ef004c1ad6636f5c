//! Rows `history/<number>`: attempts that are over, in the order of their ends; the oldest go when there are too many.
//!
//! No decision depends on them, so they are no part of what the core wants back.

use prost::Message;
use sp_proto::convert::{WireError, required, task_kind};
use sp_proto::v1;
use sp_proto::v1::StoredOutcome as Stored;
use sp_sched_core::model::{Finished, Outcome, UnixMs};
use sp_state::{Batch, State, StateError};
use sp_types::{TaskKind, WorkerId};

use super::{RowError, number_in, numbered, parse, task::sector_of};

const PREFIX: &[u8] = b"history/";
/// Rows read at once.
const PAGE: usize = 1024;
/// Rows that one append may delete: a limit that was lowered is reached step by step.
const DELETES_MAX: u64 = 16;

/// Where the history begins and ends; the rows lie in the state alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct History {
    oldest: u64,
    next: u64,
    keep: u64,
}

/// Which attempts are wanted.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wanted {
    /// Of this sector.
    pub(crate) sector: Option<u64>,
    /// Of this kind.
    pub(crate) kind: Option<TaskKind>,
    /// Of the worker with this id, this start of one, or this name.
    pub(crate) worker: Option<String>,
    /// At most so many.
    pub(crate) limit: usize,
}

impl History {
    /// Finds both ends; keeps so many rows from now on.
    pub(crate) fn open(state: &dyn State, keep: u64) -> Result<Self, RowError> {
        let mut history = Self { oldest: 0, next: 0, keep };
        for_each(state, |number, _| {
            history.oldest = if history.next == 0 { number } else { history.oldest };
            history.next = number + 1;
            Ok(())
        })?;
        Ok(history)
    }

    /// Adds an attempt to the batch of the step that ended it.
    pub(crate) fn append<'a>(&mut self, batch: &'a mut Batch, finished: &Finished) -> &'a mut Batch {
        if self.keep > 0 {
            batch.put(numbered(PREFIX, self.next), encode(finished).encode_to_vec());
            self.next += 1;
        }
        let over = (self.next - self.oldest).saturating_sub(self.keep).min(DELETES_MAX);
        for number in self.oldest..self.oldest + over {
            batch.delete(numbered(PREFIX, number));
        }
        self.oldest += over;
        batch
    }
}

/// The newest attempts that are wanted, newest first.
pub(crate) fn newest(state: &dyn State, wanted: &Wanted) -> Result<Vec<Finished>, RowError> {
    let mut found = std::collections::VecDeque::new();
    for_each(state, |number, value| {
        let finished = decode(number, value)?;
        if wanted.covers(&finished) {
            if found.len() >= wanted.limit {
                found.pop_front();
            }
            found.push_back(finished);
        }
        Ok(())
    })?;
    Ok(found.into_iter().rev().take(wanted.limit).collect())
}

impl Wanted {
    fn covers(&self, finished: &Finished) -> bool {
        let named = |text: &String| {
            finished.worker_name == *text || (!text.is_empty() && finished.worker.as_str().starts_with(text.as_str()))
        };
        self.sector.is_none_or(|sector| Some(sector) == finished.sector)
            && self.kind.is_none_or(|kind| kind == finished.kind)
            && self.worker.as_ref().is_none_or(named)
    }
}

fn for_each(state: &dyn State, mut row: impl FnMut(u64, &[u8]) -> Result<(), RowError>) -> Result<(), RowError> {
    let fault = |e: StateError| RowError::new("history", e);
    let mut after: Option<Vec<u8>> = None;
    loop {
        let page = state.scan(PREFIX, after.as_deref(), PAGE).map_err(fault)?;
        for (key, value) in &page {
            row(number_in(PREFIX, key)?, value)?;
        }
        match page.into_iter().last() {
            Some((key, _)) => after = Some(key),
            None => return Ok(()),
        }
    }
}

fn encode(finished: &Finished) -> v1::StoredFinished {
    let Finished { attempt, kind, sector, worker, worker_name, queued, started, ended, outcome, reason } = finished;
    v1::StoredFinished {
        attempt: Some((*attempt).into()),
        kind: v1::TaskKind::from(*kind) as i32,
        sector: sector.unwrap_or_default(),
        worker: worker.to_string(),
        worker_name: worker_name.clone(),
        queued_unix_ms: queued.0,
        started_unix_ms: started.0,
        ended_unix_ms: ended.0,
        outcome: stored(*outcome) as i32,
        reason: reason.clone(),
    }
}

fn decode(number: u64, value: &[u8]) -> Result<Finished, RowError> {
    let row = format!("history/{number}");
    from_stored(parse(&row, value)?).map_err(|e| RowError::new(row, e))
}

fn from_stored(stored: v1::StoredFinished) -> Result<Finished, WireError> {
    let v1::StoredFinished {
        attempt,
        kind,
        sector,
        worker,
        worker_name,
        queued_unix_ms,
        started_unix_ms,
        ended_unix_ms,
        outcome,
        reason,
    } = stored;
    let kind = task_kind(kind)?;
    Ok(Finished {
        attempt: required("attempt", attempt)?.into(),
        kind,
        sector: sector_of(kind, sector),
        worker: WorkerId::new(worker).map_err(|e| invalid("worker", e))?,
        worker_name,
        queued: UnixMs(queued_unix_ms),
        started: UnixMs(started_unix_ms),
        ended: UnixMs(ended_unix_ms),
        outcome: outcome_of(outcome)?,
        reason,
    })
}

fn invalid(field: &'static str, reason: impl ToString) -> WireError {
    WireError::Invalid { field, reason: reason.to_string() }
}

fn stored(outcome: Outcome) -> Stored {
    match outcome {
        Outcome::Done => Stored::Done,
        Outcome::Failed => Stored::Failed,
        Outcome::Lost => Stored::Lost,
        Outcome::Ended => Stored::Ended,
    }
}

fn outcome_of(number: i32) -> Result<Outcome, WireError> {
    let mut known = Outcome::ALL.into_iter().filter(|outcome| stored(*outcome) as i32 == number);
    known.next().ok_or_else(|| invalid("outcome", format!("unknown outcome {number}")))
}

#[cfg(test)]
mod tests {
    use sp_state::Memory;
    use sp_types::{AttemptId, TaskId};

    use super::*;

    fn finished(task: u64, outcome: Outcome) -> Finished {
        Finished {
            attempt: AttemptId { task: TaskId(task), number: 2 },
            kind: if task.is_multiple_of(2) { TaskKind::PreCommit1 } else { TaskKind::Commit2 },
            sector: Some(task / 10),
            worker: WorkerId::new(format!("id-{}", task % 3)).unwrap(),
            worker_name: format!("worker-{}", task % 3),
            queued: UnixMs(task),
            started: UnixMs(task + 5),
            ended: UnixMs(task + 9),
            outcome,
            reason: "SP-INTERNAL: so".to_owned(),
        }
    }

    fn append(state: &Memory, history: &mut History, tasks: std::ops::Range<u64>) {
        for task in tasks {
            let mut batch = Batch::new();
            history.append(&mut batch, &finished(task, Outcome::ALL[task as usize % 4]));
            state.commit(batch).unwrap();
        }
    }

    fn tasks(state: &Memory, wanted: Wanted) -> Vec<u64> {
        newest(state, &wanted).unwrap().iter().map(|f| f.attempt.task.0).collect()
    }

    #[test]
    fn rows_round_trip_and_unknown_outcomes_are_refused() {
        for outcome in Outcome::ALL {
            let row = finished(7, outcome);
            assert_eq!(decode(1, &encode(&row).encode_to_vec()).unwrap(), row);
        }
        let odd = v1::StoredFinished { outcome: 99, ..encode(&finished(7, Outcome::Done)) };
        let error = decode(3, &odd.encode_to_vec()).unwrap_err().to_string();
        assert!(error.contains("history/3") && error.contains("99"), "{error}");
    }

    #[test]
    fn the_newest_are_kept_over_restarts_and_under_a_lower_limit() {
        let state = Memory::new();
        let mut history = History::open(&state, 2_000).unwrap();
        append(&state, &mut history, 0..2_100);
        assert_eq!(history, History { oldest: 100, next: 2_100, keep: 2_000 });
        assert_eq!(History::open(&state, 2_000).unwrap(), history);
        let all = Wanted { limit: usize::MAX, ..Wanted::default() };
        assert_eq!(tasks(&state, all.clone()), (100..2_100).rev().collect::<Vec<_>>());
        let mut fewer = History::open(&state, 50).unwrap();
        append(&state, &mut fewer, 2_100..2_300);
        assert_eq!(tasks(&state, all.clone()), (2_250..2_300).rev().collect::<Vec<_>>());
        let mut none = History::open(&state, 0).unwrap();
        append(&state, &mut none, 2_300..2_310);
        assert!(tasks(&state, all).is_empty());
    }

    #[test]
    fn what_is_wanted_is_found_newest_first() {
        let state = Memory::new();
        append(&state, &mut History::open(&state, 1_000).unwrap(), 0..40);
        let limit = usize::MAX;
        assert_eq!(tasks(&state, Wanted { limit: 3, ..Wanted::default() }), [39, 38, 37]);
        let kind = Some(TaskKind::PreCommit1);
        assert_eq!(tasks(&state, Wanted { sector: Some(3), kind, limit, ..Wanted::default() }), [38, 36, 34, 32, 30]);
        for worker in ["worker-1", "id-1"] {
            let wanted = Wanted { worker: Some(worker.to_owned()), limit: 2, ..Wanted::default() };
            assert_eq!(tasks(&state, wanted), [37, 34]);
        }
        assert!(tasks(&state, Wanted { worker: Some("other".into()), limit, ..Wanted::default() }).is_empty());
    }
}
