//! Where finished files belong: on a path that stores, or on the one that an operator has named. GET takes them there
//! from the path that they are on; what they leave behind is a copy too many, and goes as every such copy does.

use std::collections::BTreeSet;

use sp_types::{ByteSize, ErrorCode, FileKind, SectorState, StoreId, TaskId, TaskKind};

use crate::core::Core;
use crate::effect::Reply;
use crate::event::StoreFact;
use crate::explain::Refusal;
use crate::model::{OutputSlot, Sector, SectorFile};
use crate::outputs::Room;
use crate::place::{Need, names};
use crate::requests::Refused;
use crate::workers::Worker;

/// What it costs to keep a sector's files apart: enough to go elsewhere only where there is no room beside the others.
const APART_MS: u64 = 60_000;

/// Where a file lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// On a path that stores, or on one that nobody has told of.
    Home,
    /// Elsewhere, where somebody can hand it out.
    Astray,
    /// Elsewhere, and nobody can hand it out now.
    Away,
}

/// Sectors to look at again when something becomes of stores or proofs.
#[derive(Debug, Clone, Default)]
pub(crate) struct Homes {
    /// They have files that belong elsewhere, and no store that takes them, or nobody who hands them out.
    pub(crate) homeless: BTreeSet<u64>,
    /// They have copies too many, which a proof may be reading.
    pub(crate) being_read: BTreeSet<u64>,
}

impl Core {
    /// Sees to it that there is a GET if the sector has files that belong elsewhere, and none otherwise.
    pub(crate) fn see_home(&mut self, number: u64) {
        let Some(sector) = self.sectors.get(&number).filter(|s| s.is_at_rest()) else { return };
        let astray = self.astray(sector);
        let moves = self.tasks_of(number).find(|t| t.kind == TaskKind::Fetch);
        let unneeded: Option<TaskId> = moves.filter(|t| astray.is_empty() && t.attempts.is_empty()).map(|t| t.id);
        let has_home = astray.iter().any(|file| self.has_home(sector, file.kind));
        let is_away = sector.files.iter().any(|file| self.place(sector, file) == Place::Away);
        self.homes.homeless.remove(&number);
        if is_away || self.misses_home(sector) || (!astray.is_empty() && !has_home) {
            self.homes.homeless.insert(number);
        }
        match (astray.is_empty(), has_home) {
            (true, _) => unneeded.into_iter().for_each(|id| self.end_task(id, None, "nothing of it can be moved now")),
            (false, true) => self.ensure_task(number, TaskKind::Fetch),
            (false, false) => {}
        }
    }

    /// The files of the sector change: whoever moves them begins anew.
    pub(crate) fn end_moves(&mut self, number: u64) {
        let moves = self.tasks_of(number).filter(|t| t.kind == TaskKind::Fetch).map(|t| t.id);
        moves.collect::<Vec<_>>().into_iter().for_each(|id| self.end_task(id, None, "the sector's files change"));
        self.untidy.insert(number);
    }

    /// Stops a GET for as long as one waits at most; the files still belong elsewhere. Returns how long, ms.
    pub(crate) fn put_off_move(&mut self, id: TaskId, why: &str) -> u64 {
        let attempts = self.tasks.get(&id).into_iter().flat_map(|t| &t.attempts).map(|a| a.id);
        attempts.collect::<Vec<_>>().into_iter().for_each(|attempt| self.end_attempt(attempt, why));
        self.unbind(id);
        let wait_ms = self.config.retry_wait_max_ms;
        self.postpone(id, wait_ms, why.to_owned());
        wait_ms
    }

    /// Files that somebody can hand out and that lie on no path that stores, as far as is known.
    pub(crate) fn astray(&self, sector: &Sector) -> Vec<SectorFile> {
        let is_astray = |file: &&SectorFile| self.place(sector, file) == Place::Astray;
        sector.files.iter().filter(is_astray).cloned().collect()
    }

    fn place(&self, sector: &Sector, file: &SectorFile) -> Place {
        let mut place = Place::Away;
        let wanted = self.wanted_home(sector, file.kind);
        for (id, _) in self.facts.replicas_of(sector.number, file) {
            match (self.facts.store(&id.store), wanted) {
                (Some(store), Some(wanted)) if store.id != wanted.id && store.is_usable() => place = Place::Astray,
                (_, Some(wanted)) if id.store != wanted.id => {}
                (Some(store), None) if !store.can_store && store.is_usable() => place = Place::Astray,
                (Some(store), None) if !store.can_store => {}
                _ => return Place::Home,
            }
        }
        if file.kind == FileKind::Vanilla { Place::Home } else { place }
    }

