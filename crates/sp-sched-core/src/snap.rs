//! Updates: data in place of the zeros of a sealed sector (SnapDeals), from the offer to the acceptance.

use sp_types::{ErrorCode, FileKind, SectorState, TaskKind};

use crate::core::Core;
use crate::data::SectorData;
use crate::effect::Reply;
use crate::model::{DATA_PRIORITY, Sector, Update};
use crate::requests::Refused;

/// What an update makes.
const UPDATE_KINDS: [FileKind; 4] = [FileKind::Unsealed, FileKind::Update, FileKind::UpdateCache, FileKind::Vanilla];

impl Core {
    pub(crate) fn snap(&mut self, number: u64, data: SectorData, priority: Option<i64>) -> Result<Reply, Refused> {
        self.fits_sector(&data)?;
        let sector = self.known(number)?;
        let same = sector.update.as_ref().is_some_and(|u| u.accepted.is_none() && u.data.as_ref() == Some(&data));
        if same && sector.state.is_update() {
            // A command that was broken off and is given again: its upload goes on.
            return Ok(Reply::Moved(sector.state));
        }
        if sector.state != SectorState::Available {
            return Err(not_available(sector));
        }
        self.has_sealing_room(self.config.max_upgrading_sectors, 1)?;
        let what = data.describe();
        let Some(sector) = self.sector_mut(number) else { return Ok(Reply::Moved(SectorState::Available)) };
        sector.priority = priority.unwrap_or(DATA_PRIORITY);
        sector.update = Some(Update {
            data: Some(data),
            pieces: Vec::new(),
            comm_d: None,
            comm_r: None,
            proof: Vec::new(),
            accepted: None,
            key_awaited: false,
        });
        // A copy of the zeros, if somebody has unsealed them, and what is left of an update that was forced away.
        sector.drop_files(&UPDATE_KINDS);
        self.untidy.insert(number);
        self.end_all_tasks(number, "its sector is being updated");
        self.advance(number, SectorState::SnapDealsAddPiece, None, &what);
        Ok(Reply::Moved(self.known(number)?.state))
    }

    pub(crate) fn mark_for_update(&mut self, number: u64) -> Result<Reply, Refused> {
        let sector = self.known(number)?;
        if sector.data.is_some() || sector.update.is_some() {
            let message = format!("sector {number} holds data; only a CC sector can be updated");
            return Err((ErrorCode::WrongState, message));
        }
        match sector.state {
            SectorState::Available => {}
            SectorState::Proving => self.advance(number, SectorState::Available, None, "marked for an update"),
            state => {
                let message = format!("sector {number} is in state {state}; wait until it is Proving");
                return Err((ErrorCode::WrongState, message));
            }
        }
        Ok(Reply::Moved(SectorState::Available))
    }

    pub(crate) fn abort_upgrade(&mut self, number: u64) -> Result<Reply, Refused> {
        let state = self.known(number)?.state;
        match state {
            SectorState::Available => self.advance(number, SectorState::Proving, None, "not for an update any more"),
            state if state.is_update() => {
                self.advance(number, SectorState::AbortUpgrade, None, "aborted by an operator");
            }
            _ => {
                let message = format!("sector {number} is in state {state}; no update of it is under way");
                return Err((ErrorCode::WrongState, message));
            }
        }
        Ok(Reply::Moved(self.known(number)?.state))
    }

    /// The sector is what it was before its update began; what the update made is deleted.
    pub(crate) fn drop_update(&mut self, number: u64) {
        let Some(sector) = self.sector_mut(number) else { return };
        sector.update = None;
        sector.drop_files(&UPDATE_KINDS);
        self.end_all_tasks(number, "the update was aborted");
        self.untidy.insert(number);
        self.advance(number, SectorState::Proving, None, "the replica before the update counts");
    }

    /// FRU is done: the update counts from now on. Which state follows.
    pub(crate) fn updated(&mut self, number: u64) -> Option<SectorState> {
        let (now, keep_unsealed) = (self.now, self.config.always_keep_unsealed_copy);
        let release = self.config.release_sector_key && keep_unsealed;
        let sector = self.sector_mut(number)?;
        sector.update.as_mut()?.accepted = Some(now);
        if !keep_unsealed {
            sector.drop_files(&[FileKind::Unsealed]);
        }
        Some(if release { SectorState::ReleaseSectorKey } else { SectorState::Proving })
    }

    /// Makes the replica before the update anew, out of the update, its data and the cache of the replica before.
    pub(crate) fn regen_sector_key(&mut self, number: u64) -> Result<Reply, Refused> {
        let sector = self.resting_sector(number)?;
        if !sector.is_updated() {
            let message = format!("sector {number} was never updated; its sealed file is what it proves");
            return Err((ErrorCode::WrongState, message));
        }
        if self.knows(sector, FileKind::Sealed) && self.knows(sector, FileKind::Cache) {
            return Ok(Reply::Regenerating { ready: true });
        }
        if sector.present_comm_d().is_none() {
            return Err((ErrorCode::WrongState, sector.why_no_data()));
        }
        if !self.facts.connected {
            let message = "the index is away; whether the files are lost can be said when it is back".to_owned();
            return Err((ErrorCode::Unavailable, message));
        }
        for (kind, what) in [
            (FileKind::Unsealed, "no unsealed copy, which its key is made from"),
            (FileKind::Cache, "lost its cache of before the update, without which no key can be made"),
        ] {
            if !self.knows(sector, kind) {
                return Err((ErrorCode::WrongState, format!("sector {number} has {what}")));
            }
        }
        self.has_whole_copy(sector)?;
        if let Some(sector) = self.sector_mut(number) {
            sector.drop_files(&[FileKind::Sealed]);
        }
        self.untidy.insert(number);
        self.log(number, "GSK asked for".to_owned(), String::new());
        self.ensure_task(number, TaskKind::RegenSectorKey);
        Ok(Reply::Regenerating { ready: false })
    }
}

fn not_available(sector: &Sector) -> Refused {
    let Sector { number, state, .. } = sector;
    let what = match state {
        SectorState::Proving if sector.data.is_none() && sector.update.is_none() => {
            format!("`sp-ctl sectors mark-for-update {number}` makes it Available")
        }
        SectorState::Proving => "it holds data; only a CC sector can be updated".to_owned(),
        state if state.is_update() => {
            format!("another piece is on its way into it; `sp-ctl sectors abort-upgrade {number}` drops that one")
        }
        _ => "only an Available sector can be updated".to_owned(),
    };
    (ErrorCode::WrongState, format!("sector {number} is {state}: {what}"))
}
