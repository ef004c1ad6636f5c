//! The chain and the verifier of the simulated world.

use std::collections::BTreeMap;

use sp_sched_core::effect::{ChainCall, PostToVerify, SealToVerify, UpdateToVerify};
use sp_sched_core::event::{ChainReply, Event};
use sp_types::{ChainEpoch, DeadlineIndex, PartitionIndex};

use super::{Happening, World};

/// What the chain has taken, and what the verifier was asked.
#[derive(Default)]
pub struct Outside {
    pub epoch: i64,
    pub pre_commits: BTreeMap<u64, (ChainCall, ChainEpoch)>,
    pub commits: BTreeMap<u64, (ChainCall, PartitionIndex)>,
    pub verified: u64,
    /// The chain takes calls and never answers.
    pub silent: bool,
}

pub const GOOD: &[u8] = b"good";

impl World {
    pub fn next_epoch(&mut self) {
        self.outside.epoch += 1;
        let epoch = ChainEpoch(self.outside.epoch);
        self.tell(Event::Epoch(epoch));
        self.after(1_000, Happening::Epoch);
    }

    pub fn chain_call(&mut self, sector: u64, call: ChainCall) {
        if self.outside.silent {
            return;
        }
        let now = ChainEpoch(self.outside.epoch);
        let mut byte = [0; 32];
        byte[0] = sector as u8;
        let reply = match &call {
            _ if self.dice.percent(self.faults.chain_fails) => {
                ChainReply::Failed { reason: "the node is syncing".to_owned() }
            }
            ChainCall::Ticket => ChainReply::Ticket { ticket: byte, epoch: now },
            ChainCall::PreCommit { .. } => {
                let first = (call.clone(), ChainEpoch(now.0 + 10));
                let known = self.outside.pre_commits.entry(sector).or_insert(first);
                assert_eq!(known.0, call, "one pre-commit per sector");
                ChainReply::PreCommitted { seed_epoch: known.1 }
            }
            ChainCall::Seed { epoch } => {
                if *epoch > now {
                    let wait_ms = (epoch.0 - now.0) as u64 * 1_000;
                    let reply = ChainReply::Seed { seed: byte, epoch: *epoch };
                    let life = self.life;
                    self.after(wait_ms, Happening::ToCore(life, Box::new(Event::Chain { sector, reply })));
                    return;
                }
                ChainReply::Seed { seed: byte, epoch: *epoch }
            }
            ChainCall::Commit { .. } => {
                let partition = PartitionIndex(self.outside.commits.len() as u32 / 2);
                let known = self.outside.commits.entry(sector).or_insert_with(|| (call.clone(), partition));
                assert_eq!(known.0, call, "one commit per sector");
                ChainReply::Committed { deadline: DeadlineIndex(0), partition: known.1 }
            }
        };
        self.tell_perhaps_twice(Event::Chain { sector, reply });
    }

    pub fn verify_seal(&mut self, seal: SealToVerify) {
        let good = seal.proof == GOOD;
        self.verdict(seal.attempt, good);
    }

    pub fn verify_update(&mut self, update: UpdateToVerify) {
        assert_ne!(update.comm_r_old, update.comm_r_new, "an update makes another replica");
        let good = update.proof == GOOD;
        self.verdict(update.attempt, good);
    }

    pub fn verify_post(&mut self, post: PostToVerify) {
        assert!(!post.sectors.is_empty(), "a proof is about sectors");
        let good = post.proof == GOOD;
        self.verdict(post.attempt, good);
    }

    fn verdict(&mut self, attempt: sp_types::AttemptId, good: bool) {
        self.outside.verified += 1;
        let undecided = self.dice.percent(self.faults.verifier_undecided);
        let verdict = if undecided { Err("the verifier was killed".to_owned()) } else { Ok(good) };
        self.tell_perhaps_twice(Event::Verified { attempt, verdict });
    }

    fn tell_perhaps_twice(&mut self, event: Event) {
        if self.dice.percent(self.faults.result_twice) {
            self.tell(event.clone());
        }
        self.tell(event);
    }
}
