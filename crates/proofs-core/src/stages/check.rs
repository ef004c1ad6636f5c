//! Checks on files that are there already, against what was committed to: the data of an unsealed file, the tree over a
//! replica.

use std::fs;
use std::path::Path;

use sp_types::{Commitment, SectorSize};

use super::StageError;
use super::data_root::data_root;
use super::p_aux::{comm_r_of, roots_of};
use super::replica_root::replica_root;

const STAGE: &str = "scrub";

/// Computes comm_d of an unsealed file that holds all of its data; refused as [`StageError::Corrupt`] unless it is one of
/// `known`. The data is the whole file, or as much as `data_bytes` says of one that a trailer follows in.
pub fn check_data(unsealed: &Path, data_bytes: Option<u64>, known: &[Commitment]) -> Result<Commitment, StageError> {
    let size = match data_bytes {
        None => size_of(unsealed)?,
        Some(bytes) => size_from(unsealed, bytes)?,
    };
    let found = data_root(STAGE, unsealed, size.bytes())?;
    one_of(known, found, "comm_d", unsealed)
}

/// Computes tree-r-last over a whole replica, a sealed file or an update, and compares its root with the one in the
/// `p_aux` of its cache; then comm_r, which both come to, with `known` if there is any. Refused as
/// [`StageError::Corrupt`] where they differ. Neither reads nor writes the tree files.
pub fn check_replica(sealed: &Path, cache: &Path, known: &[Commitment]) -> Result<Commitment, StageError> {
    size_of(sealed)?;
    // First what costs nothing: a cache of another replica.
    let comm_r = comm_r_of(STAGE, cache)?;
    if !known.is_empty() {
        one_of(known, comm_r, "comm_r", &cache.join("p_aux"))?;
    }
    let (_, expected) = roots_of(STAGE, cache)?;
    let found = replica_root(STAGE, sealed)?;
    if found != expected {
        let message = format!(
            "the tree over {} has the root {found}, its p_aux says comm_r_last {expected}: the file is damaged, or the \
             cache is of another replica",
            sealed.display()
        );
        return Err(StageError::corrupt(STAGE, message));
    }
    Ok(comm_r)
}

/// The sector size that a file has.
fn size_of(path: &Path) -> Result<SectorSize, StageError> {
    size_from(path, fs::metadata(path).map_err(StageError::io(STAGE, path))?.len())
}

fn size_from(path: &Path, bytes: u64) -> Result<SectorSize, StageError> {
    SectorSize::ALL
        .into_iter()
        .find(|size| size.bytes() == bytes)
        .ok_or_else(|| StageError::corrupt(STAGE, format!("{} has {bytes} bytes, which no sector has", path.display())))
}

fn one_of(known: &[Commitment], found: Commitment, name: &str, path: &Path) -> Result<Commitment, StageError> {
    if known.contains(&found) {
        return Ok(found);
    }
    let wanted: Vec<_> = known.iter().map(ToString::to_string).collect();
    let message = format!("{} comes to {name} {found}, not to {}", path.display(), wanted.join(" or "));
    Err(StageError::corrupt(STAGE, message))
}
