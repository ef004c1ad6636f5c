//! The paths and sectors of a measurement: who has what.

use sp_types::{FileKind, Origin, ReplicaId, ReplicaInfo, SectorId, Soundness, StoreId, WorkerId};

/// Paths of one worker.
pub(crate) const STORES_PER_WORKER: usize = 10;

/// The kinds of a finished sector.
pub(crate) const KINDS: [FileKind; 2] = [FileKind::Sealed, FileKind::Cache];

/// Replicas in one declaration, as workers do it.
pub(crate) const DECLARED_AT_ONCE: usize = 1_000;

/// Bytes of a sector.
pub(crate) const SECTOR_SIZE: u64 = 32 << 30;

/// So many sectors on so many paths.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) stores: usize,
    pub(crate) sectors: usize,
}

impl Plan {
    pub(crate) fn workers(&self) -> usize {
        self.stores.div_ceil(STORES_PER_WORKER)
    }

    pub(crate) fn stores_of(&self, worker: usize) -> std::ops::Range<usize> {
        let first = worker * STORES_PER_WORKER;
        first..(first + STORES_PER_WORKER).min(self.stores)
    }

    /// Numbers of the sectors on a path. Neighbours lie on different paths, which is the worst case for every order.
    pub(crate) fn sectors_on(&self, store: usize) -> impl Iterator<Item = u64> + use<> {
        (store as u64..self.sectors as u64).step_by(self.stores)
    }
}

pub(crate) fn worker_id(worker: usize) -> WorkerId {
    WorkerId::new(format!("{:08x}-0000-4000-8000-{worker:012x}", scattered(worker))).expect("a valid id")
}

pub(crate) fn store_id(store: usize) -> StoreId {
    StoreId::new(format!("{:08x}-1111-4000-8000-{store:012x}", scattered(store))).expect("a valid id")
}

fn scattered(number: usize) -> u32 {
    (number as u32).wrapping_mul(2_654_435_761)
}

pub(crate) fn sector(number: u64) -> SectorId {
    SectorId { miner: 1000, number }
}

pub(crate) fn replica(store: &StoreId, number: u64, kind: FileKind) -> ReplicaInfo {
    let mut root = [kind.bit() as u8; 32];
    root[..8].copy_from_slice(&number.to_be_bytes());
    let id = ReplicaId { sector: sector(number), kind, store: store.clone(), root };
    let (size_bytes, origin, soundness) =
        (kind.finalized_bytes(SECTOR_SIZE), Origin::new(number + 1), Soundness::Unknown);
    ReplicaInfo { id, size_bytes, primary: true, origin, soundness }
}

/// Everything on a path in the order in which a worker lists it: kind by kind.
pub(crate) fn replicas_on(plan: Plan, store: usize) -> impl Iterator<Item = ReplicaInfo> {
    let id = store_id(store);
    KINDS.into_iter().flat_map(move |kind| {
        let id = id.clone();
        plan.sectors_on(store).map(move |number| replica(&id, number, kind))
    })
}

/// xorshift64, so that every run asks the same.
#[derive(Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn below(&mut self, bound: usize) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) % bound.max(1) as u64
    }
}
