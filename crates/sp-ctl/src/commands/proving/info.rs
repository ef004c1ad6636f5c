//! `proving info`: where the proving period stands, in Lotus's words.

use serde::Serialize;
use sp_proto::v1::{ProvingInfoReply, ProvingInfoRequest, Rehearsal};

use super::deadlines::{DeadlineRow, slack};
use crate::context::{Context, request};
use crate::error::CommandError;
use crate::layout::{go_duration, rough_duration};

/// Show where the proving period stands.
#[derive(Debug, clap::Args)]
pub(crate) struct Info {}

/// The proving period, as `--json` prints it.
#[derive(Debug, Serialize)]
struct Page {
    miner: u64,
    epoch: i64,
    epoch_ms: u64,
    period_start: i64,
    next_period_start: i64,
    faults: u32,
    recovering: u32,
    sectors: u32,
    deadline_index: u32,
    deadline_sectors: u32,
    deadline_open: i64,
    deadline_close: i64,
    deadline_challenge: i64,
    deadline_fault_cutoff: i64,
    /// The deadline with sectors that opens next; null when there is none.
    next_deadline: Option<DeadlineRow>,
    /// Partitions of the next hours that were proven under made-up randomness, the soonest first.
    rehearsals: Vec<RehearsalRow>,
}

/// A rehearsal, as `--json` prints it.
#[derive(Debug, Serialize)]
struct RehearsalRow {
    deadline: u32,
    open_epoch: i64,
    partition: u32,
    ended_unix_ms: u64,
    took_ms: u64,
    worker: String,
    skipped: Vec<SkippedRow>,
    failure: String,
}

/// A sector that would be skipped, with the reason.
#[derive(Debug, Serialize)]
struct SkippedRow {
    sector: u64,
    reason: String,
}

impl Info {
    pub(crate) async fn run(self, context: &Context) -> Result<(), CommandError> {
        let reply = context.scheduler().await?.proving_info(request(ProvingInfoRequest {})).await?.into_inner();
        context.note_stale(reply.stale_ms);
        let page = Page::from(reply);
        context.show(&page, |_| text(&page))
    }
}

impl From<ProvingInfoReply> for Page {
    fn from(reply: ProvingInfoReply) -> Self {
        Self {
            miner: reply.miner,
            epoch: reply.epoch,
            epoch_ms: reply.epoch_ms,
            period_start: reply.period_start,
            next_period_start: reply.next_period_start,
            faults: reply.faults,
            recovering: reply.recovering,
            sectors: reply.sectors,
            deadline_index: reply.deadline_index,
            deadline_sectors: reply.deadline_sectors,
            deadline_open: reply.deadline_open,
            deadline_close: reply.deadline_close,
            deadline_challenge: reply.deadline_challenge,
            deadline_fault_cutoff: reply.deadline_fault_cutoff,
            next_deadline: reply.next.map(DeadlineRow::from),
            rehearsals: reply.rehearsals.into_iter().map(RehearsalRow::from).collect(),
        }
    }
}

impl From<Rehearsal> for RehearsalRow {
    fn from(wire: Rehearsal) -> Self {
        let Rehearsal { deadline, open_epoch, partition, ended_unix_ms, took_ms, worker, skipped, failure } = wire;
        let skipped = skipped.into_iter().map(|s| SkippedRow { sector: s.number, reason: s.reason }).collect();
        Self { deadline, open_epoch, partition, ended_unix_ms, took_ms, worker, skipped, failure }
    }
}

impl Page {
    /// An epoch with its distance from now: `180 (in 2 hours 3 minutes)`.
    fn at(&self, epoch: i64) -> String {
        let distance = || rough_duration(epoch.abs_diff(self.epoch).saturating_mul(self.epoch_ms));
        match epoch.cmp(&self.epoch) {
            std::cmp::Ordering::Less => format!("{epoch} ({} ago)", distance()),
            std::cmp::Ordering::Equal => format!("{epoch} (now)"),
            std::cmp::Ordering::Greater => format!("{epoch} (in {})", distance()),
        }
    }
}

fn text(page: &Page) -> String {
    let boundary = page.period_start.rem_euclid((page.next_period_start - page.period_start).max(1));
    let percent = if page.sectors == 0 { 0.0 } else { f64::from(page.faults) * 100.0 / f64::from(page.sectors) };
    let mut text = format!(
        "Miner: t0{}\nCurrent Epoch:           {}\nProving Period Boundary: {boundary}\n",
        page.miner, page.epoch
    );
    text += &format!("Proving Period Start:    {}\n", page.at(page.period_start));
    text += &format!("Next Period Start:       {}\n\n", page.at(page.next_period_start));
    text += &format!("Faults:      {} ({percent:.2}%)\nRecovering:  {}\n", page.faults, page.recovering);
    text += &format!("Deadline Index:       {}\n", page.deadline_index);
    text += &format!("Deadline Sectors:     {}\n", page.deadline_sectors);
    text += &format!("Deadline Open:        {}\n", page.at(page.deadline_open));
    text += &format!("Deadline Close:       {}\n", page.at(page.deadline_close));
    text += &format!("Deadline Challenge:   {}\n", page.at(page.deadline_challenge));
    text += &format!("Deadline FaultCutoff: {}\n", page.at(page.deadline_fault_cutoff));
    text + &forecast(page)
}

