//! `proving history`: what became of the newest openings of deadlines, and the score.

use serde::Serialize;
use sp_proto::v1::{
    JudgedPartition, PartitionVerdict, ProvenOpening, ProvingHistoryReply, ProvingHistoryRequest, WonEpoch,
};

use crate::context::{Context, request};
use crate::error::CommandError;
use crate::layout::{local_time, table};

/// Show what became of the newest openings of deadlines, as the chain has judged them.
#[derive(Debug, clap::Args)]
pub(crate) struct History {
    /// So many openings at most; 0: all that are on record.
    #[arg(long, short = 'n', default_value_t = 48)]
    limit: u32,
}

/// The score, as `--json` prints it.
#[derive(Debug, Serialize)]
struct Page {
    /// Of all that is listed.
    total: Score,
    openings: Vec<OpeningRow>,
    /// Epochs that were won.
    wins: Vec<WinRow>,
}

#[derive(Debug, Serialize)]
struct WinRow {
    epoch: i64,
    sector: u64,
    /// When its proof came; null: there is none.
    proven_epoch: Option<i64>,
}

#[derive(Debug, Default, Serialize)]
struct Score {
    /// Partitions with a proof in time.
    proven: u32,
    /// Partitions without one.
    missed: u32,
    /// Partitions in which every sector was faulty before.
    faulty: u32,
    /// Proofs that came too late.
    late: u32,
    /// Proofs that did not count for another reason.
    refused: u32,
    /// Sectors that a proof in time had to leave out.
    skipped_sectors: u32,
}

#[derive(Debug, Serialize)]
struct OpeningRow {
    deadline: u32,
    open_epoch: i64,
    open_unix_ms: u64,
    closed: bool,
    #[serde(flatten)]
    score: Score,
    partitions: Vec<PartitionRow>,
}

#[derive(Debug, Serialize)]
struct PartitionRow {
    index: u32,
    verdict: &'static str,
    epoch: i64,
    sectors_proven: u32,
    sectors_skipped: Vec<u64>,
}

impl History {
    pub(crate) async fn run(self, context: &Context) -> Result<(), CommandError> {
        let ask = ProvingHistoryRequest { limit: self.limit };
        let reply = context.scheduler().await?.proving_history(request(ask)).await?.into_inner();
        let page = Page::of(reply);
        context.show(&page, |_| text(&page))
    }
}

impl Page {
    fn of(reply: ProvingHistoryReply) -> Self {
        let ProvingHistoryReply { openings, wins } = reply;
        let wins =
            wins.into_iter().map(|WonEpoch { epoch, sector, proven_epoch }| WinRow { epoch, sector, proven_epoch });
        let wins = wins.collect();
        let openings: Vec<OpeningRow> = openings.into_iter().map(OpeningRow::from).collect();
        let mut total = Score::default();
        for OpeningRow { score, .. } in &openings {
            total.proven += score.proven;
            total.missed += score.missed;
            total.faulty += score.faulty;
            total.late += score.late;
            total.refused += score.refused;
            total.skipped_sectors += score.skipped_sectors;
        }
        Self { total, openings, wins }
    }
}

impl From<ProvenOpening> for OpeningRow {
    fn from(wire: ProvenOpening) -> Self {
        let ProvenOpening { deadline, open_epoch, open_unix_ms, partitions, late, refused, closed } = wire;
        let count = |verdict| partitions.iter().filter(|p| p.verdict() == verdict).count() as u32;
        let proven = partitions.iter().filter(|p| p.verdict() == PartitionVerdict::Proven);
        let score = Score {
            proven: count(PartitionVerdict::Proven),
            missed: count(PartitionVerdict::Missed),
            faulty: count(PartitionVerdict::Faulty),
            late,
            refused,
            skipped_sectors: proven.map(|p| p.skipped.len() as u32).sum(),
        };
        let partitions = partitions.into_iter().map(PartitionRow::from).collect();
        Self { deadline, open_epoch, open_unix_ms, closed, score, partitions }
    }
}

impl From<JudgedPartition> for PartitionRow {
    fn from(wire: JudgedPartition) -> Self {
        let verdict = match wire.verdict() {
            PartitionVerdict::Proven => "proven",
            PartitionVerdict::Missed => "missed",
            PartitionVerdict::Faulty => "faulty",
            PartitionVerdict::Unspecified => "unknown",
        };
        let JudgedPartition { index, verdict: _, epoch, proven, skipped } = wire;
        Self { index, verdict, epoch, sectors_proven: proven, sectors_skipped: skipped }
    }
}

fn text(page: &Page) -> String {
    let Score { proven, missed, faulty, late, refused, skipped_sectors } = page.total;
    let cells = page.openings.iter().map(|row| {
        let score = &row.score;
        let open = if row.closed { "" } else { " (open)" };
        vec![
            format!("{}{open}", row.deadline),
            local_time(row.open_unix_ms),
            score.proven.to_string(),
            score.missed.to_string(),
            score.faulty.to_string(),
            score.skipped_sectors.to_string(),
            score.late.to_string(),
            score.refused.to_string(),
        ]
    });
    let head = ["deadline", "opened", "proven", "missed", "faulty", "skipped sectors", "late", "refused"];
    let table = table(&head, &cells.collect::<Vec<_>>());
    let blocks = page.wins.iter().filter(|win| win.proven_epoch.is_some()).count();
    let elections = match page.wins.len() {
        0 => String::new(),
        wins => format!("Epochs: {wins} won, {blocks} proven.\n"),
    };
    format!(
        "{table}\nPartitions: {proven} proven, {missed} missed, {faulty} faulty. Sectors skipped: {skipped_sectors}. \
         Submissions: {late} late, {refused} refused.\n{elections}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_for_each_opening_and_the_sum() {
        let partition = |index, verdict: PartitionVerdict, skipped: &[u64]| JudgedPartition {
            index,
            verdict: verdict as i32,
            epoch: 70,
            proven: 1,
            skipped: skipped.to_vec(),
        };
        let opening = |deadline, closed, partitions| ProvenOpening {
            deadline,
            open_unix_ms: u64::MAX,
            partitions,
            closed,
            late: 1,
            ..ProvenOpening::default()
        };
        let openings = vec![
            opening(4, false, vec![partition(0, PartitionVerdict::Proven, &[])]),
            opening(
                3,
                true,
                vec![partition(0, PartitionVerdict::Proven, &[7]), partition(1, PartitionVerdict::Missed, &[8, 9])],
            ),
        ];
        let wins = vec![
            WonEpoch { epoch: 9, sector: 1, proven_epoch: Some(10) },
            WonEpoch { epoch: 8, sector: 1, proven_epoch: None },
        ];
        let page = Page::of(ProvingHistoryReply { openings, wins });
        let expected = "deadline  opened  proven  missed  faulty  skipped sectors  late  refused\n\
                        4 (open)  n/a     1       0       0       0                1     0\n\
                        3         n/a     1       1       0       1                1     0\n\
                        \n\
                        Partitions: 2 proven, 1 missed, 0 faulty. Sectors skipped: 1. Submissions: 2 late, 0 refused.\n\
                        Epochs: 2 won, 1 proven.\n";
        assert_eq!(text(&page), expected);
        let json = serde_json::to_value(&page).unwrap();
        assert_eq!((&json["total"]["proven"], &json["openings"][1]["missed"]), (&2.into(), &1.into()));
        assert_eq!(json["openings"][1]["partitions"][1]["verdict"], "missed");
    }
}
