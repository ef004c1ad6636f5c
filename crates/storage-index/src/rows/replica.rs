//! Row `held/<store>/<miner><sector><kind>` (numbers big-endian, the kind its bit in one byte): one replica, as on the
//! wire less what the key says.
//!
//! A store declares everything that it holds at once: with its id in front its rows lie together.

use prost::Message;
use sp_proto::v1;
use sp_types::{FileKind, Origin, ReplicaInfo, SectorId, StoreId};

use super::RowError;
use crate::core::Place;

pub(super) const PREFIX: &[u8] = b"held/";

/// No id of a store has it.
const END_OF_STORE: u8 = b'/';

pub(super) fn key(place: &Place) -> Vec<u8> {
    let Place { sector, kind, store } = place;
    key_at(*sector, *kind, store)
}

pub(super) fn key_of(info: &ReplicaInfo) -> Vec<u8> {
    key_at(info.id.sector, info.id.kind, &info.id.store)
}

fn key_at(sector: SectorId, kind: FileKind, store: &StoreId) -> Vec<u8> {
    let (miner, number) = (sector.miner.to_be_bytes(), sector.number.to_be_bytes());
    [PREFIX, store.as_str().as_bytes(), &[END_OF_STORE], &miner, &number, &[kind.bit() as u8]].concat()
}

pub(super) fn encode(info: &ReplicaInfo) -> Vec<u8> {
    let replica = v1::Replica {
        miner: 0,
        sector: 0,
        kind: 0,
        store: String::new(),
        root: info.id.root.to_vec(),
        size_bytes: info.size_bytes,
        primary: info.primary,
        origin: info.origin.map_or(0, Origin::get),
        soundness: v1::Soundness::from(info.soundness) as i32,
    };
    replica.encode_to_vec()
}

pub(super) fn decode(key: &[u8], value: &[u8]) -> Result<ReplicaInfo, RowError> {
    let Some((sector, kind, store)) = parts(key) else {
        return Err(RowError::damaged(key, "its key names no replica"));
    };
    let replica = v1::Replica::decode(value).map_err(|e| RowError::damaged(key, e))?;
    if !replica.store.is_empty() || replica.root.len() != 32 {
        return Err(RowError::damaged(key, "it holds no replica"));
    }
    let replica = v1::Replica {
        miner: sector.miner,
        sector: sector.number,
        kind: v1::FileKind::from(kind) as i32,
        store: store.to_owned(),
        ..replica
    };
    ReplicaInfo::try_from(replica).map_err(|e| RowError::damaged(key, e))
}

fn parts(key: &[u8]) -> Option<(SectorId, FileKind, &str)> {
    let rest = key.strip_prefix(PREFIX)?;
    let at = rest.iter().position(|byte| *byte == END_OF_STORE)?;
    let (store, rest) = (std::str::from_utf8(&rest[..at]).ok()?, &rest[at + 1..]);
    let (miner, rest) = rest.split_first_chunk::<8>()?;
    let (number, rest) = rest.split_first_chunk::<8>()?;
    let [bit] = rest else { return None };
    let kind = FileKind::ALL.into_iter().find(|kind| kind.bit() == u32::from(*bit))?;
    Some((SectorId { miner: u64::from_be_bytes(*miner), number: u64::from_be_bytes(*number) }, kind, store))
}
