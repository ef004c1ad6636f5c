//! What a host has, which GPUs are among it, and what one worker may take of it.

use std::fmt;

use crate::GpuId;
use serde::{Deserialize, Serialize};

/// One GPU of a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GpuDevice {
    /// UUID as its driver says it; where there is none, its PCI address.
    pub id: GpuId,
    /// Model, for people.
    pub name: String,
    /// Place in the driver's order when it was last seen; it may change when a device is lost, the id does not.
    pub index: u32,
    /// Memory, bytes; 0 where the driver does not say.
    pub memory_bytes: u64,
    /// Memory in use by whomever, bytes.
    pub memory_used_bytes: u64,
    /// It answers. A device that was there and is gone stays in the list and is not healthy.
    pub healthy: bool,
}

/// A GPU that a task was given, and how much of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GpuShare {
    /// Which.
    pub id: GpuId,
    /// Its place in the driver's order when it was given.
    pub index: u32,
    /// Part of the device: above 0, at most 1.
    pub share: f64,
}

impl fmt::Display for GpuShare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GPU {} ({})", self.index, self.id)
    }
}

/// What a host has, as one of its workers sees it: less what cgroups and visibility variables take away.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostCapacity {
    /// Physical memory, bytes, after cgroup limits.
    pub memory_bytes: u64,
    /// Memory in use by whomever, bytes; file cache that can be dropped is not.
    pub memory_used_bytes: u64,
    /// Swap, bytes.
    pub swap_bytes: u64,
    /// Swap in use, bytes.
    pub swap_used_bytes: u64,
    /// Cores this worker may use.
    pub cpus: u32,
    /// The GPUs, whether or not anything here computes on them.
    pub gpus: Vec<GpuDevice>,
    /// The worker's executors compute on GPUs. Else its GPUs are shown, and neither given to tasks nor counted.
    pub gpus_usable: bool,
}

/// What a worker may take of its host, as its operator says; none is no limit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerLimits {
    /// Cores.
    pub cpus: Option<u32>,
    /// Physical memory, bytes.
    pub memory_bytes: Option<u64>,
    /// GPUs; an empty list is no GPU at all.
    pub gpus: Option<Vec<GpuId>>,
}

impl HostCapacity {
    /// GPUs that tasks can be given: those that answer, and none where no executor computes on them.
    pub fn usable_gpus(&self) -> impl Iterator<Item = &GpuDevice> {
        self.gpus.iter().filter(|gpu| self.gpus_usable && gpu.healthy)
    }

    /// It has GPUs for tasks and none of them answers: not the same as a host without any, which computes on its cores.
    pub fn lost_all_gpus(&self) -> bool {
        self.gpus_usable && !self.gpus.is_empty() && self.gpus.iter().all(|gpu| !gpu.healthy)
    }

    /// The same cores and the same GPUs that answer: what a task takes of one it takes of the other, however much memory
    /// is there or in use.
    pub fn same_units(&self, other: &Self) -> bool {
        let unit = |gpu: &GpuDevice| (gpu.id.clone(), gpu.index, gpu.healthy);
        (self.cpus, self.gpus_usable) == (other.cpus, other.gpus_usable)
            && self.gpus.iter().map(unit).eq(other.gpus.iter().map(unit))
    }

    /// What of this host is left to a worker with these limits.
    ///
    /// Under a limit on memory the worker's share counts as unused: what others use is the host's account.
    pub fn limited(&self, limits: &WorkerLimits) -> Self {
        let mut share = self.clone();
        share.cpus = limits.cpus.map_or(share.cpus, |cpus| share.cpus.min(cpus));
        if let Some(limit) = limits.memory_bytes.filter(|limit| *limit < share.memory_bytes) {
            (share.memory_bytes, share.memory_used_bytes) = (limit, 0);
        }
        if let Some(allowed) = &limits.gpus {
            share.gpus.retain(|gpu| allowed.contains(&gpu.id));
        }
        share
    }

