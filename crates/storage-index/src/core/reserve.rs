//! Reservations and fences: both belong to attempts, and end with them.

use std::collections::BTreeMap;

use sp_types::{AttemptId, ErrorCode, StoreId, TaskId};

use super::{ConnId, Core, Fact, Refusal, ReserveItem, RowChange, ToWorker};

impl Core {
    /// Reserves everything or nothing. Asked again by the same attempt for the same, the answer is the same.
    pub(super) fn reserve(&mut self, attempt: AttemptId, items: Vec<ReserveItem>) {
        let refused = match self.reservations.get(&attempt) {
            Some(known) if *known == items => None,
            Some(_) => {
                let message = format!("attempt {attempt} has reserved something else; release that first");
                Some(Refusal::new(ErrorCode::BadRequest, message))
            }
            None => self.reserve_refusal(attempt, &items),
        };
        let stores: Vec<_> = items.iter().map(|item| item.store.clone()).collect();
        if refused.is_some() {
            self.tell_stores(stores);
        } else if !items.is_empty() && !self.reservations.contains_key(&attempt) {
            self.rows.push(RowChange::PutReservation(attempt, items.clone()));
            self.reservations.insert(attempt, items);
            self.dirty.extend(stores);
            self.flush();
        }
        self.tell_scheduler(Fact::ReserveReply { attempt, refused });
    }

    fn reserve_refusal(&self, attempt: AttemptId, items: &[ReserveItem]) -> Option<Refusal> {
        if self.is_ended(attempt) {
            return Some(Refusal::new(ErrorCode::AttemptEnded, format!("attempt {attempt} has ended")));
        }
        let mut need: BTreeMap<&StoreId, u64> = BTreeMap::new();
        for item in items {
            if let Some(refusal) = self.item_refusal(item) {
                return Some(refusal);
            }
            let sum = need.entry(&item.store).or_default();
            *sum = sum.saturating_add(item.size_bytes);
        }
        need.into_iter().find_map(|(store, bytes)| {
            let available = self.fact(store).map_or(0, |fact| fact.available_bytes);
            (bytes > available).then(|| {
                let message = format!("store {store} has {available} bytes available, {bytes} are needed");
                Refusal::new(ErrorCode::NoSpace, message)
            })
        })
    }

    fn item_refusal(&self, item: &ReserveItem) -> Option<Refusal> {
        let ReserveItem { store, sector, kind, .. } = item;
        let Some(fact) = self.fact(store) else {
            return Some(Refusal::new(ErrorCode::NotFound, format!("no store {store} was ever attached")));
        };
        if let Some(reason) = fact.unhealthy {
            return Some(Refusal::new(ErrorCode::Unavailable, format!("store {store} is not healthy: {reason}")));
        }
        if !fact.settings.can_seal && !fact.settings.can_store {
            return Some(Refusal::new(ErrorCode::BadRequest, format!("store {store} is read-only")));
        }
        let reason = fact.settings.filters.refusal(sector.miner, *kind)?;
        Some(Refusal::new(ErrorCode::BadRequest, format!("store {store} does not take {kind} of {sector}: {reason}")))
    }

    /// Ends a reservation; none there is fine.
    pub(super) fn release(&mut self, attempt: AttemptId) {
        if let Some(items) = self.reservations.remove(&attempt) {
            self.rows.push(RowChange::DeleteReservation(attempt));
            self.dirty.extend(items.into_iter().map(|item| item.store));
        }
    }

    /// Attempts of the task up to this number are ended, for good. Every worker hears of it.
    pub(super) fn fence(&mut self, task: TaskId, up_to: u32) {
        let known = self.fences.get(&task).copied().unwrap_or(0);
        if up_to > known {
            self.fences.insert(task, up_to);
            self.rows.push(RowChange::PutFence(task, up_to));
        }
        let ended: Vec<_> = self.reservations.keys().filter(|a| a.task == task && a.number <= up_to).copied().collect();
        ended.into_iter().for_each(|attempt| self.release(attempt));
        let up_to = up_to.max(known);
        for conn in self.workers.keys().copied().collect::<Vec<ConnId>>() {
            self.tell_worker(conn, ToWorker::Fence { task, up_to });
        }
    }

    pub(super) fn is_ended(&self, attempt: AttemptId) -> bool {
        self.fences.get(&attempt.task).is_some_and(|up_to| attempt.number <= *up_to)
    }
}
