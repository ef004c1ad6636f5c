//! What tasks take of a host (`spec/lotus.md` 1.6): checks and utilisation.

use std::collections::HashMap;

use sp_types::{HostCapacity, ResourceRow, TaskKind};

/// Sums of what was taken, and how many tasks of each kind took it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Account {
    cpus: u32,
    memory_min_bytes: u64,
    memory_max_bytes: u64,
    gpus: f64,
    counts: HashMap<TaskKind, u32>,
}

impl Account {
    /// The checks 1 and 3 to 6.
    pub(crate) fn can_handle(&self, kind: TaskKind, row: &ResourceRow, host: &HostCapacity) -> bool {
        let count = self.counts.get(&kind).copied().unwrap_or(0);
        if row.max_concurrent > 0 && count >= row.max_concurrent {
            return false;
        }
        let base = row.base_min_memory_bytes;
        if row.min_memory_bytes + base > host.memory_bytes.saturating_sub(self.memory_min_bytes) {
            return false;
        }
        let taken = self.memory_max_bytes.max(host.memory_used_bytes + host.swap_used_bytes);
        if row.max_memory_bytes + base > (host.memory_bytes + host.swap_bytes).saturating_sub(taken) {
            return false;
        }
        if self.cpus + row.threads(host.cpus, host.gpus.len()) > host.cpus {
            return false;
        }
        let gpus = host.gpus.len() as f64;
        host.gpus.is_empty() || row.gpu_utilization <= 0.0 || self.gpus + row.gpu_utilization <= gpus + 1e-9
    }

    /// Takes it.
    pub(crate) fn add(&mut self, kind: TaskKind, row: &ResourceRow, host: &HostCapacity) {
        self.cpus += row.threads(host.cpus, host.gpus.len());
        self.memory_min_bytes += row.min_memory_bytes;
        self.memory_max_bytes += row.max_memory_bytes;
        self.gpus += row.gpu_utilization;
        *self.counts.entry(kind).or_default() += 1;
    }

    /// The fullest resource.
    pub(crate) fn utilisation(&self, host: &HostCapacity) -> f64 {
        let part = |used: f64, all: f64| if all > 0.0 { used / all } else { 0.0 };
        let memory = self.memory_min_bytes.max(host.memory_used_bytes);
        let taken = self.memory_max_bytes.max(host.memory_used_bytes + host.swap_used_bytes);
        part(f64::from(self.cpus), f64::from(host.cpus))
            .max(part(memory as f64, host.memory_bytes as f64))
            .max(part(taken as f64, (host.memory_bytes + host.swap_bytes) as f64))
            .max(part(self.gpus, host.gpus.len() as f64))
    }
}
