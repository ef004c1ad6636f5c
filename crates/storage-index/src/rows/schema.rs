//! Row `meta/cluster`: whose rows these are. (Their layout's version is kept by the state file itself.)

use sp_state::{Batch, State};

use super::RowError;

/// Layout of the rows; the state refuses a file with a newer one. Version 1 had other keys for replicas.
pub(crate) const SCHEMA_VERSION: u32 = 2;

const KEY: &[u8] = b"meta/cluster";

/// Refuses another cluster's state; marks an empty one as ours, and says that it was empty.
pub(super) fn check(state: &dyn State, cluster: &str) -> Result<bool, RowError> {
    let Some(value) = state.get(KEY)? else {
        let mut batch = Batch::new();
        batch.require_absent(KEY).put(KEY, cluster.as_bytes());
        state.commit(batch)?;
        return Ok(true);
    };
    let found = String::from_utf8(value).map_err(|e| RowError::damaged(KEY, e))?;
    if found != cluster {
        return Err(RowError::OtherCluster { found, wanted: cluster.to_owned() });
    }
    Ok(false)
}
