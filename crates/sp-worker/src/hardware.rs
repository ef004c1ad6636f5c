//! What a worker tells of its hardware: what its host has, read anew for every heartbeat, and its own share of that.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use sp_net::host;
use sp_net::host::gpu::{GpuChoice, GpuWatch, NvmlSource, Visibility};
use sp_types::{ByteSize, GpuDevice, HostCapacity, WorkerLimits};

use crate::ReadCapacity;
use crate::settings::Shared;

/// What goes into the registration and into every renewal.
pub(crate) struct Hardware {
    pub(crate) capacity: ReadCapacity,
    pub(crate) limits: WorkerLimits,
}

/// Looks at the machine; waits a while for the driver of its GPUs. `gpus_usable`: the executors compute on them.
pub(crate) fn open(shared: &Shared, gpus_usable: bool) -> anyhow::Result<Hardware> {
    let watch = watch(&shared.gpus)?;
    let devices = move || watch.as_ref().map(GpuWatch::devices).unwrap_or_default();
    let no_swap = shared.no_swap;
    let first = HostCapacity { gpus: devices(), gpus_usable, ..host::capacity(no_swap)? };
    let limits = limits(shared, &first)?;
    if first.gpus.iter().any(|gpu| gpu.healthy) && !gpus_usable {
        tracing::info!("this build does not compute on GPUs: they are shown, and no task is given one");
    }
    let last = Mutex::new(first);
    let capacity: ReadCapacity = Arc::new(move || {
        let gpus = devices();
        let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
        match host::capacity(no_swap) {
            Ok(now) => *last = HostCapacity { gpus, gpus_usable, ..now },
            Err(error) => tracing::warn!(%error, "the host's figures cannot be read; the last ones stand"),
        }
        last.clone()
    });
    Ok(Hardware { capacity, limits })
}

/// Cores of this machine that this worker may use.
pub(crate) fn cores(shared: &Shared) -> anyhow::Result<u32> {
    let all = host::capacity(true)?.cpus;
    Ok(shared.cpus.map_or(all, |limit| limit.get().min(all)))
}

/// A driver that is not wanted is not woken up.
fn watch(choice: &GpuChoice) -> anyhow::Result<Option<GpuWatch>> {
    if *choice == GpuChoice::None {
        return Ok(None);
    }
    let visibility = Visibility::read(|name| Some(std::env::var_os(name)?.to_string_lossy().into_owned()))?;
    let watch = GpuWatch::start(Box::new(NvmlSource::new()), visibility).context("starting the thread for GPUs")?;
    Ok(Some(watch))
}

/// The share as its operator has set it. Devices are settled by id now: their numbers change when one is lost.
fn limits(shared: &Shared, host: &HostCapacity) -> anyhow::Result<WorkerLimits> {
    let gpus: &[GpuDevice] = &host.gpus;
    let limits = WorkerLimits {
        cpus: shared.cpus.map(std::num::NonZeroU32::get),
        memory_bytes: shared.memory.map(|size| size.0.0),
        gpus: shared.gpus.resolve(gpus).context("--gpus")?,
    };
    anyhow::ensure!(limits.memory_bytes != Some(0), "--memory 0 leaves no memory for any task; leave it out for all");
    if let Some(cpus) = limits.cpus.filter(|cpus| *cpus > host.cpus) {
        tracing::warn!(cpus, host = host.cpus, "--cpus is more than this process may use; it limits nothing");
    }
    if let Some(bytes) = limits.memory_bytes.filter(|bytes| *bytes > host.memory_bytes) {
        let (memory, host) = (ByteSize(bytes), ByteSize(host.memory_bytes));
        tracing::warn!(%memory, %host, "--memory is more than this process may use; it limits nothing");
    }
    Ok(limits)
}

#[cfg(test)]
mod tests {
    use sp_net::config::Size;
    use sp_types::GpuId;

    use super::*;

    fn host() -> HostCapacity {
        let gpu = |index: u32| GpuDevice {
            id: GpuId::new(format!("GPU-{index}a")).unwrap(),
            name: "card".into(),
            index,
            memory_bytes: 8,
            memory_used_bytes: 0,
            healthy: true,
        };
        HostCapacity { cpus: 8, memory_bytes: 1 << 30, gpus: vec![gpu(0), gpu(1)], ..HostCapacity::default() }
    }

    fn limits_of(cpus: Option<u32>, memory: Option<&str>, gpus: &str) -> Result<WorkerLimits, String> {
        let shared = Shared {
            cpus: cpus.and_then(std::num::NonZeroU32::new),
            memory: memory.map(|text| text.parse::<Size>().unwrap()),
            gpus: gpus.parse().unwrap(),
            ..Shared::default()
        };
        limits(&shared, &host()).map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn limits_are_what_was_set_and_devices_are_known_by_id() {
        assert_eq!(limits_of(None, None, "all"), Ok(WorkerLimits::default()));
        let seen = limits_of(Some(3), Some("2GiB"), "device=1").unwrap();
        assert_eq!((seen.cpus, seen.memory_bytes), (Some(3), Some(2 << 30)));
        assert_eq!(seen.gpus, Some(vec![GpuId::new("GPU-1a").unwrap()]));
        assert_eq!(limits_of(None, None, "none").unwrap().gpus, Some(vec![]));
    }

    #[test]
    fn what_cannot_be_is_an_error_that_names_the_flag() {
        let error = limits_of(None, None, "device=2").unwrap_err();
        assert!(error.starts_with("--gpus: there is no GPU `2` here") && error.contains("1 (GPU-1a, card)"), "{error}");
        assert!(limits_of(None, None, "3").unwrap_err().starts_with("--gpus: 3 GPUs"));
        assert!(limits_of(None, Some("0B"), "all").unwrap_err().starts_with("--memory 0"));
    }
}
