//! Row `replica/<miner><sector><kind><store>` (numbers big-endian): one replica, as on the wire.

use prost::Message;
use sp_proto::v1;
use sp_types::ReplicaInfo;

use super::RowError;
use crate::core::Place;

pub(super) const PREFIX: &[u8] = b"replica/";

pub(super) fn key(place: &Place) -> Vec<u8> {
    let Place { sector, kind, store } = place;
    let (miner, number, bit) = (sector.miner.to_be_bytes(), sector.number.to_be_bytes(), kind.bit().to_be_bytes());
    [PREFIX, &miner, &number, &bit, store.as_str().as_bytes()].concat()
}

pub(super) fn key_of(info: &ReplicaInfo) -> Vec<u8> {
    key(&Place::of(info))
}

pub(super) fn encode(info: &ReplicaInfo) -> Vec<u8> {
    v1::Replica::from(info.clone()).encode_to_vec()
}

pub(super) fn decode(key: &[u8], value: &[u8]) -> Result<ReplicaInfo, RowError> {
    let message = v1::Replica::decode(value).map_err(|e| RowError::damaged(key, e))?;
    let info = ReplicaInfo::try_from(message).map_err(|e| RowError::damaged(key, e))?;
    if key_of(&info) != key {
        return Err(RowError::damaged(key, "it holds another replica"));
    }
    Ok(info)
}
