//! Deadlines as they are to be proven, and as they were: the core knows what is under way, the chain what counts.

use std::collections::BTreeMap;

use sp_chain::PartitionState;
use sp_net::status::to_status;
use sp_proto::v1;
use sp_sched_core::model::UnixMs;
use sp_sched_core::view::Slack;
use sp_sched_core::{Core, deadlines_of};
use sp_types::{ChainEpoch, DeadlineIndex, ErrorCode};
use tonic::Status;

use super::Api;
use crate::chain::{Opening, PERIOD_EPOCHS};
use crate::driver::Seen;
use crate::{rows, wire};

/// Partitions of a deadline: the numbers of each.
type Partitions = Vec<Vec<u64>>;

impl Api {
    pub(super) async fn on_list_deadlines(
        &self,
        request: v1::ListDeadlinesRequest,
    ) -> Result<v1::ListDeadlinesReply, Status> {
        let v1::ListDeadlinesRequest { all } = request;
        let (with_sectors, stale_ms) = self.deadlines().await?;
        let indices = (0..DeadlineIndex::COUNT).map(DeadlineIndex);
        let shown = indices.filter(|index| all || with_sectors.contains_key(index));
        let partitions = |index: DeadlineIndex| with_sectors.get(&index).cloned().unwrap_or_default();
        let shown = shown.map(|index| (index, partitions(index))).collect();
        let deadlines = self.summaries(shown, stale_ms).await?;
        Ok(v1::ListDeadlinesReply { deadlines, stale_ms })
    }

    pub(super) async fn on_get_deadline(
        &self,
        request: v1::GetDeadlineRequest,
    ) -> Result<v1::GetDeadlineReply, Status> {
        let index = deadline(request.index)?;
        let (mut deadlines, stale_ms) = self.deadlines().await?;
        let partitions = deadlines.remove(&index).unwrap_or_default();
        let summary = self.summaries(vec![(index, partitions.clone())], stale_ms).await?.pop();
        let on_chain = self.on_chain(index).await?;
        let partition = |(index, sectors): (usize, Vec<u64>)| {
            let known = on_chain.iter().find(|partition| partition.index as usize == index);
            let of = |numbers: &[u64]| sectors.iter().copied().filter(|s| numbers.contains(s)).collect();
            v1::Partition {
                index: index as u32,
                faulty: known.map_or(vec![], |known| of(&known.faulty)),
                recovering: known.map_or(vec![], |known| of(&known.recovering)),
                sectors,
            }
        };
        let partitions = partitions.into_iter().enumerate().map(partition).collect();
        Ok(v1::GetDeadlineReply { summary, partitions, stale_ms })
    }

    pub(super) async fn on_proving_info(
        &self,
        request: v1::ProvingInfoRequest,
    ) -> Result<v1::ProvingInfoReply, Status> {
        let v1::ProvingInfoRequest {} = request;
        let head = self.chain.head();
        let Opening { index, period_start, open, close, challenge, fault_cutoff } = Opening::current(head);
        let (deadlines, stale_ms) = self.deadlines().await?;
        let faults = self.faults(deadlines.keys()).await?;
        let next = deadlines.keys().copied().filter(|index| Opening::next(head, *index).open > head);
        let next = next.min_by_key(|index| Opening::next(head, *index).open);
        let next = next.and_then(|index| Some((index, deadlines.get(&index)?.clone())));
        let next = self.summaries(next.into_iter().collect(), stale_ms).await?.pop();
        let count = |partitions: &Partitions| partitions.iter().map(|p| p.len() as u32).sum::<u32>();
        Ok(v1::ProvingInfoReply {
            miner: self.about.miner,
            epoch: head.0,
            period_start: period_start.0,
            next_period_start: period_start.0 + PERIOD_EPOCHS,
            deadline_index: index.0,
            deadline_sectors: deadlines.get(&index).map_or(0, count),
            deadline_open: open.0,
            deadline_close: close.0,
            deadline_challenge: challenge.0,
            deadline_fault_cutoff: fault_cutoff.0,
            faults: faults.len() as u32,
            recovering: faults.iter().filter(|sector| sector.recovering).count() as u32,
            sectors: deadlines.values().map(count).sum(),
            epoch_ms: self.chain.epoch_ms(),
            stale_ms,
            next,
            rehearsals: self.rehearsals(stale_ms).await?,
        })
    }

    /// Kept in memory only: a scheduling loop that does not answer has none.
    async fn rehearsals(&self, stale_ms: u64) -> Result<Vec<v1::Rehearsal>, Status> {
        if stale_ms > 0 {
            return Ok(Vec::new());
        }
        match self.status(|core, _| core.rehearsals().cloned().collect::<Vec<_>>()).await? {
            Seen::Now(rehearsals) => Ok(rehearsals.into_iter().map(wire::rehearsal).collect()),
            Seen::Before(..) => Ok(Vec::new()),
        }
    }

    pub(super) async fn on_list_faults(&self, request: v1::ListFaultsRequest) -> Result<v1::ListFaultsReply, Status> {
        let v1::ListFaultsRequest {} = request;
        let (deadlines, _) = self.deadlines().await?;
        Ok(v1::ListFaultsReply { sectors: self.faults(deadlines.keys()).await? })
    }

