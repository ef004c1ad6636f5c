//! Where a task's outputs go: one store of its worker for everything that it makes, as Lotus has it.

use std::collections::{BTreeMap, BTreeSet};

use sp_types::{ByteSize, FileKind, StoreId, TaskKind, WorkerId, may_be_fetched};

use crate::core::Core;
use crate::event::StoreFact;
use crate::explain::Refusal;
use crate::model::{OutputSlot, Sector, SectorFile, Task};
use crate::pipeline::output_kinds;
use crate::place::{Need, names};

/// What is free on stores, less what is already meant for them.
pub(crate) struct Room<'a> {
    core: &'a Core,
    meant: BTreeMap<StoreId, u64>,
}

impl<'a> Room<'a> {
    pub(crate) fn of(core: &'a Core) -> Self {
        Self { core, meant: BTreeMap::new() }
    }

    pub(crate) fn take(&mut self, store: &StoreId, bytes: u64) {
        *self.meant.entry(store.clone()).or_default() += bytes;
    }

    fn free(&self, store: &StoreFact) -> u64 {
        let meant = self.meant.get(&store.id).copied().unwrap_or(0);
        store.available_bytes.saturating_sub(self.core.asked_bytes(&store.id)).saturating_sub(meant)
    }

    /// The best of these stores that has so much free and nothing in the way.
    pub(crate) fn best(
        &self,
        stores: Vec<&StoreFact>,
        bytes: u64,
        is_preferred: impl Fn(&StoreFact) -> bool,
        is_in_the_way: impl Fn(&StoreId) -> bool,
    ) -> Result<StoreId, Refusal> {
        let most = stores.iter().map(|s| self.free(s)).max().unwrap_or(0);
        let roomy: Vec<&StoreFact> = stores.into_iter().filter(|s| self.free(s) >= bytes).collect();
        if roomy.is_empty() {
            let text = format!("no store with {} free", ByteSize(bytes));
            return Err(Refusal::new("space", text).amounts(bytes as f64, most as f64));
        }
        let clean = roomy.into_iter().filter(|s| !is_in_the_way(&s.id));
        // Available times weight, as in Lotus; the id makes it a total order.
        let rank = |s: &&StoreFact| {
            let free = self.free(s);
            (is_preferred(s), u128::from(free) * u128::from(s.weight), free, s.id.clone())
        };
        let store = clean.max_by_key(rank).map(|s| s.id.clone());
        store.ok_or_else(|| {
            Refusal::new("leftover", "files of its number that do not count are in the way there".to_owned())
        })
    }
}

/// What a task writes beside its outputs while it computes: UNS labels the layers again and keeps the newest, unless the
/// data of an update is decoded, which needs none. What the others need is in the sizes of their outputs.
fn scratch_bytes(kind: TaskKind, sector: &Sector, sector_bytes: u64) -> u64 {
    match kind {
        TaskKind::Unseal if !sector.is_updated() => sector_bytes,
        _ => 0,
    }
}

impl Core {
    /// Where the task may write on this worker.
    pub(crate) fn outputs_for(
        &self,
        task: &Task,
        need: &Need,
        worker: &WorkerId,
        missing: &[&SectorFile],
    ) -> Result<Vec<OutputSlot>, Refusal> {
        let Some(number) = task.sector else { return self.room_for_upload(task.id, worker) };
        let sector = self.sectors.get(&number);
        let sector = sector.ok_or_else(|| Refusal::new("gone", "its sector is gone".to_owned()))?;
        self.choose_outputs(sector, need, worker, missing)
    }

    fn choose_outputs(
        &self,
        sector: &Sector,
        need: &Need,
        worker: &WorkerId,
        missing: &[&SectorFile],
    ) -> Result<Vec<OutputSlot>, Refusal> {
        let (kind, proof) = need.class;
        match kind {
            TaskKind::Fetch => return self.choose_homes(sector, need, self.own_stores(worker)?),
            TaskKind::DownloadSector => return self.homes_for_download(sector, self.own_stores(worker)?),
            _ => {}
        }
        let kinds = output_kinds(kind);
        if kinds.is_empty() {
            return Ok(Vec::new());
        }
        let in_place = trims(kind);
        let bytes = |file: FileKind| match in_place {
            true if kind == TaskKind::FinalizeUnsealed => sector.kept_bytes(),
            true => file.finalized_bytes(proof.size.bytes()),
            false => file.sealing_bytes(proof.size.bytes()),
        };
        // What has to be fetched, or is uploaded, lies in the work directory of the same store meanwhile.
        let uploaded_bytes =
            if kind == TaskKind::AddPiece { sector.upload().map(|(data, _)| data.data_bytes()) } else { None };
        let fetched_bytes = missing.iter().map(|f| f.size_bytes).sum::<u64>() + uploaded_bytes.unwrap_or(0);
        let beside_bytes = fetched_bytes + scratch_bytes(kind, sector, proof.size.bytes());
        let total = kinds.iter().map(|k| bytes(*k)).sum::<u64>() + beside_bytes;
        let usable = |s: &StoreFact| match in_place {
            true => self.holds_all(need, &s.id),
            false => s.can_seal && kinds.iter().all(|k| self.may_lie_on(s, *k)),
        };
        let healthy = self.healthy_stores(worker, kinds, usable)?;
        let healthy = self.in_groups(need.sector, missing, healthy)?;
        let in_the_way = |id: &StoreId| self.has_leftover(sector, kinds, id);
        let best = Room::of(self).best(healthy, total, |_| false, in_the_way);
        let store = best.map_err(|refusal| {
            let text = format!("{} for {}", refusal.text, names(kinds.iter().copied()));
            Refusal { text, ..refusal }
        })?;
        let slots = kinds.iter().enumerate().map(|(at, kind)| OutputSlot {
            kind: *kind,
            store: store.clone(),
            reserved_bytes: bytes(*kind) + if at == 0 { beside_bytes } else { 0 },
        });
        Ok(slots.collect())
    }

