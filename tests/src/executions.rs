//! What executors did, read from the workers' logs: how often they started, and whether anything ran again that was done.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use anyhow::Result;

/// Executor starts per (sector, phase).
pub type Starts = BTreeMap<(String, String), u32>;

/// What the logs say.
#[derive(Debug, Default)]
pub struct Executions {
    /// Lines `executor start`.
    pub starts: Starts,
    /// Starts of a phase whose answer the same worker had recorded durably before: there must be none.
    pub repeated: Vec<String>,
}

/// Reads the logs; each phase of a sector runs on one worker in these tests, so the order of its log decides.
pub fn read(logs: &[PathBuf]) -> Result<Executions> {
    let mut executions = Executions::default();
    for log in logs {
        let mut recorded = BTreeSet::new();
        for line in String::from_utf8_lossy(&std::fs::read(log)?).lines() {
            let started = line.contains("executor start ");
            if !started && !line.contains("executor answer recorded") {
                continue;
            }
            let (Some(sector), Some(task)) = (field(line, "sector"), field(line, "task")) else { continue };
            let phase = (sector, task);
            if started && recorded.contains(&phase) {
                executions.repeated.push(format!("sector {} {}: {line}", phase.0, phase.1));
            }
            if started {
                *executions.starts.entry(phase).or_default() += 1;
            } else {
                recorded.insert(phase);
            }
        }
    }
    Ok(executions)
}

/// The value of `name=value` in a log line; a sector may be written as its number or as its Lotus name.
fn field(line: &str, name: &str) -> Option<String> {
    let value = line.split_whitespace().find_map(|word| word.strip_prefix(name)?.strip_prefix('='))?;
    Some(value.trim_matches('"').rsplit('-').next()?.to_owned())
}