    pub(super) async fn on_proving_history(
        &self,
        request: v1::ProvingHistoryRequest,
    ) -> Result<v1::ProvingHistoryReply, Status> {
        let v1::ProvingHistoryRequest { limit } = request;
        let most = if limit == 0 { usize::MAX } else { limit as usize };
        let records = self.chain.records(most).await.map_err(|reason| {
            to_status(
                ErrorCode::Unavailable,
                format!("the chain does not say what was proven: {reason}; try again later"),
            )
        })?;
        let wins = self.chain.wins(most).await.map_err(|reason| {
            to_status(ErrorCode::Unavailable, format!("the chain does not say what was won: {reason}; try again later"))
        })?;
        let opened = |epoch| self.chain.epoch_unix_ms(epoch);
        let openings = records.into_iter().map(|record| wire::opening(opened(record.open), record)).collect();
        Ok(v1::ProvingHistoryReply { openings, wins: wins.into_iter().map(wire::win).collect() })
    }

    /// Deadlines with sectors; how old that is where it comes from the rows, because the driver does not answer.
    pub(super) async fn deadlines(&self) -> Result<(BTreeMap<DeadlineIndex, Partitions>, u64), Status> {
        match self.status(|core, _| core.deadlines()).await? {
            Seen::Now(deadlines) => Ok((deadlines, 0)),
            Seen::Before(_, stale_ms) => Ok((deadlines_of(self.read(rows::sectors).await?.iter()), stale_ms)),
        }
    }

    /// The partitions of a deadline as the chain has them for its next opening, or the present one.
    async fn on_chain(&self, index: DeadlineIndex) -> Result<Vec<PartitionState>, Status> {
        let opening = Opening::next(self.chain.head(), index);
        self.chain.partitions(opening).await.map_err(|reason| {
            let text = format!("the chain does not say how deadline {index} stands: {reason}; try again later");
            to_status(ErrorCode::Unavailable, text)
        })
    }

    pub(super) async fn faults(
        &self,
        deadlines: impl Iterator<Item = &DeadlineIndex>,
    ) -> Result<Vec<v1::FaultySector>, Status> {
        let mut faults = Vec::new();
        for index in deadlines {
            for partition in self.on_chain(*index).await? {
                faults.extend(partition.faulty.iter().map(|number| v1::FaultySector {
                    deadline: index.0,
                    partition: partition.index,
                    number: *number,
                    recovering: partition.recovering.contains(number),
                }));
            }
        }
        Ok(faults)
    }

    /// A line for each deadline, with the slack that the core works out if it answers.
    async fn summaries(
        &self,
        deadlines: Vec<(DeadlineIndex, Partitions)>,
        stale_ms: u64,
    ) -> Result<Vec<v1::DeadlineSummary>, Status> {
        let head = self.chain.head();
        let time = |epoch: ChainEpoch| UnixMs(self.chain.epoch_unix_ms(epoch));
        let (mut asked, mut on_chain) = (Vec::new(), Vec::new());
        for (index, partitions) in &deadlines {
            let Opening { open, close, .. } = Opening::next(head, *index);
            let known = if partitions.is_empty() { Vec::new() } else { self.on_chain(*index).await? };
            let proven = |at: &u32| known.iter().any(|partition| partition.index == *at && partition.proven);
            let with_sectors = (0..).zip(partitions).filter(|(_, sectors)| !sectors.is_empty());
            let unproven = with_sectors.filter(|(at, _)| !proven(at)).count();
            asked.push((*index, unproven, time(open), time(close)));
            on_chain.push(known);
        }
        let slack =
            move |core: &Core, _| asked.into_iter().map(|(i, n, open, close)| core.slack(i, n, open, close)).collect();
        let slack: Vec<Option<Slack>> = match stale_ms {
            0 => match self.status(slack).await? {
                Seen::Now(slack) => slack,
                Seen::Before(..) => vec![None; deadlines.len()],
            },
            _ => vec![None; deadlines.len()],
        };
        Ok(deadlines
            .iter()
            .zip(on_chain)
            .zip(slack)
            .map(|(((index, partitions), on_chain), slack)| self.summary(*index, partitions, &on_chain, slack))
            .collect())
    }

    fn summary(
        &self,
        index: DeadlineIndex,
        partitions: &[Vec<u64>],
        on_chain: &[PartitionState],
        slack: Option<Slack>,
    ) -> v1::DeadlineSummary {
        let head = self.chain.head();
        let open: ChainEpoch = Opening::next(head, index).open;
        v1::DeadlineSummary {
            index: index.0,
            open_unix_ms: self.chain.epoch_unix_ms(open),
            partitions: partitions.iter().filter(|p| !p.is_empty()).count() as u32,
            sectors: partitions.iter().map(|p| p.len() as u32).sum(),
            faults: on_chain.iter().map(|partition| partition.faulty.len() as u32).sum(),
            proven_partitions: on_chain.iter().filter(|partition| partition.proven).count() as u32,
            current: Opening::current(head).index == index,
            open_epoch: open.0,
            slack_ms: slack.map(|s| s.ms),
            needed_ms: slack.map_or(0, |s| s.needed_ms),
            provers: slack.map_or(0, |s| s.provers as u32),
            samples: slack.map_or(0, |s| s.samples),
        }
    }
}

/// The index of a deadline that exists.
pub(super) fn deadline(index: u32) -> Result<DeadlineIndex, Status> {
    if index < DeadlineIndex::COUNT {
        return Ok(DeadlineIndex(index));
    }
    let last = DeadlineIndex::COUNT - 1;
    Err(to_status(ErrorCode::BadRequest, format!("there is no deadline {index}; they are 0 to {last}")))
}
