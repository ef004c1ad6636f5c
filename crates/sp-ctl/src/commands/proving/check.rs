//! `proving check I`: reads one challenge of every sector of a deadline; names those that cannot be proven.

use std::time::Duration;

use serde::Serialize;
use sp_proto::v1::CheckDeadlineRequest;

use crate::context::{Context, within};
use crate::error::CommandError;
use crate::layout::table;

/// Read one challenge of every sector of a deadline.
#[derive(Debug, clap::Args)]
pub(crate) struct Check {
    /// Index of the deadline, 0 to 47.
    index: u32,
    /// Only sectors that cannot be proven.
    #[arg(long)]
    only_bad: bool,
    /// Really read, as Lotus's `--slow` does: that is what it always does here
    #[arg(long = "slow")]
    _slow: bool,
    /// Give up after this long; the scheduler gives up before, and says why.
    #[arg(long, value_name = "DURATION", default_value = "35m", value_parser = humantime::parse_duration)]
    timeout: Duration,
}

/// A sector that was checked, as `--json` prints it.
#[derive(Debug, Serialize)]
struct CheckRow {
    deadline: u32,
    partition: u32,
    sector: u64,
    good: bool,
    problem: String,
}

impl Check {
    pub(crate) async fn run(self, context: &Context) -> Result<(), CommandError> {
        let ask = within(self.timeout, CheckDeadlineRequest { deadline: self.index });
        let reply = context.scheduler().await?.check_deadline(ask).await?.into_inner();
        let rows = reply.sectors.into_iter().map(|sector| CheckRow {
            deadline: self.index,
            partition: sector.partition,
            sector: sector.number,
            good: sector.problem.is_empty(),
            problem: sector.problem,
        });
        let rows: Vec<CheckRow> = rows.filter(|row| !(self.only_bad && row.good)).collect();
        context.show(&rows, |_| text(&rows))
    }
}

fn text(rows: &[CheckRow]) -> String {
    let cells = rows.iter().map(|row| {
        let status = if row.good { "good".to_owned() } else { format!("bad ({})", row.problem) };
        vec![row.deadline.to_string(), row.partition.to_string(), row.sector.to_string(), status]
    });
    table(&["deadline", "partition", "sector", "status"], &cells.collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_sectors_say_why() {
        let row = |sector, problem: &str| CheckRow {
            deadline: 4,
            partition: 0,
            sector,
            good: problem.is_empty(),
            problem: problem.into(),
        };
        let expected = "deadline  partition  sector  status\n\
                        4         0          0       good\n\
                        4         0          1       bad (sealed file is cut)\n";
        assert_eq!(text(&[row(0, ""), row(1, "sealed file is cut")]), expected);
    }
}