    /// Adds what another worker of the same host sees. Each sees its own part, so the most that anybody sees is what is
    /// there for sure; two that are confined to different cores see less than there is, never more. A device is
    /// healthy if it is for everybody.
    pub fn join(&mut self, other: &Self) {
        self.memory_bytes = self.memory_bytes.max(other.memory_bytes);
        self.memory_used_bytes = self.memory_used_bytes.max(other.memory_used_bytes);
        self.swap_bytes = self.swap_bytes.max(other.swap_bytes);
        self.swap_used_bytes = self.swap_used_bytes.max(other.swap_used_bytes);
        self.cpus = self.cpus.max(other.cpus);
        self.gpus_usable |= other.gpus_usable;
        for seen in &other.gpus {
            match self.gpus.iter_mut().find(|known| known.id == seen.id) {
                None => self.gpus.push(seen.clone()),
                Some(known) => {
                    known.healthy &= seen.healthy;
                    known.memory_bytes = known.memory_bytes.max(seen.memory_bytes);
                    known.memory_used_bytes = known.memory_used_bytes.max(seen.memory_used_bytes);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> GpuId {
        GpuId::new(text).expect("an id")
    }

    fn gpu(text: &str, healthy: bool) -> GpuDevice {
        let name = "NVIDIA H100".to_owned();
        GpuDevice { id: id(text), name, index: 0, memory_bytes: 80, memory_used_bytes: 1, healthy }
    }

    fn host(cpus: u32, memory_bytes: u64, gpus: Vec<GpuDevice>) -> HostCapacity {
        let gpus_usable = true;
        HostCapacity {
            cpus,
            memory_bytes,
            memory_used_bytes: memory_bytes / 2,
            gpus,
            gpus_usable,
            ..Default::default()
        }
    }

    fn ids(seen: &HostCapacity) -> Vec<&str> {
        seen.gpus.iter().map(|gpu| gpu.id.as_str()).collect()
    }

    #[test]
    fn only_healthy_gpus_of_a_worker_that_computes_on_them_are_usable() {
        let mut seen = host(1, 1, vec![gpu("GPU-a", true), gpu("GPU-b", false)]);
        assert_eq!((seen.usable_gpus().count(), seen.lost_all_gpus()), (1, false));
        seen.gpus[0].healthy = false;
        assert_eq!((seen.usable_gpus().count(), seen.lost_all_gpus()), (0, true));
        seen.gpus_usable = false;
        assert!(!seen.lost_all_gpus() && !host(1, 1, vec![]).lost_all_gpus());
    }

    #[test]
    fn a_limit_takes_away_and_never_adds() {
        let whole = host(8, 64, vec![gpu("GPU-a", true), gpu("GPU-b", true)]);
        assert_eq!(whole.limited(&WorkerLimits::default()), whole);
        let limits = |cpus, memory_bytes, gpus| WorkerLimits { cpus, memory_bytes, gpus };
        let share = whole.limited(&limits(Some(3), Some(16), Some(vec![id("GPU-b"), id("GPU-x")])));
        assert_eq!((share.cpus, share.memory_bytes, share.memory_used_bytes), (3, 16, 0));
        assert_eq!(ids(&share), ["GPU-b"]);
        let share = whole.limited(&limits(Some(99), Some(64), Some(vec![])));
        assert_eq!((share.cpus, share.memory_bytes, share.memory_used_bytes), (8, 64, 32));
        assert!(share.gpus.is_empty());
    }

    #[test]
    fn a_host_is_the_most_that_its_workers_see_and_each_device_once() {
        let mut all = host(4, 64, vec![gpu("GPU-a", true)]);
        all.join(&host(8, 16, vec![gpu("GPU-a", false), gpu("GPU-b", true)]));
        assert_eq!((all.cpus, all.memory_bytes), (8, 64));
        assert_eq!(ids(&all), ["GPU-a", "GPU-b"]);
        assert_eq!(all.usable_gpus().count(), 1);
        let mut first = HostCapacity::default();
        first.join(&all);
        assert_eq!(first, all);
    }
}
