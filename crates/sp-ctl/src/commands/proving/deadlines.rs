//! `proving deadlines`: the deadlines of the proving period, in Lotus's columns.

use serde::Serialize;
use sp_proto::v1::{DeadlineSummary, ListDeadlinesRequest};

use crate::context::{Context, request};
use crate::error::CommandError;
use crate::layout::{local_time, table};

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
    sectors: u32,
    faults: u32,
    pub(super) proven_partitions: u32,
    pub(super) current: bool,
}

impl Deadlines {
    pub(crate) async fn run(self, context: &Context) -> Result<(), CommandError> {
        let ask = ListDeadlinesRequest { all: self.all };
        let reply = context.scheduler().await?.list_deadlines(request(ask)).await?.into_inner();
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
        } = wire;
        Self { index, open_epoch, open_unix_ms, partitions, sectors, faults, proven_partitions, current }
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
        ]
    });
    let head = ["deadline", "open", "partitions", "sectors (faults)", "proven partitions"];
    table(&head, &cells.collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_columns_are_lotuses() {
        let row = |index, current| {
            let open_unix_ms = u64::MAX;
            let summary =
                DeadlineSummary { index, open_unix_ms, partitions: 2, sectors: 3, current, ..Default::default() };
            DeadlineRow::from(summary)
        };
        let expected = "deadline  open  partitions  sectors (faults)  proven partitions\n\
                        0         n/a   2           3 (0)             0\n\
                        11        n/a   2           3 (0)             0 (current)\n";
        assert_eq!(text(&[row(0, false), row(11, true)]), expected);
    }
}
