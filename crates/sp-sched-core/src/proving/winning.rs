//! Epochs that were won: one proof each, durable before the chain sees it, and never another one.

use sp_types::ChainEpoch;

use super::call::{ProvingCall, ProvingReply, Won};
use super::day::Day;
use super::job::{PostId, PostJob, PostKind};
use crate::core::Core;
use crate::effect::Effect;
use crate::model::{UnixMs, WinRow};

/// Proofs that are kept: nobody asks for an older one.
const KEPT: usize = 1_000;

/// A proof that the chain has not taken yet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Unanswered {
    /// When it is handed in again.
    again: UnixMs,
    /// From then on it is of no use.
    until: UnixMs,
}

impl Day {
    /// When a proof has to be handed in again.
    pub(crate) fn wins_due(&self) -> Option<UnixMs> {
        self.wins.values().map(|win| win.again.min(win.until)).min()
    }
}

impl Core {
    /// Asks whether the epoch was won.
    pub(crate) fn ask_election(&mut self) {
        if self.config.elections {
            self.out.push(Effect::Proving(ProvingCall::Elect(self.epoch)));
        }
    }

    /// It was. What was proven before a restart is handed in as it is.
    pub(crate) fn on_won(&mut self, epoch: ChainEpoch, won: Won) {
        let id = PostId::Won(epoch);
        if self.posts.contains_key(&id) || self.day.wins.contains_key(&epoch) {
            return;
        }
        if self.wins.contains_key(&epoch) {
            return self.hand_in_win(epoch, self.now.plus(self.config.win_limit_ms));
        }
        match self.post_sector(won.sector) {
            Some(sector) => self.begin_post(id, PostKind::Winning, won.randomness, vec![(0, vec![sector])]),
            None => {
                let (number, why) = (won.sector, self.why_not_provable(won.sector));
                let message = format!("epoch {epoch} was won in vain: sector {number} cannot be proven: {why}");
                self.out.push(Effect::Alert { message });
            }
        }
    }

    /// The proof is verified: it is kept, and only then handed in.
    pub(crate) fn keep_win(&mut self, epoch: ChainEpoch, job: &PostJob) {
        let done = job.parts.first().and_then(|part| part.done.as_ref());
        let Some((done, sector)) = done.and_then(|done| Some((done, *done.sectors.first()?))) else { return };
        if self.wins.contains_key(&epoch) {
            return;
        }
        let (randomness, proof) = (job.randomness, done.proof.clone());
        self.wins.insert(epoch, WinRow { epoch, randomness, sector, proof });
        self.out.wins.insert(epoch);
        while self.wins.len() > KEPT {
            self.out.wins.extend(self.wins.pop_first().map(|(oldest, _)| oldest));
        }
        self.hand_in_win(epoch, job.until);
    }

    fn hand_in_win(&mut self, epoch: ChainEpoch, until: UnixMs) {
        let again = self.now.plus(self.config.retry_wait_min_ms);
        if let Some(win) = self.wins.get(&epoch) {
            self.day.wins.insert(epoch, Unanswered { again, until });
            self.out.push(Effect::Proving(ProvingCall::Win(Box::new(win.clone()))));
        }
    }

    /// What is not answered is handed in again, until it is of no use any more.
    pub(crate) fn hand_in_wins(&mut self) {
        let due: Vec<(ChainEpoch, Unanswered)> = self
            .day
            .wins
            .iter()
            .filter(|(_, win)| win.again.min(win.until) <= self.now)
            .map(|(e, w)| (*e, *w))
            .collect();
        for (epoch, win) in due {
            if win.until > self.now {
                self.hand_in_win(epoch, win.until);
            } else {
                self.day.wins.remove(&epoch);
                let message = format!("epoch {epoch} was won in vain: the chain has not said that it has the proof");
                self.out.push(Effect::Alert { message });
            }
        }
    }

    /// The chain has taken the proof, or has not.
    pub(crate) fn on_win(&mut self, epoch: ChainEpoch, reply: ProvingReply) {
        if self.day.wins.contains_key(&epoch) {
            match reply {
                ProvingReply::Accepted => drop(self.day.wins.remove(&epoch)),
                ProvingReply::Refused { reason } => {
                    self.day.wins.remove(&epoch);
                    let message = format!("epoch {epoch} was won in vain: the chain does not take the proof: {reason}");
                    self.out.push(Effect::Alert { message });
                }
                // It is handed in again when its time comes.
                ProvingReply::Failed { .. } | ProvingReply::State(_) | ProvingReply::Election(_) => {}
            }
        }
    }
}
