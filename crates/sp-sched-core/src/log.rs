//! The log of a sector: one entry for every edge and everything that an operator may ask about, the newest kept.

use sp_types::AttemptId;

use crate::core::Core;
use crate::model::LogEntry;

/// Log entries kept of a sector.
const LOG_LIMIT: usize = 1_000;

impl Core {
    pub(crate) fn log(&mut self, number: u64, event: String, message: String) {
        let entry = LogEntry { at: self.now, event, message, ..LogEntry::default() };
        self.log_entry(number, entry);
    }

    /// A log entry about an attempt: `PC1 orphaned`.
    pub(crate) fn log_attempt(&mut self, id: AttemptId, what: &str, message: &str) {
        let Some(task) = self.tasks.get(&id.task) else { return };
        let Some(number) = task.sector else { return };
        let event = format!("{} {what}", task.kind);
        let entry = LogEntry { event, message: message.to_owned(), ..self.entry_of(id) };
        self.log_entry(number, entry);
    }

    /// An entry with everything known of the attempt filled in.
    pub(crate) fn entry_of(&self, id: AttemptId) -> LogEntry {
        let attempt = self.attempt(id);
        LogEntry {
            at: self.now,
            event: String::new(),
            attempt: Some(id),
            task: self.tasks.get(&id.task).map(|t| t.kind),
            worker_name: attempt.map(|a| self.worker_name(&a.worker)).unwrap_or_default(),
            took_ms: attempt.map_or(0, |a| self.now.since(a.created)),
            message: String::new(),
        }
    }

    pub(crate) fn log_entry(&mut self, number: u64, entry: LogEntry) {
        if let Some(sector) = self.sector_mut(number) {
            sector.log.push(entry);
            let too_many = sector.log.len().saturating_sub(LOG_LIMIT);
            sector.log.drain(..too_many);
        }
    }
}
