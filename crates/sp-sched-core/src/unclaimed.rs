//! Files on our paths of sectors that the scheduler does not know: of a sector that was never imported, of a data
//! directory that is lost, of a test. Nobody deletes them unasked. An operator sees them, and says which sectors may go.

use std::collections::BTreeMap;

use sp_types::{ErrorCode, SectorState};

use crate::core::Core;
use crate::effect::Reply;
use crate::model::Sector;
use crate::requests::Refused;
use crate::view::Unclaimed;

impl Core {
    /// The index has told what lies on paths, and is there.
    pub fn knows_files(&self) -> bool {
        self.facts.connected
    }

    /// What lies on paths and belongs to no known sector, by sector.
    pub fn unclaimed(&self) -> Vec<Unclaimed> {
        let numbers = self.facts.sectors().filter(|number| !self.sectors.contains_key(number));
        let of = |sector: u64| {
            let mut found = Unclaimed { sector, ..Unclaimed::default() };
            let mut stores: BTreeMap<_, u64> = BTreeMap::new();
            for (id, replica) in self.facts.replicas(sector) {
                *stores.entry(id.store.clone()).or_default() += replica.size_bytes;
                if !found.kinds.contains(&id.kind) {
                    found.kinds.push(id.kind);
                }
            }
            found.stores = stores.into_iter().collect();
            found.kinds.sort();
            found.pin = self.pins.get(&sector).cloned();
            found
        };
        numbers.map(of).collect()
    }

    /// Files of a sector that nobody knows go the way of those of a removed one: the sector becomes known as one that is
    /// being removed, which is durable, so that whatever of it comes to light later goes too.
    pub(crate) fn clean_up(&mut self, number: u64) -> Result<Reply, Refused> {
        if let Some(state) = self.sectors.get(&number).map(|s| s.state) {
            if state.is_gone() {
                return Ok(Reply::Moved(state));
            }
            let message = format!(
                "sector {number} is known and {state}: its files are not left over; `sp-ctl sectors remove {number} \
                 --really-do-it` removes it"
            );
            return Err((ErrorCode::WrongState, message));
        }
        self.may_remove(number)?;
        if self.facts.replicas(number).next().is_none() {
            return Err((ErrorCode::UnknownSector, format!("no path has files of a sector {number}")));
        }
        let mut sector = Sector::new(number, self.config.seal_proof(), None, None, self.now);
        sector.state = SectorState::Removing;
        sector.trouble.retry_at = Some(self.now.plus(self.config.input_wait_ms));
        self.sectors.insert(number, sector);
        self.never_give_out(number);
        self.log(number, "cleaned up".to_owned(), "its files belonged to nobody; removed by an operator".to_owned());
        self.drive(number);
        self.untidy.insert(number);
        Ok(Reply::Moved(SectorState::Removing))
    }

    /// A number that has come from elsewhere is not given to a new sector.
    pub(crate) fn never_give_out(&mut self, number: u64) {
        // No sector of a chain has a higher one, and ours do not get there.
        let possible = i64::try_from(number).is_ok_and(|number| number < i64::MAX);
        if possible && self.counters.next_sector <= number {
            self.counters.next_sector = number + 1;
            self.out.counters = true;
        }
    }
}
