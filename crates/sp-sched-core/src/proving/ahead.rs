//! Reading ahead: while a worker proves, its disks and its network are idle, so it reads the next partition already.

use std::collections::BTreeSet;

use sp_types::{GpuShare, Phase, WorkerId};

use super::drive::Place;
use super::job::{Part, PostId, PostJob, PostKind, Try};
use super::loads::Loads;
use crate::core::Core;
use crate::model::Outcome;

impl Core {
    /// Whoever is done with one partition proves the next one, which it has read.
    pub(super) fn prove_what_was_read(&mut self) {
        let now = self.now;
        let read = self.read_ahead();
        if read.is_empty() {
            return;
        }
        let urgent = self.posts.values().filter(|job| job.is_urgent());
        let proving: BTreeSet<WorkerId> = urgent.flat_map(PostJob::running).map(|(_, t)| t.worker.clone()).collect();
        for (place, tried) in read.into_iter().filter(|(_, tried)| !proving.contains(&tried.worker)) {
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
    pub(super) fn hand_over_what_is_read(&mut self, loads: &mut Loads) {
        for (place, tried) in self.read_ahead() {
            let able = self.able_provers(place).into_iter().map(|w| &w.reg.worker);
            let failed = |id: &WorkerId| self.part(place).is_none_or(|(_, part)| part.failures_on(id) > 0);
            let idle = able.filter(|id| loads.of(id) == 0 && !failed(id)).min().cloned();
            if let Some(idle) = idle {
                self.end_reading(place, &tried, "another worker is free");
                self.give(place, idle, loads);
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
    pub(super) fn choose_reader(&self, place: Place, loads: &mut Loads) -> Option<(WorkerId, Vec<GpuShare>)> {
        let (job, part) = self.part(place)?;
        if loads.readers.is_empty() || !matches!(job.kind, PostKind::Window(_)) {
            return None;
        }
        let able: BTreeSet<&WorkerId> = self.able_provers(place).into_iter().map(|w| &w.reg.worker).collect();
        let fit = |id: &WorkerId| able.contains(id) && part.failures_on(id) == 0;
        let first = loads.readers.iter().position(|(id, _)| fit(id))?;
        Some(loads.readers.remove(first))
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
