//! What the local chain makes of calls about proving: it believes nobody, and verifies every proof itself.

use sha2::{Digest, Sha256};
use sp_chain::{Claim, Opening, Refusal, Standing};
use sp_sched_core::effect::PostToVerify;
use sp_sched_core::model::{UnixMs, WinRow};
use sp_sched_core::proving::call::{OpeningState, PostSector, ProvingCall, ProvingReply, Submission, Won};
use sp_types::{AttemptId, ChainEpoch, PostProof, PostType, ProverId, Randomness, TaskId};

use super::Chain;
use super::beacon::{Purpose, winning_pick};
use super::local::LocalChain;
use crate::wire;

impl LocalChain {
    pub(super) async fn answer_proving(self, call: ProvingCall) -> ProvingReply {
        let answer = match call {
            ProvingCall::Ask(opening) => self.state_of(opening).await,
            ProvingCall::Submit(submission) => self.judge(*submission).await,
            ProvingCall::Recover { opening, sectors } => self.recover(opening, sectors).await,
            ProvingCall::Elect(epoch) => self.elect(epoch).await,
            ProvingCall::Win(win) => self.judge_win(*win).await,
            ProvingCall::Terminate { opening: _, sectors } => {
                self.books(move |ledger, _| ((), ledger.terminate(&sectors))).await.map(|()| ProvingReply::Accepted)
            }
        };
        answer.unwrap_or_else(|reason| ProvingReply::Failed { reason })
    }

    /// Randomness of an opening. None: not drawn yet.
    pub(super) fn randomness_of(&self, opening: Opening) -> Option<Randomness> {
        let drawn = opening.challenge <= self.head();
        drawn.then(|| Randomness::new(self.draw(Purpose::WindowPost, opening.challenge)))
    }

    async fn state_of(&self, opening: Opening) -> Result<ProvingReply, String> {
        let partitions = self.books(move |ledger, _| (ledger.partitions(opening), vec![])).await?;
        let time = |epoch| UnixMs(self.epoch_unix_ms(epoch));
        let (opens, closes, randomness) = (time(opening.open), time(opening.close), self.randomness_of(opening));
        Ok(ProvingReply::State(Box::new(OpeningState { randomness, opens, closes, partitions })))
    }

    async fn recover(&self, opening: Opening, sectors: Vec<u64>) -> Result<ProvingReply, String> {
        let declared = self.books(move |ledger, head| match ledger.recover(opening, &sectors, head) {
            Ok(changes) => (Ok(()), changes),
            Err(refusal) => (Err(refusal), vec![]),
        });
        Ok(declared.await?.map_or_else(|refusal| refused(&refusal), |()| ProvingReply::Accepted))
    }

    /// A proof counts from when it came, however long it takes to verify it.
    async fn judge(&self, submission: Submission) -> Result<ProvingReply, String> {
        let came = self.head();
        let (claim, asked) = (claim_of(&submission), submission.randomness);
        let known = claim.clone();
        let mut standing = self.books(move |ledger, _| (ledger.check(&known, came), vec![])).await?;
        if standing == Ok(Standing::Known) {
            return Ok(ProvingReply::Accepted);
        }
        if Opening::current(claim.opening.open) != claim.opening {
            standing = Err(Refusal::Wrong("there is no such opening".to_owned()));
        } else if standing.is_ok() && self.randomness_of(claim.opening) != Some(asked) {
            standing = Err(Refusal::Wrong("it is proven under the randomness of something else".to_owned()));
        }
        if standing.is_ok() && !self.verifies(submission).await? {
            standing = Err(Refusal::Wrong("the proof is wrong".to_owned()));
        }
        match standing {
            Ok(_) => self.take(claim, came).await,
            Err(refusal) => self.refuse(claim, refusal).await,
        }
    }

    async fn verifies(&self, submission: Submission) -> Result<bool, String> {
        let Submission { opening: _, partition, randomness, sectors, skipped: _, proof } = submission;
        self.verifies_post(PostType::Window, partition, randomness, sectors, proof).await
    }

