//! Between the wire and the core: locks.

use sp_proto::convert::{WireError, required};
use sp_proto::v1;
use sp_types::{AttemptId, FileLock, SectorId};

use crate::core::Lock;
use crate::wire::invalid;
use crate::wire_query::{kinds, kinds_to_wire};

/// What is asked for; the time is the caller's. None when no file is named.
pub(crate) fn wanted(
    attempt: AttemptId,
    sector: SectorId,
    read: &[i32],
    write: &[i32],
) -> Result<Option<Lock>, WireError> {
    let modes = FileLock { read: kinds(read)?, write: kinds(write)? };
    Ok((!modes.is_empty()).then_some(Lock { attempt, sector, modes, since_unix_ms: 0 }))
}

pub(crate) fn info(lock: Lock) -> v1::LockInfo {
    let Lock { attempt, sector, modes: FileLock { read, write }, since_unix_ms } = lock;
    v1::LockInfo {
        attempt: Some(attempt.into()),
        miner: sector.miner,
        sector: sector.number,
        read: kinds_to_wire(read),
        write: kinds_to_wire(write),
        since_unix_ms,
    }
}

/// A durable one.
pub(crate) fn held(message: v1::LockInfo) -> Result<Lock, WireError> {
    let v1::LockInfo { attempt, miner, sector: number, read, write, since_unix_ms } = message;
    let attempt = required("attempt", attempt)?.into();
    let lock = wanted(attempt, SectorId { miner, number }, &read, &write)?;
    let lock = lock.ok_or_else(|| invalid("read", "no file is locked"))?;
    Ok(Lock { since_unix_ms, ..lock })
}
