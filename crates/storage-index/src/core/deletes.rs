//! Deletes: passed to a worker that holds the replica, repeated until it is done or has failed too often.
//!
//! In memory only: a delete that a restart forgets is asked for again by the scheduler, and asks nothing of the replica
//! that was not asked before.

use std::collections::BTreeMap;

use sp_env::Monotonic;
use sp_types::{ErrorCode, ReplicaId, ReplicaInfo, StoreId};

use super::{ConnId, Core, Fact, Place, Refusal, ToWorker};

/// How often a worker is asked before the delete has failed.
const TRIES_MAX: u32 = 10;

/// Deletes at once. The scheduler asks again for what is refused.
const DELETES_MAX: usize = 10_000;

/// A delete under way.
#[derive(Debug, Clone)]
pub(super) struct Delete {
    scheduler: ConnId,
    scheduler_request: u64,
    replica: ReplicaInfo,
    reason: String,
    /// The worker that was asked; none while nobody has the store.
    asked: Option<ConnId>,
    tries: u32,
    /// When it was last sent, or began to wait.
    since: Monotonic,
    last_failure: Option<Refusal>,
}

/// The deletes under way, by their number, and which of them is for a replica.
#[derive(Debug, Default)]
pub(super) struct Deletes {
    by_number: BTreeMap<u64, Delete>,
    of_store: BTreeMap<StoreId, BTreeMap<ReplicaId, u64>>,
    last: u64,
}

// === impl Deletes ===

impl Deletes {
    fn of(&mut self, replica: &ReplicaId) -> Option<&mut Delete> {
        let number = self.of_store.get(&replica.store)?.get(replica)?;
        self.by_number.get_mut(number)
    }

    fn insert(&mut self, delete: Delete) -> u64 {
        self.last += 1;
        let replica = delete.replica.id.clone();
        self.of_store.entry(replica.store.clone()).or_default().insert(replica, self.last);
        self.by_number.insert(self.last, delete);
        self.last
    }

    fn remove(&mut self, number: u64) -> Option<Delete> {
        let delete = self.by_number.remove(&number)?;
        let replica = &delete.replica.id;
        if let Some(of_store) = self.of_store.get_mut(&replica.store) {
            of_store.remove(replica);
            if of_store.is_empty() {
                self.of_store.remove(&replica.store);
            }
        }
        Some(delete)
    }

    /// Numbers of those that are so, rising.
    fn that(&self, is_so: impl Fn(&Delete) -> bool) -> Vec<u64> {
        self.by_number.iter().filter(|(_, delete)| is_so(delete)).map(|(number, _)| *number).collect()
    }
}

// === impl Core ===

impl Core {
    /// Exactly this replica is to go. The worker compares the root once more before it removes anything.
    pub(super) fn delete(&mut self, conn: ConnId, request: u64, replica: ReplicaInfo, reason: String) {
        if self.deletes.by_number.len() >= DELETES_MAX {
            let failed = Some(Refusal::new(ErrorCode::Unavailable, "too many deletes are under way; ask again later"));
            return self.tell_scheduler(Fact::DeleteDone { request, failed });
        }
        if let Some(delete) = self.deletes.of(&replica.id) {
            // A restarted scheduler asks again: the answer goes to its newest question.
            (delete.scheduler, delete.scheduler_request) = (conn, request);
            return;
        }
        let delete = Delete {
            scheduler: conn,
            scheduler_request: request,
            replica,
            reason,
            asked: None,
            tries: 0,
            since: self.now,
            last_failure: None,
        };
        let number = self.deletes.insert(delete);
        self.ask(number);
    }

    /// The worker has done it, or could not.
    pub(super) fn delete_done(&mut self, conn: ConnId, request: u64, failed: Option<Refusal>) {
        let Some(delete) = self.deletes.by_number.get_mut(&request).filter(|delete| delete.asked == Some(conn)) else {
            return;
        };
        if failed.is_some() {
            // Tried again when its time has come.
            delete.last_failure = failed;
            return;
        }
        let id = delete.replica.id.clone();
        let place = Place::of(&delete.replica);
        if self.replicas.get(&place).is_some_and(|known| known.id == id) {
            self.drop_replica(&place);
        }
        self.end_delete(request, None);
    }

    /// Sends deletes again that have waited long enough, and gives up those that cannot be done.
    pub(super) fn repeat_deletes(&mut self) {
        let waited = |delete: &Delete| self.now.since_ms(delete.since);
        let timing = self.timing;
        let due = |delete: &Delete| match delete.asked {
            Some(_) => waited(delete) >= timing.delete_retry_ms,
            None => waited(delete) >= timing.delete_wait_ms,
        };
        for number in self.deletes.that(due) {
            match self.deletes.by_number.get(&number) {
                Some(delete) if delete.asked.is_none() => {
                    let message = format!("no connected worker has store {}", delete.replica.id.store);
                    self.end_delete(number, Some(Refusal::new(ErrorCode::Unavailable, message)));
                }
                Some(delete) if delete.tries >= TRIES_MAX => {
                    let silent = || Refusal::new(ErrorCode::TimedOut, format!("no answer to {TRIES_MAX} requests"));
                    let failed = delete.last_failure.clone().unwrap_or_else(silent);
                    self.end_delete(number, Some(failed));
                }
                _ => self.ask(number),
            }
        }
    }

    /// The worker that was asked is gone: another one may do it.
    pub(super) fn deletes_lost(&mut self, conn: ConnId) {
        let lost = self.deletes.that(|delete| delete.asked == Some(conn));
        lost.into_iter().for_each(|number| self.ask(number));
    }

    /// The worker that was asked has let go of the store: another one may do it.
    pub(super) fn deletes_of_store_lost(&mut self, conn: ConnId, store: &StoreId) {
        let lost = |delete: &Delete| delete.asked == Some(conn) && delete.replica.id.store == *store;
        self.deletes.that(lost).into_iter().for_each(|number| self.ask(number));
    }

    /// Somebody has the store now: what waited for it goes out.
    pub(super) fn deletes_found(&mut self, store: &StoreId) {
        let waits = |number: &u64| self.deletes.by_number.get(number).is_some_and(|delete| delete.asked.is_none());
        let of_store = self.deletes.of_store.get(store).into_iter().flat_map(BTreeMap::values);
        let mut found: Vec<u64> = of_store.copied().filter(waits).collect();
        found.sort_unstable();
        found.into_iter().for_each(|number| self.ask(number));
    }

    fn ask(&mut self, number: u64) {
        let Some(delete) = self.deletes.by_number.get(&number) else { return };
        let holder = self.stores.get(&delete.replica.id.store).and_then(|store| self.best_way(store));
        let Some(delete) = self.deletes.by_number.get_mut(&number) else { return };
        (delete.asked, delete.since) = (holder, self.now);
        if let Some(conn) = holder {
            delete.tries += 1;
            let (replica, reason) = (delete.replica.clone(), delete.reason.clone());
            self.tell_worker(conn, ToWorker::Delete { request: number, replica, reason });
        }
    }

    fn end_delete(&mut self, number: u64, failed: Option<Refusal>) {
        if let Some(delete) = self.deletes.remove(number)
            && self.scheduler == Some(delete.scheduler)
        {
            self.tell_scheduler(Fact::DeleteDone { request: delete.scheduler_request, failed });
        }
    }
}
