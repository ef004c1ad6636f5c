//! The copy of the index's facts that decisions are made on, and who has which file by it.

use std::collections::{BTreeMap, BTreeSet};

use sp_types::{FileKind, Origin, ReplicaId, SectorState, Soundness, StoreId, TaskKind, WorkerId};

use crate::core::Core;
use crate::effect::Effect;
use crate::event::StoreFact;
use crate::garbage::{Delete, Deletes};
use crate::model::{AttemptState, SectorFile};
use crate::view::Sources;

/// Sources named for one file at most.
const SOURCES_LIMIT: usize = 16;

/// Stores and replicas. While a snapshot comes in, the last complete copy stays in use.
#[derive(Debug, Clone, Default)]
pub(crate) struct Facts {
    /// The index is there and its snapshot is complete.
    pub(crate) connected: bool,
    /// Deletes on their way.
    pub(crate) deletes: Deletes,
    /// Sectors of which something may be garbage that is kept because a store is away.
    pub(crate) withheld: BTreeSet<u64>,
    copy: Copied,
    incoming: Option<Copied>,
}

#[derive(Debug, Clone, Default)]
struct Copied {
    stores: BTreeMap<StoreId, StoreFact>,
    by_holder: BTreeMap<WorkerId, BTreeSet<StoreId>>,
    replicas: BTreeMap<u64, BTreeMap<ReplicaId, Replica>>,
}

/// What is known of a replica besides its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Replica {
    pub(crate) size_bytes: u64,
    pub(crate) primary: bool,
    pub(crate) origin: Option<Origin>,
    pub(crate) soundness: Soundness,
}

impl Replica {
    /// A scrub has found a fault in it.
    pub(crate) fn is_faulty(&self) -> bool {
        self.soundness == Soundness::Faulty
    }
}

impl Facts {
    pub(crate) fn begin(&mut self) {
        self.connected = false;
        self.incoming = Some(Copied::default());
    }

    /// The index is away: its last complete copy stays.
    pub(crate) fn lose(&mut self) {
        self.connected = false;
        self.incoming = None;
    }

    fn complete(&mut self) {
        self.connected = true;
        if let Some(copy) = self.incoming.take() {
            self.copy = copy;
        }
    }

    fn newest(&mut self) -> &mut Copied {
        self.incoming.as_mut().unwrap_or(&mut self.copy)
    }

    pub(crate) fn put_store(&mut self, fact: StoreFact) {
        let before = self.store(&fact.id).map(|known| known.holders.clone()).unwrap_or_default();
        if !fact.holders.is_empty() && fact.holders != before {
            // Somebody else may do what nobody could.
            self.deletes.iter_mut().filter(|(id, _)| id.store == fact.id).for_each(|(_, delete)| delete.forgive());
        }
        self.newest().put_store(fact);
    }

    /// Its replicas stay known, without a holder, until the index takes them back.
    pub(crate) fn drop_store(&mut self, id: &StoreId) {
        self.newest().drop_store(id);
    }

    /// Stores that the worker has attached, rising.
    pub(crate) fn store_ids_of(&self, worker: &WorkerId) -> impl Iterator<Item = &StoreId> {
        self.copy.by_holder.get(worker).into_iter().flatten()
    }

    pub(crate) fn stores_of(&self, worker: &WorkerId) -> Vec<StoreId> {
        self.store_ids_of(worker).cloned().collect()
    }

    fn put_replica(&mut self, id: ReplicaId, replica: Replica) {
        self.newest().replicas.entry(id.sector.number).or_default().insert(id, replica);
    }

    fn drop_replica(&mut self, id: &ReplicaId) {
        let replicas = &mut self.newest().replicas;
        if let Some(of_sector) = replicas.get_mut(&id.sector.number) {
            of_sector.remove(id);
            if of_sector.is_empty() {
                replicas.remove(&id.sector.number);
            }
        }
    }

    pub(crate) fn stores(&self) -> impl Iterator<Item = &StoreFact> {
        self.copy.stores.values()
    }

    pub(crate) fn store(&self, id: &StoreId) -> Option<&StoreFact> {
        self.copy.stores.get(id)
    }

    pub(crate) fn replicas(&self, sector: u64) -> impl Iterator<Item = (&ReplicaId, &Replica)> {
        self.copy.replicas.get(&sector).into_iter().flatten()
    }

