//! Environment variables of upstream and of Lotus that are set but do nothing here, or less than one may think.

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
    ("FIL_PROOFS_COLUMN_WRITE_BATCH_SIZE", "only builds for GPUs read it; and this build proves on the CPU only"),
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
    ("LOTUS_WORKER_SECTOR_DOWNLOAD", "DL is no task of this build: files are fetched from the workers that hold them"),
    ("MINER_API_INFO", "workers dial the scheduler here: give its address with --scheduler URL"),
    ("FULLNODE_API_INFO", "a worker needs no chain node: the scheduler has one"),
    ("MARKETS_API_INFO", "there is no markets process here: add data with `sp-ctl sectors add FILE`"),
];

/// Variables that do less than their names promise, and what they do.
const WITH_LESS_EFFECT: &[(&str, &str)] = &[(
    "FIL_PROOFS_CACHE_DIR",
    "the parent cache lies in `<its value>filecoin-parents` (no slash is put between) unless FIL_PROOFS_PARENT_CACHE \
     names a directory; parameters are not looked for there: FIL_PROOFS_PARAMETER_CACHE or --parameters names theirs",
)];

/// One line for each variable that is set and has no effect, here or on `others` (those of one kind of worker), and
/// for each that has less effect than one may think.
pub fn remarks(is_set: impl Fn(&str) -> bool, others: &[(&str, &str)]) -> Vec<String> {
    let useless = WITHOUT_EFFECT.iter().chain(others).filter(|(name, _)| is_set(name));
    let useless = useless.map(|(name, reason)| format!("{name} is set and has no effect: {reason}"));
    let less = WITH_LESS_EFFECT.iter().filter(|(name, _)| is_set(name));
    useless.chain(less.map(|(name, what)| format!("{name} is set: {what}"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_set_is_named() {
        assert!(remarks(|_| false, &[]).is_empty());
        let lines = remarks(|name| name == "MINER_API_INFO", &[]);
        assert_eq!(lines.len(), 1);
        assert!(lines[0].contains("MINER_API_INFO") && lines[0].contains("--scheduler"), "{lines:?}");
        let lines =
            remarks(|name| name == "LOTUS_WORKER_POST_READ_TIMEOUT", &[("LOTUS_WORKER_POST_READ_TIMEOUT", "x")]);
        assert_eq!(lines, ["LOTUS_WORKER_POST_READ_TIMEOUT is set and has no effect: x"]);
        for name in ["FIL_PROOFS_COLUMN_WRITE_BATCH_SIZE", "LOTUS_WORKER_SECTOR_DOWNLOAD"] {
            assert!(remarks(|set| set == name, &[])[0].contains("has no effect"), "{name}");
        }
    }

    #[test]
    fn a_variable_with_some_effect_is_not_called_useless() {
        let lines = remarks(|name| name == "FIL_PROOFS_CACHE_DIR", &[]);
        assert!(lines[0].contains("filecoin-parents") && !lines[0].contains("no effect"), "{lines:?}");
    }
}
