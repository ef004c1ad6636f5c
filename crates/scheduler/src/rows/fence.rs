//! Rows `fence/<task>`: attempts that have ended.

use sp_proto::v1;
use sp_sched_core::model::FenceRow;
use sp_types::TaskId;

use super::{RowError, number_in, numbered, parse};

pub(super) const PREFIX: &[u8] = b"fence/";

pub(super) fn key(task: TaskId) -> Vec<u8> {
    numbered(PREFIX, task.0)
}

pub(super) fn encode(fence: FenceRow) -> v1::StoredFence {
    let FenceRow { task, up_to_number } = fence;
    v1::StoredFence { task: task.0, up_to_number }
}

pub(super) fn decode(key: &[u8], value: &[u8]) -> Result<FenceRow, RowError> {
    let row = format!("fence/{}", number_in(PREFIX, key)?);
    let v1::StoredFence { task, up_to_number } = parse(&row, value)?;
    Ok(FenceRow { task: TaskId(task), up_to_number })
}
