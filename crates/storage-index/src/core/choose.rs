//! Where files of a sector lie and where they may go: Lotus's rules for finding and allocating.
//!
//! Pure functions of what is known. A store that may not be chosen has a reason, as everything that is refused.

use std::collections::BTreeMap;

use sp_types::{ByteSize, FileKind, FileKindSet, ReplicaInfo, SectorId, StoreId, WorkerId, may_be_fetched};

use super::{Core, Settings, Store};

/// What a path is to be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PathUse {
    /// Files that are being sealed: CanSeal, and room for what sealing adds.
    Sealing,
    /// Finished files: CanStore.
    Storage,
}

/// New files that need a place together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Allocate {
    pub(crate) miner: u64,
    pub(crate) kinds: FileKindSet,
    pub(crate) sector_size: u64,
    pub(crate) path_use: PathUse,
}

/// The question where files lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Find {
    pub(crate) sector: SectorId,
    pub(crate) kinds: FileKindSet,
    /// Name stores too that the files may be fetched to for sealing.
    pub(crate) fetch: Option<Fetch>,
}

/// Which stores are named that files may be fetched to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fetch {
    pub(crate) sector_size: u64,
    /// At most so many.
    pub(crate) limit: usize,
}

/// A store that holds files, or to which they may be fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FoundStore {
    pub(crate) id: StoreId,
    /// Its weight times the kinds that it holds; 0 for one that holds none.
    pub(crate) weight: u64,
    /// Some of it is the copy that counts.
    pub(crate) primary: bool,
    pub(crate) held: FileKindSet,
    pub(crate) can_seal: bool,
    pub(crate) can_store: bool,
    pub(crate) holders: Vec<(WorkerId, String)>,
    /// None when healthy.
    pub(crate) unhealthy: Option<String>,
}

/// A store that may take new files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AllocStore {
    pub(crate) id: StoreId,
    pub(crate) available_bytes: u64,
    pub(crate) weight: u64,
    pub(crate) holders: Vec<(WorkerId, String)>,
}

/// The answer to an allocation.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Allocated {
    /// The best first.
    pub(crate) stores: Vec<AllocStore>,
    /// Why each of the others may not take them, by id.
    pub(crate) refused: Vec<(StoreId, String)>,
}

/// A store as the rules see it.
#[derive(Debug, Clone)]
pub(super) struct Candidate<'a> {
    pub(super) settings: &'a Settings,
    pub(super) available_bytes: u64,
    /// None when healthy.
    pub(super) unhealthy: Option<String>,
}

/// What a store holds of a sector.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Share {
    held: FileKindSet,
    primary: bool,
}

// === the rules ===

/// Bytes that these kinds of a sector may come to, by Lotus's tables.
pub(super) fn need_bytes(kinds: FileKindSet, sector_size: u64, path_use: PathUse) -> u64 {
    let bytes = |kind: FileKind| match path_use {
        PathUse::Sealing => kind.sealing_bytes(sector_size),
        PathUse::Storage => kind.finalized_bytes(sector_size),
    };
    kinds.iter().map(bytes).fold(0, u64::saturating_add)
}

/// Why the files may not be put on the store; none if they may.
pub(super) fn refusal(store: &Candidate<'_>, wanted: &Allocate) -> Option<String> {
    let Allocate { miner, kinds, sector_size, path_use } = *wanted;
    match path_use {
        PathUse::Sealing if !store.settings.can_seal => return Some("CanSeal is off".to_owned()),
        PathUse::Storage if !store.settings.can_store => return Some("CanStore is off".to_owned()),
        _ => {}
    }
    if let Some(reason) = &store.unhealthy {
        return Some(reason.clone());
    }
    // One path takes the whole set, so one kind that it does not take keeps the others out.
    if let Some(reason) = kinds.iter().find_map(|kind| store.settings.filters.refusal(miner, kind)) {
        return Some(reason);
    }
    let (need, available) = (need_bytes(kinds, sector_size, path_use), store.available_bytes);
    (available < need).then(|| format!("{} needed, {} available", ByteSize(need), ByteSize(available)))
}

/// The order of stores that may take files: free space times weight, then free space, the largest first; then the id.
pub(super) fn rank<'a>(store: &Candidate<'a>) -> impl Ord + use<'a> {
    let Candidate { settings: Settings { id, weight, .. }, available_bytes, .. } = store;
    let product = u128::from(*available_bytes) * u128::from(*weight);
    (std::cmp::Reverse((product, *available_bytes)), id)
}

