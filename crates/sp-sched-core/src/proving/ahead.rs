//! Reading ahead: while a worker proves, its disks and its network are idle, so it reads the next partition already.

use sp_types::{GpuShare, Phase, WorkerId};

use super::drive::Place;
use super::job::{Part, PostId, PostJob, PostKind, Try};
use crate::core::Core;
use crate::model::Outcome;

impl Core {
    /// Whoever is done with one partition proves the next one, which it has read.
    pub(super) fn prove_what_was_read(&mut self) {
        let now = self.now;
        for (place, tried) in self.read_ahead() {
            if self.proves(&tried.worker).is_some() {
                continue;
            }
            let Some(part) = self.part_mut(place) else { continue };
            let index = part.index;
            if let Some(next) = part.find_mut(tried.attempt) {
                (next.ahead, next.since) = (false, now);
            }
            self.note_part(place.0, index);
            self.touch_host(&tried.host);
        }
    }

    /// Whoever has nothing to do is sooner done than a worker that has to prove another partition first.
    pub(super) fn hand_over_what_is_read(&mut self) {
        for (place, tried) in self.read_ahead() {
            let able = self.able_provers(place).into_iter().map(|w| &w.reg.worker);
            let idle = able.filter(|id| self.post_load(id) == 0).min().cloned();
            if let Some(idle) = idle {
                self.end_reading(place, &tried, "another worker is free");
                self.start_try(place, &idle);
            }
        }
    }

    /// What a worker that is to become empty has only read goes to others, if there are any.
    pub(super) fn take_from_the_cordoned(&mut self) {
        let cordoned = |id: &WorkerId| self.workers.get(id).is_some_and(|w| w.row.cordoned);
        let leaving: Vec<(Place, Try)> = self.read_ahead().into_iter().filter(|(_, t)| cordoned(&t.worker)).collect();
        for (place, tried) in leaving {
            if self.able_provers(place).iter().any(|w| !w.row.cordoned) {
                self.end_reading(place, &tried, "its worker is cordoned");
            }
        }
    }

    fn end_reading(&mut self, place: Place, tried: &Try, reason: &str) {
        self.note_try_end(place, tried, Outcome::Ended, reason);
        self.cancel_try(tried, reason);
        let Some(part) = self.part_mut(place) else { return };
        let index = part.index;
        part.tries.retain(|t| t.attempt != tried.attempt);
        self.note_part(place.0, index);
    }

    /// Who reads this partition while it proves another one, and on what it proves: the worker that is done first.
    pub(super) fn choose_reader(&self, place: Place) -> Option<(WorkerId, Vec<GpuShare>)> {
        let (job, part) = self.part(place)?;
        if !matches!(job.kind, PostKind::Window(_)) {
            return None;
        }
        let kind = job.kind.task();
        let able = self.able_provers(place).into_iter().map(|w| &w.reg.worker);
        let reads_nothing = able.filter(|id| part.failures_on(id) == 0 && self.post_load(id) == 1);
        let proving = reads_nothing.filter_map(|id| Some((id, self.proves(id).filter(|t| is_proving(t))?)));
        let first = proving.min_by_key(|(id, tried)| (self.try_done_at(kind, tried), (*id).clone()));
        first.map(|(id, tried)| (id.clone(), tried.gpus.clone()))
    }

    /// What a worker proves. A rehearsal and a check make room for whatever waits.
    pub(super) fn proves(&self, worker: &WorkerId) -> Option<&Try> {
        let urgent = self.posts.values().filter(|job| job.is_urgent());
        urgent.flat_map(PostJob::running).map(|(_, t)| t).find(|t| t.worker == *worker)
    }

    fn read_ahead(&self) -> Vec<(Place, Try)> {
        let of_part = |id: PostId, at: usize, part: &Part| {
            part.tries.iter().filter(|t| t.ahead).map(|t| ((id, at), t.clone())).collect::<Vec<_>>()
        };
        let of_job = |(id, job): (&PostId, &PostJob)| {
            job.parts.iter().enumerate().flat_map(|(at, part)| of_part(*id, at, part)).collect::<Vec<_>>()
        };
        self.posts.iter().flat_map(of_job).collect()
    }
}

/// It has read everything. What is said of it is a heartbeat old.
pub(super) fn is_proving(tried: &Try) -> bool {
    tried.progress.as_ref().is_some_and(|progress| progress.phase == Phase::Running)
}
