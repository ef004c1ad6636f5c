//! Proving: deadlines, and proofs on demand.

use std::collections::BTreeMap;
use std::time::Duration;

use sp_net::status::to_status;
use sp_proto::v1;
use sp_sched_core::effect::{PostReply, Reply};
use sp_sched_core::event::Request;
use sp_sched_core::model::UnixMs;
use sp_sched_core::view::Slack;
use sp_sched_core::{Core, deadlines_of};
use sp_types::{ChainEpoch, DeadlineIndex, ErrorCode, ProverId, Randomness};
use tonic::Status;

use super::proven::Outcome;
use super::{Api, unexpected};
use crate::chain::{ChainFailure, Opening, PERIOD_EPOCHS, winning_pick};
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
        let faulty = self.outcome(index).faulty;
        let partition = |(index, sectors): (usize, Vec<u64>)| v1::Partition {
            index: index as u32,
            faulty: sectors.iter().copied().filter(|s| faulty.contains(s)).collect(),
            sectors,
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
            faults: deadlines.keys().map(|index| self.outcome(*index).faulty.len() as u32).sum(),
            sectors: deadlines.values().map(count).sum(),
            epoch_ms: self.chain.epoch_ms(),
            stale_ms,
        })
    }

    pub(super) async fn on_compute_window_post(
        &self,
        request: v1::ComputeWindowPostRequest,
    ) -> Result<v1::ComputePostReply, Status> {
        let index = deadline(request.deadline)?;
        let open = Opening::provable(self.chain.head(), index).open;
        let randomness = drawn(self.chain.window_randomness(index).await)?;
        let reply = self.post(Request::ComputeWindowPost { deadline: index, randomness }, self.limits.window).await?;
        self.proven.note(index, open, outcome(&reply));
        Ok(wire::post_reply(self.about.miner, reply))
    }

    pub(super) async fn on_compute_winning_post(
        &self,
        request: v1::ComputeWinningPostRequest,
    ) -> Result<v1::ComputePostReply, Status> {
        let v1::ComputeWinningPostRequest {} = request;
        let randomness = drawn(self.chain.winning_randomness().await)?;
        let pick = winning_pick(ProverId::of_miner(self.about.miner), randomness);
        let reply = self.post(Request::ComputeWinningPost { randomness, pick }, self.limits.winning).await?;
        Ok(wire::post_reply(self.about.miner, reply))
    }

    pub(super) async fn on_check_deadline(
        &self,
        request: v1::CheckDeadlineRequest,
    ) -> Result<v1::CheckDeadlineReply, Status> {
        let index = deadline(request.deadline)?;
        // Any challenge will do, and another one each time finds more.
        let mut bytes = [0; 32];
        self.env.entropy.fill(&mut bytes);
        let request = Request::CheckDeadline { deadline: index, randomness: Randomness::new(bytes) };
        match self.ask(request, self.limits.window).await? {
            Reply::Checked(checked) => Ok(wire::check_reply(checked)),
            other => Err(unexpected(&other)),
        }
    }

    async fn post(&self, request: Request, limit: Duration) -> Result<PostReply, Status> {
        match self.ask(request, limit).await? {
            Reply::Post(reply) => Ok(reply),
            other => Err(unexpected(&other)),
        }
    }

    /// Deadlines with sectors; how old that is where it comes from the rows, because the driver does not answer.
    async fn deadlines(&self) -> Result<(BTreeMap<DeadlineIndex, Partitions>, u64), Status> {
        match self.status(|core, _| core.deadlines()).await? {
            Seen::Now(deadlines) => Ok((deadlines, 0)),
            Seen::Before(_, stale_ms) => Ok((deadlines_of(self.read(rows::sectors).await?.iter()), stale_ms)),
        }
    }

    fn outcome(&self, index: DeadlineIndex) -> Outcome {
        self.proven.of(index, Opening::provable(self.chain.head(), index).open)
    }

    /// A line for each deadline, with the slack that the core works out if it answers.
    async fn summaries(
        &self,
        deadlines: Vec<(DeadlineIndex, Partitions)>,
        stale_ms: u64,
    ) -> Result<Vec<v1::DeadlineSummary>, Status> {
        let head = self.chain.head();
        let time = |epoch: ChainEpoch| UnixMs(self.chain.epoch_unix_ms(epoch));
        let asked: Vec<_> = deadlines
            .iter()
            .map(|(index, partitions)| {
                let Opening { open, close, .. } = Opening::next(head, *index);
                let proven = self.proven.of(*index, open).partitions;
                let with_sectors = (0..).zip(partitions).filter(|(_, p)| !p.is_empty());
                let unproven = with_sectors.filter(|(at, _)| !proven.contains(at)).count();
                (*index, unproven, time(open), time(close))
            })
            .collect();
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
            .zip(slack)
            .map(|((index, partitions), slack)| self.summary(*index, partitions, slack))
            .collect())
    }

    fn summary(&self, index: DeadlineIndex, partitions: &[Vec<u64>], slack: Option<Slack>) -> v1::DeadlineSummary {
        let head = self.chain.head();
        let open: ChainEpoch = Opening::next(head, index).open;
        let outcome = self.outcome(index);
        v1::DeadlineSummary {
            index: index.0,
            open_unix_ms: self.chain.epoch_unix_ms(open),
            partitions: partitions.iter().filter(|p| !p.is_empty()).count() as u32,
            sectors: partitions.iter().map(|p| p.len() as u32).sum(),
            faults: outcome.faulty.len() as u32,
            proven_partitions: outcome.partitions.len() as u32,
            current: Opening::current(head).index == index,
            open_epoch: open.0,
            slack_ms: slack.map(|s| s.ms),
            needed_ms: slack.map_or(0, |s| s.needed_ms),
            provers: slack.map_or(0, |s| s.provers as u32),
            samples: slack.map_or(0, |s| s.samples),
        }
    }
}

fn outcome(reply: &PostReply) -> Outcome {
    let with_proof = reply.partitions.iter().filter(|p| !p.proof.is_empty());
    Outcome {
        partitions: with_proof.map(|p| p.index).collect(),
        faulty: reply.partitions.iter().flat_map(|p| p.skipped.iter().map(|(number, _)| *number)).collect(),
    }
}

fn deadline(index: u32) -> Result<DeadlineIndex, Status> {
    if index < DeadlineIndex::COUNT {
        return Ok(DeadlineIndex(index));
    }
    let last = DeadlineIndex::COUNT - 1;
    Err(to_status(ErrorCode::BadRequest, format!("there is no deadline {index}; they are 0 to {last}")))
}

fn drawn(randomness: Result<Randomness, ChainFailure>) -> Result<Randomness, Status> {
    randomness.map_err(|reason| to_status(ErrorCode::Unavailable, format!("the chain gives no randomness: {reason}")))
}
