//! Reservations: they belong to attempts, and end with them.

use std::collections::{BTreeMap, BTreeSet};

use sp_types::{AttemptId, ErrorCode, StoreId, TaskId};

use super::{Core, Fact, Refusal, ReserveItem, RowChange, Wish};

/// What attempts have reserved, and the sum on each store.
#[derive(Debug, Default)]
pub(super) struct Reservations {
    by_attempt: BTreeMap<AttemptId, Vec<ReserveItem>>,
    /// Wide enough for every sum of 64-bit sizes; no store without bytes.
    bytes: BTreeMap<StoreId, u128>,
}

// === impl Reservations ===

impl Reservations {
    /// Adds an attempt's. What it had before must be gone.
    pub(super) fn insert(&mut self, attempt: AttemptId, items: Vec<ReserveItem>) {
        for item in items.iter().filter(|item| item.size_bytes > 0) {
            *self.bytes.entry(item.store.clone()).or_default() += u128::from(item.size_bytes);
        }
        let before = self.by_attempt.insert(attempt, items);
        debug_assert!(before.is_none(), "{attempt} has reserved twice");
        self.check();
    }

    fn remove(&mut self, attempt: AttemptId) -> Option<Vec<ReserveItem>> {
        let items = self.by_attempt.remove(&attempt)?;
        for item in items.iter().filter(|item| item.size_bytes > 0) {
            if let Some(bytes) = self.bytes.get_mut(&item.store) {
                *bytes -= u128::from(item.size_bytes);
                if *bytes == 0 {
                    self.bytes.remove(&item.store);
                }
            }
        }
        self.check();
        Some(items)
    }

    /// What an attempt has reserved; none: nothing was ever granted to it, or it was released.
    pub(super) fn of(&self, attempt: AttemptId) -> Option<&[ReserveItem]> {
        self.by_attempt.get(&attempt).map(Vec::as_slice)
    }

    /// Attempts that have something reserved.
    pub(super) fn holders(&self) -> impl Iterator<Item = AttemptId> {
        self.by_attempt.keys().copied()
    }

    /// Bytes reserved on a store.
    pub(super) fn bytes_on(&self, store: &StoreId) -> u64 {
        self.bytes.get(store).map_or(0, |bytes| u64::try_from(*bytes).unwrap_or(u64::MAX))
    }

    /// Bytes that an attempt has reserved on a store.
    pub(super) fn bytes_of(&self, attempt: AttemptId, store: &StoreId) -> u64 {
        let items = self.by_attempt.get(&attempt).into_iter().flatten().filter(|item| item.store == *store);
        items.map(|item| item.size_bytes).fold(0, u64::saturating_add)
    }

    /// Few enough to count again are counted again.
    fn check(&self) {
        if cfg!(debug_assertions) && self.by_attempt.len() <= 64 {
            let mut bytes: BTreeMap<&StoreId, u128> = BTreeMap::new();
            for item in self.by_attempt.values().flatten().filter(|item| item.size_bytes > 0) {
                *bytes.entry(&item.store).or_default() += u128::from(item.size_bytes);
            }
            debug_assert!(bytes.into_iter().eq(self.bytes.iter().map(|(store, sum)| (store, *sum))), "{self:?}");
        }
    }
}

// === impl Core ===

impl Core {
    /// Reserves and locks everything or nothing. Asked again by the same attempt for the same, the answer is the same.
    pub(super) fn reserve(&mut self, wish: Wish) {
        let refused = self.wish_refusal(&wish);
        let Wish { attempt, items, lock, is_presented } = wish;
        let stores: Vec<_> = items.iter().map(|item| item.store.clone()).collect();
        if refused.is_some() {
            self.tell_stores(stores);
        } else {
            if is_presented {
                self.presented.insert(attempt);
            }
            if let Some(lock) = lock {
                self.lock(lock);
            }
            if !items.is_empty() && !self.reservations.by_attempt.contains_key(&attempt) {
                self.rows.push(RowChange::PutReservation(attempt, items.clone()));
                self.reservations.insert(attempt, items);
                stores.iter().for_each(|store| self.count_taken(store));
                self.dirty.extend(stores);
                self.flush();
            }
        }
        self.tell_scheduler(Fact::ReserveReply { attempt, refused });
    }

    fn wish_refusal(&self, wish: &Wish) -> Option<Refusal> {
        let Wish { attempt, items, lock, is_presented } = wish;
        if self.is_ended(*attempt) {
            return Some(Refusal::new(ErrorCode::AttemptEnded, format!("attempt {attempt} has ended")));
        }
        if let Some(refusal) = lock.as_ref().and_then(|lock| self.lock_refusal(lock, *is_presented)) {
            return Some(refusal);
        }
        match self.reservations.by_attempt.get(attempt) {
            Some(known) if known == items => None,
            Some(_) => {
                let message = format!("attempt {attempt} has reserved something else; release that first");
                Some(Refusal::new(ErrorCode::BadRequest, message))
            }
            None if *is_presented => None,
            None => self.space_refusal(items),
        }
    }

    fn space_refusal(&self, items: &[ReserveItem]) -> Option<Refusal> {
        let mut need: BTreeMap<&StoreId, u64> = BTreeMap::new();
        for item in items {
            if let Some(refusal) = self.item_refusal(item) {
                return Some(refusal);
            }
            let sum = need.entry(&item.store).or_default();
            *sum = sum.saturating_add(item.size_bytes);
        }
        need.into_iter().find_map(|(store, bytes)| {
            let available = self.stores.get(store).map_or(0, |known| self.available_bytes(known));
            (bytes > available).then(|| {
                let message = format!("store {store} has {available} bytes available, {bytes} are needed");
                Refusal::new(ErrorCode::NoSpace, message)
            })
        })
    }

    fn item_refusal(&self, item: &ReserveItem) -> Option<Refusal> {
        let ReserveItem { store, sector, kind, .. } = item;
        let Some(known) = self.stores.get(store) else {
            return Some(Refusal::new(ErrorCode::NotFound, format!("no store {store} was ever attached")));
        };
        if let Some(reason) = self.unhealthy(known) {
            return Some(Refusal::new(ErrorCode::Unavailable, format!("store {store} is not healthy: {reason}")));
        }
        if !known.settings.can_seal && !known.settings.can_store {
            return Some(Refusal::new(ErrorCode::BadRequest, format!("store {store} is read-only")));
        }
        let reason = known.settings.filters.refusal(sector.miner, *kind)?;
        Some(Refusal::new(ErrorCode::BadRequest, format!("store {store} does not take {kind} of {sector}: {reason}")))
    }

    /// Ends a reservation; none there is fine.
    pub(super) fn release(&mut self, attempt: AttemptId) {
        if let Some(items) = self.reservations.remove(attempt) {
            self.rows.push(RowChange::DeleteReservation(attempt));
            let stores = items.into_iter().map(|item| item.store).collect::<BTreeSet<_>>();
            stores.iter().for_each(|store| self.count_taken(store));
            self.dirty.extend(stores);
        }
    }

    /// Ends the reservations of the task's attempts up to this number.
    pub(super) fn release_up_to(&mut self, task: TaskId, up_to: u32) {
        let all = AttemptId { task, number: 0 }..=AttemptId { task, number: up_to };
        let ended: Vec<_> = self.reservations.by_attempt.range(all).map(|(attempt, _)| *attempt).collect();
        ended.into_iter().for_each(|attempt| self.release(attempt));
    }
}
