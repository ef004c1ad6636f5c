//! What follows when a phase of a sector fails: again after a growing wait, a step back, or a stop for the operator.
//! Nothing is ever removed because of a failure count.

use sp_types::{ErrorCode, FileKind, SectorState as S, TaskId, TaskKind};

use crate::attempts::LOST_INPUTS;
use crate::config::Config;
use crate::core::Core;
use crate::event::Failure;
use crate::model::{Sector, UnixMs};
use crate::sector::is_aside;
use crate::timers::Bell;

/// Failures of PC2 after which PC1 makes its inputs anew.
const PC2_FAILURES: u32 = 3;
/// Refused proofs after which the replica is made anew.
const INVALID_PROOFS: u32 = 1;
/// How often a sector that lets go of its key looks whether the proofs that read it are done.
const KEY_IN_USE_WAIT_MS: u64 = 10_000;

/// What comes after a failure.
enum Plan {
    Again,
    Back(S),
    Stop,
}

impl Core {
    /// Counts a failure against the task and decides what follows.
    pub(crate) fn charge(&mut self, id: TaskId, reason: String) {
        let input_failures = self.hints.get(&id).map_or(0, |h| h.input_failures);
        let Some(task) = self.task_mut(id) else { return };
        task.failures = task.failures.saturating_add(1);
        let (kind, failures, number) = (task.kind, task.failures, task.sector);
        let Some(number) = number.filter(|_| !is_aside(kind)) else {
            // Files never stop belonging where they belong.
            match failures >= self.config.retry_limit && kind != TaskKind::Fetch {
                true => self.give_up(id, &reason),
                false => self.postpone(id, self.config.retry_wait_ms(failures), reason),
            }
            return;
        };
        if input_failures >= LOST_INPUTS && self.go_back(id, &reason) {
            return;
        }
        let failure = self.sectors.get(&number).and_then(|s| s.at_work().fails_to());
        if let Some(failure) = failure {
            self.fail_phase(number, failure, &reason);
        }
    }

    /// The work of the sector's state came to nothing.
    pub(crate) fn fail_phase(&mut self, number: u64, failure: S, reason: &str) {
        let Some(sector) = self.sector_mut(number) else { return };
        let at_work = sector.at_work();
        let count = sector.trouble.counts.entry(failure).or_default();
        *count = count.saturating_add(1);
        sector.failures = *count;
        reason.clone_into(&mut sector.last_error);
        let wait_ms = self.config.retry_wait_ms(self.sectors.get(&number).map_or(1, |s| s.failures));
        match self.plan(number, failure) {
            Plan::Again => {
                let message = format!("{reason}; again in {} s", wait_ms.div_ceil(1_000));
                self.wait_to_retry(number, failure, at_work, wait_ms, &message);
                let waiting: Vec<TaskId> = self.tasks_of(number).map(|t| t.id).collect();
                waiting.into_iter().for_each(|id| self.postpone(id, wait_ms, reason.to_owned()));
            }
            Plan::Back(to) => {
                self.step_back(number, to);
                let message = format!("{reason}; back to {to} in {} s", wait_ms.div_ceil(1_000));
                self.wait_to_retry(number, failure, to, wait_ms, &message);
                self.end_all_tasks(number, "its phase goes back");
            }
            Plan::Stop => self.stop(number, failure, reason),
        }
    }

    fn plan(&self, number: u64, failure: S) -> Plan {
        let Some(sector) = self.sectors.get(&number) else { return Plan::Stop };
        let trouble = &sector.trouble;
        let count = trouble.counts.get(&failure).copied().unwrap_or(0);
        let back = match failure {
            S::SealPreCommit2Failed if count > PC2_FAILURES => Some(S::PreCommit1),
            S::ComputeProofFailed if trouble.invalid_proofs > INVALID_PROOFS => Some(S::PreCommit1),
            S::ReplicaUpdateFailed if trouble.invalid_proofs > INVALID_PROOFS => Some(S::UpdateReplica),
            _ => None,
        };
        let limit = match failure {
            S::PreCommitFailed | S::CommitFailed => self.config.chain_retry_limit,
            // An order of the operator is carried out, however long it takes.
            S::RemoveFailed => u32::MAX,
            _ => self.config.retry_limit,
        };
        match back {
            _ if count >= limit => Plan::Stop,
            Some(to) if trouble.steps_back < self.config.go_back_limit => Plan::Back(to),
            Some(_) => Plan::Stop,
            None => Plan::Again,
        }
    }

