//! Step 3: the window PoSt of the deadline that holds the sectors, in parallel, and a winning PoSt.

use std::collections::BTreeSet;

use serde_json::Value;
use sp_types::TaskKind;

use super::Sectors;
use super::start::WINDOW_WORKERS;
use crate::demo::commands::Commands;
use crate::demo::error::{DemoError, Result};
use crate::demo::progress::Follow;
use crate::layout::seconds;

const WINDOW: Follow = Follow::Jobs(TaskKind::GenerateWindowPost);
const WINNING: Follow = Follow::Jobs(TaskKind::GenerateWinningPost);

/// A window PoSt that upstream's verifier has accepted: who proved, and what.
pub(super) struct Proven {
    pub(super) workers: BTreeSet<String>,
    partitions: usize,
    sectors: BTreeSet<u64>,
}

/// Gives the index of the deadline.
pub(super) async fn run(commands: &Commands<'_>, sectors: &Sectors) -> Result<u64> {
    let deadline = deadline_of(commands, sectors).await?;
    let proven = window_post(commands, deadline).await?;
    let expected: BTreeSet<String> = WINDOW_WORKERS.iter().map(|&name| name.to_owned()).collect();
    let numbers: BTreeSet<u64> = sectors.numbers.iter().copied().collect();
    if proven.partitions != 2 || proven.sectors != numbers {
        let text = format!("{} partitions with sectors {:?} were proven", proven.partitions, proven.sectors);
        return Err(DemoError::new(format!("{text}, where 2 partitions hold {numbers:?}")));
    }
    if proven.workers != expected {
        return Err(DemoError::new(format!("the partitions were proven by {:?}, not in parallel", proven.workers)));
    }
    let (document, proof) = commands.json_of(&["proving", "compute", "winning-post"], WINNING).await?;
    commands.verify(&document).await?;
    commands.stage.line(&format!("a winning PoSt by {}", names(&workers_of(&proof))));
    Ok(deadline)
}

/// Computes the window PoSt of the deadline and lets upstream verify it.
pub(super) async fn window_post(commands: &Commands<'_>, deadline: u64) -> Result<Proven> {
    let arguments = ["proving", "compute", "window-post", &deadline.to_string()];
    let (document, proof) = commands.json_of(&arguments, WINDOW).await?;
    let partitions = list(&proof["partitions"]);
    let skipped: Vec<&Value> = partitions.iter().flat_map(|p| list(&p["skipped"])).collect();
    if !skipped.is_empty() {
        return Err(DemoError::new(format!("sectors were skipped: {skipped:?}")).log("seal-b"));
    }
    commands.verify(&document).await?;
    let sectors = partitions.iter().flat_map(|p| list(&p["sectors"])).filter_map(|sector| sector["number"].as_u64());
    let proven = Proven { workers: workers_of(&proof), partitions: partitions.len(), sectors: sectors.collect() };
    let took = seconds(proof["took_ms"].as_u64().unwrap_or(0));
    commands.stage.line(&format!("{} partitions proven by {} in {took}", partitions.len(), names(&proven.workers)));
    Ok(proven)
}

/// The one deadline that holds the sectors.
async fn deadline_of(commands: &Commands<'_>, sectors: &Sectors) -> Result<u64> {
    let (_, deadlines) = commands.json(&["proving", "deadlines"]).await?;
    let holding: Vec<&Value> =
        list(&deadlines).iter().filter(|d| d["sectors"].as_u64() == Some(sectors.numbers.len() as u64)).collect();
    match holding[..] {
        [deadline] => deadline["index"].as_u64().ok_or_else(|| DemoError::new("a deadline without index")),
        _ => Err(DemoError::new(format!("no single deadline holds the three sectors: {deadlines}"))),
    }
}

fn workers_of(proof: &Value) -> BTreeSet<String> {
    list(&proof["partitions"]).iter().filter_map(|p| p["worker"].as_str()).map(str::to_owned).collect()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn names(workers: &BTreeSet<String>) -> String {
    workers.iter().map(String::as_str).collect::<Vec<_>>().join(" and ")
}
