//! What `NVIDIA_VISIBLE_DEVICES` and `CUDA_VISIBLE_DEVICES` take away of a machine's GPUs.

use std::collections::BTreeSet;

use sp_types::{GpuDevice, GpuId};

use super::name::{BadGpu, GpuName};
use super::{GpuSource, NoGpus};

const CONTAINERS: &str = "NVIDIA_VISIBLE_DEVICES";
const CUDA: &str = "CUDA_VISIBLE_DEVICES";

/// A variable that says something that this build cannot honour.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("environment variable {variable}: {bad}; --gpus none runs without any")]
pub struct BadVisibility {
    /// Which variable.
    pub variable: &'static str,
    /// What is wrong with it.
    pub bad: BadGpu,
}

/// Both variables, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Visibility {
    containers: Visible,
    cuda: Visible,
}

/// What one variable leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Visible {
    All,
    Only(Vec<GpuName>),
    /// Indices that a container's runtime may have applied already: inside, the devices are counted anew from 0.
    Injected(Vec<GpuName>),
}

impl Visibility {
    /// Reads both variables.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, BadVisibility> {
        let bad = |variable| move |bad| BadVisibility { variable, bad };
        Ok(Self {
            containers: containers(variable(CONTAINERS).as_deref()).map_err(bad(CONTAINERS))?,
            cuda: cuda(variable(CUDA).as_deref()).map_err(bad(CUDA))?,
        })
    }

    fn hides_nothing(&self) -> bool {
        self.containers == Visible::All && self.cuda == Visible::All
    }

    /// The devices that both leave.
    fn keep(&self, devices: &[GpuDevice]) -> BTreeSet<GpuId> {
        let containers = self.containers.keep(CONTAINERS, devices);
        self.cuda.keep(CUDA, devices).intersection(&containers).cloned().collect()
    }
}

/// The container runtimes' variable. Unset, empty and `void` say that this variable decides nothing: whoever made the
/// container has decided (device specifications set `void` in containers that do have GPUs), and outside of a container
/// nobody has. A path or a qualified device name is for the runtime as well.
fn containers(value: Option<&str>) -> Result<Visible, BadGpu> {
    match value.unwrap_or_default().trim() {
        "" | "void" | "all" => Ok(Visible::All),
        "none" => Ok(Visible::Only(vec![])),
        text if text.starts_with('/') || text.contains('=') => Ok(Visible::All),
        text => {
            let names = text.split(',').map(GpuName::parse).collect::<Result<Vec<_>, _>>()?;
            let only_indices = names.iter().all(|name| matches!(name, GpuName::Index(_)));
            Ok(if only_indices { Visible::Injected(names) } else { Visible::Only(names) })
        }
    }
}

/// CUDA's own variable: the list ends where it makes no sense (`-1` hides what follows), and an empty one is empty.
/// Indices count in the order of the bus, as with `CUDA_DEVICE_ORDER=PCI_BUS_ID`.
fn cuda(value: Option<&str>) -> Result<Visible, BadGpu> {
    let Some(text) = value else { return Ok(Visible::All) };
    let mut names = Vec::new();
    for name in text.split(',') {
        match GpuName::parse(name) {
            Ok(name) => names.push(name),
            Err(part @ BadGpu::Part(_)) => return Err(part),
            Err(_) => break,
        }
    }
    Ok(Visible::Only(names))
}

impl Visible {
    fn keep(&self, variable: &str, devices: &[GpuDevice]) -> BTreeSet<GpuId> {
        let names = match self {
            Self::All => return devices.iter().map(|gpu| gpu.id.clone()).collect(),
            // No more devices than names: the runtime has left those, whatever their numbers are now.
            Self::Injected(names) if devices.len() <= names.len() => return Self::All.keep(variable, devices),
            Self::Only(names) | Self::Injected(names) => names,
        };
        let mut kept = BTreeSet::new();
        for name in names {
            match name.find(devices) {
                Ok(gpu) => {
                    kept.insert(gpu.id.clone());
                }
                Err(error) => tracing::warn!(variable, %error, "a GPU is not used"),
            }
        }
        kept
    }
}

/// A source that shows only what the variables leave. Which devices these are is settled at the first look, by id:
/// when one is lost later, the others' numbers move up.
pub(super) struct VisibleSource {
    source: Box<dyn GpuSource>,
    visibility: Visibility,
    settled: Option<BTreeSet<GpuId>>,
}

impl VisibleSource {
    pub(super) fn new(source: Box<dyn GpuSource>, visibility: Visibility) -> Self {
        Self { source, visibility, settled: None }
    }
}

