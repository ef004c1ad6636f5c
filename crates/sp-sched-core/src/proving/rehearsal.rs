//! Rehearsals: in idle time the partitions of the next hours are proven under made-up randomness, so that what would be
//! skipped, refused or late is known while it can be mended. Nothing of it reaches the chain, and nothing is durable.

use std::collections::BTreeMap;

use sp_chain::{CHALLENGE_LOOKBACK, DEADLINE_EPOCHS, Opening};
use sp_types::{ChainEpoch, DeadlineIndex, ErrorCode, WorkerId};

use super::call::PostSector;
use super::job::{Part, PostId, PostJob, PostKind, Skipped, Try};
use crate::core::Core;
use crate::effect::Effect;
use crate::model::UnixMs;
use crate::workers::Worker;

/// Openings after the present one whose partitions are rehearsed: four hours of them.
pub(super) const REHEARSED_AHEAD: usize = 8;

/// How the newest rehearsal of a partition went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rehearsal {
    /// Which deadline.
    pub deadline: DeadlineIndex,
    /// First epoch of the opening that it was for.
    pub open: ChainEpoch,
    /// Index in the deadline.
    pub partition: u32,
    /// When it ended.
    pub at: UnixMs,
    /// From the reading to the verdict.
    pub took_ms: u64,
    /// Name of the worker; empty if it has failed.
    pub worker: String,
    /// Sectors that would be skipped, rising, with the reason.
    pub skipped: Vec<(u64, String)>,
    /// Why there was no proof.
    pub failure: Option<String>,
}

/// What is known from rehearsals.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rehearsals {
    /// By first epoch of the opening and partition.
    done: BTreeMap<(ChainEpoch, u32), Rehearsal>,
    /// Workers that have had their part for now: until when.
    rested: BTreeMap<WorkerId, UnixMs>,
}

impl Core {
    /// How the partitions of the next hours have done, the soonest first.
    pub fn rehearsals(&self) -> impl Iterator<Item = &Rehearsal> {
        self.day.rehearsals.done.values()
    }

    /// How many openings are watched beside the present one.
    pub(super) fn openings_ahead(&self, recoveries: usize) -> usize {
        if self.config.rehearse_percent > 0 { REHEARSED_AHEAD.max(recoveries) } else { recoveries }
    }

    /// A new epoch: what is to be proven in earnest needs no rehearsal, and what was is forgotten with its opening.
    pub(super) fn turn_rehearsals(&mut self, head: ChainEpoch) {
        if self.config.rehearse_percent == 0 {
            return;
        }
        let present = Opening::current(head).open;
        self.day.rehearsals.done.retain(|(open, _), _| *open >= present);
        self.day.rehearsals.rested.retain(|_, until| *until > self.now);
        let in_earnest = |open: ChainEpoch| Opening::current(open).challenge <= head;
        self.stop_rehearsals(in_earnest, "its randomness is drawn");
        self.replan = true;
    }

    /// Gives partitions that were not rehearsed yet to workers that have nothing else to do.
    pub(super) fn rehearse(&mut self) {
        let is_waiting = |(id, job): (&PostId, &PostJob)| !id.is_rehearsal() && job.parts.iter().any(Part::waits);
        if self.config.rehearse_percent == 0 || self.posts.iter().any(is_waiting) {
            return;
        }
        let earnest = self.next_in_earnest();
        while let Some(worker) = self.idle_prover(earnest) {
            let Some((opening, partition, sectors, lost)) = self.next_to_rehearse() else { return };
            let id = PostId::Rehearsal(opening.open, partition);
            let randomness = self.config.any_challenge(opening.open, self.now);
            self.begin_post(id, PostKind::Rehearsal(opening.index), randomness, vec![(partition, sectors)]);
            if let Some(part) = self.part_mut((id, 0)) {
                part.lost = lost;
            }
            self.start_try((id, 0), &worker);
        }
    }

    /// When the next randomness is drawn under which anything is to be proven.
    fn next_in_earnest(&self) -> Option<UnixMs> {
        let ahead = self.day.watched().filter(|watched| watched.opening.challenge > self.epoch);
        let states = ahead.filter_map(|watched| watched.state.as_ref());
        let some = states.filter(|state| state.partitions.iter().any(|p| !p.to_prove().is_empty()));
        some.map(|state| {
            let epoch_ms = state.closes.since(state.opens) / DEADLINE_EPOCHS as u64;
            UnixMs(state.opens.0.saturating_sub(epoch_ms * CHALLENGE_LOOKBACK as u64))
        })
        .min()
    }

