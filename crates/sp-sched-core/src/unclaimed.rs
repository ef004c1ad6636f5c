//! Files on our paths that belong to no sector that the scheduler knows: of one that was never imported, of a data
//! directory that is lost, of a test. There may be a sector of their number all the same, made since. Nobody deletes
//! them unasked. An operator sees them, and says which may go.

use std::collections::{BTreeMap, BTreeSet};

use sp_types::{ErrorCode, ReplicaId, SectorState};

use crate::core::Core;
use crate::effect::Reply;
use crate::facts::Replica;
use crate::model::Sector;
use crate::requests::Refused;
use crate::view::Unclaimed;

impl Core {
    /// The index has told what lies on paths, and is there.
    pub fn knows_files(&self) -> bool {
        self.facts.connected
    }

    /// What lies on paths and belongs to no known sector, by the number that it bears.
    pub fn unclaimed(&self) -> Vec<Unclaimed> {
        self.facts.sectors().filter_map(|number| self.unclaimed_of(number)).collect()
    }

    fn unclaimed_of(&self, sector: u64) -> Option<Unclaimed> {
        let is_of_another = self.sectors.contains_key(&sector);
        let mut found = Unclaimed { sector, is_of_another, ..Unclaimed::default() };
        let mut stores: BTreeMap<_, u64> = BTreeMap::new();
        for (id, replica) in self.nobodys(sector) {
            *stores.entry(id.store.clone()).or_default() += replica.size_bytes;
            if !found.kinds.contains(&id.kind) {
                found.kinds.push(id.kind);
            }
        }
        found.stores = stores.into_iter().collect();
        found.kinds.sort();
        found.pin = self.pins.get(&sector).cloned();
        (!found.kinds.is_empty()).then_some(found)
    }

    /// Files of this number that the sector of it, if there is one, has no say over.
    fn nobodys(&self, number: u64) -> impl Iterator<Item = (&ReplicaId, &Replica)> {
        let sector = self.sectors.get(&number);
        let counts = move |id: &ReplicaId| sector.is_some_and(|s| s.file(id.kind).is_some_and(|f| f.root == id.root));
        let is_owned = move |origin| sector.is_some_and(|sector| sector.has_say_over(origin));
        self.facts.replicas(number).filter(move |(id, replica)| !counts(id) && !is_owned(replica.origin))
    }

    /// Files that belong to no sector go the way of those of a removed one. If nobody knows a sector of their number, it
    /// becomes known as one that is being removed. That is durable, so that whatever of the same sector comes to light
    /// later goes too.
    pub(crate) fn clean_up(&mut self, number: u64) -> Result<Reply, Refused> {
        let origins: BTreeSet<_> = self.nobodys(number).map(|(_, replica)| replica.origin).collect();
        let known = self.sectors.get(&number).map(|sector| sector.state);
        match known {
            Some(state) if origins.is_empty() && state.is_gone() => return Ok(Reply::Moved(state)),
            Some(state) if origins.is_empty() => {
                let message = format!(
                    "sector {number} is known and {state}: its files are not left over; `sp-ctl sectors remove {number} \
                     --really-do-it` removes it"
                );
                return Err((ErrorCode::WrongState, message));
            }
            None if origins.is_empty() => {
                return Err((ErrorCode::UnknownSector, format!("no path has files of a sector {number}")));
            }
            _ => self.may_remove(number)?,
        }
        if known.is_none() {
            self.insert_removing(number);
        }
        if let Some(sector) = self.sector_mut(number) {
            sector.let_go.extend(origins);
        }
        self.log(number, "cleaned up".to_owned(), "files that belonged to nobody; removed by an operator".to_owned());
        self.drive(number);
        self.untidy.insert(number);
        Ok(Reply::Moved(known.unwrap_or(SectorState::Removing)))
    }

    fn insert_removing(&mut self, number: u64) {
        let mut sector = Sector::new(number, self.config.seal_proof(), None, None, self.now);
        // None of its own: what bears no origin was not looked at unless some of it lies there now.
        sector.origin = self.config.origin_of(number, self.now);
        sector.state = SectorState::Removing;
        sector.trouble.retry_at = Some(self.now.plus(self.config.input_wait_ms));
        self.sectors.insert(number, sector);
        self.never_give_out(number);
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
