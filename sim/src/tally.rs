//! What a sector's log and its state say of what an operator did to it: counted for the report, allowed for by the checks.

use std::collections::BTreeMap;

use sp_proto::v1;

use crate::operator::View;

/// A log entry of a forced edge says so; so it need not be a published one.
pub const FORCED: &str = "forced by an operator";

/// How often this happened to a sector.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Updates that were begun.
    pub begun: usize,
    /// Updates that were dropped.
    pub dropped: usize,
    /// Edges that were forced.
    pub forced: usize,
    /// Phases that had an earlier one run again, of an update.
    pub back: usize,
}

impl Tally {
    /// Of one sector, by its log.
    pub fn of(sector: &v1::SectorStatusReply) -> Self {
        let mut tally = Self::default();
        for v1::LogEntry { event, message, .. } in &sector.log {
            tally.begun += usize::from(event == "Available -> SnapDealsAddPiece");
            tally.dropped += usize::from(event == "AbortUpgrade -> Proving");
            tally.forced += usize::from(message == FORCED);
            tally.back += usize::from(message.contains("back to ") || message.starts_with("inputs lost"));
        }
        tally
    }
}

/// Sectors by what became of them.
pub fn outcomes(view: &View) -> BTreeMap<&'static str, u64> {
    let mut counts = BTreeMap::new();
    let mut add = |what, count: usize| *counts.entry(what).or_default() += count as u64;
    for sector in &view.sectors {
        let (summary, tally) = (sector.summary.clone().unwrap_or_default(), Tally::of(sector));
        let accepted = |task: &str| sector.log.iter().filter(|e| e.event == format!("{task} accepted")).count();
        add("sectors", 1);
        add("snapped", usize::from(summary.updated));
        add("removed", usize::from(summary.state == "Removed"));
        add("forced", usize::from(tally.forced > 0));
        add("updates begun", tally.begun);
        add("updates dropped", tally.dropped);
        add("keys regenerated", accepted("GSK"));
        add("unsealed", accepted("UNS"));
    }
    counts
}
