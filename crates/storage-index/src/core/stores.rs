//! Stores: attach, health, and the fact that follows from them.

use super::{ConnId, Core, Fact, Health, Refusal, Report, RowChange, Settings, Store, StoreFact, ToWorker};
use sp_env::Monotonic;
use sp_types::{AttemptId, ErrorCode, StoreId, WorkerId};
use std::collections::BTreeMap;

impl Core {
    /// A worker has a store attached. Its settings replace what was known; its declarations begin.
    pub(super) fn attach(&mut self, conn: ConnId, settings: Settings, health: Health) {
        let id = settings.id.clone();
        let known = self.stores.get(&id);
        if known.is_none_or(|store| store.settings != settings) {
            self.rows.push(RowChange::PutStore(settings.clone()));
        }
        match self.stores.get_mut(&id) {
            Some(store) => store.settings = settings,
            None => drop(self.stores.insert(id.clone(), Store::new(settings))),
        }
        self.note_report(conn, &id, health);
        self.begin_declaration(conn, &id);
        self.dirty.insert(id.clone());
        self.deletes_found(&id);
    }

    /// A holder has measured a store.
    pub(super) fn report(&mut self, conn: ConnId, id: &StoreId, health: Health) {
        if !self.is_holder(conn, id) {
            return self.refuse_worker(conn, format!("report of store {id}, which this worker has not attached"));
        }
        self.note_report(conn, id, health);
        self.dirty.insert(id.clone());
    }

    fn note_report(&mut self, conn: ConnId, id: &StoreId, health: Health) {
        let Some(store) = self.stores.get_mut(id) else { return };
        store.last = Some(health.clone());
        let report = Report { health, at: self.now };
        if let Some(Some(before)) = store.holders.insert(conn, Some(report)) {
            self.reports.remove(&(before.at, id.clone(), conn));
        }
        self.reports.insert((self.now, id.clone(), conn));
        self.count_taken(id);
    }

    /// The worker has the store no more. False: it did not have it.
    pub(super) fn drop_holder(&mut self, conn: ConnId, id: &StoreId) -> bool {
        let Some(report) = self.stores.get_mut(id).and_then(|store| store.holders.remove(&conn)) else { return false };
        if let Some(report) = report {
            self.reports.remove(&(report.at, id.clone(), conn));
        }
        self.count_taken(id);
        true
    }

    /// Stores of which a holder has not reported for too long have another fact now. Each is found once.
    pub(super) fn find_stale(&mut self) {
        while let Some((at, ..)) = self.reports.first()
            && self.is_stale(*at)
            && let Some((_, id, _)) = self.reports.pop_first()
        {
            self.dirty.insert(id);
        }
    }

    fn is_stale(&self, reported: Monotonic) -> bool {
        self.now.since_ms(reported) > self.timing.stale_ms
    }

    /// A worker that was stopped for good takes its stores with it, all but those that another one has attached too.
    /// Reservations in them end with their attempts.
    pub(super) fn leave(&mut self, conn: ConnId) {
        let alone = |store: &Store| store.holders.keys().eq([&conn]);
        let gone: Vec<_> = self.stores.iter().filter(|(_, s)| alone(s)).map(|(id, _)| id.clone()).collect();
        let reason = Refusal::new(ErrorCode::Cancelled, "the worker has left with its stores");
        self.effects.push(super::Effect::Close(conn, reason));
        self.forget_worker(conn);
        for id in gone {
            self.remove_store(&id);
        }
    }

    /// A worker lets go of a store: it leaves with its replicas, unless another worker has it attached too.
    pub(super) fn detach(&mut self, conn: ConnId, id: &StoreId, request: u64) {
        if let Some(worker) = self.workers.get_mut(&conn) {
            worker.declaring.remove(id);
        }
        let held = self.drop_holder(conn, id);
        let alone = held && self.stores.get(id).is_some_and(|store| store.holders.is_empty());
        let left = if alone { self.remove_store(id) } else { 0 };
        self.dirty.insert(id.clone());
        self.deletes_of_store_lost(conn, id);
        // Not there at all is as good: it was asked for twice.
        self.acknowledge_store(conn, request, left);
    }

    pub(super) fn acknowledge_store(&mut self, conn: ConnId, request: u64, missing: usize) {
        if request != 0 {
            self.tell_worker(conn, ToWorker::StoreAck { request, missing: missing as u64 });
        }
    }

    /// Takes a store out of the index; says how many replicas went with it.
    fn remove_store(&mut self, id: &StoreId) -> usize {
        let places = self.replicas.on_store(id);
        places.iter().for_each(|place| self.drop_replica(place));
        self.replicas.forget_store(id);
        let holders = self.stores.remove(id).map(|store| store.holders).unwrap_or_default();
        for (conn, report) in holders.into_iter().filter_map(|(conn, report)| Some((conn, report?))) {
            self.reports.remove(&(report.at, id.clone(), conn));
        }
        self.rows.push(RowChange::DeleteStore(id.clone()));
        self.tell_scheduler(Fact::StoreGone(id.clone()));
        places.len()
    }

    pub(super) fn is_holder(&self, conn: ConnId, id: &StoreId) -> bool {
        self.stores.get(id).is_some_and(|store| store.holders.contains_key(&conn))
    }

    /// Ends the session of a worker that breaks the protocol.
    pub(super) fn refuse_worker(&mut self, conn: ConnId, message: String) {
        self.effects.push(super::Effect::Close(conn, Refusal::new(ErrorCode::BadRequest, message)));
        self.forget_worker(conn);
    }

