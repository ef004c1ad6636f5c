//! Row `store/<id>`: the settings of a store, as `AttachedStore` without health.

use prost::Message;
use sp_proto::v1;
use sp_types::StoreId;

use super::RowError;
use crate::core::Settings;
use crate::wire;

pub(super) const PREFIX: &[u8] = b"store/";

pub(super) fn key(id: &StoreId) -> Vec<u8> {
    [PREFIX, id.as_str().as_bytes()].concat()
}

pub(super) fn encode(settings: &Settings) -> Vec<u8> {
    wire::settings_to_wire(settings.clone()).encode_to_vec()
}

pub(super) fn decode(key: &[u8], value: &[u8]) -> Result<Settings, RowError> {
    let message = v1::AttachedStore::decode(value).map_err(|e| RowError::damaged(key, e))?;
    let settings = wire::settings(message).map_err(|e| RowError::damaged(key, e))?;
    if self::key(&settings.id) != key {
        return Err(RowError::damaged(key, "it holds another store"));
    }
    Ok(settings)
}
