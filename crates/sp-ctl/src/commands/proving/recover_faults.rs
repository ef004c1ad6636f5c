//! `proving recover-faults`: reads faulty sectors and declares those that can be proven to recover.

use std::time::Duration;

use serde::Serialize;
use sp_proto::v1::{RecoverFaultsRequest, RecoveredSector};

use crate::context::{Context, within};
use crate::error::{CommandError, Exit};
use crate::layout::table;

/// Read faulty sectors now, and declare those that can be proven to recover.
///
/// That happens by itself two deadlines before the one of a sector opens. By hand it works until the fault cutoff of that
/// deadline, 70 epochs before it opens, and again once it has closed.
#[derive(Debug, clap::Args)]
pub(crate) struct RecoverFaults {
    /// Sector numbers; none: every faulty sector.
    sectors: Vec<u64>,
    /// Give up after this long; the scheduler gives up before, and says why.
    #[arg(long, value_name = "DURATION", default_value = "35m", value_parser = humantime::parse_duration)]
    timeout: Duration,
}

/// A faulty sector, as `--json` prints it.
#[derive(Debug, Serialize)]
struct Row {
    deadline: u32,
    partition: u32,
    sector: u64,
    /// It is declared to recover.
    recovering: bool,
    /// Why not.
    #[serde(skip_serializing_if = "String::is_empty")]
    problem: String,
    open_epoch: i64,
}

impl RecoverFaults {
    pub(crate) async fn run(self, context: &Context) -> Result<(), CommandError> {
        let ask = within(self.timeout, RecoverFaultsRequest { sectors: self.sectors });
        let reply = context.scheduler().await?.recover_faults(ask).await?.into_inner();
        let rows: Vec<Row> = reply.sectors.into_iter().map(Row::from).collect();
        context.show(&rows, |_| text(&rows))?;
        match rows.iter().filter(|row| !row.recovering).count() {
            0 => Ok(()),
            left => Err(CommandError::new(Exit::Failed, format!("{left} sectors stay faulty"))
                .hint("mend what is named above and run it again")),
        }
    }
}

impl From<RecoveredSector> for Row {
    fn from(wire: RecoveredSector) -> Self {
        let RecoveredSector { deadline, partition, number, problem, open_epoch } = wire;
        Self { deadline, partition, sector: number, recovering: problem.is_empty(), problem, open_epoch }
    }
}

fn text(rows: &[Row]) -> String {
    let cells = rows.iter().map(|row| {
        let state = match row.recovering {
            true => format!("recovers, proven from epoch {} on", row.open_epoch),
            false => format!("stays faulty ({})", row.problem),
        };
        vec![row.deadline.to_string(), row.partition.to_string(), row.sector.to_string(), state]
    });
    table(&["deadline", "partition", "sector", "state"], &cells.collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stays_faulty_says_why() {
        let row = |number, problem: &str| {
            let problem = problem.to_owned();
            Row::from(RecoveredSector { deadline: 4, partition: 0, number, problem, open_epoch: 240 })
        };
        let expected = "deadline  partition  sector  state\n\
                        4         0          7       recovers, proven from epoch 240 on\n\
                        4         0          8       stays faulty (sealed file is cut)\n";
        assert_eq!(text(&[row(7, ""), row(8, "sealed file is cut")]), expected);
    }
}
