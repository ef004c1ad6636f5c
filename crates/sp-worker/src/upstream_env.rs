//! Environment variables of upstream and of Lotus that are set but do nothing here, each with the reason.

const NO_GPU: &str = "this build proves on the CPU only";
const NO_MULTICORE: &str = "this build has upstream's multicore SDR switched off (it would need hwloc)";
const OBSOLETE: &str = "nothing reads it any more";

/// Variables that have no effect, and why.
const WITHOUT_EFFECT: &[(&str, &str)] = &[
    (
        "FIL_PROOFS_USE_GPU_COLUMN_BUILDER",
        "upstream reads FIL_PROOFS_USE_GPU_TREE_BUILDER for both; and this build proves on the CPU only",
    ),
    ("FIL_PROOFS_USE_GPU_TREE_BUILDER", NO_GPU),
    ("FIL_PROOFS_MAX_GPU_COLUMN_BATCH_SIZE", NO_GPU),
    ("FIL_PROOFS_MAX_GPU_TREE_BATCH_SIZE", NO_GPU),
    ("FIL_PROOFS_GPU_FRAMEWORK", "upstream maps it to variables that nobody reads; EC_GPU_FRAMEWORK took its place"),
    ("FIL_PROOFS_MAXIMIZE_CACHING", OBSOLETE),
    ("FIL_PROOFS_USE_MULTICORE_SDR", NO_MULTICORE),
    ("FIL_PROOFS_MULTICORE_SDR_PRODUCERS", NO_MULTICORE),
    ("FIL_PROOFS_MULTICORE_SDR_PRODUCER_STRIDE", NO_MULTICORE),
    ("FIL_PROOFS_MULTICORE_SDR_LOOKAHEAD", NO_MULTICORE),
    ("EC_GPU_FRAMEWORK", NO_GPU),
    ("EC_GPU_CUDA_NVCC_ARGS", NO_GPU),
    ("BELLMAN_NO_GPU", "this build proves on the CPU in any case"),
    ("BELLMAN_CPU_UTILIZATION", NO_GPU),
    ("BELLPERSON_GPUS_PER_LOCK", NO_GPU),
    ("BELLMAN_CUSTOM_GPU", OBSOLETE),
    ("RUST_GPU_TOOLS_CUSTOM_GPU", OBSOLETE),
    ("BELLMAN_VERIFIER", OBSOLETE),
    ("BELLMAN_CUDA_NVCC_ARGS", OBSOLETE),
    ("NEPTUNE_CUDA_NVCC_ARGS", OBSOLETE),
    (
        "LOTUS_WORKER_PATH",
        "the state lies where --data-dir DIR says; `sp-ctl storage attach` takes in a Lotus directory",
    ),
    ("LOTUS_WORKER_TIMEOUT", "no replacement is needed: --listen names the address, none is looked for"),
    ("LOTUS_WORKER_ENABLE_GPU_PROVING", NO_GPU),
    ("MINER_API_INFO", "workers dial the scheduler here: give its address with --scheduler URL"),
    ("FULLNODE_API_INFO", "a worker needs no chain node: the scheduler has one"),
    ("MARKETS_API_INFO", "there is no markets process here: add data with `sp-ctl sectors add FILE`"),
];

/// One line for each variable that is set and has no effect.
pub fn without_effect(is_set: impl Fn(&str) -> bool) -> Vec<String> {
    let set = WITHOUT_EFFECT.iter().filter(|(name, _)| is_set(name));
    set.map(|(name, reason)| format!("{name} is set and has no effect: {reason}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_set_is_named() {
        assert!(without_effect(|_| false).is_empty());
        let lines = without_effect(|name| name == "MINER_API_INFO");
        assert_eq!(lines.len(), 1);
        assert!(lines[0].contains("MINER_API_INFO") && lines[0].contains("--scheduler"), "{lines:?}");
    }
}