    /// Every replica, of sectors that the scheduler does not know too.
    pub(crate) fn all_replicas(&self) -> impl Iterator<Item = &ReplicaId> {
        self.copy.replicas.values().flat_map(BTreeMap::keys)
    }

    pub(crate) fn sectors(&self) -> impl Iterator<Item = u64> {
        self.copy.replicas.keys().copied()
    }

    /// Sectors of which something is known to lie on the store. Looks at everything.
    pub(crate) fn sectors_on(&self, store: &StoreId) -> impl Iterator<Item = u64> {
        let lies = |replicas: &BTreeMap<ReplicaId, Replica>| replicas.keys().any(|id| id.store == *store);
        self.copy.replicas.iter().filter(move |(_, replicas)| lies(replicas)).map(|(number, _)| *number)
    }

    /// Replicas of the root that counts.
    pub(crate) fn replicas_of<'a>(
        &'a self,
        sector: u64,
        file: &'a SectorFile,
    ) -> impl Iterator<Item = (&'a ReplicaId, &'a Replica)> {
        self.replicas(sector).filter(move |(id, _)| id.kind == file.kind && id.root == file.root)
    }

    /// Those of them to read from: without the faulty ones as long as there are others.
    pub(crate) fn readable<'a>(
        &'a self,
        sector: u64,
        file: &'a SectorFile,
    ) -> impl Iterator<Item = (&'a ReplicaId, &'a Replica)> {
        let others = self.replicas_of(sector, file).any(|(_, replica)| !replica.is_faulty());
        self.replicas_of(sector, file).filter(move |(_, replica)| !others || !replica.is_faulty())
    }
}

impl Copied {
    fn put_store(&mut self, fact: StoreFact) {
        self.drop_store(&fact.id.clone());
        for (worker, _) in &fact.holders {
            self.by_holder.entry(worker.clone()).or_default().insert(fact.id.clone());
        }
        self.stores.insert(fact.id.clone(), fact);
    }

    fn drop_store(&mut self, id: &StoreId) {
        let Some(fact) = self.stores.remove(id) else { return };
        for (worker, _) in &fact.holders {
            crate::lookup::drop_from(&mut self.by_holder, worker, id);
        }
    }
}

impl StoreFact {
    /// Somebody has it, and it is well.
    pub(crate) fn is_usable(&self) -> bool {
        self.healthy && !self.holders.is_empty()
    }

    pub(crate) fn held_by(&self, worker: &WorkerId) -> bool {
        self.holders.iter().any(|(w, _)| w == worker)
    }
}

impl Core {
    /// May files of this kind of our sectors be put there?
    pub(crate) fn may_lie_on(&self, store: &StoreFact, kind: FileKind) -> bool {
        store.filters.refusal(self.config.miner, kind).is_none()
    }

    pub(crate) fn on_index_back(&mut self) {
        self.facts.complete();
        self.note_all_read();
        // Orders of before may still be carried out, and whatever is still garbage is ordered anew.
        self.facts.deletes.values_mut().for_each(Delete::forgive);
        self.untidy.extend(self.facts.deletes.keys().map(|id| id.sector.number));
        self.untidy.extend(self.facts.sectors());
        // Their last replica may have gone meanwhile: no fact names them any more.
        let removing = self.sectors.values().filter(|s| s.state.is_gone() && s.state != SectorState::Removed);
        self.untidy.extend(removing.map(|s| s.number));
        let moves = self.tasks.values().filter(|t| t.kind == TaskKind::Fetch);
        self.untidy.extend(moves.filter_map(|t| t.sector));
        for fence in self.fences.values() {
            self.out.push(Effect::Fence(fence.row));
        }
        self.release_all_uncovered();
        self.present_attempts();
        let reserving: Vec<_> = self.tasks.values().flat_map(|t| &t.attempts).cloned().collect();
        for attempt in reserving.iter().filter(|a| a.state == AttemptState::Reserving) {
            self.ask_reservation(attempt.id);
            self.wind_attempt(attempt.id);
        }
        self.dirty.tasks.extend(self.tasks.keys());
        self.dirty.workers.extend(self.workers.keys().cloned());
    }

