//! Which attempts have ended: nothing that they write counts any more. Told by the index, the only one to be believed.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use sp_types::{AttemptId, ErrorCode, TaskId};

use crate::failure::Failure;

/// Fences kept in memory: the index tells them again at every session.
#[derive(Default)]
pub(crate) struct Fences(Mutex<HashMap<TaskId, u32>>);

impl Fences {
    pub(crate) fn raise(&self, task: TaskId, up_to_number: u32) {
        let mut fences = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fence = fences.entry(task).or_default();
        *fence = up_to_number.max(*fence);
    }

    pub(crate) fn is_ended(&self, attempt: AttemptId) -> bool {
        let fences = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        fences.get(&attempt.task).is_some_and(|up_to| attempt.number <= *up_to)
    }

    /// Refuses an ended attempt.
    pub(crate) fn check(&self, attempt: AttemptId) -> Result<(), Failure> {
        match self.is_ended(attempt) {
            true => Err(Failure::new(ErrorCode::AttemptEnded, format!("attempt {attempt} has ended"))),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fence_covers_what_is_below_it_and_never_sinks() {
        let fences = Fences::default();
        let attempt = |number| AttemptId { task: TaskId(7), number };
        fences.raise(TaskId(7), 2);
        fences.raise(TaskId(7), 1);
        assert!(fences.check(attempt(2)).is_err());
        assert!(fences.check(attempt(3)).is_ok());
        assert!(fences.check(AttemptId { task: TaskId(8), number: 1 }).is_ok());
    }
}
