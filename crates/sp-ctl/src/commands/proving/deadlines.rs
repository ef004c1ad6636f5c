//! `proving deadlines`: the deadlines of the proving period, in Lotus's columns.

use serde::Serialize;
use sp_proto::v1::{DeadlineSummary, ListDeadlinesRequest};

use crate::context::{Context, request};
use crate::error::CommandError;
use crate::layout::{go_duration, local_time, table};

/// List the deadlines of the proving period.
#[derive(Debug, clap::Args)]
pub(crate) struct Deadlines {
    /// Also those without sectors.
    #[arg(long)]
    all: bool,
}

/// A deadline, as `--json` prints it.
#[derive(Debug, Serialize)]
pub(super) struct DeadlineRow {
    pub(super) index: u32,
    pub(super) open_epoch: i64,
    pub(super) open_unix_ms: u64,
    pub(super) partitions: u32,
    pub(super) sectors: u32,
    faults: u32,
    pub(super) proven_partitions: u32,
    pub(super) current: bool,
    /// What is left when the last partition is proven, by measured times; null when nothing is left to prove or nobody
    /// proves.
    pub(super) slack_ms: Option<i64>,
    pub(super) needed_ms: u64,
    pub(super) provers: u32,
    pub(super) samples: u32,
}

impl Deadlines {
    pub(crate) async fn run(self, context: &Context) -> Result<(), CommandError> {
        let ask = ListDeadlinesRequest { all: self.all };
        let reply = context.scheduler().await?.list_deadlines(request(ask)).await?.into_inner();
        context.note_stale(reply.stale_ms);
        let rows: Vec<DeadlineRow> = reply.deadlines.into_iter().map(DeadlineRow::from).collect();
        context.show(&rows, |_| text(&rows))
    }
}

impl From<DeadlineSummary> for DeadlineRow {
    fn from(wire: DeadlineSummary) -> Self {
        let DeadlineSummary {
            index,
            open_unix_ms,
            partitions,
            sectors,
            faults,
            proven_partitions,
            current,
            open_epoch,
            slack_ms,
            needed_ms,
            provers,
            samples,
        } = wire;
        Self {
            index,
            open_epoch,
            open_unix_ms,
            partitions,
            sectors,
            faults,
            proven_partitions,
            current,
            slack_ms,
            needed_ms,
            provers,
            samples,
        }
    }
}

fn text(rows: &[DeadlineRow]) -> String {
    let cells = rows.iter().map(|row| {
        let current = if row.current { " (current)" } else { "" };
        vec![
            row.index.to_string(),
            local_time(row.open_unix_ms),
            row.partitions.to_string(),
            format!("{} ({})", row.sectors, row.faults),
            format!("{}{current}", row.proven_partitions),
            slack(row),
        ]
    });
    let head = ["deadline", "open", "partitions", "sectors (faults)", "proven partitions", "slack"];
    table(&head, &cells.collect::<Vec<_>>())
}

/// Time to spare, with a mark where it rests on usual figures only; `-` when nothing is left to prove or nobody proves.
pub(super) fn slack(row: &DeadlineRow) -> String {
    let Some(ms) = row.slack_ms else { return "-".to_owned() };
    let (sign, length) = (if ms < 0 { "-" } else { "" }, go_duration(ms.unsigned_abs()));
    let guessed = if row.samples == 0 { " (not measured)" } else { "" };
    format!("{sign}{length}{guessed}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_columns_are_lotuses_and_slack() {
        let row = |index, current, slack_ms, samples| {
            let open_unix_ms = u64::MAX;
            let summary = DeadlineSummary {
                index,
                open_unix_ms,
                partitions: 2,
                sectors: 3,
                current,
                slack_ms,
                samples,
                ..Default::default()
            };
            DeadlineRow::from(summary)
        };
        let expected = "deadline  open  partitions  sectors (faults)  proven partitions  slack\n\
                        0         n/a   2           3 (0)             0                  -\n\
                        11        n/a   2           3 (0)             0 (current)        23m10s\n\
                        12        n/a   2           3 (0)             0                  -1m30s (not measured)\n";
        let rows = [row(0, false, None, 0), row(11, true, Some(1_390_000), 7), row(12, false, Some(-90_000), 0)];
        assert_eq!(text(&rows), expected);
        assert_eq!(serde_json::to_value(&rows[2]).unwrap()["slack_ms"], -90_000);
    }
}
