//! What an operator does to a sector by force: removing it, putting it into a state, trying again.

use std::collections::BTreeSet;

use sp_types::{ErrorCode, ReplicaId, SectorState};

use crate::core::Core;
use crate::effect::Reply;
use crate::model::{LogEntry, Sector};
use crate::requests::Refused;

impl Core {
    // === remove ===

    /// From now on nothing of the sector counts: every replica that is known, or becomes known, is deleted by name.
    pub(crate) fn remove(&mut self, number: u64) -> Result<Reply, Refused> {
        let state = self.known(number)?.state;
        if state == SectorState::RemoveFailed {
            self.remove_again(number);
        } else if !state.is_gone() {
            self.may_remove(number)?;
            self.let_go(number);
            self.advance(number, SectorState::Removing, None, "removed by an operator");
        }
        Ok(Reply::Moved(self.known(number)?.state))
    }

    fn let_go(&mut self, number: u64) {
        let until = self.now.plus(self.config.input_wait_ms);
        self.chain.remove(&number);
        self.end_all_tasks(number, "its sector is removed");
        if let Some(sector) = self.sector_mut(number) {
            sector.files.clear();
            // Its headers are of no use to anybody any more.
            sector.receive = None;
            sector.keep.clear();
            (sector.trouble.resume, sector.trouble.retry_at) = (None, Some(until));
        }
    }

    pub(crate) fn remove_again(&mut self, number: u64) {
        self.let_go(number);
        let deletes = self.facts.deletes.iter_mut().filter(|(id, _)| id.sector.number == number);
        deletes.for_each(|(_, delete)| delete.forgive());
        self.advance(number, SectorState::Removing, None, "tries again");
    }

    /// Deletes are repeated all the time; that they take so long is worth a state of its own.
    pub(crate) fn removal_is_slow(&mut self, number: u64) {
        let reason = self.removal_text(number);
        self.fail_phase(number, SectorState::RemoveFailed, &reason);
    }

    /// The last replica is gone.
    pub(crate) fn finish_removal(&mut self, number: u64) {
        let removing = |s: &Sector| matches!(s.state, SectorState::Removing | SectorState::RemoveFailed);
        if !self.sectors.get(&number).is_some_and(removing) || self.to_be_deleted(number).next().is_some() {
            return;
        }
        self.recover(number);
        self.advance(number, SectorState::Removed, None, "no replica is known any more");
    }

    /// Replicas that go with a sector that is removed.
    fn to_be_deleted(&self, number: u64) -> impl Iterator<Item = &ReplicaId> {
        let goes = move |origin| self.sectors.get(&number).is_some_and(|sector| sector.has_say_over(origin));
        self.facts.replicas(number).filter(move |(_, replica)| goes(replica.origin)).map(|(id, _)| id)
    }

    pub(crate) fn removal_text(&self, number: u64) -> String {
        let stores: BTreeSet<String> = self.to_be_deleted(number).map(|id| id.store.to_string()).collect();
        let count = self.to_be_deleted(number).count();
        match (self.facts.connected, count) {
            (false, _) => "the index is away: deletes wait for it".to_owned(),
            (true, 0) => String::new(),
            (true, _) => {
                let stores = stores.into_iter().collect::<Vec<_>>().join(", ");
                format!("{count} replicas are still to be deleted on {stores}")
            }
        }
    }

    // === force ===

    /// Any state but those that have no way on; what the sector did until now ends.
    pub(crate) fn force_state(&mut self, number: u64, to: SectorState) -> Result<Reply, Refused> {
        let from = self.known(number)?.state;
        let refuse = |why: &str| Err((ErrorCode::WrongState, format!("sector {number} is {from}; {why}")));
        match to {
            _ if from.is_gone() => return refuse("its files are deleted, there is nothing to go on with"),
            SectorState::Removing => return self.remove(number),
            SectorState::Failed | SectorState::RemoveFailed | SectorState::Removed => {
                return refuse(&format!(
                    "no sector is put into {to}; `sp-ctl sectors remove {number} --really-do-it` removes it"
                ));
            }
            _ if self.known(number)?.receive.is_some() && to != SectorState::ReceiveSector => {
                return refuse(&format!(
                    "its files are not here yet; `sp-ctl sectors retry {number}` tries again to download them, \
                     `sp-ctl sectors remove {number} --really-do-it` gives it up"
                ));
            }
            _ if to.is_received() && self.known(number)?.receive.is_none() => {
                return refuse("nobody has said where to download it from (`sp-ctl sectors import N --from URL`)");
            }
            _ if to.is_update() && self.known(number)?.is_updated() => {
                // What follows might drop the update, with the data that counts.
                return refuse("its update counts already, and is not made twice");
            }
            _ if to.is_update() && self.known(number)?.update.is_none() => {
                return refuse(&format!("it has no update; `sp-ctl sectors snap {number} FILE` begins one"));
            }
            _ => {}
        }
        self.chain.remove(&number);
        if let Some(sector) = self.sector_mut(number) {
            let resume = to.is_stopped().then(|| sector.at_work());
            (sector.trouble.resume, sector.trouble.retry_at) = (resume, None);
            if to <= SectorState::Committing1 {
                // What was proven before says nothing about what is made now.
                sector.proof.clear();
            }
        }
        let by = LogEntry { at: self.now, ..LogEntry::default() };
        self.enter_state(number, to, Some(&by), "forced by an operator");
        self.end_unwanted(number, "an operator forced another state");
        self.drive(number);
        self.end_unwanted(number, "an operator forced another state");
        Ok(Reply::Moved(self.known(number)?.state))
    }

    // === retry ===

    /// What failed, or waits, is tried now, and may fail as often as at first.
    pub(crate) fn retry(&mut self, number: u64) -> Result<Reply, Refused> {
        let sector = self.known(number)?;
        let state = sector.state;
        if state == SectorState::RemoveFailed {
            self.remove_again(number);
        } else if state.is_failure() || state.is_stopped() {
            let resume = sector.resumes();
            if !state.may_become(resume) {
                let message = format!(
                    "sector {number} was {resume} when it was forced into {state}; \
                     `sp-ctl sectors update-state {number} {resume} --really-do-it` takes it back"
                );
                return Err((ErrorCode::WrongState, message));
            }
            if let Some(sector) = self.sector_mut(number) {
                (sector.trouble.steps_back, sector.trouble.invalid_proofs) = (0, 0);
                sector.trouble.counts.clear();
            }
            self.advance(number, resume, None, "an operator tries again");
        } else if self.tasks_of(number).next().is_none() && sector.wanted_call().is_none() {
            let message = format!("sector {number} is {state}; there is nothing to try again");
            return Err((ErrorCode::WrongState, message));
        }
        self.hurry(number);
        Ok(Reply::Moved(self.known(number)?.state))
    }

    /// Whatever the sector waits for by time alone is due now.
    fn hurry(&mut self, number: u64) {
        let (now, tasks) = (self.now, self.tasks_of(number).map(|t| t.id).collect::<Vec<_>>());
        for id in tasks {
            if let Some(task) = self.task_mut(id) {
                task.not_before = task.not_before.min(now);
                self.dirty.tasks.insert(id);
            }
        }
        self.ask_chain_anew(number);
    }
}
