//! NVIDIA's devices, read through NVML, the library that its driver brings.

use std::ffi::OsString;

use nvml_wrapper::error::NvmlError;
use nvml_wrapper::{Device, Nvml};
use sp_types::{BadId, GpuDevice, GpuId};

use super::{GpuSource, NoGpus};

/// After a failure the library is opened again at every so many looks: a minute, at a heartbeat of two seconds.
const LOOKS_BETWEEN: u32 = 30;

/// The driver's view of this machine.
pub struct NvmlSource {
    library: Option<OsString>,
    nvml: Option<Nvml>,
    failed: Option<(NoGpus, u32)>,
}

impl Default for NvmlSource {
    fn default() -> Self {
        Self::new()
    }
}

impl NvmlSource {
    /// The driver of this machine. Nothing is opened before the first look.
    pub fn new() -> Self {
        Self { library: None, nvml: None, failed: None }
    }

    /// The driver whose library is this file.
    #[cfg(test)]
    fn at(library: impl Into<OsString>) -> Self {
        Self { library: Some(library.into()), ..Self::new() }
    }

    fn open(&self) -> Result<Nvml, NoGpus> {
        let opened = match &self.library {
            Some(library) => Nvml::builder().lib_path(library).init(),
            None => Nvml::init(),
        };
        opened.map_err(|error| match error {
            NvmlError::LibloadingError(_) | NvmlError::LibraryNotFound => {
                NoGpus("there is no NVIDIA driver on this machine (no libnvidia-ml.so.1)".to_owned())
            }
            NvmlError::DriverNotLoaded => NoGpus("NVIDIA's driver is installed and not loaded".to_owned()),
            other => NoGpus(format!("NVIDIA's driver does not answer: {other}")),
        })
    }

    fn look(&mut self) -> Result<Vec<GpuDevice>, NoGpus> {
        let nvml = match self.nvml.take() {
            Some(nvml) => nvml,
            None => self.open()?,
        };
        // Dropped when it fails: in a container it may not work again before it is opened anew.
        let devices = inventory(&nvml).map_err(|error| NoGpus(format!("NVIDIA's driver fails: {error}")))?;
        self.nvml = Some(nvml);
        Ok(devices)
    }
}

impl GpuSource for NvmlSource {
    fn read(&mut self) -> Result<Vec<GpuDevice>, NoGpus> {
        if let Some((reason, looks @ 1..)) = &mut self.failed {
            *looks -= 1;
            return Err(reason.clone());
        }
        let read = self.look();
        self.failed = read.as_ref().err().map(|reason| (reason.clone(), LOOKS_BETWEEN));
        read
    }
}

/// A device that cannot be asked for its name is left out: whoever has seen it before misses it.
fn inventory(nvml: &Nvml) -> Result<Vec<GpuDevice>, NvmlError> {
    let count = nvml.device_count()?;
    let mut devices = Vec::new();
    for index in 0..count {
        match nvml.device_by_index(index).and_then(|device| Ok((id(&device)?, device))) {
            Ok((Ok(id), device)) => devices.push(describe(id, index, &device)),
            Ok((Err(error), _)) => tracing::debug!(index, %error, "a GPU has no usable id"),
            Err(error) => tracing::debug!(index, %error, "a GPU does not answer"),
        }
    }
    Ok(devices)
}

fn id(device: &Device<'_>) -> Result<Result<GpuId, BadId>, NvmlError> {
    match device.uuid() {
        Ok(uuid) => Ok(GpuId::new(uuid)),
        Err(NvmlError::NotSupported) => Ok(GpuId::from_pci(&device.pci_info()?.bus_id)),
        Err(error) => Err(error),
    }
}

fn describe(id: GpuId, index: u32, device: &Device<'_>) -> GpuDevice {
    let name = device.name();
    let (memory, answers) = match device.memory_info() {
        Ok(memory) => ((memory.total, memory.used), true),
        // Devices that share the machine's memory have none of their own.
        Err(NvmlError::NotSupported) => ((0, 0), true),
        Err(_) => ((0, 0), false),
    };
    GpuDevice {
        id,
        healthy: name.is_ok() && answers,
        name: name.unwrap_or_else(|_| "NVIDIA GPU".to_owned()),
        index,
        memory_bytes: memory.0,
        memory_used_bytes: memory.1.min(memory.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_driver_there_is_a_reason_and_few_attempts() {
        let dir = tempfile::tempdir().expect("temp dir");
        let library = dir.path().join("libnvidia-ml.so.1");
        let mut source = NvmlSource::at(&library);
        let reason = source.read().expect_err("no library");
        assert!(reason.0.contains("no NVIDIA driver"), "{reason}");
        // Something that is no library either.
        std::fs::write(&library, "junk").expect("write");
        for _ in 0..=LOOKS_BETWEEN {
            assert_eq!(source.read(), Err(reason.clone()));
        }
        assert_eq!(source.failed.as_ref().map(|(_, looks)| *looks), Some(LOOKS_BETWEEN), "it looked again");
    }

    #[test]
    fn this_machine_can_be_asked() {
        match NvmlSource::new().read() {
            Ok(devices) => assert!(devices.iter().all(|gpu| gpu.memory_used_bytes <= gpu.memory_bytes), "{devices:?}"),
            Err(reason) => assert!(!reason.0.is_empty()),
        }
    }
}
