//! Proofs and checks on demand. Nothing of them goes to the chain.

use std::time::Duration;

use sp_net::status::to_status;
use sp_proto::v1;
use sp_sched_core::effect::{PostReply, Reply};
use sp_sched_core::event::Request;
use sp_types::{ErrorCode, ProverId, Randomness};
use tonic::Status;

use super::deadlines::deadline;
use super::{Api, unexpected};
use crate::chain::{ChainFailure, winning_pick};
use crate::wire;

impl Api {
    pub(super) async fn on_compute_window_post(
        &self,
        request: v1::ComputeWindowPostRequest,
    ) -> Result<v1::ComputePostReply, Status> {
        let index = deadline(request.deadline)?;
        let randomness = drawn(self.chain.window_randomness(index).await)?;
        let reply = self.post(Request::ComputeWindowPost { deadline: index, randomness }, self.limits.window).await?;
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
}

fn drawn(randomness: Result<Randomness, ChainFailure>) -> Result<Randomness, Status> {
    randomness.map_err(|reason| to_status(ErrorCode::Unavailable, format!("the chain gives no randomness: {reason}")))
}
