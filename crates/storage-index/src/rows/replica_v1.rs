//! Row `replica/<miner><sector><kind><store>` (numbers big-endian) of version 1: one replica, as on the wire. Only read;
//! what is found is kept as version 2 has it.

use prost::Message;
use sp_proto::v1;
use sp_types::ReplicaInfo;

use super::RowError;

pub(super) const PREFIX: &[u8] = b"replica/";

pub(super) fn key_of(info: &ReplicaInfo) -> Vec<u8> {
    let id = &info.id;
    let (miner, number) = (id.sector.miner.to_be_bytes(), id.sector.number.to_be_bytes());
    [PREFIX, &miner, &number, &id.kind.bit().to_be_bytes(), id.store.as_str().as_bytes()].concat()
}

pub(super) fn decode(key: &[u8], value: &[u8]) -> Result<ReplicaInfo, RowError> {
    let message = v1::Replica::decode(value).map_err(|e| RowError::damaged(key, e))?;
    let info = ReplicaInfo::try_from(message).map_err(|e| RowError::damaged(key, e))?;
    if key_of(&info) != key {
        return Err(RowError::damaged(key, "it holds another replica"));
    }
    Ok(info)
}
