//! FIN: trims the cache directory to what PoSt needs.

use std::path::Path;

use filecoin_proofs::{clear_cache, clear_synthetic_proofs};

use super::StageError;
use super::error::guard;

const STAGE: &str = "FIN";

/// Removes layers, tree-d, tree-c and synthetic vanilla proofs from `cache`; keeps tree-r-last, `p_aux` and `t_aux`.
/// After it the sector cannot be committed again, only proven. Running it again changes nothing.
pub fn finalize(cache: &Path) -> Result<(), StageError> {
    // Without it a cache directory that is missing would pass for a trimmed one.
    let p_aux = cache.join("p_aux");
    std::fs::metadata(&p_aux).map_err(StageError::io(STAGE, &p_aux))?;
    guard(STAGE, || {
        clear_cache(cache)?;
        clear_synthetic_proofs(cache)
    })
}
