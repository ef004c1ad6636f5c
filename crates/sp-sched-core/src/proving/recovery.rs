//! Faults that are over: two deadlines ahead every faulty sector is read, and what can be read is declared to recover.

use sp_types::ChainEpoch;

use super::call::PostSector;
use super::call::{ProvingCall, ProvingReply};
use super::job::{Part, PostId, PostJob, PostKind};
use crate::core::Core;
use crate::effect::Effect;

/// Sectors that could not be read are read again after so many epochs.
const CHECK_EVERY: i64 = 20;

impl Core {
    /// Reads the faulty sectors of an opening, unless that was done not long ago.
    pub(crate) fn check_lost(&mut self, open: ChainEpoch) {
        let (id, head) = (PostId::Recovery(open), self.epoch);
        let Some((watched, state)) = self.day.get(open).and_then(|w| Some((w, w.state.as_ref()?))) else { return };
        let lately = watched.checked.is_some_and(|at| head.0 < at.0 + CHECK_EVERY);
        if lately || self.posts.contains_key(&id) {
            return;
        }
        let deadline = watched.opening.index;
        let readable = |numbers: &mut dyn Iterator<Item = u64>| -> Vec<PostSector> {
            numbers.filter_map(|number| self.post_sector(number)).collect()
        };
        let parts = state.partitions.iter().map(|partition| (partition.index, readable(&mut partition.lost())));
        let parts: Vec<_> = parts.filter(|(_, sectors)| !sectors.is_empty()).collect();
        if parts.is_empty() {
            return;
        }
        if let Some(watched) = self.day.get_mut(open) {
            watched.checked = Some(head);
        }
        let randomness = self.config.any_challenge(open, self.now);
        self.begin_post(id, PostKind::Check(deadline), randomness, parts);
    }

    /// The faulty sectors have been read.
    pub(crate) fn lost_checked(&mut self, open: ChainEpoch, job: &PostJob) {
        let good =
            |part: &Part| part.without(&part.problems).into_iter().map(|(number, ..)| number).collect::<Vec<_>>();
        let mut sectors: Vec<u64> = job.parts.iter().flat_map(good).collect();
        sectors.sort_unstable();
        if let Some(opening) = self.day.get(open).map(|watched| watched.opening).filter(|_| !sectors.is_empty()) {
            self.out.push(Effect::Proving(ProvingCall::Recover { opening, sectors }));
        }
    }

    /// The chain knows that they recover, or does not.
    pub(crate) fn on_recovery(&mut self, open: ChainEpoch, reply: &ProvingReply) {
        if !matches!(reply, ProvingReply::Accepted) {
            self.check_lost_again(open);
        }
    }

    /// With the next answer about the opening.
    pub(crate) fn check_lost_again(&mut self, open: ChainEpoch) {
        if let Some(watched) = self.day.get_mut(open) {
            watched.checked = None;
        }
    }
}
