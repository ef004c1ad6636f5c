//! What a worker says of its attempts with every heartbeat. Kept with the worker, all in one place: a heartbeat that
//! tells of nothing new is compared and noted without looking anything else up.

use sp_types::{AttemptId, Phase, SessionId, WorkerId};

use crate::core::Core;
use crate::effect::Effect;
use crate::event::Progress;
use crate::model::{Attempt, AttemptState, UnixMs};

/// The newest report of one attempt.
#[derive(Debug, Clone)]
struct Report {
    progress: Progress,
    seen: UnixMs,
    /// The attempt goes on as it did when it was reported: the next report is taken down and that is all.
    steady: bool,
}

/// Reports of one worker's attempts, rising.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reports(Vec<Report>);

impl Reports {
    fn at(&self, id: AttemptId) -> Result<usize, usize> {
        self.0.binary_search_by_key(&id, |report| report.progress.attempt)
    }

    fn get(&self, id: AttemptId) -> Option<&Report> {
        self.at(id).ok().map(|at| &self.0[at])
    }

    /// Takes down the report of an attempt that goes on as it did. Whatever something may follow from is given back.
    fn note(&mut self, now: UnixMs, progress: Progress) -> Option<Progress> {
        let at = self.at(progress.attempt).ok().filter(|at| {
            let before = &self.0[*at];
            // Whatever is prepared waits for a word, which may have been lost.
            before.steady && before.progress.phase == progress.phase && progress.phase != Phase::Prepared
        });
        let Some(at) = at else { return Some(progress) };
        self.0[at] = Report { progress, seen: now, steady: true };
        None
    }

    fn put(&mut self, now: UnixMs, progress: Progress) {
        let at = self.at(progress.attempt);
        let report = Report { progress, seen: now, steady: true };
        match at {
            Ok(at) => self.0[at] = report,
            Err(at) => self.0.insert(at, report),
        }
    }

    fn drop(&mut self, id: AttemptId) {
        if let Ok(at) = self.at(id) {
            self.0.remove(at);
        }
    }

    fn unsettle(&mut self, id: AttemptId) {
        if let Ok(at) = self.at(id) {
            self.0[at].steady = false;
        }
    }

    /// Attempts of which something was said at this time.
    fn seen_at(&self, now: UnixMs) -> usize {
        self.0.iter().filter(|report| report.seen == now).count()
    }

    /// Every attempt of which something is known.
    pub(crate) fn ids(&self) -> impl Iterator<Item = AttemptId> {
        self.0.iter().map(|report| report.progress.attempt)
    }
}

impl Core {
    /// How far the attempt is, as its worker said last.
    pub(crate) fn progress_of(&self, attempt: &Attempt) -> Option<&Progress> {
        Some(&self.workers.get(&attempt.worker)?.reports.get(attempt.id)?.progress)
    }

    /// When the worker last listed the attempt, or was last sent it.
    pub(crate) fn seen(&self, attempt: &Attempt) -> UnixMs {
        let sent = self.live.get(&attempt.id).map(|live| live.seen).unwrap_or_default();
        let report = self.workers.get(&attempt.worker).and_then(|w| w.reports.get(attempt.id));
        report.map_or(sent, |report| report.seen.max(sent))
    }

    /// A heartbeat lists what the worker has.
    pub(crate) fn on_reports(&mut self, worker: &WorkerId, attempts: Vec<Progress>) {
        let now = self.now;
        let Some(known) = self.workers.get_mut(worker) else { return };
        let news: Vec<Progress> =
            attempts.into_iter().filter_map(|progress| known.reports.note(now, progress)).collect();
        for progress in news {
            self.on_progress(worker, progress);
        }
        let listed = self.workers.get(worker).map_or(0, |known| known.reports.seen_at(now));
        if listed < self.lookup.count_on(worker) {
            self.watch_unlisted(worker);
        }
    }

    /// Attempts that the worker has just not listed may have been lost on their way to it.
    fn watch_unlisted(&mut self, worker: &WorkerId) {
        let attempts = self.lookup.on_worker(worker).filter_map(|id| self.attempt(id));
        let unlisted: Vec<AttemptId> = attempts.filter(|a| self.seen(a) < self.now).map(|a| a.id).collect();
        unlisted.into_iter().for_each(|id| self.wind_attempt(id));
    }

    fn on_progress(&mut self, worker: &WorkerId, progress: Progress) {
        let id = progress.attempt;
        if self.post_progress(worker, &progress) {
            return;
        }
        let mine = |a: &&Attempt| a.worker == *worker && a.state == AttemptState::Granted;
        let Some(attempt) = self.attempt(id).filter(mine) else {
            // Of one that has a result the worker presents it again: only then is it known what of it counts.
            let reason = "this attempt has ended".to_owned();
            return self.out.push(Effect::Cancel { worker: worker.clone(), attempt: id, reason });
        };
        let waits = progress.phase == Phase::Prepared;
        let host = attempt.host.clone();
        // The word to start was lost on its way.
        let start = (waits && !attempt.held).then(|| (attempt.gpus.clone(), attempt.group.clone()));
        let before = self.progress_of(attempt).and_then(|p| p.phase.memory_most_bytes());
        let shrinks = before != progress.phase.memory_most_bytes();
        if let Some(live) = self.live.get_mut(&id) {
            live.resends = 0;
        }
        if let Some(known) = self.workers.get_mut(worker) {
            known.reports.put(self.now, progress);
        }
        if self.bring_back(id) {
            self.log_attempt(id, "back", "its worker renews its lease again");
            self.dirty.workers.insert(worker.clone());
        }
        if shrinks {
            // Whoever waits for memory there is looked at in this very step.
            self.touch_host(&host);
        }
        if let Some((gpus, group)) = start {
            self.out.push(Effect::Start { worker: worker.clone(), attempt: id, gpus, group });
        }
        if waits {
            self.is_there(id);
        }
        self.wind_attempt(id);
    }

    /// Something has become of the attempt: its next report is looked at.
    pub(crate) fn unsettle_report(&mut self, worker: &WorkerId, id: AttemptId) {
        if let Some(known) = self.workers.get_mut(worker) {
            known.reports.unsettle(id);
        }
    }

    /// It is over.
    pub(crate) fn drop_report(&mut self, worker: &WorkerId, id: AttemptId) {
        if let Some(known) = self.workers.get_mut(worker) {
            known.reports.drop(id);
        }
    }

    /// A new process may have to do a part again, and says anew how far it is. Call before any room is counted: what was
    /// nearly done took less of it.
    pub(crate) fn forget_progress(&mut self, worker: &WorkerId, id: AttemptId, session: &SessionId) {
        let Some(live) = self.live.get(&id) else { return };
        if live.sent.as_ref().is_none_or(|(before, _)| before != session) {
            self.drop_report(worker, id);
        }
    }
}
