//! Pins: sectors whose files an operator keeps from being removed by anybody, himself included, until the pin is taken
//! off. Files that nobody claims can be pinned too.

use sp_types::ErrorCode;

use crate::core::Core;
use crate::effect::Reply;
use crate::model::Pin;
use crate::requests::Refused;

/// A reason for people is no longer than this, bytes.
const REASON_MAX: usize = 1_000;

impl Core {
    /// Every pin, by sector.
    pub fn pins(&self) -> impl Iterator<Item = &Pin> {
        self.pins.values()
    }

    /// The pin of a sector.
    pub fn pin_of(&self, sector: u64) -> Option<&Pin> {
        self.pins.get(&sector)
    }

    /// Pins a sector; asked again it changes the reason.
    pub(crate) fn pin(&mut self, sector: u64, reason: String) -> Result<Reply, Refused> {
        if reason.len() > REASON_MAX {
            return Err((ErrorCode::BadRequest, format!("the reason is longer than {REASON_MAX} bytes")));
        }
        let is_gone = self.sectors.get(&sector).map(|s| s.state.is_gone());
        match is_gone {
            Some(true) => {
                let message = format!("sector {sector} is removed: there is nothing left to keep");
                return Err((ErrorCode::WrongState, message));
            }
            None if self.facts.replicas(sector).next().is_none() => {
                let message = format!("there is no sector {sector}, and no path has files of it");
                return Err((ErrorCode::UnknownSector, message));
            }
            _ => {}
        }
        self.log(sector, "pinned".to_owned(), reason.clone());
        self.pins.insert(sector, Pin { sector, reason, at: self.now });
        self.out.pins.insert(sector);
        Ok(Reply::Done)
    }

    pub(crate) fn unpin(&mut self, sector: u64) -> Result<Reply, Refused> {
        if self.pins.remove(&sector).is_none() {
            return Err((ErrorCode::NotFound, format!("sector {sector} is not pinned; see `sp-ctl sectors pins`")));
        }
        self.log(sector, "unpinned".to_owned(), String::new());
        self.out.pins.insert(sector);
        Ok(Reply::Done)
    }

    /// Before an operator's word takes files away.
    pub(crate) fn may_remove(&self, sector: u64) -> Result<(), Refused> {
        let Some(Pin { reason, .. }) = self.pins.get(&sector) else { return Ok(()) };
        let why = if reason.is_empty() { String::new() } else { format!(" ({reason})") };
        let message = format!("sector {sector} is pinned{why}; `sp-ctl sectors unpin {sector}` takes the pin off");
        Err((ErrorCode::WrongState, message))
    }
}
