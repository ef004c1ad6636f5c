//! What a worker or a host has, may take and has in use, for `--json`.

use serde::Serialize;
use sp_types::{GpuDevice, GpuId, HostCapacity, WorkerLimits};

/// What there is.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Capacity {
    memory_bytes: u64,
    memory_used_bytes: u64,
    swap_bytes: u64,
    swap_used_bytes: u64,
    cpus: u32,
    /// Names, one for each device.
    gpus: Vec<String>,
    devices: Vec<Device>,
    /// Tasks may be given these devices.
    gpus_usable: bool,
}

#[derive(Debug, Clone, Serialize)]
struct Device {
    id: String,
    name: String,
    index: u32,
    memory_bytes: u64,
    memory_used_bytes: u64,
    healthy: bool,
    /// A task computes on it.
    in_use: bool,
}

/// What a worker may take; null is no limit.
#[derive(Debug, Serialize)]
pub(super) struct Limits {
    cpus: Option<u32>,
    memory_bytes: Option<u64>,
    gpus: Option<Vec<String>>,
}

/// What tasks take.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Used {
    pub(super) cpus: u32,
    pub(super) memory_min_bytes: u64,
    pub(super) memory_max_bytes: u64,
    pub(super) gpus: f64,
    /// Ids of the devices that they compute on.
    pub(super) devices: Vec<String>,
}

impl Capacity {
    /// `in_use` are the ids of the devices that tasks compute on.
    pub(super) fn new(capacity: &HostCapacity, in_use: &[String]) -> Self {
        let HostCapacity { memory_bytes, memory_used_bytes, swap_bytes, swap_used_bytes, cpus, gpus, gpus_usable } =
            capacity.clone();
        Self {
            memory_bytes,
            memory_used_bytes,
            swap_bytes,
            swap_used_bytes,
            cpus,
            gpus: gpus.iter().map(|gpu| gpu.name.clone()).collect(),
            devices: gpus.into_iter().map(|gpu| Device::new(gpu, in_use)).collect(),
            gpus_usable,
        }
    }
}

impl Device {
    fn new(gpu: GpuDevice, in_use: &[String]) -> Self {
        let GpuDevice { id, name, index, memory_bytes, memory_used_bytes, healthy } = gpu;
        let (id, in_use) = (id.to_string(), in_use.iter().any(|used| used == id.as_str()));
        Self { id, name, index, memory_bytes, memory_used_bytes, healthy, in_use }
    }
}

impl From<WorkerLimits> for Limits {
    fn from(WorkerLimits { cpus, memory_bytes, gpus }: WorkerLimits) -> Self {
        let gpus = gpus.map(|ids| ids.iter().map(ToString::to_string).collect());
        Self { cpus, memory_bytes, gpus }
    }
}

impl Used {
    /// A task computes on this device.
    pub(super) fn has_device(&self, id: &GpuId) -> bool {
        self.devices.iter().any(|used| used == id.as_str())
    }

    /// Adds what the tasks of another worker take.
    pub(super) fn add(&mut self, other: &Self) {
        self.cpus = self.cpus.saturating_add(other.cpus);
        self.memory_min_bytes = self.memory_min_bytes.saturating_add(other.memory_min_bytes);
        self.memory_max_bytes = self.memory_max_bytes.saturating_add(other.memory_max_bytes);
        self.gpus += other.gpus;
        self.devices.extend(other.devices.iter().cloned());
        self.devices.sort();
        self.devices.dedup();
    }
}
