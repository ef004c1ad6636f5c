//! Row `lock/<miner><sector><task><number>` (numbers big-endian): what an attempt has locked of a sector, as on the wire.

use prost::Message;
use sp_proto::v1;
use sp_types::{AttemptId, SectorId};

use super::RowError;
use crate::core::Lock;
use crate::wire_lock as wire;

pub(super) const PREFIX: &[u8] = b"lock/";

pub(super) fn key(attempt: AttemptId, sector: SectorId) -> Vec<u8> {
    let (miner, number) = (sector.miner.to_be_bytes(), sector.number.to_be_bytes());
    [PREFIX, &miner, &number, &attempt.task.0.to_be_bytes(), &attempt.number.to_be_bytes()].concat()
}

pub(super) fn encode(lock: &Lock) -> Vec<u8> {
    wire::info(*lock).encode_to_vec()
}

pub(super) fn decode(key: &[u8], value: &[u8]) -> Result<Lock, RowError> {
    let message = v1::LockInfo::decode(value).map_err(|e| RowError::damaged(key, e))?;
    let lock = wire::held(message).map_err(|e| RowError::damaged(key, e))?;
    if self::key(lock.attempt, lock.sector) != key {
        return Err(RowError::damaged(key, "it holds another lock"));
    }
    Ok(lock)
}
