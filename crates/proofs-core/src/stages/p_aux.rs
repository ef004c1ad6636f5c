//! `p_aux`: the two roots of which a replica's commitment is made, and so which replica a cache directory belongs to.

use std::fs;
use std::path::Path;

use filecoin_hashers::poseidon::PoseidonDomain;
use filecoin_hashers::{Domain, HashFunction, Hasher};
use filecoin_proofs::TreeRHasher;
use sp_types::Commitment;

use super::StageError;
use super::error::guard;
use super::fields::is_commitment;

/// The commitment of the replica that `cache` belongs to: Poseidon over comm_c and comm_r_last, the 64 bytes of `p_aux`.
pub(super) fn comm_r_of(stage: &'static str, cache: &Path) -> Result<Commitment, StageError> {
    let (comm_c, comm_r_last) = roots_of(stage, cache)?;
    guard(stage, || root(&comm_c.0, &comm_r_last.0))
}

/// comm_c and comm_r_last.
pub(super) fn roots_of(stage: &'static str, cache: &Path) -> Result<(Commitment, Commitment), StageError> {
    let path = cache.join("p_aux");
    let bytes = fs::read(&path).map_err(StageError::io(stage, &path))?;
    match bytes.as_chunks::<32>() {
        ([comm_c, comm_r_last], []) if is_commitment(comm_c) && is_commitment(comm_r_last) => {
            Ok((Commitment(*comm_c), Commitment(*comm_r_last)))
        }
        _ => Err(StageError::corrupt(stage, format!("{} does not hold two commitments", path.display()))),
    }
}

/// The commitment of the sealed or updated replica that a cache directory belongs to, by its `p_aux` alone: nothing else is
/// read, so whether that replica is there and whole it does not tell.
///
/// A missing `p_aux` is [`StageError::Io`], one that does not hold two commitments [`StageError::Corrupt`].
pub fn comm_r_of_cache(cache: &Path) -> Result<Commitment, StageError> {
    comm_r_of("reading p_aux", cache)
}

/// Refuses a cache directory that belongs to another replica.
pub(super) fn check_comm_r(
    stage: &'static str,
    name: &str,
    cache: &Path,
    expected: &Commitment,
) -> Result<(), StageError> {
    let found = comm_r_of(stage, cache)?;
    if found == *expected {
        return Ok(());
    }
    let message = format!("{} belongs to the replica with comm_r {found}, not to {name} {expected}", cache.display());
    Err(StageError::corrupt(stage, message))
}

fn root(comm_c: &[u8; 32], comm_r_last: &[u8; 32]) -> anyhow::Result<Commitment> {
    let [left, right] = [PoseidonDomain::try_from_bytes(comm_c)?, PoseidonDomain::try_from_bytes(comm_r_last)?];
    let mut comm_r = Commitment([0; 32]);
    <TreeRHasher as Hasher>::Function::hash2(&left, &right).write_bytes(&mut comm_r.0)?;
    Ok(comm_r)
}
