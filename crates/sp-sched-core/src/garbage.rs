//! Replicas that do not count are deleted, one by one, by name; the last copy of what counts never is (law L1).

use std::cmp::Reverse;
use std::collections::BTreeMap;

use sp_invariants::{Law, check, delete_keeps_a_copy};
use sp_types::{FileKind, ReplicaId, StoreId, TaskKind};

use crate::core::Core;
use crate::effect::Effect;
use crate::event::{Failure, StoreFact};
use crate::facts::Replica;
use crate::import::UNREAD;
use crate::model::{Sector, SectorFile, Task, UnixMs};

/// The kinds that the pipeline makes; others are nobody's garbage.
const OURS: [FileKind; 6] =
    [FileKind::Unsealed, FileKind::Sealed, FileKind::Cache, FileKind::Update, FileKind::UpdateCache, FileKind::Vanilla];

/// What of a sector is to be deleted, and why.
#[derive(Debug, Default)]
struct Garbage {
    replicas: BTreeMap<ReplicaId, &'static str>,
    /// There may be more once stores that are away are back.
    is_withheld: bool,
    /// There may be more once no proof reads the sector.
    is_being_read: bool,
}

/// Deletes that were ordered and not yet seen done.
pub(crate) type Deletes = BTreeMap<ReplicaId, Delete>;

/// A delete that was ordered.
#[derive(Debug, Clone, Default)]
pub(crate) struct Delete {
    /// When to order it again. None: it was tried too often; a new holder of the store, or the index's return, is a new
    /// chance.
    again: Option<UnixMs>,
    /// Times it was ordered.
    orders: u32,
    /// Why the index could not do it the last time; empty until it has said so.
    failure: String,
    /// An order is under way: nobody has said yet that it failed.
    under_way: bool,
    /// The replica counts again. The order may be carried out all the same, so it is no copy to rely on.
    parked: bool,
}

impl Delete {
    /// As if it had never been tried; an order that is under way stays under way.
    pub(crate) fn forgive(&mut self) {
        *self = Self { again: Some(UnixMs::default()), under_way: self.under_way, ..Self::default() };
    }

    fn is_due(&self, now: UnixMs) -> bool {
        self.again.is_some_and(|at| at <= now)
    }

    fn is_to_be_ordered(&self, now: UnixMs) -> bool {
        self.parked || self.is_due(now)
    }
}

impl Core {
    /// Looks at the sectors whose files, tasks or replicas have changed.
    pub(crate) fn collect_garbage(&mut self) {
        if !self.facts.connected {
            return;
        }
        let now = self.now;
        let mut untidy = std::mem::take(&mut self.untidy);
        untidy.extend(self.facts.deletes.iter().filter(|(_, d)| d.is_due(now)).map(|(id, _)| id.sector.number));
        for number in untidy {
            let Garbage { replicas: garbage, is_withheld, is_being_read } =
                self.sectors.get(&number).map(|s| self.garbage_of(s)).unwrap_or_default();
            if is_withheld {
                self.facts.withheld.insert(number);
            }
            if is_being_read {
                self.homes.being_read.insert(number);
            }
            self.forget_deletes(number, &garbage);
            for (id, reason) in garbage {
                if self.facts.deletes.get(&id).is_none_or(|d| d.is_to_be_ordered(now)) {
                    self.order_delete(id, reason);
                }
            }
            self.see_home(number);
            self.finish_removal(number);
        }
    }

    /// Deletes that are done, and those of what counts again: an order that is under way may still be carried out.
    fn forget_deletes(&mut self, number: u64, garbage: &BTreeMap<ReplicaId, &'static str>) {
        let ordered = self.facts.deletes.keys().filter(|id| id.sector.number == number && !garbage.contains_key(id));
        for id in ordered.cloned().collect::<Vec<_>>() {
            let is_there = self.facts.replicas(number).any(|(known, _)| *known == id);
            match self.facts.deletes.get_mut(&id).filter(|delete| is_there && delete.under_way) {
                Some(delete) => (delete.again, delete.parked) = (None, true),
                None => drop(self.facts.deletes.remove(&id)),
            }
        }
    }

    /// Orders it, or gives it up after too many orders.
    fn order_delete(&mut self, id: ReplicaId, reason: &str) {
        let limit = self.config.soft_retry_limit;
        let Delete { orders, failure, .. } = self.facts.deletes.get(&id).cloned().unwrap_or_default();
        if orders >= limit {
            let last = if failure.is_empty() { "no answer" } else { &failure };
            let text = format!("{} on {}: ordered {orders} times, last: {last}", id.kind, id.store);
            self.log(id.sector.number, "delete given up".to_owned(), text);
            if let Some(delete) = self.facts.deletes.get_mut(&id) {
                (delete.again, delete.parked) = (None, false);
            }
            return;
        }
        let wait_ms = self.config.retry_wait_ms(orders + 1).max(self.config.answer_wait_ms);
        let again = Some(self.now.plus(wait_ms));
        self.facts
            .deletes
            .insert(id.clone(), Delete { again, orders: orders + 1, failure, under_way: true, parked: false });
        self.check_delete(&id);
        self.out.push(Effect::DeleteReplica { replica: id, reason: reason.to_owned() });
    }

    /// The index could not delete it: it is ordered again, and the sector's log says why, once for each reason.
    pub(crate) fn on_delete_failed(&mut self, id: &ReplicaId, failure: &Failure) {
        let Some(delete) = self.facts.deletes.get_mut(id) else { return };
        delete.under_way = false;
        if delete.parked {
            self.facts.deletes.remove(id);
            self.untidy.insert(id.sector.number);
            return;
        }
        let reason = format!("{} ({})", failure.message, failure.code);
        if std::mem::replace(&mut delete.failure, reason.clone()) != reason {
            let text = format!("{} on {}: {reason}", id.kind, id.store);
            self.log(id.sector.number, "delete failed".to_owned(), text);
        }
    }

