//! What a worker says of its host is looked at before anybody counts on it: absurd figures are refused by name.

use std::collections::BTreeSet;

use sp_proto::convert::WireError;
use sp_types::{GpuDevice, GpuId, HostCapacity, ResourceRow, WorkerLimits};

use super::invalid;

/// No machine has more memory, and no sum of so many overflows anything.
const BYTES_MAX: u64 = 1 << 60;

/// No kernel knows more cores.
const CPUS_MAX: u32 = 65_536;

/// No machine has more GPUs.
const GPUS_MAX: usize = 1_024;

/// A model's name is no longer than this.
const NAME_MAX: usize = 256;

/// The figures of a host.
pub(super) fn check_capacity(capacity: &HostCapacity) -> Result<(), WireError> {
    let HostCapacity { memory_bytes, memory_used_bytes, swap_bytes, swap_used_bytes, cpus, gpus, gpus_usable: _ } =
        capacity;
    if *cpus == 0 {
        return Err(invalid("capacity.cpus", "a worker without a core is none"));
    }
    check_cpus("capacity.cpus", *cpus)?;
    part("capacity.memory_used_bytes", *memory_used_bytes, "capacity.memory_bytes", *memory_bytes)?;
    part("capacity.swap_used_bytes", *swap_used_bytes, "capacity.swap_bytes", *swap_bytes)?;
    at_most("capacity.devices", gpus.len())?;
    gpus.iter().try_for_each(check_device)?;
    distinct("capacity.devices", gpus.iter().map(|gpu| &gpu.id))
}

/// The share of a worker.
pub(super) fn check_limits(limits: &WorkerLimits) -> Result<(), WireError> {
    let WorkerLimits { cpus, memory_bytes, gpus } = limits;
    check_cpus("limits.cpus", cpus.unwrap_or(0))?;
    check_bytes("limits.memory_bytes", memory_bytes.unwrap_or(0))?;
    let gpus = gpus.as_deref().unwrap_or_default();
    at_most("limits.gpus", gpus.len())?;
    distinct("limits.gpus", gpus.iter())
}

/// A row of its resource table.
pub(super) fn check_row(row: &ResourceRow) -> Result<(), WireError> {
    let ResourceRow {
        min_memory_bytes,
        max_memory_bytes,
        gpu_utilization,
        max_parallelism,
        max_parallelism_gpu,
        base_min_memory_bytes,
        max_concurrent: _,
    } = row;
    check_bytes("resources.min_memory_bytes", *min_memory_bytes)?;
    check_bytes("resources.max_memory_bytes", *max_memory_bytes)?;
    check_bytes("resources.base_min_memory_bytes", *base_min_memory_bytes)?;
    if !(0.0..=GPUS_MAX as f64).contains(gpu_utilization) {
        return Err(invalid("resources.gpu_utilization", format!("{gpu_utilization} is no share of GPUs")));
    }
    check_threads("resources.max_parallelism", *max_parallelism)?;
    check_threads("resources.max_parallelism_gpu", *max_parallelism_gpu)
}

fn check_device(gpu: &GpuDevice) -> Result<(), WireError> {
    let GpuDevice { id: _, name, index: _, memory_bytes, memory_used_bytes, healthy: _ } = gpu;
    if name.len() > NAME_MAX {
        return Err(invalid("capacity.devices.name", format!("it has {} bytes, at most {NAME_MAX}", name.len())));
    }
    let (used, all) = ("capacity.devices.memory_used_bytes", "capacity.devices.memory_bytes");
    part(used, *memory_used_bytes, all, *memory_bytes)
}

fn part(used_field: &'static str, used: u64, all_field: &'static str, all: u64) -> Result<(), WireError> {
    check_bytes(all_field, all)?;
    if used > all {
        return Err(invalid(used_field, format!("{used} bytes are in use, and there are {all}")));
    }
    Ok(())
}

fn check_bytes(field: &'static str, bytes: u64) -> Result<(), WireError> {
    if bytes > BYTES_MAX {
        return Err(invalid(field, format!("{bytes} bytes are more than 1 EiB")));
    }
    Ok(())
}

fn check_cpus(field: &'static str, cpus: u32) -> Result<(), WireError> {
    if cpus > CPUS_MAX {
        return Err(invalid(field, format!("{cpus} cores are more than {CPUS_MAX}")));
    }
    Ok(())
}

fn check_threads(field: &'static str, threads: i32) -> Result<(), WireError> {
    if threads < -1 || threads > CPUS_MAX as i32 {
        return Err(invalid(field, format!("{threads} is no number of threads (-1 for 92 % of the cores)")));
    }
    Ok(())
}

fn at_most(field: &'static str, count: usize) -> Result<(), WireError> {
    if count > GPUS_MAX {
        return Err(invalid(field, format!("{count} GPUs are more than {GPUS_MAX}")));
    }
    Ok(())
}

/// A device that is there twice would be counted twice.
fn distinct<'a>(field: &'static str, ids: impl Iterator<Item = &'a GpuId>) -> Result<(), WireError> {
    let mut seen = BTreeSet::new();
    for id in ids {
        if !seen.insert(id) {
            return Err(invalid(field, format!("{id} is there twice")));
        }
    }
    Ok(())
}
