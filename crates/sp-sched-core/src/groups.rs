//! Groups: PC1 of several sectors of one proof type start as one on a worker that interleaves their streams.
//!
//! A member is a held attempt whose room is taken: it brings its inputs and waits for its mates. As soon as as many are
//! there as the worker has streams, or the first one has waited for the time to fill, what is there starts.

use sp_types::{AttemptId, RegisteredSealProof, TaskKind, WorkerId};

use crate::account::Use;
use crate::core::Core;
use crate::event::Phase;
use crate::model::{AttemptState, Task, UnixMs};
use crate::queue::Class;
use crate::timers::Bell;
use crate::workers::Worker;

/// How far a member of a group that is being filled is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Filling {
    /// Its inputs are on their way.
    Coming,
    /// They have been there since.
    There(UnixMs),
}

impl Core {
    /// Does the worker start tasks of this class in groups? A worker that says nothing about streams does not.
    pub(crate) fn groups(&self, worker: &Worker, class: Class) -> bool {
        let on_cores = self.row(worker, class).gpu_utilization == 0.0;
        class.0 == TaskKind::PreCommit1 && worker.reg.pc1_streams > 1 && on_cores
    }

    /// A held attempt for which there is room waits for its mates.
    pub(crate) fn join_group(&mut self, id: AttemptId) {
        let Some((worker, host)) = self.attempt(id).map(|a| (a.worker.clone(), a.host.clone())) else { return };
        let progress = self.attempt(id).and_then(|a| self.progress_of(a));
        let there = progress.is_some_and(|p| p.phase == Phase::Prepared);
        let filling = if there { Filling::There(self.now) } else { Filling::Coming };
        let class = self.tasks.get(&id.task).and_then(|t| self.class_of(t));
        if let Some((live, class)) = self.live.get_mut(&id).zip(class) {
            live.filling = Some(filling);
            self.count_in(&worker, class, Use::Active, &[]);
        }
        // Its part among those that prepare is taken back when the host is summed up next.
        self.touch_host(&host);
    }

    /// The inputs of a member have come.
    pub(crate) fn is_there(&mut self, id: AttemptId) {
        let now = self.now;
        if let Some(live) = self.live.get_mut(&id).filter(|l| l.filling == Some(Filling::Coming)) {
            live.filling = Some(Filling::There(now));
            if let Some(worker) = self.attempt(id).map(|a| a.worker.clone()) {
                self.dirty.workers.insert(worker);
            }
        }
    }

    /// It will not start with its mates; the room that it took is given back.
    pub(crate) fn leave_group(&mut self, id: AttemptId) {
        let left = self.live.get_mut(&id).and_then(|live| live.filling.take()).is_some();
        if let Some(host) = self.attempt(id).filter(|_| left).map(|a| a.host.clone()) {
            self.touch_host(&host);
        }
    }

    /// Starts every group of the worker that is full or has waited for long enough.
    pub(crate) fn start_groups(&mut self, id: &WorkerId) {
        let Some(streams) = self.workers.get(id).map(|w| w.reg.pc1_streams as usize).filter(|n| *n > 1) else { return };
        let mut proofs: Vec<RegisteredSealProof> = self.filling_on(id).into_iter().map(|(proof, ..)| proof).collect();
        proofs.sort();
        proofs.dedup();
        for proof in proofs {
            while let Some(members) = self.group_to_start(id, proof, streams) {
                members.iter().for_each(|member| self.start_attempt(*member, members.clone()));
            }
        }
        if let Some(until) = self.filling_on(id).iter().filter_map(|(.., there)| *there).min() {
            let until = until.plus(self.config.group_fill_ms);
            if until > self.now {
                self.groups_until.insert((until, id.clone()));
                self.wind(until, Bell::Groups);
            }
        }
    }

    fn group_to_start(&self, id: &WorkerId, proof: RegisteredSealProof, streams: usize) -> Option<Vec<AttemptId>> {
        let there = self.filling_on(id).into_iter().filter(|(p, ..)| *p == proof);
        let mut there: Vec<(UnixMs, AttemptId)> = there.filter_map(|(_, id, there)| Some((there?, id))).collect();
        there.sort();
        let over = there.first()?.0.plus(self.config.group_fill_ms) <= self.now;
        there.truncate(streams);
        (over || there.len() == streams).then(|| there.into_iter().map(|(_, id)| id).collect())
    }

    /// Members that wait on this worker: proof type, attempt, and since when its inputs have been there.
    fn filling_on(&self, id: &WorkerId) -> Vec<(RegisteredSealProof, AttemptId, Option<UnixMs>)> {
        let member = |id: AttemptId| {
            let live = self.live.get(&id)?;
            self.attempt(id).filter(|a| a.held && a.state == AttemptState::Granted && live.orphan.is_none())?;
            let since = match live.filling? {
                Filling::Coming => None,
                Filling::There(since) => Some(since),
            };
            Some((self.class_of(self.tasks.get(&id.task)?)?.1, id, since))
        };
        self.lookup.on_worker(id).filter_map(member).collect()
    }

    /// Groups that have waited for long enough are looked at.
    pub(crate) fn groups_bell(&mut self) {
        while let Some((until, worker)) = self.groups_until.first().cloned() {
            if until > self.now {
                return self.wind(until, Bell::Groups);
            }
            self.groups_until.pop_first();
            self.dirty.workers.insert(worker);
        }
    }

    /// What a member waits for, in words; none: it is not one.
    pub(crate) fn group_in_words(&self, task: &Task, id: AttemptId, now: UnixMs) -> Option<String> {
        self.live.get(&id)?.filling?;
        let worker = self.attempt(id)?.worker.clone();
        let streams = self.workers.get(&worker)?.reg.pc1_streams;
        let proof = self.class_of(task)?.1;
        let members = self.filling_on(&worker).into_iter().filter(|(p, ..)| *p == proof);
        let there: Vec<UnixMs> = members.filter_map(|(.., there)| there).collect();
        let starts = there.iter().min().map(|since| since.plus(self.config.group_fill_ms).since(now).div_ceil(1_000));
        let starts = starts.map_or_else(String::new, |s| format!(", starts with what is there in {s} s"));
        Some(format!("waits for its group: {} of {streams} are there{starts}", there.len()))
    }
}
