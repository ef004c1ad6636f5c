//! What executors did, read from the workers' logs: how often they started, what of it was recorded, and whether
//! anything ran again that was done.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::Result;

/// Numbers per (sector, phase).
pub type Counts = BTreeMap<(String, String), u32>;

/// What the logs say.
#[derive(Debug, Default)]
pub struct Executions {
    /// Lines `executor start`.
    pub starts: Counts,
    /// Lines `executor answer recorded`: the worker had made the answer durable.
    pub recorded: Counts,
    /// Starts of a phase whose answer the same worker had recorded durably before: there must be none.
    pub repeated: Vec<String>,
}

impl Executions {
    /// The sum of one of the counts over all sectors.
    pub fn of_phase(counts: &Counts, phase: &str) -> u32 {
        counts.iter().filter(|((_, p), _)| p == phase).map(|(_, n)| n).sum()
    }
}

/// Reads the logs; each phase of a sector runs on one worker in these tests, so the order of its log decides.
pub fn read(logs: &[PathBuf]) -> Result<Executions> {
    let mut executions = Executions::default();
    for log in logs {
        let mut recorded = BTreeSet::new();
        for line in lines(log)? {
            let started = line.contains("executor start ");
            if !started && !line.contains("executor answer recorded") {
                continue;
            }
            let (Some(sector), Some(task)) = (field(&line, "sector"), field(&line, "task")) else { continue };
            let phase = (sector, task);
            if !started {
                recorded.insert(phase.clone());
                *executions.recorded.entry(phase).or_default() += 1;
                continue;
            }
            if recorded.contains(&phase) {
                executions.repeated.push(format!("sector {} {}: {line}", phase.0, phase.1));
            }
            *executions.starts.entry(phase).or_default() += 1;
        }
    }
    Ok(executions)
}

/// Task of every attempt that the worker has begun, in this run or in one before.
pub fn begun(log: &Path) -> Result<BTreeMap<String, String>> {
    let begun = lines(log)?.into_iter().filter(|line| line.contains(": started attempt="));
    Ok(begun.filter_map(|line| Some((field(&line, "attempt")?, field(&line, "task")?))).collect())
}

/// Attempt and phase of what executors of this run of the worker have begun, and neither they nor the worker have ended.
pub fn at_work(log: &Path) -> Result<Vec<(String, String)>> {
    let mut open = BTreeMap::new();
    for line in lines(log)? {
        if line.contains(" started service=") {
            open.clear();
        }
        let Some(attempt) = field(&line, "attempt") else { continue };
        if line.contains("executor start ") {
            open.insert(attempt, field(&line, "task").unwrap_or_default());
        } else if ["executor finish ", " failed attempt=", " dropped attempt="].iter().any(|end| line.contains(end)) {
            open.remove(&attempt);
        }
    }
    Ok(open.into_iter().collect())
}

/// Was the last that an executor did for this attempt to begin with it? So it is when it was killed at work.
pub fn cut_short(log: &Path, attempt: &str) -> Result<bool> {
    let lines = lines(log)?;
    let last = lines.iter().rev().find(|line| is_work(line) && field(line, "attempt").as_deref() == Some(attempt));
    Ok(last.is_some_and(|line| line.contains("executor start ")))
}

/// The phase in which an executor came by a crash point: that of the last work that it, or a sibling at the same
/// moment, had begun or finished.
pub fn phase_of_crash(logs: &[PathBuf], point: &str) -> Result<Option<String>> {
    let crash = format!("crash point {point}");
    for log in logs {
        let lines = lines(log)?;
        let Some(at) = lines.iter().rposition(|line| *line == crash) else { continue };
        return Ok(lines[..at].iter().rev().find(|line| is_work(line)).and_then(|line| field(line, "task")));
    }
    Ok(None)
}

fn is_work(line: &str) -> bool {
    line.contains("executor start ") || line.contains("executor finish ")
}

fn lines(log: &Path) -> Result<Vec<String>> {
    Ok(String::from_utf8_lossy(&std::fs::read(log)?).lines().map(str::to_owned).collect())
}

/// The value of `name=value` in a log line; a sector may be written as its number or as its Lotus name.
fn field(line: &str, name: &str) -> Option<String> {
    let value = line.split_whitespace().find_map(|word| word.strip_prefix(name)?.strip_prefix('='))?;
    Some(value.trim_matches('"').rsplit('-').next()?.to_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test")]
mod tests {
    use super::*;

    fn log(text: &str) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        std::fs::write(&path, text).unwrap();
        (dir, path)
    }

    #[test]
    fn what_ran_again_is_seen() {
        let (_dir, path) = log("executor start attempt=1.1 task=PC1 sector=0\n\
             INFO executor answer recorded attempt=1.1 task=PC1 sector=s-t01000-0\n\
             executor start attempt=2.1 task=PC2 sector=0\n\
             executor start attempt=2.2 task=PC2 sector=0\n\
             executor start attempt=1.2 task=PC1 sector=0\n");
        let found = read(&[path]).unwrap();
        assert_eq!(found.repeated.len(), 1, "{:?}", found.repeated);
        assert_eq!(Executions::of_phase(&found.starts, "PC1"), 2);
        assert_eq!(Executions::of_phase(&found.recorded, "PC1"), 1);
        assert_eq!((found.starts.len(), Executions::of_phase(&found.recorded, "PC2")), (2, 0));
    }

    #[test]
    fn what_was_cut_short_is_seen() {
        let (_dir, path) = log("executor start attempt=1.1 task=AP sector=0\n\
             executor start attempt=2.1 task=PC1 sector=0\n\
             executor finish attempt=2.1 task=PC1 sector=0 took_ms=3 ok\n\
             crash point executor-finished\n");
        assert!(cut_short(&path, "1.1").unwrap() && !cut_short(&path, "2.1").unwrap());
        assert_eq!(at_work(&path).unwrap(), [("1.1".to_owned(), "AP".to_owned())]);
        for end in ["WARN drive: failed attempt=1.1 task=AP", "INFO logs: started service=\"sp-sealing-worker\""] {
            let text = std::fs::read_to_string(&path).unwrap();
            let (_dir, ended) = log(&format!("{text}{end}\n"));
            assert!(at_work(&ended).unwrap().is_empty() && cut_short(&ended, "1.1").unwrap());
        }
        assert_eq!(phase_of_crash(std::slice::from_ref(&path), "executor-finished").unwrap().as_deref(), Some("PC1"));
        assert_eq!(phase_of_crash(&[path], "executor-started").unwrap(), None);
    }
}