    /// A worker that does nothing, on a host where nobody does, and that will be done before it is needed: stopped in the
    /// middle it would lose its hot parameters just then.
    fn idle_prover(&self, earnest: Option<UnixMs>) -> Option<WorkerId> {
        let (now, lease_ms, kind) = (self.now, self.config.lease_ms, PostKind::Rehearsal(DeadlineIndex(0)).task());
        let rests = |w: &Worker| self.day.rehearsals.rested.get(&w.reg.worker).is_some_and(|until| *until > now);
        let able = |w: &&Worker| w.accepts(kind) && w.available(now, lease_ms) && !w.reg.builtin && !w.row.cordoned;
        let proves = |w: &Worker| self.posts.values().flat_map(PostJob::tries).any(|(_, t)| t.host == w.reg.host);
        let in_time = |w: &Worker| earnest.is_none_or(|earnest| now.plus(self.post_ms(kind, &w.reg.host)) < earnest);
        let idle =
            |w: &&Worker| !rests(w) && !proves(w) && in_time(w) && self.lookup.on_host(&w.reg.host).next().is_none();
        self.workers.values().filter(able).find(idle).map(|w| w.reg.worker.clone())
    }

    /// The soonest that was not rehearsed, of those whose randomness is not drawn.
    fn next_to_rehearse(&self) -> Option<(Opening, u32, Vec<PostSector>, Skipped)> {
        let ahead = self.day.watched().filter(|watched| watched.opening.challenge > self.epoch);
        let partitions = ahead.flat_map(|watched| {
            let partitions = watched.state.iter().flat_map(|state| &state.partitions);
            partitions.map(move |partition| (watched.opening, partition))
        });
        let is_new = |opening: &Opening, partition: u32| {
            let is_done = self.day.rehearsals.done.contains_key(&(opening.open, partition));
            !is_done && !self.posts.contains_key(&PostId::Rehearsal(opening.open, partition))
        };
        let mut fresh = partitions.filter(|(opening, partition)| is_new(opening, partition.index));
        fresh.find_map(|(opening, partition)| {
            let (index, sectors, lost) = self.provable(partition);
            (!sectors.is_empty()).then_some((opening, index, sectors, lost))
        })
    }

    // === ends ===

    /// Everybody else comes first.
    pub(super) fn stop_rehearsals(&mut self, which: impl Fn(ChainEpoch) -> bool, reason: &str) {
        let of = |id: &PostId| matches!(id, PostId::Rehearsal(open, _) if which(*open));
        for id in self.posts.keys().copied().filter(of).collect::<Vec<_>>() {
            self.drop_post(id, reason);
        }
    }

    /// A worker that has rehearsed rests until the time it took is its part of the whole.
    pub(crate) fn rest_after(&mut self, tried: &Try) {
        let part = self.config.rehearse_percent.clamp(1, 100);
        let rest_ms = self.now.since(tried.since).saturating_mul(100 - part) / part;
        self.day.rehearsals.rested.insert(tried.worker.clone(), self.now.plus(rest_ms));
    }

    /// There is a proof, and the verifier has accepted it, or nothing could be read.
    pub(super) fn rehearsed(&mut self, open: ChainEpoch, job: &PostJob) {
        let Some((part, done)) = job.parts.first().and_then(|part| Some((part, part.done.as_ref()?))) else { return };
        let mut skipped: Skipped = done.skipped.iter().chain(&part.lost).cloned().collect();
        skipped.sort();
        self.note_rehearsal(Rehearsal {
            deadline: DeadlineIndex(job.kind.deadline()),
            open,
            partition: part.index,
            at: self.now,
            took_ms: done.took_ms,
            worker: done.worker.clone(),
            skipped,
            failure: None,
        });
    }

    /// There is none. A worker that was lost says nothing about the partition: it is rehearsed again.
    pub(super) fn rehearsal_failed(&mut self, id: PostId, worker: &WorkerId, reason: &str) {
        let (now, lease_ms) = (self.now, self.config.lease_ms);
        if self.workers.get(worker).is_some_and(|w| w.available(now, lease_ms)) {
            self.fail_post(id, ErrorCode::Unavailable, reason);
        } else {
            self.drop_post(id, reason);
        }
    }

    pub(super) fn note_failed_rehearsal(&mut self, open: ChainEpoch, job: &PostJob, message: &str) {
        let Some(part) = job.parts.first() else { return };
        self.note_rehearsal(Rehearsal {
            deadline: DeadlineIndex(job.kind.deadline()),
            open,
            partition: part.index,
            at: self.now,
            took_ms: self.now.since(job.started),
            worker: String::new(),
            skipped: part.lost.clone(),
            failure: Some(message.to_owned()),
        });
    }

    fn note_rehearsal(&mut self, rehearsal: Rehearsal) {
        if let Some(trouble) = rehearsal.trouble() {
            self.out.push(Effect::Alert { message: trouble });
        }
        self.day.rehearsals.done.insert((rehearsal.open, rehearsal.partition), rehearsal);
    }
}

impl Rehearsal {
    /// What the chain would miss if nothing is done; none if all is well.
    pub fn trouble(&self) -> Option<String> {
        let what = format!("rehearsal of deadline {}, partition {}", self.deadline, self.partition);
        if let Some(reason) = &self.failure {
            return Some(format!("{what}: no proof: {reason}"));
        }
        let sectors: Vec<String> = self.skipped.iter().map(|(number, why)| format!("{number} ({why})")).collect();
        (!sectors.is_empty()).then(|| format!("{what}: would be skipped: sectors {}", sectors.join(", ")))
    }
}
