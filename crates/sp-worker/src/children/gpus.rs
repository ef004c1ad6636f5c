//! Which GPUs a child sees: those that its attempts were given, by the variables that CUDA and NVIDIA's containers read.

use std::ffi::OsString;

use sp_types::GpuShare;

/// A variable for a child.
pub(super) type Variable = (OsString, Option<OsString>);

/// Variables of a child that computes on these devices. With none, a child that could compute on GPUs must not see any.
pub(super) fn variables(gpus: &[GpuShare], computes_on_gpus: bool) -> Vec<Variable> {
    let set = |name: &str, value: &str| (name.into(), Some(value.into()));
    if gpus.is_empty() {
        let hidden = vec![set("CUDA_VISIBLE_DEVICES", ""), set("NVIDIA_VISIBLE_DEVICES", "void")];
        return if computes_on_gpus { hidden } else { Vec::new() };
    }
    // A device without a UUID has nothing but its place in the driver's order, which CUDA follows only if it is told to.
    let by_uuid = gpus.iter().all(|gpu| gpu.id.as_str().starts_with("GPU-"));
    let name = |gpu: &GpuShare| if by_uuid { gpu.id.to_string() } else { gpu.index.to_string() };
    let names = gpus.iter().map(name).collect::<Vec<_>>().join(",");
    vec![
        set("CUDA_DEVICE_ORDER", "PCI_BUS_ID"),
        set("CUDA_VISIBLE_DEVICES", &names),
        set("NVIDIA_VISIBLE_DEVICES", &names),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use sp_types::GpuId;

    fn gpu(id: &str, index: u32) -> GpuShare {
        GpuShare { id: GpuId::new(id).unwrap(), index, share: 1.0 }
    }

    fn shown(gpus: &[GpuShare], computes: bool) -> Vec<String> {
        let text = |(name, value): Variable| format!("{}={}", name.to_str().unwrap(), value.unwrap().to_str().unwrap());
        variables(gpus, computes).into_iter().map(text).collect()
    }

    #[test]
    fn devices_are_named_by_uuid_and_by_place_where_one_has_none() {
        assert_eq!(
            shown(&[gpu("GPU-aaaa", 3), gpu("GPU-bbbb", 0)], true),
            [
                "CUDA_DEVICE_ORDER=PCI_BUS_ID",
                "CUDA_VISIBLE_DEVICES=GPU-aaaa,GPU-bbbb",
                "NVIDIA_VISIBLE_DEVICES=GPU-aaaa,GPU-bbbb"
            ]
        );
        assert_eq!(shown(&[gpu("GPU-aaaa", 3), gpu("PCI-0000-65-00.0", 0)], true)[1], "CUDA_VISIBLE_DEVICES=3,0");
    }

    #[test]
    fn without_devices_a_child_sees_none_where_it_could_use_them() {
        assert_eq!(shown(&[], true), ["CUDA_VISIBLE_DEVICES=", "NVIDIA_VISIBLE_DEVICES=void"]);
        assert!(shown(&[], false).is_empty());
    }
}