    fn has_home(&self, sector: &Sector, kind: FileKind) -> bool {
        let wanted = self.wanted_home(sector, kind);
        wanted.is_some() || self.facts.stores().any(|store| self.keeps(store, kind) && store.is_usable())
    }

    /// Has it files elsewhere than on the path that an operator has named? Whether they can go there changes with the path.
    fn misses_home(&self, sector: &Sector) -> bool {
        let Some(home) = &sector.home else { return false };
        let here = |file: &SectorFile| self.facts.replicas_of(sector.number, file).any(|(id, _)| id.store == *home);
        !sector.files.iter().filter(|file| file.kind != FileKind::Vanilla).all(here)
    }

    /// The path that an operator has named for the sector's files, as long as it can take this kind.
    pub(crate) fn wanted_home(&self, sector: &Sector, kind: FileKind) -> Option<&StoreFact> {
        self.facts.store(sector.home.as_ref()?).filter(|store| self.keeps(store, kind) && store.is_usable())
    }

    /// Is this a good place for the sector's finished files of this kind?
    pub(crate) fn is_home(&self, sector: &Sector, kind: FileKind, store: &StoreFact) -> bool {
        self.wanted_home(sector, kind).map_or(self.keeps(store, kind), |wanted| wanted.id == store.id)
    }

    // === what operators ask for ===

    /// The files stay where they are named until the next move: a path of less weight or room is no mistake then.
    pub(crate) fn move_files(&mut self, number: u64, id: StoreId) -> Result<Reply, Refused> {
        let sector = self.resting_sector(number)?;
        let store = self.movable_to(&id)?;
        let here = |file: &SectorFile| self.facts.replicas_of(number, file).any(|(r, _)| r.store == id);
        let (taken, refused): (Vec<_>, Vec<_>) = sector.files.iter().partition(|file| self.keeps(store, file.kind));
        if taken.is_empty() {
            let kinds = names(refused.iter().map(|file| file.kind));
            let message = format!("the filters of path {id} take none of the sector's files: {kinds}");
            return Err((ErrorCode::WrongState, message));
        }
        let moving: Vec<&SectorFile> = taken.into_iter().filter(|file| !here(file)).collect();
        let (bytes, free) = (moving.iter().map(|f| f.size_bytes).sum::<u64>(), self.free_on(store));
        if bytes > free {
            let message = format!(
                "the files of sector {number} take {}, path {id} has {} left; make room, or choose another path",
                ByteSize(bytes),
                ByteSize(free)
            );
            return Err((ErrorCode::NoSpace, message));
        }
        let files = u32::try_from(moving.len()).unwrap_or(u32::MAX);
        let is_new = sector.home.as_ref() != Some(&id);
        if is_new {
            self.end_moves(number);
            if let Some(sector) = self.sector_mut(number) {
                sector.home = Some(id.clone());
            }
            self.log(number, "move asked for".to_owned(), format!("to path {id}"));
        }
        self.untidy.insert(number);
        Ok(Reply::Moving { files })
    }

    /// A path that finished files may be moved to, or why not.
    fn movable_to(&self, id: &StoreId) -> Result<&StoreFact, Refused> {
        let unknown = || (ErrorCode::NotFound, format!("no path with the ID {id}; see `sp-ctl storage list`"));
        let store = self.facts.store(id).ok_or_else(unknown)?;
        if !store.can_store {
            let message = format!("path {id} is not for storage (CanStore): finished files would be moved away again");
            return Err((ErrorCode::WrongState, message));
        }
        if !store.is_usable() {
            let reason = if store.holders.is_empty() { "no connected worker has it" } else { &store.unhealthy_reason };
            return Err((ErrorCode::Unavailable, format!("path {id} cannot be used now: {reason}")));
        }
        Ok(store)
    }

    fn free_on(&self, store: &StoreFact) -> u64 {
        store.available_bytes.saturating_sub(self.asked_bytes(&store.id))
    }