    async fn verifies_post(
        &self,
        post_type: PostType,
        partition: u32,
        randomness: Randomness,
        sectors: Vec<PostSector>,
        proof: Vec<u8>,
    ) -> Result<bool, String> {
        let post_proof = PostProof { size: self.options().sector_size, post_type };
        // The number is nobody's: the chain asks for itself.
        let attempt = AttemptId { task: TaskId(0), number: 0 };
        let post = PostToVerify { attempt, post_proof, randomness, partition, sectors, proof };
        self.verifier().verify(wire::verify_post(self.options().miner, post).1).await
    }

    async fn take(&self, claim: Claim, came: ChainEpoch) -> Result<ProvingReply, String> {
        // Another one may have been taken while this one was verified.
        let taken = self.books(move |ledger, _| match ledger.check(&claim, came) {
            Ok(Standing::Open) => (Ok(()), ledger.accept(&claim, came)),
            Ok(Standing::Known) => (Ok(()), vec![]),
            Err(refusal) => (Err(refusal), vec![]),
        });
        Ok(taken.await?.map_or_else(|refusal| refused(&refusal), |()| ProvingReply::Accepted))
    }

    // === elections ===

    /// One epoch in so many is won, as the beacon draws it.
    async fn elect(&self, epoch: ChainEpoch) -> Result<ProvingReply, String> {
        let number = |bytes: [u8; 32]| bytes[..8].iter().rev().fold(0_u64, |sum, byte| (sum << 8) | u64::from(*byte));
        let draw = number(self.draw(Purpose::Election, epoch));
        let is_won = draw.checked_rem(u64::from(self.options().win_one_in)) == Some(0);
        if !is_won || epoch > self.head() {
            return Ok(ProvingReply::Election(None));
        }
        let randomness = self.challenge_of(epoch);
        let pick = winning_pick(ProverId::of_miner(self.options().miner), randomness);
        let challenged = self.books(move |ledger, _| match ledger.challenged(pick) {
            Some(sector) => (Some(sector), ledger.win(epoch, sector)),
            None => (None, vec![]),
        });
        Ok(ProvingReply::Election(challenged.await?.map(|sector| Won { randomness, sector })))
    }

    fn challenge_of(&self, epoch: ChainEpoch) -> Randomness {
        Randomness::new(self.draw(Purpose::WinningPost, epoch))
    }

    async fn judge_win(&self, win: WinRow) -> Result<ProvingReply, String> {
        let WinRow { epoch, randomness, sector, proof } = win;
        if randomness != self.challenge_of(epoch) {
            return Ok(refused(&Refusal::Wrong("it is proven under the randomness of something else".to_owned())));
        }
        let digest = Sha256::digest(&proof).into();
        if !self.verifies_post(PostType::Winning, 0, randomness, vec![sector], proof).await? {
            return Ok(refused(&Refusal::Wrong("the proof is wrong".to_owned())));
        }
        let taken = self.books(move |ledger, head| match ledger.block(epoch, sector.0, digest, head) {
            Ok(changes) => (Ok(()), changes),
            Err(refusal) => (Err(refusal), vec![]),
        });
        Ok(taken.await?.map_or_else(|refusal| refused(&refusal), |()| ProvingReply::Accepted))
    }

    async fn refuse(&self, claim: Claim, refusal: Refusal) -> Result<ProvingReply, String> {
        let reply = refused(&refusal);
        self.books(move |ledger, _| ((), ledger.refuse(&claim, &refusal))).await?;
        Ok(reply)
    }
}

fn claim_of(submission: &Submission) -> Claim {
    Claim {
        opening: submission.opening,
        partition: submission.partition,
        sectors: submission.sectors.iter().map(|(number, ..)| *number).collect(),
        skipped: submission.skipped.clone(),
        digest: Sha256::digest(&submission.proof).into(),
    }
}

fn refused(refusal: &Refusal) -> ProvingReply {
    ProvingReply::Refused { reason: refusal.to_string() }
}
