//! What a sector asks of the chain, again and again until it is answered.

use sp_types::{ChainEpoch, SectorState};

use crate::core::Core;
use crate::effect::{ChainCall, Effect};
use crate::event::ChainReply;
use crate::model::UnixMs;
use crate::timers::Bell;

/// A chain call of a sector that is not answered yet.
#[derive(Debug, Clone)]
pub(crate) struct ChainWait {
    pub(crate) call: ChainCall,
    /// When to ask (again).
    pub(crate) ask_at: UnixMs,
    pub(crate) failures: u32,
    pub(crate) reason: String,
    /// It was asked, and has neither answered nor failed.
    asked: bool,
}

impl ChainWait {
    /// To be asked now.
    pub(crate) fn new(call: ChainCall, now: UnixMs) -> Self {
        Self { call, ask_at: now, failures: 0, reason: String::new(), asked: false }
    }

    /// May the chain still be silent? Before its epoch nobody knows a seed.
    fn may_be_silent(&self, head: ChainEpoch) -> bool {
        matches!(self.call, ChainCall::Seed { epoch } if head < epoch)
    }
}

impl Core {
    /// Asks, and asks again if no answer comes; calls are idempotent per sector. A silent chain is one that failed.
    pub(crate) fn ask_chain(&mut self, number: u64) {
        let (head, again) = (self.epoch, self.now.plus(self.config.answer_wait_ms));
        let Some(wait) = self.chain.get_mut(&number) else { return };
        if wait.asked && !wait.may_be_silent(head) {
            let reason = format!("no answer within {} s", self.config.answer_wait_ms / 1_000);
            let (call, failures) = (wait.call.clone(), wait.failures + 1);
            return self.chain_failed(number, &call, failures, reason);
        }
        wait.asked = true;
        wait.ask_at = again;
        let call = wait.call.clone();
        self.wind(again, Bell::Chain(number));
        self.out.push(Effect::Chain { sector: number, call });
    }

    /// Asks now, whatever the chain was asked before.
    pub(crate) fn ask_chain_anew(&mut self, number: u64) {
        let Some(wait) = self.chain.get_mut(&number) else { return };
        wait.asked = false;
        self.ask_chain(number);
    }

    pub(crate) fn on_chain(&mut self, number: u64, reply: ChainReply) {
        let Some(wait) = self.chain.get(&number) else { return };
        let (call, failures) = (wait.call.clone(), wait.failures);
        match (call, reply) {
            (call, ChainReply::Failed { reason }) => {
                return self.chain_failed(number, &call, failures.saturating_add(1), reason);
            }
            (ChainCall::Ticket, ChainReply::Ticket { ticket, epoch }) => {
                if let Some(sector) = self.sector_mut(number) {
                    sector.ticket = Some((ticket, epoch));
                }
                self.log(number, "ticket".to_owned(), format!("of epoch {epoch}"));
            }
            (ChainCall::PreCommit { .. }, ChainReply::PreCommitted { seed_epoch }) => {
                if let Some(sector) = self.sector_mut(number) {
                    sector.seed_epoch = Some(seed_epoch);
                    sector.trouble.counts.remove(&SectorState::PreCommitFailed);
                    (sector.failures, sector.last_error) = (0, String::new());
                }
                self.log(number, "pre-committed".to_owned(), format!("seed at epoch {seed_epoch}"));
            }
            (ChainCall::Seed { .. }, ChainReply::Seed { seed, epoch }) => {
                if let Some(sector) = self.sector_mut(number) {
                    sector.seed = Some((seed, epoch));
                }
            }
            (ChainCall::Commit { .. }, ChainReply::Committed { deadline, partition }) => {
                let next = self.sealed_state(number).unwrap_or(SectorState::Proving);
                let Some(sector) = self.sector_mut(number) else { return };
                sector.location = Some((deadline, partition));
                sector.trouble.counts.remove(&SectorState::CommitFailed);
                // With FinalizeEarly its files are as they are to stay.
                let early = sector.state == SectorState::SubmitCommit;
                let place = format!("deadline {deadline}, partition {partition}");
                self.advance(number, if early { next } else { SectorState::FinalizeSector }, None, &place);
            }
            // An answer to a call that is no longer asked.
            _ => return,
        }
        self.drive(number);
    }

    /// What is only read is asked for again, up to a limit; what was to be published has failed.
    fn chain_failed(&mut self, number: u64, call: &ChainCall, failures: u32, reason: String) {
        match call {
            ChainCall::PreCommit { .. } => return self.fail_phase(number, SectorState::PreCommitFailed, &reason),
            ChainCall::Commit { .. } => return self.fail_phase(number, SectorState::CommitFailed, &reason),
            ChainCall::Ticket | ChainCall::Seed { .. } if failures >= self.config.chain_retry_limit => {
                let reason = format!("the chain was asked {failures} times in vain, last: {reason}");
                return self.stop(number, SectorState::FailedUnrecoverable, &reason);
            }
            ChainCall::Ticket | ChainCall::Seed { .. } => {}
        }
        let ask_at = self.now.plus(self.config.retry_wait_ms(failures));
        if let Some(wait) = self.chain.get_mut(&number) {
            wait.failures = failures;
            wait.asked = false;
            wait.ask_at = ask_at;
            wait.reason = reason;
        }
        self.wind(ask_at, Bell::Chain(number));
    }
}