    pub(crate) fn on_replica(&mut self, id: ReplicaId, replica: Replica) {
        if id.sector.miner == self.config.miner {
            self.untidy.insert(id.sector.number);
            self.dirty_sector(id.sector.number);
            if self.facts.connected {
                self.note_read(&id, replica);
            }
            self.facts.put_replica(id, replica);
        }
    }

    pub(crate) fn on_replica_gone(&mut self, id: &ReplicaId) {
        self.untidy.insert(id.sector.number);
        self.dirty_sector(id.sector.number);
        self.facts.drop_replica(id);
    }

    /// The files of a sector have changed: its tasks may have another place to run.
    fn dirty_sector(&mut self, number: u64) {
        let ids: Vec<_> = self.tasks_of(number).map(|t| t.id).filter(|id| !self.bound.contains_key(id)).collect();
        self.dirty.tasks.extend(ids);
    }

    /// A store has come, gone, or has other figures: whoever has it may take more, and lost files may be back.
    pub(crate) fn on_store(&mut self, fact: StoreFact) {
        let holders: Vec<_> = fact.holders.iter().map(|(w, _)| w.clone()).collect();
        let same = |known: &StoreFact| known.healthy == fact.healthy && known.holders == fact.holders;
        // Most reports tell of other figures only; what waits for files waits for somebody who has them.
        let is_news = !self.facts.store(&fact.id).is_some_and(same);
        let before = self.facts.store(&fact.id).map(|known| known.can_store);
        let (id, is_of_another_use) = (fact.id.clone(), before != Some(fact.can_store));
        self.facts.put_store(fact);
        if !self.facts.connected {
            return;
        }
        self.dirty.workers.extend(holders);
        if is_news {
            self.dirty.tasks.extend(&self.starved);
            self.untidy.append(&mut self.facts.withheld);
        }
        if is_news || is_of_another_use {
            self.note_homes(&id, is_of_another_use);
        }
    }

    /// Store and data plane of everyone who can hand out the file: the worker's own first, then primary copies, then by
    /// weight; those that a scrub has found faulty last.
    pub(crate) fn sources(&self, sector: u64, file: &SectorFile, own: Option<&WorkerId>) -> Sources {
        let mut ranked = Vec::new();
        for (id, replica) in self.facts.replicas_of(sector, file) {
            let Some(store) = self.facts.store(&id.store) else { continue };
            for (worker, url) in &store.holders {
                let rank = (replica.is_faulty(), Some(worker) != own, !replica.primary, u64::MAX - store.weight);
                ranked.push((rank, id.store.clone(), url.clone()));
            }
        }
        ranked.sort();
        ranked.into_iter().take(SOURCES_LIMIT).map(|(_, store, url)| (store, url)).collect()
    }

    /// The same when the index knows of nobody (it may have just come up empty): every store of every worker that is
    /// connected, so that proving can ask the data planes themselves.
    pub(crate) fn sources_or_everyone(&self, sector: u64, file: &SectorFile, own: Option<&WorkerId>) -> Sources {
        let known = self.sources(sector, file, own);
        if !known.is_empty() {
            return known;
        }
        let connected = self.workers.values().filter(|w| w.available(self.now, self.config.lease_ms));
        let stores = connected.flat_map(|w| w.reg.stores.iter().map(|s| (s.clone(), w.reg.data_url.clone())));
        let distinct: BTreeSet<_> = stores.collect();
        distinct.into_iter().take(SOURCES_LIMIT).collect()
    }

    /// Workers that have the file on a store of their own.
    pub(crate) fn holders(&self, sector: u64, file: &SectorFile) -> BTreeSet<WorkerId> {
        let stores = self.facts.readable(sector, file).filter_map(|(id, _)| self.facts.store(&id.store));
        stores.flat_map(|s| s.holders.iter().map(|(w, _)| w.clone())).collect()
    }

    /// Has the worker the file on a store of its own?
    pub(crate) fn holds(&self, worker: &WorkerId, sector: u64, file: &SectorFile) -> bool {
        let mut stores = self.facts.readable(sector, file).filter_map(|(id, _)| self.facts.store(&id.store));
        stores.any(|s| s.held_by(worker))
    }

    /// Can anybody hand out the file now?
    pub(crate) fn reachable(&self, sector: u64, file: &SectorFile) -> bool {
        let mut stores = self.facts.replicas_of(sector, file).filter_map(|(id, _)| self.facts.store(&id.store));
        stores.any(|s| !s.holders.is_empty())
    }
}