/// What comes next, and what is known of it by now.
fn forecast(page: &Page) -> String {
    let Some(next) = &page.next_deadline else { return String::new() };
    let (partitions, sectors) = (next.partitions, next.sectors);
    let mut text =
        format!("\nNext Deadline:        {} with {sectors} sectors, opens {}\n", next.index, page.at(next.open_epoch));
    text += &match next.provers {
        0 => format!("Forecast:             {partitions} partitions, and nobody to prove them\n"),
        provers => format!(
            "Forecast:             {partitions} partitions in {} by {provers} workers, slack {}\n",
            go_duration(next.needed_ms),
            slack(next)
        ),
    };
    let bad = page.rehearsals.iter().filter(|rehearsal| !rehearsal.is_good());
    let bad: Vec<String> = bad.map(RehearsalRow::trouble).collect();
    text += &format!("Rehearsed:            {} partitions, {} with trouble\n", page.rehearsals.len(), bad.len());
    text + &bad.concat()
}

impl RehearsalRow {
    fn is_good(&self) -> bool {
        self.failure.is_empty() && self.skipped.is_empty()
    }

    fn trouble(&self) -> String {
        let what = format!("  deadline {}, partition {}:", self.deadline, self.partition);
        if !self.failure.is_empty() {
            return format!("{what} no proof: {}\n", self.failure);
        }
        let line = |skipped: &SkippedRow| format!("{what} would skip sector {}: {}\n", skipped.sector, skipped.reason);
        self.skipped.iter().map(line).collect()
    }
}

#[cfg(test)]
mod tests {
    use sp_proto::v1::{DeadlineSummary, SkippedSector};

    use super::*;

    #[test]
    fn epochs_carry_their_distance() {
        let page = Page::from(ProvingInfoReply {
            miner: 1000,
            epoch: 100,
            epoch_ms: 30_000,
            period_start: 60,
            next_period_start: 2940,
            sectors: 3,
            faults: 1,
            deadline_open: 100,
            deadline_close: 160,
            ..ProvingInfoReply::default()
        });
        let shown = text(&page);
        for line in [
            "Proving Period Boundary: 60",
            "Proving Period Start:    60 (20 minutes ago)",
            "Next Period Start:       2940 (in 23 hours 40 minutes)",
            "Faults:      1 (33.33%)",
            "Deadline Open:        100 (now)",
            "Deadline Close:       160 (in 30 minutes)",
        ] {
            assert!(shown.lines().any(|l| l == line), "{line} missing in\n{shown}");
        }
        assert!(!shown.contains("Next Deadline"), "{shown}");
    }

    #[test]
    fn what_comes_next_is_forecast_and_what_would_be_missed_is_named() {
        let next = DeadlineSummary { index: 5, open_epoch: 160, partitions: 2, sectors: 4, ..Default::default() };
        let able = DeadlineSummary { provers: 2, needed_ms: 42_000, slack_ms: Some(600_000), samples: 9, ..next };
        let good = Rehearsal { deadline: 5, worker: "w".into(), ..Default::default() };
        let skips = vec![SkippedSector { number: 7, reason: "no such file".into() }];
        let rehearsals = vec![
            good.clone(),
            Rehearsal { partition: 1, skipped: skips, ..good.clone() },
            Rehearsal { partition: 2, failure: "refused".into(), ..good },
        ];
        let reply =
            ProvingInfoReply { epoch: 100, epoch_ms: 30_000, next: Some(able), rehearsals, ..Default::default() };
        let shown = text(&Page::from(reply));
        for line in [
            "Next Deadline:        5 with 4 sectors, opens 160 (in 30 minutes)",
            "Forecast:             2 partitions in 42s by 2 workers, slack 10m0s",
            "Rehearsed:            3 partitions, 2 with trouble",
            "  deadline 5, partition 1: would skip sector 7: no such file",
            "  deadline 5, partition 2: no proof: refused",
        ] {
            assert!(shown.lines().any(|l| l == line), "{line} missing in\n{shown}");
        }
        let shown = text(&Page::from(ProvingInfoReply { next: Some(next), ..Default::default() }));
        assert!(shown.contains("2 partitions, and nobody to prove them"), "{shown}");
    }
}