impl GpuSource for VisibleSource {
    fn read(&mut self) -> Result<Vec<GpuDevice>, NoGpus> {
        let mut devices = self.source.read()?;
        if self.visibility.hides_nothing() || devices.is_empty() {
            return Ok(devices);
        }
        let visible = self.settled.get_or_insert_with(|| self.visibility.keep(&devices));
        devices.retain(|gpu| visible.contains(&gpu.id));
        Ok(devices)
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake;
    use super::*;

    const IDS: [&str; 4] = ["GPU-aaaa", "GPU-aabb", "GPU-cccc", "GPU-dddd"];

    fn visibility(containers: Option<&str>, cuda: Option<&str>) -> Result<Visibility, BadVisibility> {
        let value = |name: &str| if name == CUDA { cuda } else { containers };
        Visibility::read(|name| value(name).map(str::to_owned))
    }

    /// Letters of the devices that are left of the first so many.
    fn left(count: usize, containers: Option<&str>, cuda: Option<&str>) -> String {
        let kept = visibility(containers, cuda).expect("readable").keep(&fake(&IDS[..count]));
        kept.iter().map(|id| id.as_str().chars().last().expect("a letter")).collect()
    }

    #[test]
    fn forms_of_the_containers_variable() {
        let cases = [
            (None, "abcd"),
            (Some(""), "abcd"),
            (Some("all"), "abcd"),
            (Some("void"), "abcd"),
            (Some("none"), ""),
            (Some("/var/run/nvidia-container-devices"), "abcd"),
            (Some("nvidia.com/gpu=0"), "abcd"),
            (Some("0"), "a"),
            (Some("1,3"), "bd"),
            (Some("3, 9"), "d"),
            (Some("GPU-aabb"), "b"),
            (Some("GPU-c,gpu-AAAA"), "ac"),
            // Fits two, so it is none's name.
            (Some("GPU-aa,GPU-d"), "d"),
            (Some("GPU-ffff"), ""),
            (Some("0,GPU-dddd"), "ad"),
        ];
        for (value, expected) in cases {
            assert_eq!(left(4, value, None), expected, "{value:?}");
        }
        for part in ["MIG-GPU-aaaa/1/0", "GPU-aaaa,MIG-1c2f", "0:1", "0:0,1:0"] {
            let error = visibility(Some(part), None).expect_err(part).to_string();
            assert!(error.contains("NVIDIA_VISIBLE_DEVICES") && error.contains("(MIG)"), "{error}");
            assert!(error.contains("--gpus none"), "{error}");
        }
        let error = visibility(Some("0,first"), None).expect_err("unreadable").to_string();
        assert!(error.contains("`first`"), "{error}");
    }

    #[test]
    fn inside_a_container_the_indices_have_been_applied() {
        assert_eq!(left(2, Some("2,3"), None), "ab");
        assert_eq!(left(1, Some("3"), None), "a");
        // One of them is lost.
        assert_eq!(left(1, Some("2,3"), None), "a");
        // UUIDs stay what they are.
        assert_eq!(left(2, Some("GPU-aabb,GPU-cccc"), None), "b");
    }

    #[test]
    fn forms_of_cuda_s_variable() {
        let cases = [
            (None, "abcd"),
            (Some(""), ""),
            (Some("-1"), ""),
            (Some("NoDevFiles"), ""),
            (Some("2"), "c"),
            (Some("3,1"), "bd"),
            (Some("0,-1,2"), "a"),
            (Some("GPU-dddd"), "d"),
            (Some("1,GPU-c"), "bc"),
        ];
        for (value, expected) in cases {
            assert_eq!(left(4, None, value), expected, "{value:?}");
        }
        assert!(visibility(None, Some("MIG-GPU-aaaa/1/0")).expect_err("a part").to_string().starts_with("environment"));
        assert_eq!(left(4, Some("0,1"), Some("1,2")), "b");
        assert_eq!(left(4, Some("none"), Some("0")), "");
    }

    struct Script(Vec<Vec<GpuDevice>>);

    impl GpuSource for Script {
        fn read(&mut self) -> Result<Vec<GpuDevice>, NoGpus> {
            Ok(self.0.remove(0))
        }
    }

    #[test]
    fn what_is_visible_is_settled_at_the_first_look_with_devices() {
        let all = fake(&IDS);
        // The first one is lost: the driver counts the others from 0.
        let later = fake(&IDS[1..]);
        let script = Script(vec![vec![], all, later]);
        let visibility = visibility(None, Some("1,2")).expect("readable");
        let mut source = VisibleSource::new(Box::new(script), visibility);
        let mut seen = || -> Vec<(String, u32)> {
            let devices = source.read().expect("devices");
            devices.iter().map(|gpu| (gpu.id.to_string(), gpu.index)).collect()
        };
        let (b, c) = ("GPU-aabb".to_owned(), "GPU-cccc".to_owned());
        assert_eq!(seen(), []);
        assert_eq!(seen(), [(b.clone(), 1), (c.clone(), 2)]);
        assert_eq!(seen(), [(b, 0), (c, 1)]);
    }
}
