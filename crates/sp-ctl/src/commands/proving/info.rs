//! `proving info`: where the proving period stands, in Lotus's words.

use serde::Serialize;
use sp_proto::v1::{ProvingInfoReply, ProvingInfoRequest};

use crate::context::{Context, request};
use crate::error::CommandError;
use crate::layout::rough_duration;

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
        }
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
    text + &format!("Deadline FaultCutoff: {}\n", page.at(page.deadline_fault_cutoff))
}

#[cfg(test)]
mod tests {
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
    }
}