    /// Into the failure state, or longer in it, and on to `resume` after the wait.
    fn wait_to_retry(&mut self, number: u64, failure: S, resume: S, wait_ms: u64, message: &str) {
        let until = self.now.plus(wait_ms);
        let Some(sector) = self.sector_mut(number) else { return };
        (sector.trouble.resume, sector.trouble.retry_at) = (Some(resume), Some(until));
        self.fall_into(number, failure, message);
    }

    fn fall_into(&mut self, number: u64, failure: S, message: &str) {
        match self.sectors.get(&number).is_some_and(|s| s.state == failure) {
            true => {
                self.log(number, format!("{failure} still"), message.to_owned());
                self.drive(number);
            }
            false => self.advance(number, failure, None, message),
        }
    }

    /// The phase that makes what was read has to run again: what depends on it counts no more.
    fn step_back(&mut self, number: u64, to: S) {
        let Some(sector) = self.sector_mut(number) else { return };
        sector.trouble.steps_back = sector.trouble.steps_back.saturating_add(1);
        match to {
            S::PreCommit1 => {
                sector.drop_files(&[FileKind::Sealed, FileKind::Cache, FileKind::Vanilla]);
                sector.phase1.clear();
            }
            S::UpdateReplica => {
                sector.drop_files(&[FileKind::Update, FileKind::UpdateCache, FileKind::Vanilla]);
                if let Some(update) = &mut sector.update {
                    update.comm_r = None;
                }
            }
            _ => sector.drop_files(&[FileKind::Vanilla]),
        }
        self.untidy.insert(number);
    }

    /// Files that the phase reads are lost: back to the phase that makes them. False when there is no such way, or it
    /// was taken too often.
    pub(crate) fn go_back(&mut self, id: TaskId, reason: &str) -> bool {
        let Some(task) = self.tasks.get(&id) else { return false };
        let Some(sector) = self.sector_of(task) else { return false };
        if sector.wanted_task() != Some(task.kind) || sector.trouble.steps_back >= self.config.go_back_limit {
            return false;
        }
        let (number, kind) = (sector.number, task.kind);
        let to = match sector.at_work() {
            S::PreCommit2 | S::Committing1 => S::PreCommit1,
            S::Committing2 => S::Committing1,
            S::ProveReplicaUpdate if kind == TaskKind::ProveReplicaUpdate2 => S::ProveReplicaUpdate,
            // The replica before the update cannot be made again: without it there is nothing to update.
            S::ProveReplicaUpdate | S::FinalizeReplicaUpdate if self.has_key(number) => S::UpdateReplica,
            _ => return false,
        };
        self.end_task(id, None, "its inputs are lost");
        self.recover(number);
        self.step_back(number, to);
        match self.sectors.get(&number).is_some_and(|s| s.state == to) {
            true => {
                self.log(number, "PR1 again".to_owned(), format!("inputs lost: {reason}"));
                self.drive(number);
            }
            false => self.advance(number, to, None, &format!("inputs lost: {reason}")),
        }
        true
    }

    /// Does somebody have the replica that an update starts from?
    fn has_key(&self, number: u64) -> bool {
        let Some(sector) = self.sectors.get(&number) else { return false };
        let here = |kind| sector.file(kind).is_some_and(|f| self.reachable(number, f));
        here(FileKind::Sealed) && here(FileKind::Cache)
    }

