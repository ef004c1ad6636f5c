//! The scheduler's durable rows: one file per key, each with its bytes, its encoding and its decoding.

mod counters;
mod fence;
mod history;
mod ledger;
mod partition;
mod pin;
mod raise;
mod receive;
mod schema;
mod sector;
mod sector_state;
mod task;
#[cfg(test)]
mod tests;
mod update;
mod win;
mod worker;

use prost::Message;
use sp_sched_core::model::{Pin, RowChange, Rows, Sector, Task};
use sp_state::{Batch, State, StateError};
use sp_types::TaskId;

pub(crate) use history::{History, Wanted, newest};
pub(crate) use ledger::{Genesis, PreCommitRow, books, genesis_key, note, precommit_key};
pub use schema::SCHEMA_VERSION;
pub(crate) use schema::{Schema, schema_key};

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

/// Key of the counters row.
pub(crate) fn counters_key() -> Vec<u8> {
    counters::KEY.to_vec()
}

/// Adds a change of the core to a batch.
pub(crate) fn apply(batch: &mut Batch, history: &mut History, change: &RowChange) {
    match change {
        RowChange::AddFinished(finished) => history.append(batch, finished),
        RowChange::PutSector(sector) => batch.put(sector::key(sector.number), sector::encode(sector).encode_to_vec()),
        RowChange::PutTask(task) => batch.put(task::key(task.id), task::encode(task).encode_to_vec()),
        RowChange::DeleteTask(id) => batch.delete(task::key(*id)),
        RowChange::PutFence(fence) => batch.put(fence::key(fence.task), fence::encode(*fence).encode_to_vec()),
        RowChange::DeleteFence(id) => batch.delete(fence::key(*id)),
        RowChange::PutWorker(row) => batch.put(worker::key(&row.worker), worker::encode(row).encode_to_vec()),
        RowChange::DeleteWorker(id) => batch.delete(worker::key(id)),
        RowChange::PutPin(row) => batch.put(pin::key(row.sector), pin::encode(row).encode_to_vec()),
        RowChange::DeletePin(sector) => batch.delete(pin::key(*sector)),
        RowChange::PutWin(row) => batch.put(win::key(row.epoch), win::encode(row).encode_to_vec()),
        RowChange::DeleteWin(epoch) => batch.delete(win::key(*epoch)),
        RowChange::PutPartition(row) => batch.put(partition::key(row.key()), partition::encode(row).encode_to_vec()),
        RowChange::DeletePartition(key) => batch.delete(partition::key(*key)),
        RowChange::PutCounters(counters) => batch.put(counters_key(), counters::encode(*counters).encode_to_vec()),
    };
}

/// Reads everything that the core wants back. On the first start writes whose rows these are; ever after refuses a
/// state of somebody else or of a newer build.
pub(crate) fn open(state: &dyn State, owner: Schema) -> Result<(Schema, Rows), RowError> {
    let fault = |row: &str| {
        let row = row.to_owned();
        move |e: StateError| RowError::new(row, e)
    };
    let schema = match state.get(&schema_key()).map_err(fault("meta/schema"))? {
        Some(value) => {
            let found = Schema::decode(&value)?;
            found.check(&owner)?;
            raise::raise(state, found, owner.version)?
        }
        None => {
            let mut batch = Batch::new();
            batch.require_absent(schema_key()).put(schema_key(), owner.encode());
            state.commit(batch).map_err(|e| RowError::new("meta/schema", e))?;
            owner
        }
    };
    let mut rows = Rows::default();
    let ours =
        [sector::PREFIX, task::PREFIX, fence::PREFIX, worker::PREFIX, pin::PREFIX, win::PREFIX, partition::PREFIX];
    for prefix in ours {
        for (key, value) in state.scan_all(prefix).map_err(fault(&readable(prefix)))? {
            decode_into(&mut rows, &key, &value)?;
        }
    }
    if let Some(value) = state.get(&counters_key()).map_err(fault("meta/counters"))? {
        rows.counters = counters::decode(&value)?;
    }
    Ok((schema, rows))
}

/// Every sector as it is durable, rising.
pub(crate) fn sectors(state: &dyn State) -> Result<Vec<Sector>, RowError> {
    let rows = state.scan_all(sector::PREFIX).map_err(|e| RowError::new("sector/", e))?;
    rows.iter().map(|(key, value)| sector::decode(key, value)).collect()
}

/// One sector as it is durable.
pub(crate) fn sector(state: &dyn State, number: u64) -> Result<Option<Sector>, RowError> {
    let key = sector::key(number);
    let value = state.get(&key).map_err(|e| RowError::new(readable(&key), e))?;
    value.map(|value| sector::decode(&key, &value)).transpose()
}

/// The pin of a sector as it is durable.
pub(crate) fn pin(state: &dyn State, number: u64) -> Result<Option<Pin>, RowError> {
    let key = pin::key(number);
    let value = state.get(&key).map_err(|e| RowError::new(readable(&key), e))?;
    value.map(|value| pin::decode(&key, &value)).transpose()
}

/// One sealing task as it is durable.
pub(crate) fn task(state: &dyn State, id: TaskId) -> Result<Option<Task>, RowError> {
    let key = task::key(id);
    let value = state.get(&key).map_err(|e| RowError::new(readable(&key), e))?;
    value.map(|value| task::decode(&key, &value)).transpose()
}

/// Adds one row to what has been read; keys that belong to other rooms of the state are refused.
fn decode_into(rows: &mut Rows, key: &[u8], value: &[u8]) -> Result<(), RowError> {
    if key.starts_with(sector::PREFIX) {
        rows.sectors.push(sector::decode(key, value)?);
    } else if key.starts_with(task::PREFIX) {
        rows.tasks.push(task::decode(key, value)?);
    } else if key.starts_with(fence::PREFIX) {
        rows.fences.push(fence::decode(key, value)?);
    } else if key.starts_with(worker::PREFIX) {
        rows.workers.push(worker::decode(key, value)?);
    } else if key.starts_with(pin::PREFIX) {
        rows.pins.push(pin::decode(key, value)?);
    } else if key.starts_with(win::PREFIX) {
        rows.wins.push(win::decode(key, value)?);
    } else if key.starts_with(partition::PREFIX) {
        rows.partitions.push(partition::decode(key, value)?);
    } else {
        return Err(RowError::new(readable(key), "no row of the scheduler has this key"));
    }
    Ok(())
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
fn readable(key: &[u8]) -> String {
    match key.iter().position(|b| !b.is_ascii_graphic()) {
        Some(at) => format!("{}{}", String::from_utf8_lossy(&key[..at]), hex::encode(&key[at..])),
        None => String::from_utf8_lossy(key).into_owned(),
    }
}

fn parse<M: Message + Default>(row: &str, value: &[u8]) -> Result<M, RowError> {
    M::decode(value).map_err(|e| RowError::new(row, e))
}
