//! The scheduler's durable rows: one file per key, each with its bytes, its encoding and its decoding.

mod counters;
mod fence;
mod ledger;
mod schema;
mod sector;
mod task;
#[cfg(test)]
mod tests;

use prost::Message;
use sp_sched_core::model::{RowChange, Rows};

pub use ledger::{Genesis, PreCommitRow, genesis_key, precommit_key};
pub use schema::{SCHEMA_VERSION, Schema, schema_key};

/// A row that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("row {row}: {reason}")]
pub struct RowError {
    /// Which row, readable.
    pub row: String,
    /// What is wrong with it.
    pub reason: String,
}

impl RowError {
    fn new(row: impl ToString, reason: impl ToString) -> Self {
        Self { row: row.to_string(), reason: reason.to_string() }
    }
}

/// A key and what becomes of it; `None` deletes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyChange {
    /// Key.
    pub key: Vec<u8>,
    /// New value.
    pub value: Option<Vec<u8>>,
}

/// Prefixes that `decode_all` reads, in the order of a scan.
pub const PREFIXES: [&[u8]; 3] = [sector::PREFIX, task::PREFIX, fence::PREFIX];

/// Key of the counters row.
pub fn counters_key() -> Vec<u8> {
    counters::KEY.to_vec()
}

/// What a change of the core means for the keys.
pub fn encode_change(change: &RowChange) -> KeyChange {
    match change {
        RowChange::PutSector(sector) => put(sector::key(sector.number), &sector::encode(sector)),
        RowChange::PutTask(task) => put(task::key(task.id), &task::encode(task)),
        RowChange::DeleteTask(id) => KeyChange { key: task::key(*id), value: None },
        RowChange::PutFence(fence) => put(fence::key(fence.task), &fence::encode(*fence)),
        RowChange::DeleteFence(id) => KeyChange { key: fence::key(*id), value: None },
        RowChange::PutCounters(counters) => put(counters_key(), &counters::encode(*counters)),
    }
}

/// Adds one row to what has been read; keys that belong to other rooms of the state are refused.
pub fn decode_into(rows: &mut Rows, key: &[u8], value: &[u8]) -> Result<(), RowError> {
    if key.starts_with(sector::PREFIX) {
        rows.sectors.push(sector::decode(key, value)?);
    } else if key.starts_with(task::PREFIX) {
        rows.tasks.push(task::decode(key, value)?);
    } else if key.starts_with(fence::PREFIX) {
        rows.fences.push(fence::decode(key, value)?);
    } else if key == counters::KEY {
        rows.counters = counters::decode(value)?;
    } else {
        return Err(RowError::new(readable(key), "no row of the scheduler has this key"));
    }
    Ok(())
}

fn put(key: Vec<u8>, message: &impl Message) -> KeyChange {
    KeyChange { key, value: Some(message.encode_to_vec()) }
}

/// `sector/` and the big-endian number, so that a scan comes in order.
fn numbered(prefix: &[u8], number: u64) -> Vec<u8> {
    [prefix, &number.to_be_bytes()].concat()
}

/// The number in a key made by `numbered`.
fn number_in(prefix: &[u8], key: &[u8]) -> Result<u64, RowError> {
    let tail = key.strip_prefix(prefix).and_then(|tail| <[u8; 8]>::try_from(tail).ok());
    tail.map(u64::from_be_bytes).ok_or_else(|| RowError::new(readable(key), "the key has no 8-byte number"))
}

/// A key for people: text, other bytes in hex.
pub fn readable(key: &[u8]) -> String {
    match key.iter().position(|b| !b.is_ascii_graphic()) {
        Some(at) => format!("{}{}", String::from_utf8_lossy(&key[..at]), hex::encode(&key[at..])),
        None => String::from_utf8_lossy(key).into_owned(),
    }
}

fn parse<M: Message + Default>(row: &str, value: &[u8]) -> Result<M, RowError> {
    M::decode(value).map_err(|e| RowError::new(row, e))
}