    /// A task has failed for good: its sector waits for the operator. Work aside alone is given up without harm, and who
    /// waits for a DC is told.
    pub(crate) fn give_up(&mut self, id: TaskId, reason: &str) {
        let Some(task) = self.tasks.get(&id).cloned() else { return };
        self.end_task(id, None, "its task was given up");
        let Some(number) = task.sector else {
            let failure = Failure { code: ErrorCode::ExecutorFailed, message: reason.to_owned() };
            return self.answer_data_cid(id, Err(failure));
        };
        if is_aside(task.kind) {
            if let Some(sector) = self.sector_mut(number).filter(|_| task.kind == TaskKind::FinalizeUnsealed) {
                sector.keep.clear();
            }
            self.log(number, format!("{} given up", task.kind), reason.to_owned());
            return;
        }
        let failure = self.sectors.get(&number).and_then(|s| s.at_work().fails_to());
        self.stop(number, failure.unwrap_or(S::FailedUnrecoverable), reason);
    }

    /// No more tries until an operator says so. Who is sealed stays in the failure state; nothing else changes for it.
    pub(crate) fn stop(&mut self, number: u64, failure: S, reason: &str) {
        self.chain.remove(&number);
        let Some(sector) = self.sector_mut(number) else { return };
        let sealed = sector.is_proven() || failure.is_update() || failure.is_received() || failure == S::FinalizeFailed;
        let to = if sealed { failure } else { S::FailedUnrecoverable };
        sector.trouble.resume = Some(sector.at_work());
        sector.trouble.retry_at = None;
        reason.clone_into(&mut sector.last_error);
        self.end_all_tasks(number, "its sector has stopped");
        self.fall_into(number, to, &format!("stopped: {reason}"));
    }

    pub(crate) fn end_all_tasks(&mut self, number: u64, reason: &str) {
        let tasks: Vec<TaskId> = self.tasks_of(number).map(|t| t.id).collect();
        tasks.into_iter().for_each(|id| self.end_task(id, None, reason));
    }

    // === going on ===

    /// A sector that waits in a failure state is at work again, though nothing is set going.
    pub(crate) fn recover(&mut self, number: u64) {
        let waits = self.sectors.get(&number).filter(|s| s.state.is_failure());
        if let Some(resume) = waits.and_then(|s| s.trouble.resume) {
            self.enter_state(number, resume, None, "");
        }
    }

    /// A sector whose wait is over goes on.
    pub(crate) fn sector_bell(&mut self, number: u64) {
        let Some(sector) = self.sectors.get(&number) else { return };
        let (state, resume) = (sector.state, sector.trouble.resume);
        let Some(at) = sector.trouble.retry_at else { return };
        match (state, resume) {
            // It rings for an earlier wait.
            _ if at > self.now => self.wind(at, Bell::Sector(number)),
            (S::Removing, _) => self.removal_is_slow(number),
            (S::RemoveFailed, _) => self.remove_again(number),
            (S::ReleaseSectorKey, _) => self.drive(number),
            (_, Some(resume)) if state.is_failure() => self.advance(number, resume, None, "tries again"),
            _ => {}
        }
    }

    /// The update counts; the replica before it goes once no proof reads it any more.
    pub(crate) fn release_sector_key(&mut self, number: u64) {
        let until = self.now.plus(KEY_IN_USE_WAIT_MS);
        let in_use = self.is_being_proven(number);
        let Some(sector) = self.sector_mut(number) else { return };
        if in_use {
            sector.trouble.retry_at = Some(until);
            return self.wind(until, Bell::Sector(number));
        }
        sector.drop_files(&[FileKind::Sealed]);
        self.untidy.insert(number);
        self.advance(number, S::Proving, None, "the replica before the update is let go");
    }

    // === in words ===

