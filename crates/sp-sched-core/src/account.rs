//! What a host has left (law L4): one account over all its workers, and one of each worker's own share.

use std::collections::BTreeMap;

use sp_invariants::HostUse;
use sp_types::{
    ByteSize, HostCapacity, HostId, RegisteredSealProof, ResourceRow, ResourceTable, StoreId, TaskKind, WorkerId,
};

use crate::core::Core;
use crate::model::{AttemptState, OutputSlot};
use crate::workers::Worker;

/// One thing that runs: where, and what it takes.
#[derive(Debug, Clone, Copy)]
struct Running<'a> {
    kind: TaskKind,
    proof: RegisteredSealProof,
    worker: &'a WorkerId,
    host: &'a HostId,
}

/// What a task takes on this worker. Bases of running tasks are not counted, as in Lotus.
fn demand(row: &ResourceRow, capacity: &HostCapacity) -> HostUse {
    HostUse {
        cpus: row.threads(capacity.cpus, capacity.usable_gpus().count()),
        memory_min_bytes: row.min_memory_bytes,
        memory_max_bytes: row.max_memory_bytes,
        gpus: row.gpu_utilization,
    }
}

fn sum(one: HostUse, other: HostUse) -> HostUse {
    HostUse {
        cpus: one.cpus.saturating_add(other.cpus),
        memory_min_bytes: one.memory_min_bytes.saturating_add(other.memory_min_bytes),
        memory_max_bytes: one.memory_max_bytes.saturating_add(other.memory_max_bytes),
        gpus: one.gpus + other.gpus,
    }
}

/// Why a task with this row does not fit beside what runs (`spec/lotus.md` 1.6, checks 3 to 6).
fn why_not(row: &ResourceRow, used: HostUse, capacity: &HostCapacity) -> Result<(), String> {
    let base = row.base_min_memory_bytes;
    let need = row.min_memory_bytes.saturating_add(base);
    let free = capacity.memory_bytes.saturating_sub(used.memory_min_bytes);
    if need > free {
        let (need, free, all) = (ByteSize(need), ByteSize(free), ByteSize(capacity.memory_bytes));
        return Err(format!("needs {need} of memory, {free} of {all} free"));
    }
    let need = row.max_memory_bytes.saturating_add(base);
    let all = capacity.memory_bytes.saturating_add(capacity.swap_bytes);
    let taken = capacity.memory_used_bytes.saturating_add(capacity.swap_used_bytes).max(used.memory_max_bytes);
    let free = all.saturating_sub(taken);
    if need > free {
        let (need, free, all) = (ByteSize(need), ByteSize(free), ByteSize(all));
        return Err(format!("needs {need} of virtual memory, {free} of {all} free"));
    }
    let threads = row.threads(capacity.cpus, capacity.usable_gpus().count());
    let free = capacity.cpus.saturating_sub(used.cpus);
    if threads > free {
        let cores = if threads == 1 { "core" } else { "cores" };
        return Err(format!("needs {threads} {cores}, {free} of {} free", capacity.cpus));
    }
    let gpus = capacity.usable_gpus().count();
    // Sums of tenths are not exact; a share of a billionth is nothing.
    if gpus > 0 && row.gpu_utilization > 0.0 && used.gpus + row.gpu_utilization > gpus as f64 + 1e-9 {
        let free = (gpus as f64 - used.gpus).max(0.0);
        return Err(format!("needs {:.2} GPU, {free:.2} of {gpus} free", row.gpu_utilization));
    }
    Ok(())
}

/// Lotus's utilisation: the fullest of the four resources.
fn utilisation(used: HostUse, capacity: &HostCapacity) -> f64 {
    let part = |used: f64, all: f64| if all > 0.0 { used / all } else { 0.0 };
    let memory = used.memory_min_bytes.max(capacity.memory_used_bytes);
    let all_virtual = capacity.memory_bytes.saturating_add(capacity.swap_bytes);
    let taken = capacity.memory_used_bytes.saturating_add(capacity.swap_used_bytes).max(used.memory_max_bytes);
    part(f64::from(used.cpus), f64::from(capacity.cpus))
        .max(part(memory as f64, capacity.memory_bytes as f64))
        .max(part(taken as f64, all_virtual as f64))
        .max(part(used.gpus, capacity.usable_gpus().count() as f64))
}

/// Who takes what, summed up once for a pass through the queue and kept up to date while it goes on.
#[derive(Debug, Clone, Default)]
pub(crate) struct Books {
    hosts: BTreeMap<HostId, (HostCapacity, HostUse)>,
    workers: BTreeMap<WorkerId, HostUse>,
    counts: BTreeMap<(WorkerId, TaskKind, RegisteredSealProof), u32>,
    asked: BTreeMap<StoreId, u64>,
}

