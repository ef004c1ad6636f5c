//! Which replicas there are: those of a sector together, and the sectors of every store.
//!
//! There are millions of them, so each is small: a store is a number in here and an id outside, and neighbouring sectors
//! share a page. Whatever is asked of one sector or one store costs what lies there, and the logarithm of the rest.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use sp_types::{FileKind, Origin, ReplicaId, ReplicaInfo, SectorId, Soundness, StoreId};

use super::model::{Place, ReplicaCounts};

/// Sectors of one page: numbers that differ in so many low bits only.
const PAGE_BITS: u32 = 4;

/// A store's place among the names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct StoreKey(u32);

/// A replica less its page.
#[derive(Debug, Clone)]
struct Held {
    root: [u8; 32],
    size_bytes: u64,
    /// The turn in which it was named last.
    named: u64,
    origin: Option<Origin>,
    store: StoreKey,
    /// The low bits of the sector's number.
    low: u8,
    /// Index in [`FileKind::ALL`].
    kind: u8,
    primary: bool,
    soundness: Soundness,
}

/// The miner, and the high bits of the sectors' numbers.
type Page = (u64, u64);

const _: () = assert!(size_of::<Held>() <= 64, "there are millions of them");

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
    /// Each by sector, kind and store, never empty.
    pages: BTreeMap<Page, Vec<Held>>,
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

    /// What a declaration says of what lies at its place.
    fn says(&self) -> ([u8; 32], u64, Option<Origin>, bool, Soundness) {
        (self.root, self.size_bytes, self.origin, self.primary, self.soundness)
    }

    fn order(&self) -> (u8, u8, StoreKey) {
        (self.low, self.kind, self.store)
    }
}

fn kind_index(kind: FileKind) -> u8 {
    // The bits are Lotus's: one each, rising in `ALL`.
    kind.bit().trailing_zeros() as u8
}

/// The page of a sector, and where on it.
fn place_of(sector: SectorId) -> (Page, u8) {
    ((sector.miner, sector.number >> PAGE_BITS), (sector.number & ((1 << PAGE_BITS) - 1)) as u8)
}

fn sector_at((miner, high): Page, low: u8) -> SectorId {
    SectorId { miner, number: high << PAGE_BITS | u64::from(low) }
}

// === impl Catalogue ===

impl Catalogue {
    /// Takes a replica, named in this turn.
    pub(super) fn put(&mut self, replica: &ReplicaInfo, turn: u64) -> Put {
        let ReplicaInfo { id: ReplicaId { sector, kind, store, root }, size_bytes, primary, origin, soundness } =
            replica;
        let store = self.key_of(store);
        let (page, low) = place_of(*sector);
        let mut held = Held {
            root: *root,
            size_bytes: *size_bytes,
            named: turn,
            origin: *origin,
            store,
            low,
            kind: kind_index(*kind),
            primary: *primary,
            soundness: *soundness,
        };
        let on_page = self.pages.entry(page).or_default();
        match on_page.binary_search_by_key(&held.order(), Held::order) {
            Ok(at) => {
                // Whoever has not read it again does not take back what another one has found: two may have one path.
                if held.soundness == Soundness::Unknown && on_page[at].root == held.root {
                    held.soundness = on_page[at].soundness;
                }
                let before = std::mem::replace(&mut on_page[at], held);
                let now = &on_page[at];
                let same = before.says() == now.says();
                if same { Put::Known } else { Put::Changed(Some(self.info(*sector, &before))) }
            }
            Err(at) => {
                // Most sectors have two or three for good: no room for more.
                on_page.reserve_exact(1);
                let on_store = &mut self.stores[store.0 as usize];
                on_store.counts[usize::from(held.kind)] += 1;
                on_store.sectors.insert(*sector);
                on_page.insert(at, held);
                Put::Changed(None)
            }
        }
    }

    /// Takes out what lies at this place.
    pub(super) fn remove(&mut self, place: &Place) -> Option<ReplicaInfo> {
        let (page, low) = place_of(place.sector);
        let order = (low, kind_index(place.kind), *self.keys.get(&place.store)?);
        let on_page = self.pages.get_mut(&page)?;
        let at = on_page.binary_search_by_key(&order, Held::order).ok()?;
        let removed = on_page.remove(at);
        on_page.shrink_to_fit();
        if on_page.is_empty() {
            self.pages.remove(&page);
        }
        let more = self.held(place.sector).iter().any(|held| held.store == removed.store);
        let on_store = &mut self.stores[removed.store.0 as usize];
        on_store.counts[usize::from(removed.kind)] -= 1;
        if !more {
            on_store.sectors.remove(&place.sector);
        }
        Some(self.info(place.sector, &removed))
    }

    /// What lies at this place.
    pub(super) fn get(&self, place: &Place) -> Option<ReplicaInfo> {
        let (kind, store) = (kind_index(place.kind), *self.keys.get(&place.store)?);
        let held = self.held(place.sector).iter().find(|held| (held.kind, held.store) == (kind, store))?;
        Some(self.info(place.sector, held))
    }

    /// Every replica of a sector, by kind and store.
    pub(super) fn of_sector(&self, sector: SectorId) -> Vec<ReplicaInfo> {
        self.infos(sector, self.held(sector))
    }