    /// What a sector in trouble waits for, and what its operator can do; empty when it is in none.
    pub(crate) fn trouble_text(&self, sector: &Sector) -> String {
        let Sector { number, state, trouble, .. } = sector;
        let wait_s = trouble.retry_at.map_or(0, |at| at.since(self.now).div_ceil(1_000));
        match (state, trouble.resume) {
            (S::Removing | S::RemoveFailed, _) => self.removal_text(*number),
            (state, Some(resume)) if state.is_failure() && trouble.retry_at.is_some() => {
                format!("goes on with {resume} in {wait_s} s, after: {}", sector.last_error)
            }
            (state, _) if sector.is_stopped() => {
                let other = match state.is_update() {
                    true => format!("`sp-ctl sectors abort-upgrade {number}` keeps it as it was"),
                    false => format!("`sp-ctl sectors remove {number} --really-do-it` gives it up"),
                };
                format!(
                    "the operator, after {} failures: {}. See `sp-ctl sectors status {number} --log`; \
                     `sp-ctl sectors retry {number}` goes on, {other}",
                    sector.failures, sector.last_error
                )
            }
            _ => String::new(),
        }
    }
}

impl Sector {
    /// Waits for its operator: nothing happens by itself any more.
    pub fn is_stopped(&self) -> bool {
        self.state.is_stopped() || (self.state.is_failure() && self.trouble.retry_at.is_none())
    }

    /// For a row that was just read: the machine's clock may have been set back since it was written, and a wait of seconds
    /// must not become one of hours by that.
    pub(crate) fn fit_clock(&mut self, now: UnixMs, config: &Config) {
        let longest_ms = match self.state {
            S::Removing | S::RemoveFailed => config.input_wait_ms,
            S::ReleaseSectorKey => KEY_IN_USE_WAIT_MS,
            _ => config.retry_wait_max_ms,
        };
        self.trouble.retry_at = self.trouble.retry_at.map(|at| at.min(now.plus(longest_ms)));
    }

    /// A phase succeeded: its failures are history. C1 and RU do not clear those of the proof that is made from them.
    pub(crate) fn note_success(&mut self, kind: TaskKind) {
        let cleared: &[S] = match kind {
            TaskKind::AddPiece => &[S::AddPieceFailed, S::SnapDealsAddPieceFailed],
            TaskKind::PreCommit1 => &[S::SealPreCommit1Failed, S::SealPreCommit2Failed],
            TaskKind::PreCommit2 => &[S::SealPreCommit2Failed],
            TaskKind::Commit2 => &[S::ComputeProofFailed],
            TaskKind::Finalize => &[S::FinalizeFailed, S::CommitFinalizeFailed],
            TaskKind::ProveReplicaUpdate2 => &[S::ReplicaUpdateFailed],
            TaskKind::FinalizeReplicaUpdate => &[S::FinalizeReplicaUpdateFailed],
            TaskKind::DownloadSector => &[S::ReceiveSectorFailed],
            TaskKind::ReplicaUpdate => &[],
            _ => return,
        };
        self.trouble.counts.retain(|state, _| !cleared.contains(state));
        let proof = matches!(kind, TaskKind::Commit2 | TaskKind::ProveReplicaUpdate2);
        if proof || matches!(kind, TaskKind::PreCommit1 | TaskKind::ReplicaUpdate) {
            self.trouble.invalid_proofs = 0;
        }
        (self.failures, self.last_error) = (0, String::new());
    }

    /// Where a sector that failed goes on when its operator says so.
    pub(crate) fn resumes(&self) -> S {
        self.trouble.resume.unwrap_or_else(|| self.first_unfinished())
    }

    /// For rows of before, which do not say: the first phase whose outcome is not there.
    fn first_unfinished(&self) -> S {
        match S::ALL.into_iter().find(|s| s.fails_to() == Some(self.state)) {
            Some(at_work) if self.state != S::CommitFailed => at_work,
            _ if self.state == S::CommitFailed => S::Committing2,
            _ if self.pieces.is_empty() => S::Packing,
            _ if self.phase1.is_empty() => S::PreCommit1,
            _ if self.comm_r.is_none() => S::PreCommit2,
            _ if self.seed.is_none() => S::WaitSeed,
            _ if self.proof.is_empty() && self.file(FileKind::Vanilla).is_none() => S::Committing1,
            _ if self.location.is_none() => S::Committing2,
            _ => S::FinalizeSector,
        }
    }
}