    /// Those of the stores that the missing files may be fetched to, by the AllowTo of the paths that hold them.
    fn in_groups<'a>(
        &self,
        sector: u64,
        missing: &[&SectorFile],
        stores: Vec<&'a StoreFact>,
    ) -> Result<Vec<&'a StoreFact>, Refusal> {
        // What a proof is made of is ours, and Lotus has no groups for it.
        let bound = missing.iter().filter(|file| file.kind != FileKind::Vanilla);
        let lists = |file: &&SectorFile| -> Vec<&[String]> {
            let holders = self.facts.replicas_of(sector, file).filter_map(|(id, _)| self.facts.store(&id.store));
            holders.map(|store| store.allow_to.as_slice()).collect()
        };
        let allow_to: Vec<_> = bound.clone().map(lists).collect();
        let (may, others): (Vec<_>, Vec<_>) =
            stores.into_iter().partition(|store| may_be_fetched(&store.groups, &allow_to));
        if may.is_empty() && !others.is_empty() {
            let groups: BTreeSet<&str> = allow_to.iter().flatten().copied().flatten().map(String::as_str).collect();
            let (kinds, groups) = (names(bound.map(|f| f.kind)), groups.into_iter().collect::<Vec<_>>().join(", "));
            let text =
                format!("{kinds} may be fetched to paths of the groups {groups} only (AllowTo), and it has none");
            return Err(Refusal::new("group", text));
        }
        Ok(may)
    }

    fn own_stores(&self, worker: &WorkerId) -> Result<Vec<&StoreFact>, Refusal> {
        let own: Vec<&StoreFact> = self.facts.store_ids_of(worker).filter_map(|id| self.facts.store(id)).collect();
        if own.is_empty() { Err(Refusal::new("store", "has no store".to_owned())) } else { Ok(own) }
    }

    /// Stores of the worker that are well and of use for these kinds.
    pub(crate) fn healthy_stores(
        &self,
        worker: &WorkerId,
        kinds: &[FileKind],
        is_usable: impl Fn(&StoreFact) -> bool,
    ) -> Result<Vec<&StoreFact>, Refusal> {
        let mut own = self.own_stores(worker)?;
        own.retain(|store| store.healthy && is_usable(store));
        if own.is_empty() {
            let text = format!("no healthy store that takes {}", names(kinds.iter().copied()));
            return Err(Refusal::new("store", text));
        }
        Ok(own)
    }

    /// Space that was asked for or promised and that the store's figures cannot know of yet.
    pub(crate) fn asked_bytes(&self, store: &StoreId) -> u64 {
        self.asked.get(store).copied().unwrap_or(0)
    }

    fn holds_all(&self, need: &Need, store: &StoreId) -> bool {
        need.inputs.iter().all(|file| self.facts.replicas_of(need.sector, file).any(|(id, _)| id.store == *store))
    }

    /// A replica there that does not count would be in the way: a delete that names it may still be under way.
    pub(crate) fn has_leftover(&self, sector: &Sector, kinds: &[FileKind], store: &StoreId) -> bool {
        let here = |id: &sp_types::ReplicaId| id.store == *store && kinds.contains(&id.kind);
        let unknown = |id: &sp_types::ReplicaId| sector.file(id.kind).is_none_or(|f| f.root != id.root);
        self.facts.replicas(sector.number).any(|(id, _)| here(id) && unknown(id))
    }
}

/// Tasks that make something smaller of the cache or the unsealed copy that is there.
fn trims(kind: TaskKind) -> bool {
    matches!(kind, TaskKind::Finalize | TaskKind::FinalizeReplicaUpdate | TaskKind::FinalizeUnsealed)
}
