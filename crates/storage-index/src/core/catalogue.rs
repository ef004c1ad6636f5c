//! Which replicas there are: those of a sector together, and the sectors of every store.
//!
//! There are millions of them, so each is small: a store is a number in here and an id outside. Whatever is asked of one
//! sector or one store costs what lies there, and the logarithm of the rest.

use std::collections::{BTreeMap, BTreeSet};

use sp_types::{FileKind, ReplicaId, ReplicaInfo, SectorId, StoreId};

use super::model::{Place, ReplicaCounts};

/// A store's place among the names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct StoreKey(u32);

/// A replica less its sector.
#[derive(Debug, Clone)]
struct Held {
    root: [u8; 32],
    size_bytes: u64,
    /// The turn in which it was named last.
    named: u64,
    store: StoreKey,
    /// Index in [`FileKind::ALL`].
    kind: u8,
    primary: bool,
}

const _: () = assert!(size_of::<Held>() <= 56, "there are millions of them");

/// What lies on one store.
#[derive(Debug)]
struct OnStore {
    id: StoreId,
    sectors: BTreeSet<SectorId>,
    /// Replicas by index in [`FileKind::ALL`].
    counts: [u64; FileKind::ALL.len()],
}

/// What became of a replica that was put.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Put {
    /// It was there, just so.
    Known,
    /// It is new, or in place of this one.
    Changed(Option<ReplicaInfo>),
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Catalogue {
    /// Each by kind and store, never empty.
    sectors: BTreeMap<SectorId, Vec<Held>>,
    stores: Vec<OnStore>,
    keys: BTreeMap<StoreId, StoreKey>,
    /// Places among the names that nobody has now.
    unused: Vec<StoreKey>,
}

// === impl Held ===

impl Held {
    fn kind(&self) -> FileKind {
        FileKind::ALL[usize::from(self.kind)]
    }

    fn order(&self) -> (u8, StoreKey) {
        (self.kind, self.store)
    }
}

fn kind_index(kind: FileKind) -> u8 {
    // The bits are Lotus's: one each, rising in `ALL`.
    kind.bit().trailing_zeros() as u8
}

// === impl Catalogue ===

impl Catalogue {
    /// Takes a replica, named in this turn.
    pub(super) fn put(&mut self, replica: &ReplicaInfo, turn: u64) -> Put {
        let ReplicaInfo { id: ReplicaId { sector, kind, store, root }, size_bytes, primary } = replica;
        let store = self.key_of(store);
        let held = Held {
            root: *root,
            size_bytes: *size_bytes,
            named: turn,
            store,
            kind: kind_index(*kind),
            primary: *primary,
        };
        let of_sector = self.sectors.entry(*sector).or_default();
        match of_sector.binary_search_by_key(&held.order(), Held::order) {
            Ok(at) => {
                let before = std::mem::replace(&mut of_sector[at], held);
                let now = &of_sector[at];
                let same = (before.root, before.size_bytes, before.primary) == (now.root, now.size_bytes, now.primary);
                if same { Put::Known } else { Put::Changed(Some(self.info(*sector, &before))) }
            }
            Err(at) => {
                // Most sectors have two or three for good: no room for more.
                of_sector.reserve_exact(1);
                let on_store = &mut self.stores[store.0 as usize];
                on_store.counts[usize::from(held.kind)] += 1;
                on_store.sectors.insert(*sector);
                of_sector.insert(at, held);
                Put::Changed(None)
            }
        }
    }

    /// Takes out what lies at this place.
    pub(super) fn remove(&mut self, place: &Place) -> Option<ReplicaInfo> {
        let (of_sector, at) = self.position(place)?;
        let is_last = of_sector.len() == 1;
        let removed = match is_last {
            true => self.sectors.remove(&place.sector)?.pop()?,
            false => {
                let of_sector = self.sectors.get_mut(&place.sector)?;
                let removed = of_sector.remove(at);
                of_sector.shrink_to_fit();
                removed
            }
        };
        let more = self.sectors.get(&place.sector).into_iter().flatten().any(|held| held.store == removed.store);
        let on_store = &mut self.stores[removed.store.0 as usize];
        on_store.counts[usize::from(removed.kind)] -= 1;
        if !more {
            on_store.sectors.remove(&place.sector);
        }
        Some(self.info(place.sector, &removed))
    }

