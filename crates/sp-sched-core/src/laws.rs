//! The laws that can be judged from the state alone, checked after steps where debug assertions are on.

use std::collections::BTreeMap;

use sp_invariants::{HostUse, Law, bounded, check, ends_before_live};
use sp_types::StoreId;

use crate::core::Core;
use crate::model::AttemptState;
use crate::resources::sum;

/// So many things are looked at after every step. With more of them fewer steps are checked, so that a check costs each
/// step the same, however much there is: a build with its checks on is what demo and tests run, and many users.
const THINGS: usize = 512;

impl Core {
    /// Is this one of the steps that are checked?
    pub(crate) fn laws_due(&self) -> bool {
        let things = self.tasks.len() + self.sectors.len() + self.fences.len() + self.workers.len();
        self.config.check_laws && self.steps.is_multiple_of(1 + (things / THINGS) as u64)
    }

    pub(crate) fn check_laws(&self) {
        self.check_accounts();
        self.check_windows();
        self.check_promises();
        for (id, task) in &self.tasks {
            let lowest = task.attempts.iter().map(|a| a.id.number).min();
            let ended = self.fences.get(id).map_or(0, |f| f.row.up_to_number);
            check!(Law::L5, ends_before_live(ended, lowest), "task {id}: ended up to {ended}, {lowest:?} lives");
            let room = bounded(task.attempts.len(), self.config.attempts_limit);
            check!(Law::L12, room, "task {id} has {} attempts", task.attempts.len());
            let of = task.sector;
            check!(Law::L2, self.is_wanted(task), "task {id} ({}) of sector {of:?} is not wanted any more", task.kind);
            let known = task.attempts.iter().all(|a| self.live.contains_key(&a.id));
            check!(Law::L5, known, "task {id} has an attempt that memory has forgotten");
        }
        for (id, worker) in &self.workers {
            let held = self.lookup.on_worker(id).filter(|a| self.attempt(*a).is_some_and(|a| a.held));
            check!(Law::L5, held.eq(self.lookup.held_on(id)), "{id}: attempts that wait for room are not those kept");
            let strangers = worker.reports.ids().find(|a| self.attempt(*a).is_none_or(|a| a.worker != *id));
            check!(Law::L12, strangers.is_none(), "{id} still reports {strangers:?}, which it has not");
        }
        let attempts: usize = self.tasks.values().map(|t| t.attempts.len()).sum();
        check!(Law::L5, self.live.len() == attempts, "{} attempts in memory, {attempts} in rows", self.live.len());
        check!(Law::L12, self.sectors.values().all(|s| bounded(s.log.len(), 1_000)), "a sector's log is too long");
        check!(Law::L12, self.data_cids_are_bounded(), "{} commitments are asked for", self.data_cids.len());
        let fences = self.fences.keys().filter(|id| !self.tasks.contains_key(id)).count();
        check!(Law::L12, bounded(fences, self.config.fences_limit), "{fences} fences of tasks that are over");
    }

    /// A bound task is in exactly one window, waits nowhere else, and is counted.
    fn check_windows(&self) {
        for (id, binding) in &self.bound {
            let windows = self.workers.get(&binding.worker).map(|w| w.windows.as_slice()).unwrap_or_default();
            let times = windows.iter().flat_map(|w| &w.tasks).filter(|b| b.task == *id).count();
            check!(Law::L5, times == 1, "task {id} is in {times} windows of {}", binding.worker);
            check!(Law::L5, !self.queue.contains(*id), "task {id} is bound and queued");
        }
        let windows = self.workers.values().flat_map(|w| &w.windows);
        let inside: usize = windows.map(|w| w.tasks.len()).sum();
        check!(Law::L5, inside == self.bound.len(), "{inside} tasks in windows, {} bound", self.bound.len());
        for worker in self.workers.values() {
            let counted: u32 = worker.bound_counts.values().sum();
            let inside: usize = worker.windows.iter().map(|w| w.tasks.len()).sum();
            check!(Law::L5, counted as usize == inside, "{}: {counted} counted, {inside} bound", worker.reg.name);
            check!(Law::L12, bounded(worker.windows.len(), self.config.windows), "too many windows");
            for window in &worker.windows {
                let anew = window.tasks.iter().fold(HostUse::default(), |used, b| sum(used, b.takes));
                let (name, kept) = (&worker.reg.name, window.used());
                check!(Law::L5, kept == anew, "a window of {name}: {kept:?} kept, {anew:?} counted");
            }
        }
    }

    /// What is promised of the stores is what bound tasks and attempts that wait for their space are to write.
    fn check_promises(&self) {
        let mut anew: BTreeMap<&StoreId, u64> = BTreeMap::new();
        let attempts = self.tasks.values().flat_map(|t| &t.attempts).filter(|a| a.state == AttemptState::Reserving);
        let slots = attempts.flat_map(|a| &a.outputs).chain(self.bound.values().flat_map(|b| &b.outputs));
        for slot in slots.filter(|s| s.reserved_bytes > 0) {
            *anew.entry(&slot.store).or_default() += slot.reserved_bytes;
        }
        let kept: BTreeMap<&StoreId, u64> = self.asked.iter().filter(|(_, n)| **n > 0).map(|(s, n)| (s, *n)).collect();
        check!(Law::L5, kept == anew, "{kept:?} promised, {anew:?} counted");
    }
}
