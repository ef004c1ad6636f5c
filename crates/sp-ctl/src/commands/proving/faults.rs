//! `proving faults`: sectors that the chain holds for faulty, in Lotus's columns.

use serde::Serialize;
use sp_proto::v1::{FaultySector, ListFaultsRequest};

use crate::context::{Context, request};
use crate::error::CommandError;
use crate::layout::table;

/// List the sectors that the chain holds for faulty.
#[derive(Debug, clap::Args)]
pub(crate) struct Faults {}

/// A faulty sector, as `--json` prints it.
#[derive(Debug, Serialize)]
struct FaultRow {
    deadline: u32,
    partition: u32,
    sector: u64,
    recovering: bool,
}

impl Faults {
    pub(crate) async fn run(self, context: &Context) -> Result<(), CommandError> {
        let reply = context.scheduler().await?.list_faults(request(ListFaultsRequest {})).await?.into_inner();
        let rows: Vec<FaultRow> = reply.sectors.into_iter().map(FaultRow::from).collect();
        context.show(&rows, |_| text(&rows))
    }
}

impl From<FaultySector> for FaultRow {
    fn from(wire: FaultySector) -> Self {
        let FaultySector { deadline, partition, number, recovering } = wire;
        Self { deadline, partition, sector: number, recovering }
    }
}

fn text(rows: &[FaultRow]) -> String {
    let cells = rows.iter().map(|row| {
        let state = if row.recovering { "recovering" } else { "faulty" };
        vec![row.deadline.to_string(), row.partition.to_string(), row.sector.to_string(), state.to_owned()]
    });
    table(&["deadline", "partition", "sectors", "state"], &cells.collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_recovers_says_so() {
        let row = |number, recovering| FaultRow::from(FaultySector { deadline: 3, partition: 1, number, recovering });
        let expected = "deadline  partition  sectors  state\n\
                        3         1          7        faulty\n\
                        3         1          8        recovering\n";
        assert_eq!(text(&[row(7, false), row(8, true)]), expected);
    }
}