    /// When an ordered delete is to be ordered again.
    pub(crate) fn facts_due(&self) -> Option<UnixMs> {
        if self.facts.connected { self.facts.deletes.values().filter_map(|d| d.again).min() } else { None }
    }

    fn check_delete(&self, id: &ReplicaId) {
        let file = self.sectors.get(&id.sector.number).and_then(|s| s.file(id.kind)).filter(|f| f.root == id.root);
        let others = file.map_or(0, |f| self.kept_copies(id.sector.number, f).filter(|(r, _)| *r != id).count());
        check!(Law::L1, delete_keeps_a_copy(file.is_some(), others), "delete of {id:?}");
    }

    /// Copies that no order is under way to delete.
    fn kept_copies<'a>(
        &'a self,
        sector: u64,
        file: &'a SectorFile,
    ) -> impl Iterator<Item = (&'a ReplicaId, &'a Replica)> {
        self.facts.replicas_of(sector, file).filter(|(id, _)| !self.facts.deletes.contains_key(id))
    }

    fn is_kept_somewhere(&self, sector: u64, file: &SectorFile) -> bool {
        let sound = self.kept_copies(sector, file).filter(|(_, replica)| !replica.is_faulty());
        let mut stores = sound.filter_map(|(id, _)| self.facts.store(&id.store));
        stores.any(|store| !store.holders.is_empty())
    }

    fn garbage_of(&self, sector: &Sector) -> Garbage {
        let mut garbage = Garbage::default();
        // What another sector of this number has left is none of its business: it may be all that there is of that one.
        let owned = self.facts.replicas(sector.number).filter(|(_, replica)| sector.has_say_over(replica.origin));
        let replicas = owned.map(|(id, _)| id);
        if sector.state.is_gone() {
            // The operator has decided. That holds for stores that come back later, too.
            garbage.replicas.extend(replicas.map(|id| (id.clone(), "its sector is removed")));
            return garbage;
        }
        if sector.state.is_stopped() {
            // The operator is going to.
            return garbage;
        }
        // A root of zeros is a foreign file that nobody has read whole yet.
        for id in replicas.filter(|id| OURS.contains(&id.kind) && id.root != UNREAD) {
            if self.is_being_written(sector.number, id.kind, &id.store) {
                continue;
            }
            match sector.file(id.kind) {
                None if sector.awaits(id.kind) => {}
                None => drop(garbage.replicas.insert(id.clone(), "no longer needed")),
                Some(file) if file.root == id.root => {}
                Some(file) if self.is_kept_somewhere(sector.number, file) => {
                    garbage.replicas.insert(id.clone(), "its root does not count");
                }
                // Without a copy of the root that counts it may be all there is.
                Some(_) => garbage.is_withheld = true,
            }
        }
        // A GET that waits for room must not keep the copies of files that it does not move.
        let works = |t: &Task| t.kind != TaskKind::Fetch || !t.attempts.is_empty();
        if !self.tasks_of(sector.number).any(works) {
            self.add_duplicates(sector, &mut garbage);
        }
        garbage
    }

    /// An attempt that lives may have published it already, though its result is not here yet.
    fn is_being_written(&self, sector: u64, kind: FileKind, store: &StoreId) -> bool {
        let outputs = self.tasks_of(sector).flat_map(|t| &t.attempts).flat_map(|a| &a.outputs);
        outputs.into_iter().any(|o| o.kind == kind && o.store == *store)
    }

    /// Of several good copies one stays: of a finished sector one at home, if possible beside its other files, if
    /// possible a primary one. A copy in which a scrub has found a fault never stays in place of another; where all have
    /// one, all stay: what is wrong in one may be right in the next.
    fn add_duplicates(&self, sector: &Sector, garbage: &mut Garbage) {
        let beside = |store: &StoreId| {
            let with_file =
                |f: &&SectorFile| self.facts.replicas_of(sector.number, f).any(|(id, _)| id.store == *store);
            sector.files.iter().filter(with_file).count()
        };
        // Copies that nobody has read whole may differ.
        for file in sector.files.iter().filter(|file| file.root != UNREAD) {
            let is_usable = |id: &ReplicaId| self.facts.store(&id.store).is_some_and(StoreFact::is_usable);
            let copies: Vec<_> = self.facts.replicas_of(sector.number, file).collect();
            let mut usable: Vec<_> = copies.iter().filter(|(id, _)| is_usable(id)).copied().collect();
            garbage.is_withheld |= copies.len() > 1 && usable.len() < copies.len();
            let goes = |id: &ReplicaId| self.facts.deletes.contains_key(id);
            let at_home = |id: &ReplicaId| {
                sector.is_at_rest() && self.facts.store(&id.store).is_some_and(|s| self.is_home(sector, id.kind, s))
            };
            let worth = |id: &ReplicaId, r: &Replica| (!r.is_faulty(), at_home(id), beside(&id.store), r.primary);
            usable.sort_by_key(|(id, r)| (goes(id), Reverse(worth(id, r)), id.store.clone()));
            if usable.first().is_none_or(|(id, replica)| goes(id) || replica.is_faulty()) {
                continue;
            }
            if usable.len() > 1 && self.is_being_proven(sector.number) {
                garbage.is_being_read = true;
                continue;
            }
            for (id, _) in usable.into_iter().skip(1) {
                garbage.replicas.insert(id.clone(), "another copy is kept");
            }
        }
    }
}