impl Books {
    fn enter(&mut self, w: &WorkerId, host: &HostId, kind: TaskKind, proof: RegisteredSealProof, takes: HostUse) {
        let used = self.workers.entry(w.clone()).or_default();
        *used = sum(*used, takes);
        *self.counts.entry((w.clone(), kind, proof)).or_default() += 1;
        if let Some((_, used)) = self.hosts.get_mut(host) {
            *used = sum(*used, takes);
        }
    }

    /// Space that was asked for and that the store's figures cannot know of yet.
    pub(crate) fn ask(&mut self, slot: &OutputSlot) {
        *self.asked.entry(slot.store.clone()).or_default() += slot.reserved_bytes;
    }

    pub(crate) fn asked_bytes(&self, store: &StoreId) -> u64 {
        self.asked.get(store).copied().unwrap_or(0)
    }

    fn worker_used(&self, worker: &WorkerId) -> HostUse {
        self.workers.get(worker).copied().unwrap_or_default()
    }

    /// Is there room for one more task of this kind? If not, why.
    pub(crate) fn has_room(&self, worker: &Worker, kind: TaskKind, proof: RegisteredSealProof) -> Result<(), String> {
        let (reg, row) = (&worker.reg, worker.reg.resources.row(kind, proof.size));
        let count = self.counts.get(&(reg.worker.clone(), kind, proof)).copied().unwrap_or(0);
        if row.max_concurrent > 0 && count >= row.max_concurrent {
            return Err(format!("runs {count} {kind} already, its limit is {}", row.max_concurrent));
        }
        why_not(&row, self.worker_used(&reg.worker), &reg.capacity)?;
        let Some((capacity, used)) = self.hosts.get(&reg.host) else { return Ok(()) };
        why_not(&row, *used, capacity).map_err(|reason| format!("its host {reason}"))
    }

    pub(crate) fn utilisation(&self, worker: &Worker) -> f64 {
        utilisation(self.worker_used(&worker.reg.worker), &worker.reg.capacity)
    }
}

