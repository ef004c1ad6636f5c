//! The life of a sector: which state asks for which task or chain call, and what a result changes.

use sp_types::{FileKind, PieceInfo, RegisteredSealProof, SectorState, TaskId, TaskKind};

use crate::chain::ChainWait;
use crate::core::Core;
use crate::effect::ChainCall;
use crate::event::{TaskDone, TaskOutput};
use crate::model::{LogEntry, PieceData, Sector, SectorFile, Task, UnixMs};

/// Priority of sectors with data.
const DATA_PRIORITY: i64 = 1024;

/// Kinds that a task reads.
pub(crate) fn input_kinds(kind: TaskKind) -> &'static [FileKind] {
    match kind {
        TaskKind::PreCommit1 => &[FileKind::Unsealed],
        TaskKind::PreCommit2 | TaskKind::Commit1 | TaskKind::Unseal => &[FileKind::Sealed, FileKind::Cache],
        TaskKind::Commit2 => &[FileKind::Vanilla],
        TaskKind::Finalize => &[FileKind::Cache],
        _ => &[],
    }
}

/// Kinds that a task makes.
pub(crate) fn output_kinds(kind: TaskKind) -> &'static [FileKind] {
    match kind {
        TaskKind::AddPiece | TaskKind::Unseal => &[FileKind::Unsealed],
        TaskKind::PreCommit1 | TaskKind::PreCommit2 => &[FileKind::Sealed, FileKind::Cache],
        TaskKind::Commit1 => &[FileKind::Vanilla],
        TaskKind::Finalize => &[FileKind::Cache],
        _ => &[],
    }
}

impl Sector {
    pub(crate) fn new(number: u64, seal_proof: RegisteredSealProof, data: Option<PieceData>, now: UnixMs) -> Self {
        Self {
            number,
            seal_proof,
            state: SectorState::Packing,
            data,
            pieces: Vec::<PieceInfo>::new(),
            comm_d: None,
            comm_r: None,
            ticket: None,
            seed: None,
            seed_epoch: None,
            phase1: Vec::new(),
            proof: Vec::new(),
            location: None,
            files: Vec::new(),
            failures: 0,
            last_error: String::new(),
            created: now,
            proving_since: None,
            log: Vec::new(),
        }
    }

    /// The file of this kind that counts.
    pub(crate) fn file(&self, kind: FileKind) -> Option<&SectorFile> {
        self.files.iter().find(|f| f.kind == kind)
    }

    pub(crate) fn drop_files(&mut self, kinds: &[FileKind]) {
        self.files.retain(|f| !kinds.contains(&f.kind));
    }

    /// The task that its state asks for.
    pub(crate) fn wanted_task(&self) -> Option<TaskKind> {
        match self.state {
            SectorState::Packing => Some(TaskKind::AddPiece),
            SectorState::PreCommit1 => self.ticket.map(|_| TaskKind::PreCommit1),
            SectorState::PreCommit2 => Some(TaskKind::PreCommit2),
            SectorState::Committing1 => Some(TaskKind::Commit1),
            SectorState::Committing2 => self.proof.is_empty().then_some(TaskKind::Commit2),
            SectorState::FinalizeSector => Some(TaskKind::Finalize),
            _ => None,
        }
    }

    /// The chain call that its state asks for.
    fn wanted_call(&self) -> Option<ChainCall> {
        match self.state {
            SectorState::PreCommit1 if self.ticket.is_none() => Some(ChainCall::Ticket),
            SectorState::WaitSeed => match self.seed_epoch {
                None => Some(ChainCall::PreCommit { comm_r: self.comm_r?, comm_d: self.comm_d? }),
                Some(epoch) => Some(ChainCall::Seed { epoch }),
            },
            SectorState::Committing2 if !self.proof.is_empty() => Some(ChainCall::Commit { proof: self.proof.clone() }),
            _ => None,
        }
    }
}

impl Core {
    /// Makes a sector and sets it going.
    pub(crate) fn new_sector(&mut self, data: Option<PieceData>) -> u64 {
        let number = self.counters.next_sector;
        self.counters.next_sector += 1;
        self.out.counters = true;
        let what =
            data.as_ref().map_or("CC sector".to_owned(), |d| format!("piece {} of {} bytes", d.name, d.data_bytes));
        self.sectors.insert(number, Sector::new(number, self.config.seal_proof(), data, self.now));
        self.log(number, "created".to_owned(), what);
        self.drive(number);
        number
    }

    /// Sees to it that what the sector's state asks for is under way. Harmless when it is.
    pub(crate) fn drive(&mut self, number: u64) {
        let Some(sector) = self.sectors.get(&number) else { return };
        if sector.state == SectorState::WaitSeed && sector.seed.is_some() {
            // A sector that went back keeps its seed: the chain holds it to it.
            self.advance(number, SectorState::Committing1, None, "seed known");
            return;
        }
        match sector.wanted_call() {
            Some(call) if self.chain.get(&number).is_some_and(|wait| wait.call == call) => {}
            Some(call) => {
                self.chain.insert(number, ChainWait::new(call, self.now));
                self.ask_chain(number);
            }
            None => drop(self.chain.remove(&number)),
        }
        if let Some(kind) = self.sectors.get(&number).and_then(Sector::wanted_task) {
            self.ensure_task(number, kind);
        }
    }

