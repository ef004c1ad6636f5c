//! Between the wire and the core: questions about places for files.

use sp_proto::convert::{WireError, file_kind};
use sp_proto::v1;
use sp_types::{FileKind, FileKindSet, SectorId, SectorSize, StoreId};

use crate::core::{AllocStore, Allocate, Allocated, Fetch, Find, FoundStore, PathUse};
use crate::wire::{holders_to_wire, invalid};

pub(crate) fn kinds(numbers: &[i32]) -> Result<FileKindSet, WireError> {
    numbers.iter().map(|number| file_kind(*number)).collect()
}

pub(crate) fn kinds_to_wire(kinds: FileKindSet) -> Vec<i32> {
    kinds.iter().map(|kind| v1::FileKind::from(kind) as i32).collect()
}

fn sector_size(bytes: u64) -> Result<u64, WireError> {
    let known = SectorSize::from_bytes(bytes);
    known.map(SectorSize::bytes).ok_or_else(|| invalid("sector_size", format!("{bytes} is no published sector size")))
}

/// Zero stands for all.
fn limit(number: u32) -> usize {
    if number == 0 { usize::MAX } else { number as usize }
}

pub(crate) fn find(message: v1::FindStoresRequest) -> Result<Find, WireError> {
    let v1::FindStoresRequest { miner, sector: number, kinds: named, allow_fetch, sector_size: bytes, limit } = message;
    let kinds = if named.is_empty() { FileKindSet::of(&FileKind::ALL) } else { kinds(&named)? };
    let fetch = match allow_fetch {
        true => Some(Fetch { sector_size: sector_size(bytes)?, limit: self::limit(limit) }),
        false => None,
    };
    Ok(Find { sector: SectorId { miner, number }, kinds, fetch })
}

pub(crate) fn found(stores: Vec<FoundStore>) -> v1::FindStoresReply {
    let stores = stores.into_iter().map(|store| {
        let FoundStore { id, weight, primary, held, can_seal, can_store, holders, unhealthy } = store;
        v1::FoundStore {
            store: id.to_string(),
            weight,
            primary,
            held: kinds_to_wire(held),
            can_seal,
            can_store,
            holders: holders_to_wire(holders),
            healthy: unhealthy.is_none(),
            unhealthy_reason: unhealthy.unwrap_or_default(),
        }
    });
    v1::FindStoresReply { stores: stores.collect() }
}

/// What is to be placed, and how many stores are to be named.
pub(crate) fn allocate(message: v1::BestAllocRequest) -> Result<(Allocate, usize), WireError> {
    let v1::BestAllocRequest { miner, kinds: named, sector_size: bytes, path_use, limit } = message;
    let path_use = match v1::PathUse::try_from(path_use) {
        Ok(v1::PathUse::Sealing) => PathUse::Sealing,
        Ok(v1::PathUse::Storage) => PathUse::Storage,
        Ok(v1::PathUse::Unspecified) | Err(_) => {
            return Err(invalid("path_use", format!("unknown use {path_use}; say sealing or storage")));
        }
    };
    if named.is_empty() {
        return Err(invalid("kinds", "no file is named"));
    }
    Ok((Allocate { miner, kinds: kinds(&named)?, sector_size: sector_size(bytes)?, path_use }, self::limit(limit)))
}

pub(crate) fn allocated(Allocated { stores, refused }: Allocated) -> v1::BestAllocReply {
    let stores = stores.into_iter().map(|AllocStore { id, available_bytes, weight, holders }| v1::AllocStore {
        store: id.to_string(),
        available_bytes,
        weight,
        holders: holders_to_wire(holders),
    });
    let no = |(store, reason): (StoreId, String)| v1::RefusedStore { store: store.to_string(), reason };
    v1::BestAllocReply { stores: stores.collect(), refused: refused.into_iter().map(no).collect() }
}
