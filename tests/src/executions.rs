//! How often executors started and finished each phase of each sector, read from the workers' logs.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Result;

/// Starts and finishes of one phase of one sector.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    /// Lines `executor start`.
    pub starts: u32,
    /// Lines `executor finish`.
    pub finishes: u32,
}

/// Counts per (sector, phase).
pub type Executions = BTreeMap<(u64, String), Count>;

/// Reads the logs.
pub fn read(logs: &[PathBuf]) -> Result<Executions> {
    let mut executions = Executions::new();
    for log in logs {
        for line in String::from_utf8_lossy(&std::fs::read(log)?).lines() {
            let (at, start) = match (line.find("executor start "), line.find("executor finish ")) {
                (Some(at), _) => (at, true),
                (_, Some(at)) => (at, false),
                _ => continue,
            };
            let field = |name: &str| {
                let text = line[at..].split_whitespace().find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
                text.map(|t| t.trim_matches('"').to_owned())
            };
            if let (Some(task), Some(sector)) = (field("task"), field("sector").and_then(|s| s.parse().ok())) {
                let count = executions.entry((sector, task)).or_default();
                if start { count.starts += 1 } else { count.finishes += 1 }
            }
        }
    }
    Ok(executions)
}