impl Core {
    fn sealing(&self) -> impl Iterator<Item = Running<'_>> {
        self.tasks.values().flat_map(|task| {
            let proof = self.sectors.get(&task.sector).map_or(self.config.seal_proof(), |s| s.seal_proof);
            task.attempts.iter().map(move |a| Running { kind: task.kind, proof, worker: &a.worker, host: &a.host })
        })
    }

    fn proving(&self) -> impl Iterator<Item = Running<'_>> {
        let proof = self.config.seal_proof();
        let running = self.posts.values().flat_map(|job| job.running());
        running.map(move |(kind, worker, host)| Running { kind, proof, worker, host })
    }

    fn used<'a>(&self, running: impl Iterator<Item = Running<'a>>) -> HostUse {
        running.fold(HostUse::default(), |used, one| {
            let worker = self.workers.get(one.worker);
            let row = worker.map_or_else(
                || ResourceTable::default().row(one.kind, one.proof.size),
                |w| w.reg.resources.row(one.kind, one.proof.size),
            );
            let capacity = worker.map(|w| w.reg.capacity.clone()).unwrap_or_default();
            sum(used, demand(&row, &capacity))
        })
    }

    /// What the host has: the most that any of its workers sees of it.
    fn host_capacity(&self, host: &HostId) -> HostCapacity {
        let mut all = HostCapacity::default();
        for w in self.workers.values().filter(|w| w.reg.host == *host) {
            all.join(&w.reg.capacity);
        }
        all
    }

    /// The books as they stand: everything given away, orphans included, for they may still run.
    pub(crate) fn books(&self) -> Books {
        let mut books = Books::default();
        for w in self.workers.values() {
            let host = &w.reg.host;
            if !books.hosts.contains_key(host) {
                books.hosts.insert(host.clone(), (self.host_capacity(host), HostUse::default()));
            }
        }
        for one in self.sealing().chain(self.proving()) {
            let takes = self.used(std::iter::once(one));
            books.enter(one.worker, one.host, one.kind, one.proof, takes);
        }
        let attempts = self.tasks.values().flat_map(|t| &t.attempts).filter(|a| a.state == AttemptState::Reserving);
        for slot in attempts.flat_map(|a| &a.outputs) {
            books.ask(slot);
        }
        books
    }

    /// Enters an attempt that was just placed.
    pub(crate) fn enter(&self, books: &mut Books, worker: &Worker, kind: TaskKind, proof: RegisteredSealProof) {
        let row = worker.reg.resources.row(kind, proof.size);
        let takes = demand(&row, &worker.reg.capacity);
        books.enter(&worker.reg.worker, &worker.reg.host, kind, proof, takes);
    }

    pub(crate) fn worker_used(&self, worker: &WorkerId) -> HostUse {
        self.used(self.sealing().chain(self.proving()).filter(|r| r.worker == worker))
    }

    /// Tasks of this kind and proof given to the worker.
    pub(crate) fn worker_count(&self, worker: &WorkerId, kind: TaskKind, proof: RegisteredSealProof) -> u32 {
        let mine = self.sealing().chain(self.proving()).filter(|r| r.worker == worker);
        let count = mine.filter(|r| (r.kind, r.proof) == (kind, proof)).count();
        u32::try_from(count).unwrap_or(u32::MAX)
    }

    /// The same for PoSt, which looks at PoSt only: sealing never delays it.
    pub(crate) fn has_post_room(&self, worker: &Worker, kind: TaskKind) -> Result<(), String> {
        let row = worker.reg.resources.row(kind, self.config.sector_size);
        let used = self.used(self.proving().filter(|r| *r.host == worker.reg.host));
        let capacity = HostCapacity { memory_used_bytes: 0, swap_used_bytes: 0, ..worker.reg.capacity.clone() };
        why_not(&row, used, &capacity)
    }

    /// Does what sealing takes of the host fit it? False may be the host's doing: it can shrink while it works.
    pub(crate) fn host_fits(&self, host: &HostId) -> bool {
        let used = self.used(self.sealing().filter(|r| r.host == host));
        sp_invariants::fits_host(used, &self.host_capacity(host))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sp_types::SectorSize;

    const GIB: u64 = 1 << 30;

    fn host(cpus: u32, memory: u64, swap: u64, gpus: usize) -> HostCapacity {
        let gpu = |n| sp_types::GpuDevice {
            id: sp_types::GpuId::new(format!("GPU-{n}")).expect("an id"),
            name: "gpu".into(),
            index: n as u32,
            memory_bytes: GIB,
            memory_used_bytes: 0,
            healthy: true,
        };
        HostCapacity {
            cpus,
            memory_bytes: memory * GIB,
            swap_bytes: swap * GIB,
            gpus: (0..gpus).map(gpu).collect(),
            gpus_usable: true,
            ..HostCapacity::default()
        }
    }

    fn row(kind: TaskKind) -> ResourceRow {
        ResourceTable::default().row(kind, SectorSize::GiB32)
    }

    #[test]
    fn two_pc1_fill_lotus_s_example_host_and_pc2_takes_all_cores() {
        let capacity = host(32, 128, 200, 0);
        let one = demand(&row(TaskKind::PreCommit1), &capacity);
        assert_eq!(why_not(&row(TaskKind::PreCommit1), one, &capacity), Ok(()));
        let reason = why_not(&row(TaskKind::PreCommit1), sum(one, one), &capacity).unwrap_err();
        assert_eq!(reason, "needs 56.01 GiB of memory, 16 GiB of 128 GiB free");
        let pc2 = demand(&row(TaskKind::PreCommit2), &capacity);
        assert_eq!(pc2.cpus, 29);
        let four_pc1_threads = HostUse { cpus: 4, ..HostUse::default() };
        let reason = why_not(&row(TaskKind::PreCommit2), four_pc1_threads, &capacity).unwrap_err();
        assert_eq!(reason, "needs 29 cores, 28 of 32 free");
    }

    #[test]
    fn gpus_are_shared_by_parts_and_missed_gpus_do_not_matter() {
        let half = ResourceRow { gpu_utilization: 0.5, ..ResourceRow::default() };
        let capacity = host(8, 8, 0, 1);
        let used = |gpus| HostUse { gpus, ..HostUse::default() };
        assert_eq!(why_not(&half, used(0.5), &capacity), Ok(()));
        assert_eq!(why_not(&half, used(0.6), &capacity).unwrap_err(), "needs 0.50 GPU, 0.40 of 1 free");
        assert_eq!(why_not(&half, used(7.0), &host(8, 8, 0, 0)), Ok(()));
    }

    #[test]
    fn utilisation_is_the_fullest_resource() {
        let capacity = host(10, 10, 0, 2);
        let used = HostUse { cpus: 1, memory_min_bytes: 2 * GIB, memory_max_bytes: 3 * GIB, gpus: 1.0 };
        assert_eq!(utilisation(used, &capacity), 0.5);
        assert_eq!(utilisation(HostUse::default(), &HostCapacity::default()), 0.0);
    }
}