    /// Every replica, by sector, kind and store.
    pub(super) fn iter(&self) -> impl Iterator<Item = ReplicaInfo> {
        self.pages.iter().flat_map(|(page, on_page)| {
            let of_sectors = on_page.chunk_by(|one, next| one.low == next.low);
            of_sectors.flat_map(|of_sector| self.infos(sector_at(*page, of_sector[0].low), of_sector))
        })
    }

    /// Places on a store that were last named before this turn, by sector and kind.
    pub(super) fn not_named_since(&self, store: &StoreId, turn: u64) -> Vec<Place> {
        let Some(key) = self.keys.get(store) else { return Vec::new() };
        let mut places = Vec::new();
        for sector in &self.stores[key.0 as usize].sectors {
            let unnamed = self.held(*sector).iter().filter(|held| held.store == *key && held.named < turn);
            places.extend(unnamed.map(|held| Place { sector: *sector, kind: held.kind(), store: store.clone() }));
        }
        places
    }

    /// Every place on a store, by sector and kind.
    pub(super) fn on_store(&self, store: &StoreId) -> Vec<Place> {
        self.not_named_since(store, u64::MAX)
    }

    /// What lies on a store, of so many sectors behind this one, by sector and kind; and whether there are more.
    pub(super) fn page(
        &self,
        store: &StoreId,
        after: Option<SectorId>,
        sectors_max: usize,
    ) -> (Vec<ReplicaInfo>, bool) {
        let Some(key) = self.keys.get(store) else { return (Vec::new(), false) };
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut sectors = self.stores[key.0 as usize].sectors.range((from, Bound::Unbounded));
        let mut infos = Vec::new();
        for sector in sectors.by_ref().take(sectors_max) {
            let here = self.held(*sector).iter().filter(|held| held.store == *key);
            infos.extend(here.map(|held| self.info(*sector, held)));
        }
        (infos, sectors.next().is_some())
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

    /// What there is of a sector.
    fn held(&self, sector: SectorId) -> &[Held] {
        let (page, low) = place_of(sector);
        let on_page = self.pages.get(&page).map(Vec::as_slice).unwrap_or_default();
        let from = &on_page[on_page.partition_point(|held| held.low < low)..];
        &from[..from.partition_point(|held| held.low == low)]
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
        let Held { size_bytes, primary, origin, soundness, .. } = *held;
        ReplicaInfo { id, size_bytes, primary, origin, soundness }
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

    const SOUNDNESS: [Soundness; 3] = [Soundness::Unknown, Soundness::Sound, Soundness::Faulty];

    /// On three pages.
    const SECTORS: [u64; 5] = [0, 1, 15, 16, u64::MAX];

    fn store(number: u8) -> StoreId {
        StoreId::new(format!("s{number}")).unwrap()
    }

    prop_compose! {
        fn replica()(number in proptest::sample::select(&SECTORS[..]), kind in 0..3usize, at in 0..4u8, root in 0..2u8, primary in any::<bool>(), origin in 0..3u64, soundness in proptest::sample::select(&SOUNDNESS[..]))
            -> ReplicaInfo {
            let sector = SectorId { miner: 1000, number };
            let id = ReplicaId { sector, kind: FileKind::ALL[kind], store: store(at), root: [root; 32] };
            ReplicaInfo { id, size_bytes: u64::from(root), primary, origin: Origin::new(origin), soundness }
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
            assert_eq!(by_pages(catalogue, &store(at)), here);
        }
        for number in SECTORS {
            let sector = SectorId { miner: 1000, number };
            let of_sector: Vec<_> = all.iter().filter(|r| r.id.sector == sector).cloned().collect();
            assert_eq!(catalogue.of_sector(sector), of_sector);
        }
        assert!(catalogue.pages.values().all(|on_page| !on_page.is_empty()));
    }

    /// Places of a store, read two sectors at a time.
    fn by_pages(catalogue: &Catalogue, store: &StoreId) -> Vec<Place> {
        let mut infos = Vec::<ReplicaInfo>::new();
        loop {
            let after = infos.last().map(|info| info.id.sector);
            let (page, more) = catalogue.page(store, after, 2);
            let sectors: BTreeSet<_> = page.iter().map(|info| info.id.sector).collect();
            assert!(sectors.len() <= 2 && (!more || sectors.len() == 2), "{page:?}");
            infos.extend(page);
            if !more {
                return infos.iter().map(Place::of).collect();
            }
        }
    }

    proptest! {
        #[test]
        fn it_says_what_a_plain_map_says(steps in proptest::collection::vec(step(), 0..60)) {
            let (mut catalogue, mut plain) = (Catalogue::default(), Plain::new());
            for (turn, step) in (0..).zip(steps) {
                match step {
                    Step::Put(info) => {
                        let known = plain.get(&Place::of(&info)).filter(|(known, _)| known.id.root == info.id.root);
                        let soundness = match (info.soundness, known) {
                            (Soundness::Unknown, Some((known, _))) => known.soundness,
                            (said, _) => said,
                        };
                        let said = info.clone();
                        let info = ReplicaInfo { soundness, ..info };
                        let before = plain.insert(Place::of(&info), (info.clone(), turn)).map(|(before, _)| before);
                        let put = if before.as_ref() == Some(&info) { Put::Known } else { Put::Changed(before) };
                        prop_assert_eq!(catalogue.put(&said, turn), put);
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
