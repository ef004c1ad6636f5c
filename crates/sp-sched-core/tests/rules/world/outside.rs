//! The chain and the verifier of the simulated world.

use std::collections::BTreeMap;

use sp_chain::{Assignment, Claim, Ledger, OpeningRecord, Standing};
use sp_sched_core::effect::{ChainCall, PostToVerify, SealToVerify, UpdateToVerify};
use sp_sched_core::event::{ChainReply, Event};
use sp_sched_core::model::{UnixMs, WinRow};
use sp_sched_core::proving::call::{OpeningState, ProvingCall, ProvingReply, Submission, Won};
use sp_types::{ChainEpoch, DeadlineIndex, Randomness};

use super::{Happening, World};

/// What the chain has taken, and what the verifier was asked.
pub struct Outside {
    pub epoch: i64,
    pub pre_commits: BTreeMap<u64, (ChainCall, ChainEpoch)>,
    pub commits: BTreeMap<u64, ChainCall>,
    pub verified: u64,
    /// The chain takes calls and never answers.
    pub silent: bool,
    /// Partitions of two, all of deadline 0.
    pub ledger: Ledger,
    /// Times the chain has taken back what it has said about randomness.
    pub reorganised: u8,
    /// Proofs of epochs that were won, each with the epoch in which it came.
    pub won: BTreeMap<ChainEpoch, (i64, WinRow)>,
    /// What was handed in, in order: epoch and submission.
    pub submitted: Vec<(i64, Submission)>,
}

impl Default for Outside {
    fn default() -> Self {
        Self {
            epoch: 0,
            pre_commits: BTreeMap::new(),
            commits: BTreeMap::new(),
            verified: 0,
            silent: false,
            ledger: Ledger::new(Assignment::Pack(DeadlineIndex(0)), 2),
            reorganised: 0,
            won: BTreeMap::new(),
            submitted: Vec::new(),
        }
    }
}

pub const GOOD: &[u8] = b"good";

/// When the world began, ms since the Unix epoch.
pub const BEGAN: u64 = 1_000_000;

impl World {
    pub fn next_epoch(&mut self) {
        self.outside.epoch += 1;
        let epoch = ChainEpoch(self.outside.epoch);
        self.outside.ledger.advance(epoch);
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
                let known = self.outside.commits.entry(sector).or_insert_with(|| call.clone());
                assert_eq!(*known, call, "one commit per sector");
                let (deadline, partition) = self.outside.ledger.place(sector, now).0;
                ChainReply::Committed { deadline, partition }
            }
        };
        self.tell_perhaps_twice(Event::Chain { sector, reply });
    }

    pub fn proving_call(&mut self, call: ProvingCall) {
        if self.outside.silent {
            return;
        }
        let (id, now) = (call.id(), ChainEpoch(self.outside.epoch));
        let reply = match call {
            // Where nothing goes wrong nothing is drawn: the chain is asked all the time.
            _ if self.faults.chain_fails > 0 && self.dice.percent(self.faults.chain_fails) => {
                ProvingReply::Failed { reason: "the node is syncing".to_owned() }
            }
            ProvingCall::Ask(opening) => {
                let drawn = opening.challenge <= now;
                // An epoch lasts a second, and the first one began when the world did.
                let time = |epoch: ChainEpoch| UnixMs(BEGAN.saturating_add_signed(epoch.0 * 1_000));
                ProvingReply::State(Box::new(OpeningState {
                    randomness: drawn.then(|| self.drawn(opening.challenge)),
                    opens: time(opening.open),
                    closes: time(opening.close),
                    partitions: self.outside.ledger.partitions(opening),
                }))
            }
            ProvingCall::Submit(submission) => {
                self.outside.submitted.push((now.0, (*submission).clone()));
                self.judge(*submission)
            }
            ProvingCall::Recover { opening, sectors } => match self.outside.ledger.recover(opening, &sectors, now) {
                Ok(_) => ProvingReply::Accepted,
                Err(refusal) => ProvingReply::Refused { reason: refusal.to_string() },
            },
            // One epoch in ten is won.
            ProvingCall::Elect(epoch) => ProvingReply::Election(self.won(epoch)),
            ProvingCall::Win(win) => {
                assert_eq!((&win.proof[..], Some(win.sector.0)), (GOOD, self.won(win.epoch).map(|won| won.sector)));
                assert_eq!(self.database.wins.get(&win.epoch), Some(&*win), "it is durable before anybody sees it");
                let first = self.outside.won.entry(win.epoch).or_insert_with(|| (now.0, (*win).clone()));
                assert_eq!(first.1, *win, "one proof for an epoch");
                ProvingReply::Accepted
            }
            ProvingCall::Terminate { sectors, .. } => {
                self.outside.ledger.terminate(&sectors);
                ProvingReply::Accepted
            }
        };
        match self.faults.result_twice {
            0 => self.tell(Event::Proving { id, reply }),
            _ => self.tell_perhaps_twice(Event::Proving { id, reply }),
        }
    }

    fn won(&self, epoch: ChainEpoch) -> Option<Won> {
        let sector = self.outside.ledger.sectors().next().map(|(number, _)| number)?;
        (epoch.0 % 10 == 0).then(|| Won { randomness: Randomness::new([epoch.0 as u8; 32]), sector })
    }

    fn drawn(&self, challenge: ChainEpoch) -> Randomness {
        let mut bytes = [self.outside.reorganised; 32];
        bytes[..8].copy_from_slice(&challenge.0.to_le_bytes());
        Randomness::new(bytes)
    }

    fn judge(&mut self, submission: Submission) -> ProvingReply {
        let now = ChainEpoch(self.outside.epoch);
        let Submission { opening, partition, randomness, sectors, skipped, proof } = submission;
        assert_eq!(proof, GOOD, "nothing goes to the chain that was not verified");
        let sectors = sectors.into_iter().map(|(number, ..)| number).collect();
        let claim = Claim { opening, partition, sectors, skipped, digest: [1; 32] };
        let stale = randomness != self.drawn(opening.challenge);
        match self.outside.ledger.check(&claim, now) {
            Ok(_) if stale => ProvingReply::Refused { reason: "other randomness".to_owned() },
            Ok(Standing::Known) => ProvingReply::Accepted,
            Ok(Standing::Open) => {
                self.outside.ledger.accept(&claim, now);
                ProvingReply::Accepted
            }
            Err(refusal) => ProvingReply::Refused { reason: refusal.to_string() },
        }
    }

    /// What the chain has on record of deadline 0, the newest opening first.
    pub fn records(&self) -> Vec<OpeningRecord> {
        self.outside.ledger.records().cloned().collect()
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
