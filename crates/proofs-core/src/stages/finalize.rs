//! FIN and FRU: trim a cache directory to what PoSt needs.

use std::path::Path;

use filecoin_proofs::{clear_cache, clear_synthetic_proofs};

use super::StageError;
use super::error::guard;

/// Removes layers, tree-d, tree-c and synthetic vanilla proofs from `cache`; keeps tree-r-last, `p_aux` and `t_aux`.
/// After it the sector cannot be committed again, only proven. Running it again changes nothing.
pub fn finalize(cache: &Path) -> Result<(), StageError> {
    trim("FIN", cache)
}

/// Removes tree-d from `update_cache`; keeps tree-r-last, `p_aux` and `t_aux`. After it the update cannot be proven
/// again (PR1), only stored and decoded. Running it again changes nothing.
pub fn finalize_replica_update(update_cache: &Path) -> Result<(), StageError> {
    trim("FRU", update_cache)
}

fn trim(stage: &'static str, cache: &Path) -> Result<(), StageError> {
    // Without it a cache directory that is missing would pass for a trimmed one.
    let p_aux = cache.join("p_aux");
    std::fs::metadata(&p_aux).map_err(StageError::io(stage, &p_aux))?;
    guard(stage, || {
        clear_cache(cache)?;
        clear_synthetic_proofs(cache)
    })
}