    /// The task, made if there is none of its kind.
    pub(crate) fn ensure_task(&mut self, number: u64, kind: TaskKind) {
        let Some(sector) = self.sectors.get(&number) else { return };
        if self.tasks_of(number).any(|t| t.kind == kind) {
            return;
        }
        let priority = if sector.data.is_some() { DATA_PRIORITY } else { 0 };
        let (id, now) = (self.next_task_id(), self.now);
        let task = Task {
            id,
            kind,
            sector: number,
            priority,
            queued: now,
            not_before: now,
            attempts: Vec::new(),
            last_number: 0,
            failures: 0,
            last_error: String::new(),
        };
        self.add_task(task);
    }

    // === edges ===

    /// Takes one published edge (law L7), with its log entry.
    pub(crate) fn advance(&mut self, number: u64, to: SectorState, by: Option<&LogEntry>, message: &str) {
        let now = self.now;
        let Some(sector) = self.sector_mut(number) else { return };
        let from = sector.state;
        let published = sp_invariants::edge_is_published(from, to);
        sp_invariants::check!(sp_invariants::Law::L7, published, "sector {number}: {from} -> {to}");
        if !published {
            return;
        }
        sector.state = to;
        if to != SectorState::Failed {
            sector.failures = 0;
            sector.last_error.clear();
        }
        if to == SectorState::Proving {
            sector.proving_since = Some(now);
        }
        let entry = by.cloned().unwrap_or_else(|| LogEntry { at: now, ..LogEntry::default() });
        self.log_entry(number, LogEntry { event: format!("{from} -> {to}"), message: message.to_owned(), ..entry });
        self.drive(number);
    }

    /// A verified, valid result: the sector takes what it made and goes on. The caller has ended the task.
    pub(crate) fn accept(&mut self, number: u64, kind: TaskKind, done: TaskDone, by: &LogEntry) {
        let keep_unsealed = self.config.always_keep_unsealed_copy;
        let Some(sector) = self.sector_mut(number) else { return };
        for (replica, size_bytes) in &done.replicas {
            sector.drop_files(&[replica.kind]);
            sector.files.push(SectorFile { kind: replica.kind, root: replica.root, size_bytes: *size_bytes });
        }
        sector.files.sort_by_key(|f| f.kind);
        let next = match (kind, done.output) {
            (TaskKind::AddPiece, TaskOutput::AddPiece { pieces, comm_d }) => {
                sector.pieces = pieces;
                sector.comm_d = Some(comm_d);
                Some(SectorState::PreCommit1)
            }
            (TaskKind::PreCommit1, TaskOutput::PreCommit1 { phase1, .. }) => {
                sector.phase1 = phase1;
                Some(SectorState::PreCommit2)
            }
            (TaskKind::PreCommit2, TaskOutput::PreCommit2 { comm_r, .. }) => {
                sector.comm_r = Some(comm_r);
                Some(SectorState::WaitSeed)
            }
            (TaskKind::Commit1, _) => Some(SectorState::Committing2),
            (TaskKind::Commit2, TaskOutput::Proof { proof }) => {
                sector.proof = proof;
                sector.drop_files(&[FileKind::Vanilla]);
                None
            }
            (TaskKind::Finalize, _) => {
                if sector.data.is_none() || !keep_unsealed {
                    sector.drop_files(&[FileKind::Unsealed]);
                }
                Some(SectorState::Proving)
            }
            _ => None,
        };
        match next {
            Some(state) => self.advance(number, state, Some(by), ""),
            None => {
                self.log_entry(number, LogEntry { event: format!("{kind} accepted"), ..by.clone() });
                self.drive(number);
            }
        }
    }

    /// Files that the phase reads are lost: back to the phase that makes them. False when there is no such way, or it
    /// was taken too often.
    pub(crate) fn go_back(&mut self, id: TaskId, reason: &str) -> bool {
        let Some(sector) = self.tasks.get(&id).and_then(|t| self.sectors.get(&t.sector)) else { return false };
        if sector.wanted_task() != self.tasks.get(&id).map(|t| t.kind) {
            return false;
        }
        let (to, lost): (_, &[FileKind]) = match sector.state {
            SectorState::PreCommit2 | SectorState::Committing1 => {
                (SectorState::PreCommit1, &[FileKind::Sealed, FileKind::Cache, FileKind::Vanilla])
            }
            SectorState::Committing2 => (SectorState::Committing1, &[FileKind::Vanilla]),
            _ => return false,
        };
        let (number, from) = (sector.number, sector.state);
        let edge = format!("{from} -> {to}");
        let taken = sector.log.iter().filter(|e| e.event == edge).count();
        if taken >= self.config.go_back_limit as usize {
            return false;
        }
        self.end_task(id, None, "its inputs are lost");
        if let Some(sector) = self.sector_mut(number) {
            sector.drop_files(lost);
            if to == SectorState::PreCommit1 {
                sector.phase1.clear();
            }
        }
        self.advance(number, to, None, &format!("inputs lost: {reason}"));
        true
    }

    /// A task has failed for good: its sector waits for the operator. UNS alone is given up without harm.
    pub(crate) fn give_up(&mut self, id: TaskId, reason: &str) {
        let Some(task) = self.tasks.get(&id).cloned() else { return };
        self.end_task(id, None, "its task was given up");
        if task.kind == TaskKind::Unseal {
            self.log(task.sector, "UNS given up".to_owned(), reason.to_owned());
            return;
        }
        self.fail_sector(task.sector, reason);
    }

    pub(crate) fn fail_sector(&mut self, number: u64, reason: &str) {
        self.chain.remove(&number);
        let tasks: Vec<TaskId> = self.tasks_of(number).map(|t| t.id).collect();
        tasks.into_iter().for_each(|id| self.end_task(id, None, "its sector has failed"));
        if let Some(sector) = self.sector_mut(number) {
            reason.clone_into(&mut sector.last_error);
        }
        self.advance(number, SectorState::Failed, None, reason);
    }
}
