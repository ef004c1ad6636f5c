//! `sectors list`: every sector with its state.

use serde::Serialize;
use sp_proto::v1::{ListSectorsRequest, SectorSummary};
use sp_types::{ByteSize, SectorState};

use crate::context::{Context, request};
use crate::error::CommandError;
use crate::layout::{go_duration, seal_proof_name, table};

/// List sectors with their states.
#[derive(Debug, clap::Args)]
pub(crate) struct List {
    /// Only sectors in these states, for example `Proving,FailedUnrecoverable`.
    #[arg(long, value_delimiter = ',', value_name = "STATES")]
    states: Vec<SectorState>,
    /// Also those that were removed.
    #[arg(long, short = 'r')]
    show_removed: bool,
}

/// A sector, as `--json` prints it.
#[derive(Debug, Serialize)]
pub(super) struct SectorRow {
    number: u64,
    pub(super) state: String,
    proof_type: String,
    data_bytes: u64,
    comm_r: String,
    deadline: Option<u32>,
    partition: Option<u32>,
    pub(super) failures: u32,
    pub(super) last_error: String,
    pub(super) seal_ms: u64,
    pub(super) waiting: String,
    stopped: bool,
    retry_unix_ms: Option<u64>,
    updated: bool,
    priority: i64,
    proven: bool,
}

impl List {
    pub(crate) async fn run(self, context: &Context) -> Result<(), CommandError> {
        let reply = context.scheduler().await?.list_sectors(request(ListSectorsRequest {})).await?.into_inner();
        context.note_stale(reply.stale_ms);
        let mut rows: Vec<SectorRow> = reply.sectors.into_iter().map(SectorRow::from).collect();
        let removed = SectorState::Removed.to_string();
        rows.retain(|row| match self.states.is_empty() {
            true => self.show_removed || row.state != removed,
            false => self.states.iter().any(|state| state.to_string() == row.state),
        });
        rows.sort_by_key(|row| row.number);
        context.show(&rows, |_| text(&rows))
    }
}

impl SectorRow {
    /// The chain has taken its proof and given it a place.
    pub(super) fn is_located(&self) -> bool {
        self.deadline.is_some()
    }
}

impl From<SectorSummary> for SectorRow {
    fn from(summary: SectorSummary) -> Self {
        Self {
            number: summary.number,
            state: summary.state,
            proof_type: seal_proof_name(summary.seal_proof),
            data_bytes: summary.data_bytes,
            comm_r: hex::encode(summary.comm_r),
            deadline: summary.deadline,
            partition: summary.partition,
            failures: summary.failures,
            last_error: summary.last_error,
            seal_ms: summary.seal_ms,
            waiting: summary.waiting,
            stopped: summary.stopped,
            retry_unix_ms: summary.retry_unix_ms,
            updated: summary.updated,
            priority: summary.priority,
            proven: summary.proven,
        }
    }
}

fn text(rows: &[SectorRow]) -> String {
    let head = ["ID", "State", "Deadline", "Partition", "Data", "SealTime", "Failures", "Waiting", "Error"];
    let optional = |number: Option<u32>| number.map(|n| n.to_string()).unwrap_or_default();
    let cells = rows.iter().map(|row| {
        vec![
            row.number.to_string(),
            row.state.clone(),
            optional(row.deadline),
            optional(row.partition),
            if row.data_bytes == 0 { "CC".to_owned() } else { ByteSize(row.data_bytes).to_string() },
            go_duration(row.seal_ms),
            if row.failures == 0 { String::new() } else { row.failures.to_string() },
            row.waiting.clone(),
            row.last_error.clone(),
        ]
    });
    table(&head, &cells.collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_without_content_are_hidden() {
        let summary = |number, state: &str, deadline| SectorSummary {
            number,
            state: state.into(),
            seal_proof: 5,
            data_bytes: number * 1000,
            deadline,
            partition: deadline.map(|_| 0),
            seal_ms: 83_400,
            ..SectorSummary::default()
        };
        let rows = [summary(0, "Proving", Some(3)), summary(1, "PreCommit2", None)].map(SectorRow::from);
        let expected = "ID  State       Deadline  Partition  Data    SealTime\n\
                        0   Proving     3         0          CC      1m23.4s\n\
                        1   PreCommit2                       1000 B  1m23.4s\n";
        assert_eq!(text(&rows), expected);
    }
}