    /// What lies at this place.
    pub(super) fn get(&self, place: &Place) -> Option<ReplicaInfo> {
        let (of_sector, at) = self.position(place)?;
        Some(self.info(place.sector, &of_sector[at]))
    }

    /// Every replica of a sector, by kind and store.
    pub(super) fn of_sector(&self, sector: SectorId) -> Vec<ReplicaInfo> {
        self.sectors.get(&sector).map(|of_sector| self.infos(sector, of_sector)).unwrap_or_default()
    }

    /// Every replica, by sector, kind and store.
    pub(super) fn iter(&self) -> impl Iterator<Item = ReplicaInfo> {
        self.sectors.iter().flat_map(|(sector, of_sector)| self.infos(*sector, of_sector))
    }

    /// Places on a store that were last named before this turn, by sector and kind.
    pub(super) fn not_named_since(&self, store: &StoreId, turn: u64) -> Vec<Place> {
        let Some(key) = self.keys.get(store) else { return Vec::new() };
        let mut places = Vec::new();
        for sector in &self.stores[key.0 as usize].sectors {
            let of_sector = self.sectors.get(sector).into_iter().flatten();
            let unnamed = of_sector.filter(|held| held.store == *key && held.named < turn);
            places.extend(unnamed.map(|held| Place { sector: *sector, kind: held.kind(), store: store.clone() }));
        }
        places
    }

    /// Every place on a store, by sector and kind.
    pub(super) fn on_store(&self, store: &StoreId) -> Vec<Place> {
        self.not_named_since(store, u64::MAX)
    }

    /// How many replicas of each kind lie on each store.
    pub(super) fn counts(&self) -> ReplicaCounts {
        let mut counts = ReplicaCounts::new();
        for (id, key) in &self.keys {
            let on_store = self.stores[key.0 as usize].counts.iter().zip(FileKind::ALL);
            let some = on_store.filter(|(count, _)| **count > 0);
            counts.extend(some.map(|(count, kind)| ((id.clone(), kind), *count)));
        }
        counts
    }

    /// The store is gone: its name is needed no more. One that still holds something keeps it.
    pub(super) fn forget_store(&mut self, store: &StoreId) {
        if let Some(key) = self.keys.get(store).copied()
            && self.stores[key.0 as usize].sectors.is_empty()
        {
            self.keys.remove(store);
            self.unused.push(key);
        }
    }

    fn key_of(&mut self, store: &StoreId) -> StoreKey {
        if let Some(key) = self.keys.get(store) {
            return *key;
        }
        let named = OnStore { id: store.clone(), sectors: BTreeSet::new(), counts: [0; FileKind::ALL.len()] };
        let key = match self.unused.pop() {
            Some(key) => {
                self.stores[key.0 as usize] = named;
                key
            }
            None => {
                self.stores.push(named);
                StoreKey(self.stores.len() as u32 - 1)
            }
        };
        self.keys.insert(store.clone(), key);
        key
    }

    fn position(&self, place: &Place) -> Option<(&[Held], usize)> {
        let order = (kind_index(place.kind), *self.keys.get(&place.store)?);
        let of_sector = self.sectors.get(&place.sector)?;
        let at = of_sector.binary_search_by_key(&order, Held::order).ok()?;
        Some((of_sector, at))
    }

    fn infos(&self, sector: SectorId, of_sector: &[Held]) -> Vec<ReplicaInfo> {
        let mut infos: Vec<_> = of_sector.iter().map(|held| self.info(sector, held)).collect();
        // The keys of stores say who came first, which a restart forgets.
        infos.sort_by(|a, b| (a.id.kind, &a.id.store).cmp(&(b.id.kind, &b.id.store)));
        infos
    }

