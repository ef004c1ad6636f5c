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
    /// Also describe each set of sectors as a bitfield: how many runs it has.
    #[arg(long, short = 'b')]
    bitfield: bool,
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
    live: Vec<u64>,
    active: Vec<u64>,
    faulty: Vec<u64>,
    recovering: Vec<u64>,
}

impl Deadline {
    pub(crate) async fn run(self, context: &Context) -> Result<(), CommandError> {
        let ask = GetDeadlineRequest { index: self.index };
        let reply = context.scheduler().await?.get_deadline(request(ask)).await?.into_inner();
        context.note_stale(reply.stale_ms);
        let page = Page::from(reply);
        context.show(&page, |_| text(&page, self.sector_nums, self.bitfield))
    }
}

impl From<GetDeadlineReply> for Page {
    fn from(reply: GetDeadlineReply) -> Self {
        let partitions = reply.partitions.into_iter().map(PartitionRow::from).collect();
        Self { summary: DeadlineRow::from(reply.summary.unwrap_or_default()), partitions }
    }
}

impl From<Partition> for PartitionRow {
    fn from(Partition { index, sectors, faulty, recovering }: Partition) -> Self {
        let active = sectors.iter().copied().filter(|number| !faulty.contains(number)).collect();
        // Only sectors that live are listed.
        Self { index, live: sectors.clone(), active, sectors, faulty, recovering }
    }
}

fn text(page: &Page, sector_nums: bool, bitfield: bool) -> String {
    let DeadlineRow { index, open_epoch, open_unix_ms, partitions, proven_partitions, current, .. } = page.summary;
    let mut text = format!(
        "Deadline Index:           {index}\nDeadline Open:            {open_epoch} ({})\n\
         Partitions:               {partitions}\nProven Partitions:        {proven_partitions}\n\
         Current:                  {current}\n",
        local_time(open_unix_ms)
    );
    for partition in &page.partitions {
        let PartitionRow { index, sectors, live, active, faulty, recovering } = partition;
        text += &format!("\nPartition Index:          {index}\n");
        let sets =
            [("All", sectors), ("Live", live), ("Active", active), ("Faulty", faulty), ("Recovering", recovering)];
        for (name, numbers) in sets {
            text += &labelled(name, "Count", &numbers.len().to_string());
            if sector_nums {
                text += &labelled(name, "Numbers", &listed(numbers));
            }
            if bitfield {
                text += &labelled(name, "Bitfield", &runs(numbers));
            }
        }
    }
    text
}

/// `Live Sectors Count:       2`, the values below each other.
fn labelled(name: &str, what: &str, value: &str) -> String {
    let label = format!("{name} Sectors {what}:");
    format!("{label:<25} {value}\n")
}

fn listed(numbers: &[u64]) -> String {
    format!("[{}]", numbers.iter().map(u64::to_string).collect::<Vec<_>>().join(" "))
}

/// The numbers, which rise, as a bitfield: runs of ones with runs of zeros before and between them.
fn runs(numbers: &[u64]) -> String {
    let (mut ones, mut zeros, mut zero_bits, mut next) = (0, 0, 0, 0);
    for number in numbers {
        if *number > next {
            zeros += 1;
            zero_bits += number - next;
        }
        if *number > next || ones == 0 {
            ones += 1;
        }
        next = number + 1;
    }
    format!("{ones} runs of ones ({} bits), {zeros} runs of zeros ({zero_bits} bits)", numbers.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use sp_proto::v1::DeadlineSummary;

    #[test]
    fn blocks_per_partition() {
        let summary =
            DeadlineSummary { index: 3, partitions: 1, open_epoch: 180, open_unix_ms: u64::MAX, ..Default::default() };
        let partitions = vec![Partition { index: 0, sectors: vec![0, 2], faulty: vec![2], recovering: vec![2] }];
        let page = Page::from(GetDeadlineReply { summary: Some(summary), partitions, stale_ms: 0 });
        let expected = "Deadline Index:           3\n\
                        Deadline Open:            180 (n/a)\n\
                        Partitions:               1\n\
                        Proven Partitions:        0\n\
                        Current:                  false\n\
                        \n\
                        Partition Index:          0\n\
                        All Sectors Count:        2\n\
                        All Sectors Numbers:      [0 2]\n\
                        Live Sectors Count:       2\n\
                        Live Sectors Numbers:     [0 2]\n\
                        Active Sectors Count:     1\n\
                        Active Sectors Numbers:   [0]\n\
                        Faulty Sectors Count:     1\n\
                        Faulty Sectors Numbers:   [2]\n\
                        Recovering Sectors Count: 1\n\
                        Recovering Sectors Numbers: [2]\n";
        assert_eq!(text(&page, true, false), expected);
        let bits = text(&page, false, true);
        let line = "All Sectors Bitfield:     2 runs of ones (2 bits), 1 runs of zeros (1 bits)\n";
        assert!(bits.contains(line) && !bits.contains("Numbers"), "{bits}");
    }

    #[test]
    fn runs_are_counted_as_in_a_bitfield() {
        assert_eq!(runs(&[]), "0 runs of ones (0 bits), 0 runs of zeros (0 bits)");
        assert_eq!(runs(&[3, 4, 5, 9]), "2 runs of ones (4 bits), 2 runs of zeros (6 bits)");
    }
}
