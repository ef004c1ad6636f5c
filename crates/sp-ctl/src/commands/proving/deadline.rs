//! `proving deadline I`: one deadline with the sectors of its partitions.

use serde::Serialize;
use sp_proto::v1::{GetDeadlineReply, GetDeadlineRequest, Partition};

use super::deadlines::DeadlineRow;
use crate::context::{Context, request};
use crate::error::CommandError;
use crate::layout::local_time;

/// Show one deadline with its partitions.
#[derive(Debug, clap::Args)]
pub(crate) struct Deadline {
    /// Index of the deadline, 0 to 47.
    index: u32,
    /// Also list sector numbers.
    #[arg(long, short = 'n')]
    sector_nums: bool,
}

/// A deadline with its partitions, as `--json` prints it.
#[derive(Debug, Serialize)]
struct Page {
    summary: DeadlineRow,
    partitions: Vec<PartitionRow>,
}

#[derive(Debug, Serialize)]
struct PartitionRow {
    index: u32,
    sectors: Vec<u64>,
    faulty: Vec<u64>,
}

impl Deadline {
    pub(crate) async fn run(self, context: &Context) -> Result<(), CommandError> {
        let ask = GetDeadlineRequest { index: self.index };
        let reply = context.scheduler().await?.get_deadline(request(ask)).await?.into_inner();
        let page = Page::from(reply);
        context.show(&page, |_| text(&page, self.sector_nums))
    }
}

impl From<GetDeadlineReply> for Page {
    fn from(reply: GetDeadlineReply) -> Self {
        let partition = |Partition { index, sectors, faulty }| PartitionRow { index, sectors, faulty };
        let partitions = reply.partitions.into_iter().map(partition).collect();
        Self { summary: DeadlineRow::from(reply.summary.unwrap_or_default()), partitions }
    }
}

fn text(page: &Page, sector_nums: bool) -> String {
    let DeadlineRow { index, open_epoch, open_unix_ms, partitions, proven_partitions, current, .. } = page.summary;
    let mut text = format!(
        "Deadline Index:           {index}\nDeadline Open:            {open_epoch} ({})\n\
         Partitions:               {partitions}\nProven Partitions:        {proven_partitions}\n\
         Current:                  {current}\n",
        local_time(open_unix_ms)
    );
    for PartitionRow { index, sectors, faulty } in &page.partitions {
        text += &format!("\nPartition Index:          {index}\n");
        text += &format!("All Sectors Count:        {}\n", sectors.len());
        if sector_nums {
            text += &format!("All Sectors Numbers:      {}\n", numbers(sectors));
        }
        text += &format!("Active Sectors Count:     {}\n", sectors.len().saturating_sub(faulty.len()));
        text += &format!("Faulty Sectors Count:     {}\n", faulty.len());
        if sector_nums {
            text += &format!("Faulty Sectors Numbers:   {}\n", numbers(faulty));
        }
    }
    text
}

fn numbers(numbers: &[u64]) -> String {
    format!("[{}]", numbers.iter().map(u64::to_string).collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use sp_proto::v1::DeadlineSummary;

    #[test]
    fn blocks_per_partition() {
        let summary =
            DeadlineSummary { index: 3, partitions: 1, open_epoch: 180, open_unix_ms: u64::MAX, ..Default::default() };
        let partitions = vec![Partition { index: 0, sectors: vec![0, 2], faulty: vec![2] }];
        let page = Page::from(GetDeadlineReply { summary: Some(summary), partitions });
        let expected = "Deadline Index:           3\n\
                        Deadline Open:            180 (n/a)\n\
                        Partitions:               1\n\
                        Proven Partitions:        0\n\
                        Current:                  false\n\
                        \n\
                        Partition Index:          0\n\
                        All Sectors Count:        2\n\
                        All Sectors Numbers:      [0 2]\n\
                        Active Sectors Count:     1\n\
                        Faulty Sectors Count:     1\n\
                        Faulty Sectors Numbers:   [2]\n";
        assert_eq!(text(&page, true), expected);
    }
}
