//! Between the wire and the core: locks.

use sp_proto::convert::{WireError, required};
use sp_proto::v1;
use sp_types::SectorId;

use crate::core::{Lock, Manner, Modes};
use crate::wire::invalid;
use crate::wire_query::{kinds, kinds_to_wire};

/// What is asked for; the time is the caller's.
pub(crate) fn lock(message: v1::Lock) -> Result<(Lock, Manner), WireError> {
    let v1::Lock { attempt, miner, sector: number, read, write, manner } = message;
    let manner = match v1::LockManner::try_from(manner) {
        Ok(v1::LockManner::Wait) => Manner::Wait,
        Ok(v1::LockManner::Try) => Manner::Try,
        Ok(v1::LockManner::Present) => Manner::Present,
        Ok(v1::LockManner::Unspecified) | Err(_) => {
            return Err(invalid("manner", format!("unknown manner {manner}; say wait, try or present")));
        }
    };
    let modes = Modes { read: kinds(&read)?, write: kinds(&write)? };
    let attempt = required("attempt", attempt)?.into();
    Ok((Lock { attempt, sector: SectorId { miner, number }, modes, since_unix_ms: 0 }, manner))
}

pub(crate) fn info(lock: Lock, waits: bool) -> v1::LockInfo {
    let Lock { attempt, sector, modes: Modes { read, write }, since_unix_ms } = lock;
    v1::LockInfo {
        attempt: Some(attempt.into()),
        miner: sector.miner,
        sector: sector.number,
        read: kinds_to_wire(read),
        write: kinds_to_wire(write),
        since_unix_ms,
        waits,
    }
}

/// A durable one: one that waits is not kept.
pub(crate) fn held(message: v1::LockInfo) -> Result<Lock, WireError> {
    let v1::LockInfo { attempt, miner, sector: number, read, write, since_unix_ms, waits } = message;
    if waits {
        return Err(invalid("waits", "a request that waits is not kept"));
    }
    let modes = Modes { read: kinds(&read)?, write: kinds(&write)? };
    if modes.is_empty() {
        return Err(invalid("read", "no file is locked"));
    }
    let attempt = required("attempt", attempt)?.into();
    Ok(Lock { attempt, sector: SectorId { miner, number }, modes, since_unix_ms })
}
