//! What workers have to do while partitions are being given away: counted once, not for each of a thousand partitions.

use std::collections::{BTreeMap, BTreeSet};

use sp_invariants::HostUse;
use sp_types::{GpuShare, HostId, TaskKind, WorkerId};

use super::ahead::is_proving;
use super::job::{PostJob, PostKind};
use crate::core::Core;
use crate::model::UnixMs;
use crate::resources::sum;
use crate::workers::Worker;

/// Kept up to date while partitions are given away.
#[derive(Debug, Default)]
pub(super) struct Loads {
    /// Partitions that each worker has, those that it only reads among them.
    given: BTreeMap<WorkerId, usize>,
    /// What PoSt takes of each host.
    used: BTreeMap<HostId, HostUse>,
    /// Kinds that no worker has room for, where nothing speaks against anybody.
    pub(super) busy: BTreeSet<TaskKind>,
    /// Those that prove one partition and read none, and on what they prove: who is done first comes first.
    pub(super) readers: Vec<(WorkerId, Vec<GpuShare>)>,
}

impl Loads {
    pub(super) fn of(&self, worker: &WorkerId) -> usize {
        self.given.get(worker).copied().unwrap_or(0)
    }

    pub(super) fn used_of(&self, host: &HostId) -> HostUse {
        self.used.get(host).copied().unwrap_or_default()
    }

    /// The worker has one more.
    pub(super) fn add(&mut self, worker: &WorkerId) {
        *self.given.entry(worker.clone()).or_default() += 1;
    }

    /// It computes for one more.
    pub(super) fn occupy(&mut self, host: &HostId, takes: HostUse) {
        let used = self.used.entry(host.clone()).or_default();
        *used = sum(*used, takes);
    }
}

impl Core {
    pub(super) fn post_loads(&self) -> Loads {
        let mut loads = Loads::default();
        let proof = self.config.seal_proof();
        self.posts.values().flat_map(PostJob::given).for_each(|(_, run)| loads.add(&run.worker));
        let mut readers: Vec<(UnixMs, &WorkerId, &Vec<GpuShare>)> = Vec::new();
        for job in self.posts.values() {
            for (kind, run) in job.running() {
                loads.occupy(&run.host, self.takes(&run.worker, &run.host, (kind, proof)));
                // A rehearsal and a check make room for whatever waits.
                if matches!(job.kind, PostKind::Window(_)) && is_proving(run) && loads.of(&run.worker) == 1 {
                    readers.push((self.try_done_at(kind, run), &run.worker, &run.gpus));
                }
            }
        }
        readers.sort_by_key(|(done, worker, _)| (*done, (*worker).clone()));
        loads.readers = readers.into_iter().map(|(_, worker, gpus)| (worker.clone(), gpus.clone())).collect();
        loads
    }

    /// One that has nothing takes what it is given; of the others, whoever has what it needs.
    pub(super) fn has_room(&self, worker: &Worker, kind: TaskKind, loads: &Loads) -> bool {
        loads.of(&worker.reg.worker) == 0 || self.post_shortage(worker, kind, loads.used_of(&worker.reg.host)).is_none()
    }

    /// The worker is about to prove one more.
    pub(super) fn count_try(&self, worker: &WorkerId, kind: TaskKind, loads: &mut Loads) {
        loads.add(worker);
        if let Some(host) = self.workers.get(worker).map(|w| &w.reg.host) {
            loads.occupy(host, self.takes(worker, host, (kind, self.config.seal_proof())));
        }
    }
}
