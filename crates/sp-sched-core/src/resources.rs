//! What a task takes of a host, and why it does not fit beside what runs there (`spec/lotus.md` 1.6, checks 3 to 6).

use std::fmt;

use sp_invariants::HostUse;
use sp_types::{ByteSize, HostCapacity, ResourceRow};

/// A resource of a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Resource {
    /// Physical memory.
    Memory,
    /// Physical memory and swap.
    VirtualMemory,
    /// Threads.
    Cores,
    /// Shares of GPUs.
    Gpus,
}

/// A resource of which there is not enough left.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shortage {
    /// Which one.
    pub resource: Resource,
    /// What the task needs: bytes, threads or shares.
    pub needed: f64,
    /// What is free.
    pub free: f64,
    /// What there is in all.
    pub all: f64,
}

impl Resource {
    /// Stable name for programs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::VirtualMemory => "virtual-memory",
            Self::Cores => "cores",
            Self::Gpus => "gpus",
        }
    }
}

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { resource, needed, free, all } = *self;
        let bytes = |n: f64| ByteSize(n as u64);
        match resource {
            Resource::Memory => {
                write!(f, "needs {} of memory, {} of {} free", bytes(needed), bytes(free), bytes(all))
            }
            Resource::VirtualMemory => {
                write!(f, "needs {} of virtual memory, {} of {} free", bytes(needed), bytes(free), bytes(all))
            }
            Resource::Cores => {
                let cores = if needed == 1.0 { "core" } else { "cores" };
                write!(f, "needs {needed} {cores}, {free} of {all} free")
            }
            Resource::Gpus if all == 0.0 => write!(f, "needs {needed:.2} GPU, and none of its GPUs answers"),
            Resource::Gpus => write!(f, "needs {needed:.2} GPU, {free:.2} of {all} free"),
        }
    }
}

/// What a task takes on such a machine. Bases of running tasks are not counted, as in Lotus.
pub(crate) fn demand(row: &ResourceRow, capacity: &HostCapacity) -> HostUse {
    HostUse {
        cpus: row.threads(capacity.cpus, capacity.usable_gpus().count()),
        memory_min_bytes: row.min_memory_bytes,
        memory_max_bytes: row.max_memory_bytes,
        gpus: row.gpu_utilization,
    }
}

pub(crate) fn sum(one: HostUse, other: HostUse) -> HostUse {
    HostUse {
        cpus: one.cpus.saturating_add(other.cpus),
        memory_min_bytes: one.memory_min_bytes.saturating_add(other.memory_min_bytes),
        memory_max_bytes: one.memory_max_bytes.saturating_add(other.memory_max_bytes),
        gpus: one.gpus + other.gpus,
    }
}

/// Free amounts beside what is used: memory, virtual memory, cores, GPUs.
#[derive(Debug, Clone, Copy)]
struct Free {
    memory: u64,
    virtual_memory: u64,
    cores: u32,
    gpus: f64,
}

fn free(used: HostUse, capacity: &HostCapacity) -> Free {
    let all = capacity.memory_bytes.saturating_add(capacity.swap_bytes);
    let taken = capacity.memory_used_bytes.saturating_add(capacity.swap_used_bytes).max(used.memory_max_bytes);
    Free {
        memory: capacity.memory_bytes.saturating_sub(used.memory_min_bytes),
        virtual_memory: all.saturating_sub(taken),
        cores: capacity.cpus.saturating_sub(used.cpus),
        gpus: (capacity.usable_gpus().count() as f64 - used.gpus).max(0.0),
    }
}

/// Why a task with this row does not fit beside what is used; none when it does. Shares of GPUs are added up here,
/// whichever device they are of: right for an idle machine, and good enough for what is not given its devices yet.
pub(crate) fn shortage(row: &ResourceRow, used: HostUse, capacity: &HostCapacity) -> Option<Shortage> {
    shortage_but_gpus(row, used, capacity).or_else(|| {
        let (all, free) = (capacity.usable_gpus().count(), free(used, capacity).gpus);
        let needed = row.gpu_utilization;
        // Sums of tenths are not exact; a share of a billionth is nothing.
        let short = (all > 0 || capacity.lost_all_gpus()) && needed > 0.0 && needed > free + 1e-9;
        short.then_some(Shortage { resource: Resource::Gpus, needed, free, all: all as f64 })
    })
}

/// The same without a look at GPUs.
pub(crate) fn shortage_but_gpus(row: &ResourceRow, used: HostUse, capacity: &HostCapacity) -> Option<Shortage> {
    let (free, base) = (free(used, capacity), row.base_min_memory_bytes);
    let short = |resource, needed, free, all| Some(Shortage { resource, needed, free, all });
    let need = row.min_memory_bytes.saturating_add(base);
    if need > free.memory {
        return short(Resource::Memory, need as f64, free.memory as f64, capacity.memory_bytes as f64);
    }
    let need = row.max_memory_bytes.saturating_add(base);
    if need > free.virtual_memory {
        let all = capacity.memory_bytes.saturating_add(capacity.swap_bytes);
        return short(Resource::VirtualMemory, need as f64, free.virtual_memory as f64, all as f64);
    }
    let threads = row.threads(capacity.cpus, capacity.usable_gpus().count());
    if threads > free.cores {
        return short(Resource::Cores, f64::from(threads), f64::from(free.cores), f64::from(capacity.cpus));
    }
    None
}

