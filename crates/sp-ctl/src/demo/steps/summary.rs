//! Step 5: the listings, and how long each phase took.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Sectors;
use crate::demo::commands::Commands;
use crate::demo::error::Result;
use crate::layout::{seconds, table};
use crate::output;

/// Phases in the order of a sector's life: what the table calls them, and the state that a sector is in.
const PHASES: [(&str, &str); 7] = [
    ("AP", "Packing"),
    ("PC1", "PreCommit1"),
    ("PC2", "PreCommit2"),
    ("seed", "WaitSeed"),
    ("C1", "Committing1"),
    ("C2", "Committing2"),
    ("FIN", "FinalizeSector"),
];

/// What a sector's log says about its phases.
#[derive(Debug, Default, PartialEq)]
struct Times {
    /// Milliseconds that the work of a phase took, by the state's name.
    work_ms: BTreeMap<String, u64>,
    /// Milliseconds in the state, waiting for a worker included.
    state_ms: BTreeMap<String, u64>,
    total_ms: u64,
}

pub(super) async fn run(commands: &Commands<'_>, sectors: &Sectors) -> Result<()> {
    for listing in [&["workers"][..], &["sectors", "list"], &["proving", "deadlines"]] {
        let text = commands.text(listing).await?;
        commands.stage.clear();
        output::print_aside(&format!("{text}\n"))?;
    }
    let mut times = Vec::new();
    for number in &sectors.numbers {
        let (_, status) = commands.json(&["sectors", "status", &number.to_string(), "--log"]).await?;
        times.push((*number, Times::of(&status["log"])));
    }
    output::print_aside(&phase_table(&times))?;
    Ok(())
}

impl Times {
    fn of(log: &Value) -> Self {
        let entries = log.as_array().map_or(&[][..], Vec::as_slice);
        let mut times = Self::default();
        let number = |entry: &Value, field: &str| entry[field].as_u64().unwrap_or(0);
        let start = entries.first().map_or(0, |entry| number(entry, "unix_ms"));
        let mut entered = start;
        for entry in entries {
            let event = entry["event"].as_str().unwrap_or_default();
            let at = number(entry, "unix_ms");
            if let Some((from, to)) = event.split_once(" -> ") {
                *times.state_ms.entry(from.to_owned()).or_default() += at.saturating_sub(entered);
                *times.work_ms.entry(from.to_owned()).or_default() += number(entry, "took_ms");
                entered = at;
                if to == "Proving" {
                    times.total_ms = at.saturating_sub(start);
                }
            } else if event == "C2 accepted" {
                // C2 ends before the chain takes its proof; the edge that follows names no task.
                *times.work_ms.entry("Committing2".to_owned()).or_default() += number(entry, "took_ms");
            }
        }
        times
    }
}

/// One row per phase: the work, and in parentheses the time until the next phase began.
fn phase_table(times: &[(u64, Times)]) -> String {
    let mut head = vec!["phase".to_owned()];
    head.extend(times.iter().map(|(number, _)| format!("sector {number}")));
    let cell = |times: &Times, state: &str| {
        let [work, all] = [&times.work_ms, &times.state_ms].map(|map| map.get(state).copied().unwrap_or(0));
        if work == 0 { seconds(all) } else { format!("{} ({})", seconds(work), seconds(all)) }
    };
    let mut rows: Vec<Vec<String>> = PHASES
        .iter()
        .map(|(phase, state)| {
            let cells = times.iter().map(|(_, times)| cell(times, state));
            std::iter::once((*phase).to_owned()).chain(cells).collect()
        })
        .collect();
    let totals = times.iter().map(|(_, times)| seconds(times.total_ms));
    rows.push(std::iter::once("total".to_owned()).chain(totals).collect());
    let head: Vec<&str> = head.iter().map(String::as_str).collect();
    format!("How long each phase took (in parentheses with waiting for its turn):\n{}", table(&head, &rows))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn phases_come_out_of_the_log() {
        let entry =
            |unix_ms: u64, event: &str, took_ms: u64| json!({"unix_ms": unix_ms, "event": event, "took_ms": took_ms});
        let log = json!([
            entry(1000, "created", 0),
            entry(2500, "Packing -> PreCommit1", 500),
            entry(3000, "ticket", 0),
            entry(9000, "Committing1 -> Committing2", 100),
            entry(12_000, "C2 accepted", 2000),
            entry(13_000, "Committing2 -> FinalizeSector", 0),
            entry(14_000, "FinalizeSector -> Proving", 300),
        ]);
        let times = Times::of(&log);
        assert_eq!((times.state_ms["Packing"], times.work_ms["Packing"]), (1500, 500));
        assert_eq!((times.state_ms["Committing2"], times.work_ms["Committing2"]), (4000, 2000));
        assert_eq!(times.total_ms, 13_000);
        let shown = phase_table(&[(0, times)]);
        assert!(shown.contains("phase  sector 0\nAP     0.5s (1.5s)\n"), "{shown}");
        assert!(shown.ends_with("total  13.0s\n"), "{shown}");
    }
}
