//! The life of a sector: which state asks for which task or chain call, and what a result changes.

use sp_types::{FileKind, SectorState, TaskId, TaskKind};

use crate::chain::ChainWait;
use crate::core::Core;
use crate::data::SectorData;
use crate::event::{TaskDone, TaskOutput};
use crate::model::{LogEntry, Sector, SectorFile, Task, Trouble};
use crate::timers::Bell;

pub(crate) use crate::sector::output_kinds;

impl Core {
    /// Makes a sector and sets it going.
    pub(crate) fn new_sector(&mut self, data: Option<SectorData>, priority: Option<i64>) -> u64 {
        let taken = |number: u64| self.sectors.contains_key(&number) || self.facts.replicas(number).next().is_some();
        // Files that nobody claims may be all that is left of a sector: another one must not be made in their place.
        let number = (self.counters.next_sector..).find(|number| !taken(*number)).unwrap_or(u64::MAX);
        self.counters.next_sector = number.saturating_add(1);
        self.out.counters = true;
        let what = data.as_ref().map_or("CC sector".to_owned(), SectorData::describe);
        let mut sector = Sector::new(number, self.config.seal_proof(), data, priority, self.now);
        sector.origin = self.config.origin_of(number, self.now);
        self.sectors.insert(number, sector);
        self.log(number, "created".to_owned(), what);
        self.drive(number);
        number
    }

    /// Sees to it that what the sector's state asks for is under way. Harmless when it is.
    pub(crate) fn drive(&mut self, number: u64) {
        let Some(sector) = self.sectors.get(&number) else { return };
        let (state, seed_known) = (sector.state, sector.seed.is_some());
        if let Some(at) = sector.trouble.retry_at {
            self.wind(at, Bell::Sector(number));
        }
        match state {
            // A sector that went back keeps its seed: the chain holds it to it.
            SectorState::WaitSeed if seed_known => {
                self.advance(number, SectorState::Committing1, None, "seed known");
            }
            // AP has filled the sector already.
            SectorState::SnapDealsPacking => {
                self.advance(number, SectorState::UpdateReplica, None, "the data is whole")
            }
            SectorState::AbortUpgrade => self.drop_update(number),
            SectorState::ReleaseSectorKey => self.release_sector_key(number),
            SectorState::Removing | SectorState::RemoveFailed => drop(self.untidy.insert(number)),
            _ => self.drive_work(number),
        }
    }

    fn drive_work(&mut self, number: u64) {
        let Some(sector) = self.sectors.get(&number) else { return };
        match sector.wanted_call() {
            Some(call) if self.chain.get(&number).is_some_and(|wait| wait.call == call) => {}
            Some(call) => {
                self.chain.insert(number, ChainWait::new(call, self.now));
                self.ask_chain(number);
            }
            None => drop(self.chain.remove(&number)),
        }
        let working = self.sectors.get(&number).filter(|s| !s.state.is_failure());
        if let Some(kind) = working.and_then(Sector::wanted_task) {
            self.ensure_task(number, kind);
        }
    }

    /// The task, made if there is none of its kind.
    pub(crate) fn ensure_task(&mut self, number: u64, kind: TaskKind) {
        let Some(sector) = self.sectors.get(&number) else { return };
        if self.tasks_of(number).any(|t| t.kind == kind) {
            return;
        }
        let priority = sector.priority;
        let id = self.next_task_id();
        self.add_task(Task::new(id, kind, Some(number), priority, self.now));
    }

    /// Ends every task of the sector that its state does not ask for.
    pub(crate) fn end_unwanted(&mut self, number: u64, reason: &str) {
        let Some(sector) = self.sectors.get(&number) else { return };
        let unwanted = self.tasks_of(number).filter(|t| !sector.wants(t.kind));
        let unwanted: Vec<TaskId> = unwanted.map(|t| t.id).collect();
        unwanted.into_iter().for_each(|id| self.end_task(id, None, reason));
    }

    // === edges ===

    /// Takes one published edge (law L7), with its log entry, and sets going what the new state asks for.
    pub(crate) fn advance(&mut self, number: u64, to: SectorState, by: Option<&LogEntry>, message: &str) {
        let Some(from) = self.sectors.get(&number).map(|s| s.state) else { return };
        let published = sp_invariants::edge_is_published(from, to);
        sp_invariants::check!(sp_invariants::Law::L7, published, "sector {number}: {from} -> {to}");
        if published {
            self.enter_state(number, to, by, message);
            self.drive(number);
        }
    }