    /// What attempts have taken of what they have reserved is no longer free, and not to be kept free for them either.
    pub(super) fn count_taken(&mut self, id: &StoreId) {
        let Some(store) = self.stores.get(id) else { return };
        let mut taken: BTreeMap<AttemptId, u64> = BTreeMap::new();
        for (attempt, bytes) in store.holders.values().flatten().flat_map(|report| &report.health.work) {
            let known = taken.entry(*attempt).or_default();
            *known = (*known).max(*bytes).min(self.reservations.bytes_of(*attempt, id));
        }
        let sum = taken.into_values().fold(0, u64::saturating_add);
        if let Some(store) = self.stores.get_mut(id) {
            store.taken_bytes = sum;
        }
    }

    /// What has to be kept free for attempts.
    fn outstanding_bytes(&self, store: &Store) -> u64 {
        self.reservations.bytes_on(&store.settings.id).saturating_sub(store.taken_bytes)
    }

    /// Room for more on a store: what its last report left, less what attempts have reserved and not taken yet.
    pub(super) fn available_bytes(&self, store: &Store) -> u64 {
        let Some(health) = self.health(store) else { return 0 };
        let available_bytes = health.fs_available_bytes.saturating_sub(self.outstanding_bytes(store));
        if store.settings.max_storage_bytes == 0 {
            return available_bytes;
        }
        let room = store.settings.max_storage_bytes.saturating_sub(health.used_bytes);
        // What is in the making is no part of what is used.
        available_bytes.min(room.saturating_sub(self.reservations.bytes_on(&store.settings.id)))
    }

    /// Everything there is to say about a store.
    pub(super) fn fact(&self, id: &StoreId) -> Option<StoreFact> {
        let store = self.stores.get(id)?;
        Some(StoreFact {
            settings: store.settings.clone(),
            health: self.health(store).map(Health::in_short).unwrap_or_default(),
            available_bytes: self.available_bytes(store),
            reserved_bytes: self.outstanding_bytes(store),
            holders: self.holders(store),
            unhealthy: self.unhealthy(store),
        })
    }

    /// Workers by which the store can be reached, by id, each once, with their data planes: those that find it well, or
    /// if nobody does, all that have it attached.
    pub(super) fn holders(&self, store: &Store) -> Vec<(WorkerId, String)> {
        let is_well_somewhere = self.well(store).next().is_some();
        let ways = store.holders.iter().filter(|(_, report)| !is_well_somewhere || self.is_well(report.as_ref()));
        let holders: BTreeMap<_, _> = ways
            .filter_map(|(conn, _)| self.workers.get(conn))
            .map(|worker| (worker.hello.worker.clone(), worker.hello.data_url.clone()))
            .collect();
        holders.into_iter().collect()
    }

    /// A holder to send to: one that finds the store well, if there is one.
    pub(super) fn best_way(&self, store: &Store) -> Option<ConnId> {
        self.well(store).map(|(conn, _)| conn).next().or_else(|| store.holders.keys().next().copied())
    }

    /// Why nothing may be put there now.
    pub(super) fn unhealthy(&self, store: &Store) -> Option<String> {
        if store.holders.is_empty() {
            return Some("no connected worker has it attached".to_owned());
        }
        if self.well(store).next().is_some() {
            return None;
        }
        let Some(last) = store.holders.values().flatten().max_by_key(|report| report.at) else {
            return Some("nobody has reported on it yet".to_owned());
        };
        // No age in the text: it would be a new fact with every second.
        Some(match last.health.error.is_empty() {
            false => last.health.error.clone(),
            true => format!("no report for more than {} s", self.timing.stale_ms / 1000),
        })
    }

    /// What the latest report says of those that find it well, or else the last one of all.
    fn health<'a>(&'a self, store: &'a Store) -> Option<&'a Health> {
        let well = self.well(store).max_by_key(|(_, report)| report.at);
        well.map(|(_, report)| &report.health).or(store.last.as_ref())
    }

    /// Holders that find the store well.
    fn well<'a>(&'a self, store: &'a Store) -> impl Iterator<Item = (ConnId, &'a Report)> {
        let reports = store.holders.iter().filter_map(|(conn, report)| Some((*conn, report.as_ref()?)));
        reports.filter(|(_, report)| self.is_well(Some(report)))
    }

    fn is_well(&self, report: Option<&Report>) -> bool {
        report.is_some_and(|report| report.health.error.is_empty() && !self.is_stale(report.at))
    }

    /// Tells the scheduler what has changed about stores.
    pub(super) fn flush(&mut self) {
        for id in std::mem::take(&mut self.dirty) {
            let fact = self.fact(&id);
            let Some(store) = self.stores.get_mut(&id) else { continue };
            if self.scheduler.is_some() && store.told != fact {
                store.told.clone_from(&fact);
                if let Some(fact) = fact {
                    self.tell_scheduler(Fact::Store(Box::new(fact)));
                }
            }
        }
    }

    /// Tells the scheduler about these stores, changed or not.
    pub(super) fn tell_stores(&mut self, ids: impl IntoIterator<Item = StoreId>) {
        for id in ids {
            if let Some(store) = self.stores.get_mut(&id) {
                store.told = None;
                self.dirty.insert(id);
            }
        }
        self.flush();
    }
}
