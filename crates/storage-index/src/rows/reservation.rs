//! Row `reservation/<task><number>` (big-endian): what an attempt has reserved, as on the wire.

use prost::Message;
use sp_proto::v1;
use sp_types::AttemptId;

use super::RowError;
use crate::core::{ReserveItem, Wish};
use crate::wire;

pub(super) const PREFIX: &[u8] = b"reservation/";

pub(super) fn key(attempt: AttemptId) -> Vec<u8> {
    [PREFIX, &attempt.task.0.to_be_bytes(), &attempt.number.to_be_bytes()].concat()
}

pub(super) fn encode(attempt: AttemptId, items: &[ReserveItem]) -> Vec<u8> {
    let items = items.iter().cloned().map(wire::item_to_wire).collect();
    v1::Reserve { attempt: Some(attempt.into()), items, ..v1::Reserve::default() }.encode_to_vec()
}

pub(super) fn decode(key: &[u8], value: &[u8]) -> Result<(AttemptId, Vec<ReserveItem>), RowError> {
    let message = v1::Reserve::decode(value).map_err(|e| RowError::damaged(key, e))?;
    let Wish { attempt, items, .. } = wire::reserve(message).map_err(|e| RowError::damaged(key, e))?;
    if self::key(attempt) != key {
        return Err(RowError::damaged(key, "it holds another attempt"));
    }
    Ok((attempt, items))
}