    /// A store has come, is of another use than before, or has come to somebody.
    pub(crate) fn note_homes(&mut self, store: &StoreId, is_of_another_use: bool) {
        self.untidy.append(&mut self.homes.homeless);
        if is_of_another_use {
            self.untidy.extend(self.facts.sectors_on(store));
        }
    }

    /// No proof that is under way may be left without the copy that it was sent to.
    pub(crate) fn is_being_proven(&self, number: u64) -> bool {
        let reads =
            |part: &crate::proving::job::Part| part.done.is_none() && part.sectors.iter().any(|s| s.0 == number);
        self.posts.values().any(|job| job.parts.iter().any(reads))
    }

    // === judging ===

    /// With DisallowRemoteFinalize only a worker that has the files itself takes them home, unless an operator has said
    /// where they are to go.
    pub(crate) fn may_fetch_home(&self, need: &Need, is_missing: bool) -> Result<(), Refusal> {
        let named = self.sectors.get(&need.sector).is_some_and(|sector| sector.home.is_some());
        match need.class.0 == TaskKind::Fetch && is_missing && !named && self.config.disallow_remote_finalize {
            true => Err(Refusal::new(
                "remote",
                "does not have the files, and DisallowRemoteFinalize keeps it from fetching them".to_owned(),
            )),
            false => Ok(()),
        }
    }

    /// What it costs that the worker's stores have nothing else of the sector; for tasks other than GET nothing.
    pub(crate) fn apart_ms(&self, need: &Need, worker: &Worker) -> u64 {
        let beside = || {
            let mut replicas = self.facts.replicas(need.sector).filter_map(|(id, _)| self.facts.store(&id.store));
            replicas.any(|store| store.can_store && store.held_by(&worker.reg.worker))
        };
        if need.class.0 != TaskKind::Fetch || beside() { 0 } else { APART_MS }
    }

    /// A home for each file that has one on this worker: beside the sector's other files if there is room.
    pub(crate) fn choose_homes(
        &self,
        sector: &Sector,
        need: &Need,
        own: Vec<&StoreFact>,
    ) -> Result<Vec<OutputSlot>, Refusal> {
        let mut room = Room::of(self);
        let mut slots: Vec<OutputSlot> = Vec::new();
        let mut full: Option<Refusal> = None;
        for file in &need.inputs {
            let takes = |s: &&&StoreFact| s.healthy && self.is_home(sector, file.kind, s);
            let homes: Vec<&StoreFact> = own.iter().filter(takes).copied().collect();
            if homes.is_empty() {
                continue;
            }
            let used: BTreeSet<StoreId> = slots.iter().map(|slot| slot.store.clone()).collect();
            let beside = |s: &StoreFact| used.contains(&s.id) || self.has_some(sector, &s.id);
            match room.best(homes, file.size_bytes, |s| beside(s), |s| self.has_leftover(sector, &[file.kind], s)) {
                Ok(store) => {
                    room.take(&store, file.size_bytes);
                    slots.push(OutputSlot { kind: file.kind, store, reserved_bytes: file.size_bytes });
                }
                Err(refusal) => full = full.or(Some(refusal)),
            }
        }
        match slots.is_empty() {
            false => Ok(slots),
            true => Err(full.unwrap_or_else(|| {
                let kinds = names(need.inputs.iter().map(|f| f.kind));
                let wanted = need.inputs.iter().find_map(|file| self.wanted_home(sector, file.kind));
                Refusal::new(
                    "store",
                    match wanted {
                        Some(store) => format!("does not have path {}, where {kinds} is to go", store.id),
                        None => format!("no healthy store that keeps {kinds}"),
                    },
                )
            })),
        }
    }

    /// Do finished files of this kind belong there? What a proof is made of is never one: it goes with the proof, or stays
    /// where it is when an operator has put the sector past it.
    pub(crate) fn keeps(&self, store: &StoreFact, kind: FileKind) -> bool {
        store.can_store && kind != FileKind::Vanilla && self.may_lie_on(store, kind)
    }

    fn has_some(&self, sector: &Sector, store: &StoreId) -> bool {
        sector.files.iter().any(|f| self.facts.replicas_of(sector.number, f).any(|(id, _)| id.store == *store))
    }
}

impl Sector {
    /// It is proven and nothing is being made of it.
    pub fn is_at_rest(&self) -> bool {
        matches!(self.state, SectorState::Proving | SectorState::Available)
    }
}
