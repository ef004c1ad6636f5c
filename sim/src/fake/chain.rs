//! The local chain with moods: it refuses calls, or carries them out and says that it did not.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use scheduler::{Chain, ChainFailure, LocalChain, Place};
use sp_chain::{Opening, OpeningRecord, PartitionState, WinRecord};
use sp_env::BoxFuture;
use sp_invariants::Law;
use sp_net::Env;
use sp_sched_core::effect::ChainCall;
use sp_sched_core::event::ChainReply;
use sp_sched_core::proving::call::{ProvingCall, ProvingReply, Submission};
use sp_types::{ChainEpoch, DeadlineIndex, PostProof, PostType, Randomness, SectorSize};

use super::Statement;
use crate::process::MINER;
use crate::stage::Stage;

/// How long a refusal takes.
const REFUSES_AFTER: Duration = Duration::from_millis(700);

/// What one run of the scheduler sees of the chain.
pub struct MoodyChain {
    env: Env,
    chain: LocalChain,
    stage: Stage,
}

/// What was published, by sector and step: over all runs of the scheduler, as on a real chain.
#[derive(Clone, Default)]
pub struct Published(Arc<Mutex<BTreeMap<Step, Vec<u8>>>>);

/// A sector and what was published of it.
type Step = (u64, &'static str);

impl MoodyChain {
    /// Nothing is handed in that is not right: the scheduler had it verified.
    fn look_at(&self, submission: &Submission) {
        let Submission { opening, partition, randomness, sectors, skipped: _, proof } = submission;
        let post_proof = PostProof { size: SectorSize::KiB2, post_type: PostType::Window }.to_string();
        let sectors = sectors.iter().map(|(number, comm_r, _)| (*number, comm_r.0.to_vec())).collect();
        let randomness = randomness.bytes().to_vec();
        let about = Statement { post_proof, miner: MINER, randomness, partition: *partition, sectors };
        if !about.is_proven_by(&self.stage.made, proof) {
            let text = format!("a wrong proof of partition {partition} of deadline {} is handed in", opening.index);
            self.stage.watch.failed(text);
        }
    }

    /// On top of the local chain.
    pub fn new(env: Env, chain: LocalChain, stage: Stage) -> Self {
        Self { env, chain, stage }
    }
}

impl Published {
    /// Law L3: one message per sector and step; a repetition says the same.
    fn publish(&self, sector: u64, call: &ChainCall) -> Result<(), String> {
        let (step, content) = match call {
            ChainCall::PreCommit { comm_r, comm_d } => ("pre-commit", [comm_r.0, comm_d.0].concat()),
            ChainCall::Commit { proof } => ("commit", proof.clone()),
            _ => return Ok(()),
        };
        let mut published = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let first = published.entry((sector, step)).or_insert_with(|| content.clone());
        match *first == content {
            true => Ok(()),
            false => Err(format!("sector {sector}: a second {step} says something else than the first")),
        }
    }
}

impl Chain for MoodyChain {
    fn head(&self) -> ChainEpoch {
        self.chain.head()
    }

    fn epoch_ms(&self) -> u64 {
        self.chain.epoch_ms()
    }

    fn epoch_unix_ms(&self, epoch: ChainEpoch) -> u64 {
        self.chain.epoch_unix_ms(epoch)
    }

    fn after(&self, head: ChainEpoch) -> BoxFuture<ChainEpoch> {
        self.chain.after(head)
    }

    fn call(&self, sector: u64, call: ChainCall) -> BoxFuture<ChainReply> {
        let (stage, pause) = (self.stage.clone(), self.env.clock.sleep(REFUSES_AFTER));
        if stage.mood.chain_down() {
            stage.watch.injected("chain refusal");
            return Box::pin(async move {
                pause.await;
                ChainReply::Failed { reason: "the simulated chain is down".into() }
            });
        }
        if let Err(text) = stage.published.publish(sector, &call) {
            stage.watch.broken(Law::L3, text);
        }
        let answer = self.chain.call(sector, call);
        Box::pin(async move {
            let answer = answer.await;
            if stage.mood.chain_forgetful() {
                stage.watch.injected("chain answer lost");
                return ChainReply::Failed { reason: "the simulated chain lost its answer".into() };
            }
            answer
        })
    }

    fn place_of(&self, sector: u64) -> BoxFuture<Result<Place, ChainFailure>> {
        self.chain.place_of(sector)
    }

    fn prove(&self, call: ProvingCall) -> BoxFuture<ProvingReply> {
        let (stage, pause) = (self.stage.clone(), self.env.clock.sleep(REFUSES_AFTER));
        if stage.mood.chain_down() {
            stage.watch.injected("chain refusal");
            return Box::pin(async move {
                pause.await;
                ProvingReply::Failed { reason: "the simulated chain is down".into() }
            });
        }
        if let ProvingCall::Submit(submission) = &call {
            self.look_at(submission);
            if stage.mood.submissions_lost() {
                stage.watch.injected("submission lost");
                return Box::pin(std::future::pending());
            }
        }
        let answer = self.chain.prove(call);
        Box::pin(async move {
            let answer = answer.await;
            if stage.mood.chain_forgetful() {
                stage.watch.injected("chain answer lost");
                return ProvingReply::Failed { reason: "the simulated chain lost its answer".into() };
            }
            answer
        })
    }

    fn partitions(&self, opening: Opening) -> BoxFuture<Result<Vec<PartitionState>, ChainFailure>> {
        self.chain.partitions(opening)
    }

    fn records(&self, most: usize) -> BoxFuture<Result<Vec<OpeningRecord>, ChainFailure>> {
        self.chain.records(most)
    }

    fn wins(&self, most: usize) -> BoxFuture<Result<Vec<WinRecord>, ChainFailure>> {
        self.chain.wins(most)
    }

    fn window_randomness(&self, deadline: DeadlineIndex) -> BoxFuture<Result<Randomness, ChainFailure>> {
        self.chain.window_randomness(deadline)
    }

    fn winning_randomness(&self) -> BoxFuture<Result<Randomness, ChainFailure>> {
        self.chain.winning_randomness()
    }
}
