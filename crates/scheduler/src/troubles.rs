//! What operators should know of the scheduler's own host: built-in workers that do not stay up.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// The present trouble of each built-in worker; shared by who has it and who tells of it.
#[derive(Debug, Clone, Default)]
pub struct Troubles(Arc<Mutex<BTreeMap<&'static str, String>>>);

impl Troubles {
    /// Notes what is wrong with this worker now.
    pub(crate) fn note(&self, worker: &'static str, trouble: String) {
        self.with(|all| all.insert(worker, trouble));
    }

    /// It is well again.
    pub(crate) fn clear(&self, worker: &'static str) {
        self.with(|all| all.remove(worker));
    }

    /// `worker: trouble`, one each.
    pub fn list(&self) -> Vec<String> {
        self.with(|all| all.iter().map(|(worker, trouble)| format!("{worker}: {trouble}")).collect())
    }

    fn with<T>(&self, change: impl FnOnce(&mut BTreeMap<&'static str, String>) -> T) -> T {
        // A poisoned list is still a list: every change to it is one assignment.
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
