//! Replicas that do not count are deleted, one by one, by name; the last copy of what counts never is (law L1).

use std::collections::BTreeMap;

use sp_invariants::{Law, check, delete_keeps_a_copy};
use sp_types::{FileKind, ReplicaId, StoreId};

use crate::core::Core;
use crate::effect::Effect;
use crate::model::{Sector, UnixMs};

/// The kinds that the pipeline makes; others are nobody's garbage.
const OURS: [FileKind; 6] =
    [FileKind::Unsealed, FileKind::Sealed, FileKind::Cache, FileKind::Update, FileKind::UpdateCache, FileKind::Vanilla];

/// Deletes that were ordered and not yet seen done, with the time to order them again.
pub(crate) type Deletes = BTreeMap<ReplicaId, UnixMs>;

impl Core {
    /// Looks at the sectors whose files, tasks or replicas have changed.
    pub(crate) fn collect_garbage(&mut self) {
        if !self.facts.connected {
            return;
        }
        let (now, again) = (self.now, self.now.plus(self.config.answer_wait_ms));
        let mut untidy = std::mem::take(&mut self.untidy);
        untidy.extend(self.facts.deletes.iter().filter(|(_, at)| **at <= now).map(|(id, _)| id.sector.number));
        for number in untidy {
            let garbage = self.sectors.get(&number).map(|s| self.garbage_of(s)).unwrap_or_default();
            let known: Vec<ReplicaId> =
                self.facts.deletes.keys().filter(|id| id.sector.number == number).cloned().collect();
            for id in known.iter().filter(|id| !garbage.contains_key(id)) {
                self.facts.deletes.remove(id);
            }
            for (id, reason) in garbage {
                if self.facts.deletes.get(&id).is_some_and(|at| *at > now) {
                    continue;
                }
                self.check_delete(&id);
                self.facts.deletes.insert(id.clone(), again);
                self.out.push(Effect::DeleteReplica { replica: id, reason: reason.to_owned() });
            }
            self.finish_removal(number);
        }
    }

    /// When an ordered delete is to be ordered again.
    pub(crate) fn facts_due(&self) -> Option<UnixMs> {
        if self.facts.connected { self.facts.deletes.values().min().copied() } else { None }
    }

    fn check_delete(&self, id: &ReplicaId) {
        let file = self.sectors.get(&id.sector.number).and_then(|s| s.file(id.kind)).filter(|f| f.root == id.root);
        let others = file.map_or(0, |f| self.facts.replicas_of(id.sector.number, f).filter(|(r, _)| *r != id).count());
        check!(Law::L1, delete_keeps_a_copy(file.is_some(), others), "delete of {id:?}");
    }

    fn garbage_of(&self, sector: &Sector) -> BTreeMap<ReplicaId, &'static str> {
        let mut garbage = BTreeMap::new();
        let replicas = self.facts.replicas(sector.number).map(|(id, _)| id);
        if sector.state.is_gone() {
            // The operator has decided. That holds for stores that come back later, too.
            garbage.extend(replicas.map(|id| (id.clone(), "its sector is removed")));
            return garbage;
        }
        if sector.state.is_stopped() {
            // The operator is going to.
            return garbage;
        }
        // A root of zeros is a foreign file that nobody has read whole yet.
        for id in replicas.filter(|id| OURS.contains(&id.kind) && id.root != [0; 32]) {
            if self.is_being_written(sector.number, id.kind, &id.store) {
                continue;
            }
            match sector.file(id.kind) {
                None => drop(garbage.insert(id.clone(), "no longer needed")),
                Some(file) if file.root == id.root => {}
                Some(file) => {
                    // Without a copy of the root that counts it may be all there is.
                    if self.reachable(sector.number, file) {
                        garbage.insert(id.clone(), "its root does not count");
                    }
                }
            }
        }
        if self.tasks_of(sector.number).next().is_none() {
            self.add_duplicates(sector, &mut garbage);
        }
        garbage
    }

    /// An attempt that lives may have published it already, though its result is not here yet.
    fn is_being_written(&self, sector: u64, kind: FileKind, store: &StoreId) -> bool {
        let outputs = self.tasks_of(sector).flat_map(|t| &t.attempts).flat_map(|a| &a.outputs);
        outputs.into_iter().any(|o| o.kind == kind && o.store == *store)
    }

    /// Of several good copies one stays: beside the sector's other files if possible, a primary one if possible.
    fn add_duplicates(&self, sector: &Sector, garbage: &mut BTreeMap<ReplicaId, &'static str>) {
        let beside = |store: &StoreId| {
            let with_file = |f: &&crate::model::SectorFile| {
                self.facts.replicas_of(sector.number, f).any(|(id, _)| id.store == *store)
            };
            sector.files.iter().filter(with_file).count()
        };
        for file in &sector.files {
            let copies = self.facts.replicas_of(sector.number, file);
            let usable = copies
                .filter(|(id, _)| self.facts.store(&id.store).is_some_and(|s| s.healthy && !s.holders.is_empty()));
            let mut usable: Vec<_> = usable.collect();
            usable.sort_by_key(|(id, r)| (std::cmp::Reverse((beside(&id.store), r.primary)), id.store.clone()));
            for (id, _) in usable.into_iter().skip(1) {
                garbage.insert(id.clone(), "another copy is kept");
            }
        }
    }
}