/// May the files be fetched to the store? It must take all that is there.
fn may_fetch(store: &Candidate<'_>, fetch: &Allocate, allow_to: &[Vec<&[String]>]) -> bool {
    refusal(store, fetch).is_none() && may_be_fetched(&store.settings.groups, allow_to)
}

impl Core {
    // === finding ===

    /// Stores that hold some of the files, by weight and then id; after them, on request, those to which all that is
    /// there may be fetched, the best first.
    pub(crate) fn find_stores(&self, find: &Find) -> Vec<FoundStore> {
        let replicas = self.find_sector(find.sector);
        let wanted: Vec<&ReplicaInfo> = replicas.iter().filter(|r| find.kinds.contains(r.id.kind)).collect();
        let mut shares: BTreeMap<&StoreId, Share> = BTreeMap::new();
        for replica in &wanted {
            let share = shares.entry(&replica.id.store).or_default();
            share.held.insert(replica.id.kind);
            share.primary |= replica.primary;
        }
        let known = |(id, share): (&&StoreId, &Share)| Some(self.found(self.stores.get(*id)?, *share));
        let mut found: Vec<FoundStore> = shares.iter().filter_map(known).collect();
        found.sort_by(|a, b| (b.weight, &a.id).cmp(&(a.weight, &b.id)));
        if let Some(Fetch { sector_size, limit }) = find.fetch.filter(|_| !wanted.is_empty()) {
            let there = wanted.iter().map(|replica| replica.id.kind).collect();
            let fetch = Allocate { miner: find.sector.miner, kinds: there, sector_size, path_use: PathUse::Sealing };
            let strangers = self.stores.iter().filter(|(id, _)| !shares.contains_key(id)).map(|(_, store)| store);
            let allow_to: Vec<_> = fetch.kinds.iter().map(|kind| self.allow_to(&wanted, kind)).collect();
            let candidates = strangers.map(|store| (store, self.candidate(store)));
            let may = candidates.filter(|(_, candidate)| may_fetch(candidate, &fetch, &allow_to));
            let mut ranked: Vec<_> = may.map(|(store, candidate)| (rank(&candidate), store)).collect();
            ranked.sort_by(|(a, _), (b, _)| a.cmp(b));
            found.extend(ranked.into_iter().take(limit).map(|(_, store)| self.found(store, Share::default())));
        }
        found
    }

    /// The AllowTo lists of all holders of a kind.
    fn allow_to(&self, replicas: &[&ReplicaInfo], kind: FileKind) -> Vec<&[String]> {
        let of_kind = replicas.iter().filter(|replica| replica.id.kind == kind);
        of_kind.filter_map(|replica| Some(&*self.stores.get(&replica.id.store)?.settings.allow_to)).collect()
    }

    fn found(&self, store: &Store, Share { held, primary }: Share) -> FoundStore {
        let Settings { id, weight, can_seal, can_store, .. } = &store.settings;
        FoundStore {
            id: id.clone(),
            weight: weight.saturating_mul(held.iter().count() as u64),
            primary,
            held,
            can_seal: *can_seal,
            can_store: *can_store,
            holders: self.holders(store),
            unhealthy: self.unhealthy(store),
        }
    }

    // === allocating ===

    /// The best `limit` stores for the files. Why the others are not among them is said when none may take them.
    pub(crate) fn best_alloc(&self, wanted: &Allocate, limit: usize) -> Allocated {
        let candidates = self.stores.values().map(|store| (store, self.candidate(store)));
        let mut refused = Vec::new();
        let mut ranked = Vec::new();
        for (store, candidate) in candidates {
            match refusal(&candidate, wanted) {
                None => ranked.push((rank(&candidate), candidate.available_bytes, store)),
                Some(reason) => refused.push((store.settings.id.clone(), reason)),
            }
        }
        if !ranked.is_empty() {
            refused.clear();
        }
        ranked.sort_by(|(a, ..), (b, ..)| a.cmp(b));
        let chosen = |(_, available_bytes, store): (_, u64, &Store)| AllocStore {
            id: store.settings.id.clone(),
            available_bytes,
            weight: store.settings.weight,
            holders: self.holders(store),
        };
        Allocated { stores: ranked.into_iter().take(limit).map(chosen).collect(), refused }
    }

    fn candidate<'a>(&self, store: &'a Store) -> Candidate<'a> {
        let (available_bytes, unhealthy) = (self.available_bytes(store), self.unhealthy(store));
        Candidate { settings: &store.settings, available_bytes, unhealthy }
    }
}