/// May a small task start before a bigger one that waits for room? Only if the bigger one does not lose by it: nothing
/// of what it lacks is taken, and of everything else it still has enough. GPUs are looked at one by one, elsewhere.
pub(crate) fn may_pass(small: &ResourceRow, waiting: &ResourceRow, used: HostUse, capacity: &HostCapacity) -> bool {
    let before = free(used, capacity);
    let after = free(sum(used, demand(small, capacity)), capacity);
    let gpus = capacity.usable_gpus().count();
    let keeps = |need: f64, before: f64, after: f64| after >= need || after >= before;
    let base = waiting.base_min_memory_bytes;
    keeps((waiting.min_memory_bytes + base) as f64, before.memory as f64, after.memory as f64)
        && keeps((waiting.max_memory_bytes + base) as f64, before.virtual_memory as f64, after.virtual_memory as f64)
        && keeps(f64::from(waiting.threads(capacity.cpus, gpus)), f64::from(before.cores), f64::from(after.cores))
}

/// Lotus's utilisation: the fullest of the four resources.
pub(crate) fn utilisation(used: HostUse, capacity: &HostCapacity) -> f64 {
    let part = |used: f64, all: f64| if all > 0.0 { used / all } else { 0.0 };
    let memory = used.memory_min_bytes.max(capacity.memory_used_bytes);
    let all_virtual = capacity.memory_bytes.saturating_add(capacity.swap_bytes);
    let taken = capacity.memory_used_bytes.saturating_add(capacity.swap_used_bytes).max(used.memory_max_bytes);
    part(f64::from(used.cpus), f64::from(capacity.cpus))
        .max(part(memory as f64, capacity.memory_bytes as f64))
        .max(part(taken as f64, all_virtual as f64))
        .max(part(used.gpus, capacity.usable_gpus().count() as f64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use sp_types::{ResourceTable, SectorSize, TaskKind};

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

    fn reason(row: &ResourceRow, used: HostUse, capacity: &HostCapacity) -> String {
        shortage(row, used, capacity).map(|s| s.to_string()).unwrap_or_default()
    }

    #[test]
    fn two_pc1_fill_lotus_s_example_host_and_pc2_takes_all_cores() {
        let capacity = host(32, 128, 200, 0);
        let one = demand(&row(TaskKind::PreCommit1), &capacity);
        assert_eq!(shortage(&row(TaskKind::PreCommit1), one, &capacity), None);
        let text = reason(&row(TaskKind::PreCommit1), sum(one, one), &capacity);
        assert_eq!(text, "needs 56.01 GiB of memory, 16 GiB of 128 GiB free");
        let pc2 = demand(&row(TaskKind::PreCommit2), &capacity);
        assert_eq!(pc2.cpus, 29);
        let four_pc1_threads = HostUse { cpus: 4, ..HostUse::default() };
        let text = reason(&row(TaskKind::PreCommit2), four_pc1_threads, &capacity);
        assert_eq!(text, "needs 29 cores, 28 of 32 free");
    }

    #[test]
    fn gpus_are_shared_by_parts_and_missed_gpus_do_not_matter() {
        let half = ResourceRow { gpu_utilization: 0.5, ..ResourceRow::default() };
        let capacity = host(8, 8, 0, 1);
        let used = |gpus| HostUse { gpus, ..HostUse::default() };
        assert_eq!(shortage(&half, used(0.5), &capacity), None);
        assert_eq!(reason(&half, used(0.6), &capacity), "needs 0.50 GPU, 0.40 of 1 free");
        assert_eq!(shortage(&half, used(7.0), &host(8, 8, 0, 0)), None);
        // It had one: that is not the same as computing on cores for hours.
        let mut lost = capacity;
        lost.gpus[0].healthy = false;
        assert_eq!(reason(&half, used(0.0), &lost), "needs 0.50 GPU, and none of its GPUs answers");
    }

    #[test]
    fn a_small_task_passes_a_big_one_only_where_that_loses_nothing() {
        let capacity = host(32, 128, 200, 0);
        let pc1 = demand(&row(TaskKind::PreCommit1), &capacity);
        // PC2 needs the 29 cores that are left: what takes one would make it wait, what takes none would not.
        let (large, three) = (host(32, 512, 0, 0), sum(pc1, sum(pc1, pc1)));
        assert!(!may_pass(&row(TaskKind::PreCommit1), &row(TaskKind::PreCommit2), three, &large));
        assert!(may_pass(&row(TaskKind::Finalize), &row(TaskKind::PreCommit2), three, &large));
        // A third PC1 waits for memory; AP would take of that very memory.
        assert!(!may_pass(&row(TaskKind::AddPiece), &row(TaskKind::PreCommit1), sum(pc1, pc1), &capacity));
    }

    #[test]
    fn utilisation_is_the_fullest_resource() {
        let capacity = host(10, 10, 0, 2);
        let used = HostUse { cpus: 1, memory_min_bytes: 2 * GIB, memory_max_bytes: 3 * GIB, gpus: 1.0 };
        assert_eq!(utilisation(used, &capacity), 0.5);
        assert_eq!(utilisation(HostUse::default(), &HostCapacity::default()), 0.0);
    }
}
