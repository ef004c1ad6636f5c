//! Row `fence/<task>` (big-endian): the highest ended attempt of a task, four bytes big-endian.

use sp_types::TaskId;

use super::RowError;

pub(super) const PREFIX: &[u8] = b"fence/";

pub(super) fn key(task: TaskId) -> Vec<u8> {
    [PREFIX, &task.0.to_be_bytes()].concat()
}

pub(super) fn encode(up_to: u32) -> Vec<u8> {
    up_to.to_be_bytes().to_vec()
}

pub(super) fn decode(key: &[u8], value: &[u8]) -> Result<(TaskId, u32), RowError> {
    let task = key.strip_prefix(PREFIX).and_then(|rest| rest.try_into().ok()).map(u64::from_be_bytes);
    let up_to = value.try_into().ok().map(u32::from_be_bytes);
    match (task, up_to) {
        (Some(task), Some(up_to)) => Ok((TaskId(task), up_to)),
        _ => Err(RowError::damaged(key, "wrong length")),
    }
}
