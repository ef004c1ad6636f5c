//! The life of a sector: which state asks for which task or chain call, and what a result changes.

use sp_types::{
    AttemptId, ErrorCode, FileKind, PartitionIndex, PieceInfo, RegisteredSealProof, SectorState, TaskId, TaskKind,
};

use crate::core::Core;
use crate::effect::{ChainCall, Effect};
use crate::event::{ChainReply, TaskDone, TaskOutput};
use crate::model::{LogEntry, PieceData, Sector, SectorFile, Task, UnixMs};

/// Log entries kept of a sector.
const LOG_LIMIT: usize = 1_000;
/// Priority of sectors with data.
const DATA_PRIORITY: i64 = 1024;

/// A chain call of a sector that is not answered yet.
#[derive(Debug, Clone)]
pub(crate) struct ChainWait {
    pub(crate) call: ChainCall,
    /// When to ask (again).
    pub(crate) ask_at: UnixMs,
    pub(crate) failures: u32,
    pub(crate) reason: String,
}

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
                let wait = ChainWait { call, ask_at: self.now, failures: 0, reason: String::new() };
                self.chain.insert(number, wait);
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
        if self.tasks.values().any(|t| (t.sector, t.kind) == (number, kind)) {
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
        self.tasks.insert(id, task);
        self.out.tasks.insert(id);
        self.replan = true;
    }

    // === the chain ===

    /// Asks, and asks again if no answer comes; calls are idempotent per sector.
    pub(crate) fn ask_chain(&mut self, number: u64) {
        let again = self.now.plus(self.config.answer_wait_ms);
        let Some(wait) = self.chain.get_mut(&number) else { return };
        wait.ask_at = again;
        let call = wait.call.clone();
        self.out.push(Effect::Chain { sector: number, call });
    }

    pub(crate) fn on_chain(&mut self, number: u64, reply: ChainReply) {
        let Some(wait) = self.chain.get(&number) else { return };
        let (call, failures) = (wait.call.clone(), wait.failures);
        match (call, reply) {
            (_, ChainReply::Failed { reason }) => return self.chain_failed(number, failures + 1, reason),
            (ChainCall::Ticket, ChainReply::Ticket { ticket, epoch }) => {
                if let Some(sector) = self.sector_mut(number) {
                    sector.ticket = Some((ticket, epoch));
                }
                self.log(number, "ticket".to_owned(), format!("of epoch {epoch}"));
            }
            (ChainCall::PreCommit { .. }, ChainReply::PreCommitted { seed_epoch }) => {
                if let Some(sector) = self.sector_mut(number) {
                    sector.seed_epoch = Some(seed_epoch);
                }
                self.log(number, "pre-committed".to_owned(), format!("seed at epoch {seed_epoch}"));
            }
            (ChainCall::Seed { .. }, ChainReply::Seed { seed, epoch }) => {
                if let Some(sector) = self.sector_mut(number) {
                    sector.seed = Some((seed, epoch));
                }
            }
            (ChainCall::Commit { .. }, ChainReply::Committed { deadline }) => {
                let partition = self.free_partition(deadline);
                if let Some(sector) = self.sector_mut(number) {
                    sector.location = Some((deadline, partition));
                }
                let place = format!("deadline {deadline}, partition {partition}");
                self.advance(number, SectorState::FinalizeSector, None, &place);
            }
            // An answer to a call that is no longer asked.
            _ => return,
        }
        self.drive(number);
    }

    fn chain_failed(&mut self, number: u64, failures: u32, reason: String) {
        if failures >= self.config.chain_retry_limit {
            self.fail_sector(number, &format!("the chain refused {failures} times, last: {reason}"));
            return;
        }
        let ask_at = self.now.plus(self.config.retry_wait_ms(failures));
        if let Some(wait) = self.chain.get_mut(&number) {
            wait.failures = failures;
            wait.ask_at = ask_at;
            wait.reason = reason;
        }
    }

    /// The first partition of the deadline with room.
    fn free_partition(&self, deadline: sp_types::DeadlineIndex) -> PartitionIndex {
        let room = self.config.sector_size.sectors_per_partition();
        let gone = [SectorState::Removing, SectorState::Removed];
        let mut index = 0;
        loop {
            let here = Some((deadline, PartitionIndex(index)));
            let taken = self.sectors.values().filter(|s| s.location == here && !gone.contains(&s.state)).count();
            if taken < room {
                return PartitionIndex(index);
            }
            index += 1;
        }
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
        let tasks: Vec<TaskId> = self.tasks.values().filter(|t| t.sector == number).map(|t| t.id).collect();
        tasks.into_iter().for_each(|id| self.end_task(id, None, "its sector has failed"));
        if let Some(sector) = self.sector_mut(number) {
            reason.clone_into(&mut sector.last_error);
        }
        self.advance(number, SectorState::Failed, None, reason);
    }

    // === the log ===

    pub(crate) fn log(&mut self, number: u64, event: String, message: String) {
        let entry = LogEntry { at: self.now, event, message, ..LogEntry::default() };
        self.log_entry(number, entry);
    }

    /// A log entry about an attempt: `PC1 orphaned`.
    pub(crate) fn log_attempt(&mut self, id: AttemptId, what: &str, message: &str) {
        let Some(task) = self.tasks.get(&id.task) else { return };
        let (number, event) = (task.sector, format!("{} {what}", task.kind));
        let entry = LogEntry { event, message: message.to_owned(), ..self.entry_of(id) };
        self.log_entry(number, entry);
    }

    /// An entry with everything known of the attempt filled in.
    pub(crate) fn entry_of(&self, id: AttemptId) -> LogEntry {
        let attempt = self.attempt(id);
        LogEntry {
            at: self.now,
            event: String::new(),
            attempt: Some(id),
            task: self.tasks.get(&id.task).map(|t| t.kind),
            worker_name: attempt.map(|a| self.worker_name(&a.worker)).unwrap_or_default(),
            took_ms: attempt.map_or(0, |a| self.now.since(a.created)),
            message: String::new(),
        }
    }

    fn log_entry(&mut self, number: u64, entry: LogEntry) {
        if let Some(sector) = self.sector_mut(number) {
            sector.log.push(entry);
            let too_many = sector.log.len().saturating_sub(LOG_LIMIT);
            sector.log.drain(..too_many);
        }
    }

    /// A result's commitments must agree with what is known of the sector.
    pub(crate) fn contradiction(&self, number: u64, output: &TaskOutput) -> Option<(ErrorCode, String)> {
        let sector = self.sectors.get(&number)?;
        let differs = |what: &str, known: Option<_>, new| match known {
            Some(known) if known != new => {
                Some((ErrorCode::Internal, format!("{what} {new} differs from {known}, which counts")))
            }
            _ => None,
        };
        match output {
            TaskOutput::AddPiece { pieces, .. } => {
                let (sum, size) = (pieces.iter().map(|p| p.padded_bytes).sum::<u64>(), sector.seal_proof.size.bytes());
                let message = || format!("pieces of {sum} bytes where the sector has {size}");
                (sum != size).then(|| (ErrorCode::Internal, message()))
            }
            TaskOutput::PreCommit1 { comm_d, .. } => differs("comm_d", sector.comm_d, *comm_d),
            TaskOutput::PreCommit2 { comm_r, comm_d } => {
                let published = sector.seed_epoch.and(sector.comm_r);
                differs("comm_d", sector.comm_d, *comm_d).or_else(|| differs("comm_r", published, *comm_r))
            }
            _ => None,
        }
    }
}
