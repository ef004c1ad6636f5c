//! Predicates of the laws that can be judged from plain figures: L1, L2, L4, L5, L7, L12.

use sp_types::{HostCapacity, SectorState};

/// What all sealing attempts of one host take together.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct HostUse {
    /// Threads.
    pub cpus: u32,
    /// Physical memory, bytes.
    pub memory_min_bytes: u64,
    /// Virtual memory, bytes.
    pub memory_max_bytes: u64,
    /// Shares of GPUs, whichever they are.
    pub gpus: f64,
}

/// L1: a replica of a root that counts may be deleted only while another replica of that root is known.
pub fn delete_keeps_a_copy(root_counts: bool, other_copies: usize) -> bool {
    !root_counts || other_copies > 0
}

/// L2: a task that is being completed was open until now, and the attempt that completes it had not ended.
pub fn at_most_one_completion(task_open: bool, attempt_live: bool) -> bool {
    task_open && attempt_live
}

/// L4: what a host is asked for fits it; GPUs are judged one by one, by [`fits_gpu`].
pub fn fits_host(used: HostUse, capacity: &HostCapacity) -> bool {
    used.cpus <= capacity.cpus
        && used.memory_min_bytes <= capacity.memory_bytes
        && used.memory_max_bytes <= capacity.memory_bytes.saturating_add(capacity.swap_bytes)
}

/// L4: the shares of one GPU that are given away are no more than the GPU. Sums of tenths are not exact.
pub fn fits_gpu(given: f64) -> bool {
    given <= 1.0 + 1e-9
}

/// L5: an end covers no attempt that still lives; so whatever an ended attempt held can be taken back.
pub fn ends_before_live(ended_up_to: u32, lowest_live: Option<u32>) -> bool {
    lowest_live.is_none_or(|lowest| ended_up_to < lowest)
}

/// L7: the published graph has this edge.
pub fn edge_is_published(from: SectorState, to: SectorState) -> bool {
    from.may_become(to)
}

/// L12: no more than the limit.
pub fn bounded(count: usize, limit: usize) -> bool {
    count <= limit
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_copy_that_counts_stays() {
        assert!(!delete_keeps_a_copy(true, 0));
        assert!(delete_keeps_a_copy(true, 1) && delete_keeps_a_copy(false, 0));
    }

    #[test]
    fn a_host_is_full_at_its_capacity_and_not_before() {
        let capacity = HostCapacity { memory_bytes: 10, swap_bytes: 5, cpus: 2, ..HostCapacity::default() };
        let used = HostUse { cpus: 2, memory_min_bytes: 10, memory_max_bytes: 15, gpus: 1.0 };
        assert!(fits_host(used, &capacity));
        assert!(!fits_host(HostUse { cpus: 3, ..used }, &capacity));
        assert!(!fits_host(HostUse { memory_min_bytes: 11, ..used }, &capacity));
        assert!(!fits_host(HostUse { memory_max_bytes: 16, ..used }, &capacity));
        assert!(fits_gpu(0.1 + 0.2 + 0.7) && !fits_gpu(1.1));
    }

    #[test]
    fn ends_and_edges() {
        assert!(ends_before_live(3, Some(4)) && !ends_before_live(4, Some(4)) && ends_before_live(9, None));
        assert!(edge_is_published(SectorState::Packing, SectorState::PreCommit1));
        assert!(!edge_is_published(SectorState::Packing, SectorState::Proving));
        assert!(at_most_one_completion(true, true) && !at_most_one_completion(true, false));
    }
}
