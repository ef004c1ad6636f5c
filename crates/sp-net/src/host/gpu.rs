//! GPUs of this machine: where they are read, which of them this process sees, and which of those a worker may take.
//!
//! NVIDIA's are read here, through the library that comes with the driver; it is opened at run time. Nothing in this
//! module computes on a device.

use sp_types::GpuDevice;

mod choice;
mod name;
mod nvml;
mod visible;
mod watch;

pub use choice::GpuChoice;
pub use name::BadGpu;
pub use nvml::NvmlSource;
pub use visible::{BadVisibility, Visibility};
pub use watch::GpuWatch;

/// Where GPUs are read: the driver, or a list of a test.
pub trait GpuSource: Send {
    /// Every device in the driver's order. May hang when a device is lost.
    fn read(&mut self) -> Result<Vec<GpuDevice>, NoGpus>;
}

/// Why no GPU can be read, in words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NoGpus(pub String);

/// Devices for messages: `0 (GPU-8932..., NVIDIA A40), 1 (...)`.
fn list(devices: &[GpuDevice]) -> String {
    if devices.is_empty() {
        return "none".to_owned();
    }
    let shown: Vec<String> = devices.iter().map(|gpu| format!("{} ({}, {})", gpu.index, gpu.id, gpu.name)).collect();
    shown.join(", ")
}

/// Devices `GPU-aaaa0`, `GPU-aabb1` and so on, for tests.
#[cfg(test)]
fn fake(ids: &[&str]) -> Vec<GpuDevice> {
    let gpu = |(index, id): (usize, &&str)| GpuDevice {
        id: sp_types::GpuId::new(*id).expect("an id"),
        name: "NVIDIA A40".to_owned(),
        index: u32::try_from(index).expect("few"),
        memory_bytes: 48 << 30,
        memory_used_bytes: 1 << 30,
        healthy: true,
    };
    ids.iter().enumerate().map(gpu).collect()
}
