//! Proofs on their way to the chain: partition by partition, once the deadline is open, and again until it has them.

use super::call::{ProvingCall, ProvingReply, Submission};
use super::drive::Place;
use super::job::{Handed, Part, PostId, PostJob};
use crate::core::Core;
use crate::effect::Effect;

impl Core {
    /// Hands in what is proven, if the deadline is open.
    pub(crate) fn submit_ready(&mut self, id: PostId) {
        let PostId::Opening(open) = id else { return };
        // After a restart the chain may have what was proven before.
        if !self.day.get(open).is_some_and(|watched| watched.state.is_some() && watched.opening.is_open(self.epoch)) {
            return;
        }
        let Some(job) = self.posts.get(&id) else { return };
        let ready = |part: &Part| part.done.is_some() && part.handed == Handed::No && part.again_at <= self.now;
        let ready: Vec<usize> = (0..).zip(&job.parts).filter(|(_, p)| ready(p)).map(|(at, _)| at).collect();
        ready.into_iter().for_each(|at| self.submit((id, at)));
    }

    fn submit(&mut self, place: Place) {
        let PostId::Opening(open) = place.0 else { return };
        let again = self.now.plus(self.config.answer_wait_ms);
        let Some(opening) = self.day.get(open).map(|watched| watched.opening) else { return };
        let Some((job, part)) = self.part(place) else { return };
        let (randomness, partition, skipped) = (job.randomness, part.index, part.skipped());
        let Some(done) = &part.done else { return };
        let (sectors, proof) = (done.sectors.clone(), done.proof.clone());
        let submission = Submission { opening, partition, randomness, sectors, skipped, proof };
        if let Some(part) = self.part_mut(place) {
            part.handed = Handed::Asked { again };
        }
        self.out.push(Effect::Proving(ProvingCall::Submit(Box::new(submission))));
    }

    /// The chain has taken a proof, or has not.
    pub(crate) fn on_submitted(&mut self, id: PostId, index: u32, reply: ProvingReply) {
        let (now, retry_wait_ms) = (self.now, self.config.retry_wait_min_ms);
        let Some(at) = self.posts.get(&id).and_then(|job| job.parts.iter().position(|p| p.index == index)) else {
            return;
        };
        let Some(part) = self.part_mut((id, at)).filter(|part| matches!(part.handed, Handed::Asked { .. })) else {
            return;
        };
        match reply {
            ProvingReply::Accepted => {
                part.handed = Handed::Accepted;
                if let PostId::Opening(open) = id {
                    self.note_taken(open);
                }
                self.end_if_taken(id);
            }
            // It is true what the verifier has found, so the chain has something else in mind than was proven.
            ProvingReply::Refused { reason } => {
                part.retries.push(format!("the chain: {reason}"));
                (part.done, part.handed) = (None, Handed::No);
                part.again_at = now.plus(retry_wait_ms);
                self.note_part(id, index);
                self.replan = true;
                if let PostId::Opening(open) = id {
                    self.ask_opening_anew(open);
                }
            }
            ProvingReply::Failed { .. } | ProvingReply::State(_) | ProvingReply::Election(_) => {
                part.handed = Handed::No;
                part.again_at = now.plus(retry_wait_ms);
            }
        }
    }

    /// Time has come for a partition that is proven and not on the chain.
    pub(crate) fn hand_in_again(&mut self, place: Place) {
        let now = self.now;
        if let Some(part) = self.part_mut(place)
            && matches!(part.handed, Handed::Asked { again } if again <= now)
        {
            part.handed = Handed::No;
        }
        self.submit_ready(place.0);
    }

    fn end_if_taken(&mut self, id: PostId) {
        let taken = |job: &PostJob| job.parts.iter().all(|part| part.handed == Handed::Accepted);
        if self.posts.get(&id).is_some_and(taken) {
            self.note_parts(id);
            self.posts.remove(&id);
            self.untidy.append(&mut self.homes.being_read);
            self.replan = true;
        }
    }
}

impl Part {
    /// Numbers of the sectors that were to be proven and are not, rising.
    fn skipped(&self) -> Vec<u64> {
        let mut numbers: Vec<u64> = self.problems.iter().chain(&self.lost).map(|(number, _)| *number).collect();
        numbers.sort_unstable();
        numbers
    }
}
