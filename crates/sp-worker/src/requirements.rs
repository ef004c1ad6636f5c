//! What a machine should have that proves (Lotus's minimal requirements for 32 GiB sectors): said at the start, not enforced.

use sp_types::{HostCapacity, SectorSize, TaskKind};

const GIB: u64 = 1 << 30;

/// What is short for these tasks on sectors of these sizes, a line each.
pub(crate) fn remarks(tasks: &[TaskKind], sizes: &[SectorSize], capacity: &HostCapacity) -> Vec<String> {
    if !sizes.iter().any(|size| *size >= SectorSize::GiB32) {
        return Vec::new();
    }
    let wanted = |task: &TaskKind| match task {
        TaskKind::GenerateWinningPost => Some(("winning PoSt", 64 * GIB, 6 * GIB)),
        TaskKind::GenerateWindowPost => Some(("window PoSt", 128 * GIB, 8 * GIB + GIB / 2)),
        _ => None,
    };
    tasks.iter().filter_map(wanted).flat_map(|wanted| short_of(wanted, capacity)).collect()
}

fn short_of((what, memory, gpu_memory): (&str, u64, u64), capacity: &HostCapacity) -> Vec<String> {
    let gib = |bytes: u64| bytes as f64 / GIB as f64;
    let mut lines = Vec::new();
    if capacity.memory_bytes < memory {
        let (wanted, there) = (gib(memory), gib(capacity.memory_bytes));
        lines.push(format!("{what} of 32 GiB sectors wants {wanted} GiB of memory, this host has {there:.1} GiB"));
    }
    // A device whose driver does not say how large it is may be large enough.
    let largest = capacity.usable_gpus().map(|gpu| gpu.memory_bytes).filter(|bytes| *bytes > 0).max();
    if let Some(largest) = largest.filter(|largest| *largest < gpu_memory) {
        let (wanted, there) = (gib(gpu_memory), gib(largest));
        lines.push(format!(
            "{what} of 32 GiB sectors wants a GPU with {wanted} GiB, the largest here has {there:.1} GiB"
        ));
    }
    lines
}

#[cfg(test)]
mod tests {
    use sp_types::{GpuDevice, GpuId};

    use super::*;

    #[test]
    fn what_is_short_is_said_for_large_sectors_only() {
        let gpu = |bytes| GpuDevice {
            id: GpuId::new("GPU-1").unwrap(),
            name: "small".into(),
            index: 0,
            memory_bytes: bytes,
            memory_used_bytes: 0,
            healthy: true,
        };
        let host =
            |memory, gpus| HostCapacity { memory_bytes: memory, gpus, gpus_usable: true, ..HostCapacity::default() };
        let small = host(16 * GIB, vec![gpu(4 * GIB)]);
        let window = [TaskKind::GenerateWindowPost];
        let said = remarks(&window, &[SectorSize::GiB32], &small);
        let expected = [
            "window PoSt of 32 GiB sectors wants 128 GiB of memory, this host has 16.0 GiB",
            "window PoSt of 32 GiB sectors wants a GPU with 8.5 GiB, the largest here has 4.0 GiB",
        ];
        assert_eq!(said, expected);
        assert!(remarks(&window, &[SectorSize::KiB2], &small).is_empty());
        assert!(remarks(&[TaskKind::PreCommit1], &[SectorSize::GiB32], &small).is_empty());
        let large = host(64 * GIB, vec![gpu(0)]);
        assert!(remarks(&[TaskKind::GenerateWinningPost], &[SectorSize::GiB64], &large).is_empty());
    }
}
