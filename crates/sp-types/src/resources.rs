//! Resource rows: what a task needs of a host (`storiface/resources.go` semantics).

use crate::{SectorSize, TaskKind};

/// What one task needs. Memory in bytes; `max_parallelism` -1 means 92 % of the cores.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct ResourceRow {
    /// Physical memory, without the base.
    pub min_memory_bytes: u64,
    /// Virtual memory, without the base.
    pub max_memory_bytes: u64,
    /// Share of a GPU; 1.0 is a whole one.
    pub gpu_utilization: f64,
    /// Threads; -1 for 92 % of the cores.
    pub max_parallelism: i32,
    /// Threads when a GPU is used; 0 means as without.
    pub max_parallelism_gpu: i32,
    /// Memory that is needed once per task besides.
    pub base_min_memory_bytes: u64,
    /// Tasks of this kind and size at once on one worker; 0 is no limit.
    pub max_concurrent: u32,
}

/// What a host has.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct HostCapacity {
    /// Physical memory, bytes, after cgroup limits.
    pub memory_bytes: u64,
    /// Memory used by others, bytes.
    pub memory_used_bytes: u64,
    /// Swap, bytes.
    pub swap_bytes: u64,
    /// Swap in use, bytes.
    pub swap_used_bytes: u64,
    /// Cores this worker may use.
    pub cpus: u32,
    /// Names of the GPUs, one each.
    pub gpus: Vec<String>,
}

/// The rows of one worker: Lotus's table with the worker's overrides.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ResourceTable {
    overrides: Vec<(TaskKind, SectorSize, ResourceRow)>,
}

impl ResourceTable {
    /// A table with these rows; a row that comes twice counts as first given.
    pub fn new(overrides: Vec<(TaskKind, SectorSize, ResourceRow)>) -> Self {
        Self { overrides }
    }

    /// The row of a task at a sector size.
    pub fn row(&self, kind: TaskKind, size: SectorSize) -> ResourceRow {
        let found = self.overrides.iter().find(|(k, s, _)| (*k, *s) == (kind, size));
        found.map_or_else(ResourceRow::default, |(_, _, row)| *row)
    }
}