    fn info(&self, sector: SectorId, held: &Held) -> ReplicaInfo {
        let store = self.stores[held.store.0 as usize].id.clone();
        let id = ReplicaId { sector, kind: held.kind(), store, root: held.root };
        ReplicaInfo { id, size_bytes: held.size_bytes, primary: held.primary }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Step {
        Put(ReplicaInfo),
        Remove(Place),
        /// A declaration of the store begins, and everything named before it goes.
        Redeclare(StoreId),
        Forget(StoreId),
    }

    fn store(number: u8) -> StoreId {
        StoreId::new(format!("s{number}")).unwrap()
    }

    prop_compose! {
        fn replica()(number in 0..4u64, kind in 0..3usize, at in 0..4u8, root in 0..2u8, primary in any::<bool>())
            -> ReplicaInfo {
            let sector = SectorId { miner: 1000, number };
            let id = ReplicaId { sector, kind: FileKind::ALL[kind], store: store(at), root: [root; 32] };
            ReplicaInfo { id, size_bytes: u64::from(root), primary }
        }
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            6 => replica().prop_map(Step::Put),
            2 => replica().prop_map(|r| Step::Remove(Place::of(&r))),
            1 => (0..4u8).prop_map(|at| Step::Redeclare(store(at))),
            1 => (0..4u8).prop_map(|at| Step::Forget(store(at))),
        ]
    }

    /// The same, simply.
    type Plain = BTreeMap<Place, (ReplicaInfo, u64)>;

    fn check(catalogue: &Catalogue, plain: &Plain) {
        let all: Vec<_> = plain.values().map(|(info, _)| info.clone()).collect();
        assert_eq!(catalogue.iter().collect::<Vec<_>>(), all);
        let mut counts = ReplicaCounts::new();
        plain.keys().for_each(|place| *counts.entry((place.store.clone(), place.kind)).or_default() += 1);
        assert_eq!(catalogue.counts(), counts);
        for at in 0..4 {
            let here: Vec<_> = plain.keys().filter(|p| p.store == store(at)).cloned().collect();
            assert_eq!(catalogue.on_store(&store(at)), here);
        }
        for number in 0..4 {
            let sector = SectorId { miner: 1000, number };
            let of_sector: Vec<_> = all.iter().filter(|r| r.id.sector == sector).cloned().collect();
            assert_eq!(catalogue.of_sector(sector), of_sector);
        }
        assert!(catalogue.sectors.values().all(|of_sector| !of_sector.is_empty()));
    }

    proptest! {
        #[test]
        fn it_says_what_a_plain_map_says(steps in proptest::collection::vec(step(), 0..60)) {
            let (mut catalogue, mut plain) = (Catalogue::default(), Plain::new());
            for (turn, step) in (0..).zip(steps) {
                match step {
                    Step::Put(info) => {
                        let before = plain.insert(Place::of(&info), (info.clone(), turn)).map(|(before, _)| before);
                        let put = if before.as_ref() == Some(&info) { Put::Known } else { Put::Changed(before) };
                        prop_assert_eq!(catalogue.put(&info, turn), put);
                        prop_assert_eq!(catalogue.get(&Place::of(&info)), Some(info));
                    }
                    Step::Remove(place) => {
                        let removed = plain.remove(&place).map(|(info, _)| info);
                        prop_assert_eq!(catalogue.remove(&place), removed);
                        prop_assert_eq!(catalogue.get(&place), None);
                    }
                    Step::Redeclare(store) => {
                        let since = turn / 2;
                        let unnamed = plain.iter().filter(|(p, (_, named))| p.store == store && *named < since);
                        let unnamed: Vec<_> = unnamed.map(|(p, _)| p.clone()).collect();
                        prop_assert_eq!(&catalogue.not_named_since(&store, since), &unnamed);
                        for place in unnamed {
                            plain.remove(&place);
                            catalogue.remove(&place);
                        }
                    }
                    Step::Forget(store) => catalogue.forget_store(&store),
                }
                check(&catalogue, &plain);
            }
        }
    }
}