    /// Puts the sector into a state and says so in its log.
    pub(crate) fn enter_state(&mut self, number: u64, to: SectorState, by: Option<&LogEntry>, message: &str) {
        let now = self.now;
        let Some(sector) = self.sector_mut(number) else { return };
        let from = sector.state;
        sector.state = to;
        let waits = to.is_failure() || to.is_stopped();
        let was_stopped = from.is_stopped();
        if !waits && !from.is_failure() {
            sector.failures = 0;
            sector.last_error.clear();
        }
        if !waits && !matches!(to, SectorState::Removing | SectorState::ReleaseSectorKey) {
            (sector.trouble.retry_at, sector.trouble.resume) = (None, None);
        }
        if matches!(to, SectorState::Proving | SectorState::Available) {
            sector.proving_since.get_or_insert(now);
            sector.trouble = Trouble::default();
        }
        if was_stopped {
            // Nothing was deleted while it waited for its operator, and what is left is in the way.
            self.untidy.insert(number);
        }
        let entry = by.cloned().unwrap_or_else(|| LogEntry { at: now, ..LogEntry::default() });
        self.log_entry(number, LogEntry { event: format!("{from} -> {to}"), message: message.to_owned(), ..entry });
    }

    /// A verified, valid result: the sector takes what it made and goes on. The caller has ended the task.
    pub(crate) fn accept(&mut self, number: u64, kind: TaskKind, done: TaskDone, by: &LogEntry) {
        self.recover(number);
        self.end_moves(number);
        let Some(sector) = self.sector_mut(number) else { return };
        for (replica, size_bytes) in &done.replicas {
            let held = match kind {
                TaskKind::FinalizeUnsealed => Some(std::mem::take(&mut sector.keep)),
                TaskKind::Fetch => sector.file(replica.kind).and_then(|file| file.held.clone()),
                _ => None,
            };
            sector.drop_files(&[replica.kind]);
            sector.files.push(SectorFile { kind: replica.kind, root: replica.root, size_bytes: *size_bytes, held });
        }
        sector.files.sort_by_key(|f| f.kind);
        sector.note_success(kind);
        let next = match kind {
            TaskKind::Finalize => self.finalized(number),
            TaskKind::FinalizeReplicaUpdate => self.updated(number),
            TaskKind::DownloadSector => self.received(number, done.output),
            TaskKind::Commit2 => {
                let next = sector.take(kind, done.output);
                next.or(self.config.finalize_early.then_some(SectorState::CommitFinalize))
            }
            _ => sector.take(kind, done.output),
        };
        match next {
            Some(state) => self.advance(number, state, Some(by), ""),
            None => {
                self.log_entry(number, LogEntry { event: format!("{kind} accepted"), ..by.clone() });
                self.drive(number);
            }
        }
    }

    /// FIN is done: which state follows.
    fn finalized(&mut self, number: u64) -> Option<SectorState> {
        let keep_unsealed = self.config.always_keep_unsealed_copy;
        let sector = self.sector_mut(number)?;
        if sector.data.is_none() || !keep_unsealed {
            sector.drop_files(&[FileKind::Unsealed]);
        }
        match sector.state {
            SectorState::CommitFinalize => Some(SectorState::SubmitCommit),
            _ => self.sealed_state(number),
        }
    }

    /// The state of a sector that is sealed and accepted by the chain.
    pub(crate) fn sealed_state(&self, number: u64) -> Option<SectorState> {
        let sector = self.sectors.get(&number)?;
        let available = self.config.make_cc_sectors_available && sector.data.is_none() && sector.update.is_none();
        Some(if available { SectorState::Available } else { SectorState::Proving })
    }
}

impl Sector {
    /// Takes what a task reports; the state that follows, if another one does.
    fn take(&mut self, kind: TaskKind, output: TaskOutput) -> Option<SectorState> {
        match (kind, output) {
            (TaskKind::AddPiece, TaskOutput::AddPiece { pieces, comm_d }) => match &mut self.update {
                Some(update) => {
                    (update.pieces, update.comm_d) = (pieces, Some(comm_d));
                    Some(SectorState::SnapDealsPacking)
                }
                None => {
                    (self.pieces, self.comm_d) = (pieces, Some(comm_d));
                    Some(SectorState::PreCommit1)
                }
            },
            (TaskKind::PreCommit1, TaskOutput::PreCommit1 { phase1, .. }) => {
                self.phase1 = phase1;
                Some(SectorState::PreCommit2)
            }
            (TaskKind::PreCommit2, TaskOutput::PreCommit2 { comm_r, .. }) => {
                self.comm_r = Some(comm_r);
                Some(SectorState::WaitSeed)
            }
            (TaskKind::Commit1, _) => Some(SectorState::Committing2),
            (TaskKind::Commit2, TaskOutput::Proof { proof }) => {
                self.proof = proof;
                self.drop_files(&[FileKind::Vanilla]);
                None
            }
            (TaskKind::ReplicaUpdate, TaskOutput::ReplicaUpdate { comm_r, .. }) => {
                self.update.as_mut()?.comm_r = Some(comm_r);
                Some(SectorState::ProveReplicaUpdate)
            }
            (TaskKind::ProveReplicaUpdate2, TaskOutput::Proof { proof }) => {
                self.drop_files(&[FileKind::Vanilla]);
                self.update.as_mut()?.proof = proof;
                Some(SectorState::FinalizeReplicaUpdate)
            }
            _ => None,
        }
    }
}
