//! Results: the first valid one of any attempt not ended counts (law L2), proofs only after the verifier's yes.

use sp_invariants::{Law, at_most_one_completion, check};
use sp_types::{AttemptId, ErrorCode, FileKind, ReplicaId, TaskKind, WorkerId};

use crate::core::{Core, Verifying};
use crate::effect::{Effect, SealToVerify, UpdateToVerify};
use crate::event::{Failure, TaskDone, TaskOutput, TaskResult};
use crate::model::AttemptState;
use crate::params::update_commitments;
use crate::pipeline::output_kinds;
use crate::timers::Bell;

impl Core {
    pub(crate) fn on_result(&mut self, worker: &WorkerId, result: TaskResult) {
        let id = result.attempt;
        if self.post_result(worker, &result) {
            return;
        }
        let granted = self.attempt(id).is_some_and(|a| a.worker == *worker && a.state == AttemptState::Granted);
        let Some(kind) = self.tasks.get(&id.task).map(|t| t.kind).filter(|_| granted) else {
            // Ended, unknown, or somebody else's: the worker may forget it, and nothing else happens.
            let counting = self.counting(&result);
            self.turn_down(worker, id, counting);
            return;
        };
        self.learn(id, kind, &result);
        match result.outcome {
            Err(failure) => {
                self.fail_attempt(id, &failure);
                self.turn_down(worker, id, vec![]);
            }
            Ok(done) => match self.judge_result(id, kind, &done) {
                Err(failure) => {
                    self.fail_attempt(id, &failure);
                    self.turn_down(worker, id, vec![]);
                }
                Ok(()) if matches!(kind, TaskKind::Commit2 | TaskKind::ProveReplicaUpdate2) => self.verify(id, done),
                Ok(()) => self.complete(id, done),
            },
        }
    }

    /// What a result that counts teaches about its host and the way to it.
    fn learn(&mut self, id: AttemptId, kind: TaskKind, result: &TaskResult) {
        if result.outcome.is_err() {
            return;
        }
        let Some(host) = self.attempt(id).map(|a| a.host.clone()) else { return };
        let Some(proof) = self.tasks.get(&id.task).and_then(|t| self.class_of(t)).map(|class| class.1) else { return };
        self.learned.took(kind, proof.size, &host, 0, result.compute_ms);
        // Nothing has more resident than there is: whoever says so is wrong in everything.
        let there_is = self.hosts.get(&host).map_or(0, |h| h.capacity.memory_bytes);
        let peak_bytes = Some(result.peak_memory_bytes).filter(|peak| *peak <= there_is).unwrap_or(0);
        if self.learned.peaked(kind, proof.size, &host, peak_bytes) {
            self.measure_anew(&host);
        }
        if let Some((from, bytes)) = self.live.get(&id).and_then(|l| l.fetches.clone()) {
            self.learned.fetched(&from, &host, bytes, result.fetch_ms);
        }
        self.touch_host(&host);
    }

    /// Which of its files count already: all of a result that is told again after it was accepted, or those that nothing
    /// has taken the place of since.
    fn counting(&self, result: &TaskResult) -> Vec<FileKind> {
        let counts = |id: &ReplicaId| {
            let file = self.sectors.get(&id.sector.number).and_then(|sector| sector.file(id.kind));
            file.is_some_and(|file| file.root == id.root)
        };
        let made = result.outcome.iter().flat_map(|done| &done.replicas).map(|(id, _)| id);
        made.filter(|id| counts(id)).map(|id| id.kind).collect()
    }

    pub(crate) fn acknowledge(&mut self, worker: &WorkerId, attempt: AttemptId) {
        self.out.push(Effect::AckResult { worker: worker.clone(), attempt, refused: false, counting: vec![] });
    }

    /// The result does not count: what it was made from may be gone with it, and has to come back.
    fn turn_down(&mut self, worker: &WorkerId, attempt: AttemptId, counting: Vec<FileKind>) {
        self.out.push(Effect::AckResult { worker: worker.clone(), attempt, refused: true, counting });
    }

    /// Is it what the task was to make, where it was to make it?
    fn judge_result(&self, id: AttemptId, kind: TaskKind, done: &TaskDone) -> Result<(), Failure> {
        let bad = |code, message| Err(Failure { code, message });
        let Some(attempt) = self.attempt(id) else { return Ok(()) };
        let Some(task) = self.tasks.get(&id.task) else { return Ok(()) };
        let fits = matches!(
            (kind, &done.output),
            (TaskKind::AddPiece, TaskOutput::AddPiece { .. })
                | (TaskKind::DataCid, TaskOutput::DataCid(_))
                | (TaskKind::DownloadSector, TaskOutput::Download { .. })
                | (TaskKind::PreCommit1, TaskOutput::PreCommit1 { .. })
                | (TaskKind::PreCommit2, TaskOutput::PreCommit2 { .. })
                | (TaskKind::Commit1 | TaskKind::Finalize | TaskKind::Unseal | TaskKind::Fetch, TaskOutput::None)
                | (TaskKind::FinalizeUnsealed, TaskOutput::None)
                | (TaskKind::ReplicaUpdate, TaskOutput::ReplicaUpdate { .. })
                | (
                    TaskKind::ProveReplicaUpdate1 | TaskKind::FinalizeReplicaUpdate | TaskKind::RegenSectorKey,
                    TaskOutput::None
                )
                | (TaskKind::Commit2 | TaskKind::ProveReplicaUpdate2, TaskOutput::Proof { .. })
        );
        if !fits {
            return bad(ErrorCode::Internal, format!("the result is not one of {kind}"));
        }
        let mut kinds: Vec<FileKind> = done.replicas.iter().map(|(r, _)| r.kind).collect();
        kinds.sort();
        let mut given: Vec<FileKind> = attempt.outputs.iter().map(|o| o.kind).collect();
        given.sort();
        let makes_what_it_is_given = matches!(kind, TaskKind::Fetch | TaskKind::DownloadSector);
        if kinds != if makes_what_it_is_given { &given } else { output_kinds(kind) } {
            return bad(ErrorCode::Internal, format!("the result of {kind} names other files than it makes"));
        }
        for (replica, _) in &done.replicas {
            let own = replica.sector.miner == self.config.miner && Some(replica.sector.number) == task.sector;
            let granted = attempt.outputs.iter().any(|o| o.kind == replica.kind && o.store == replica.store);
            if !own || !granted || replica.root == [0; 32] {
                let message = format!("the result names {} on {}, which it was not given", replica.kind, replica.store);
                return bad(ErrorCode::Internal, message);
            }
            let counts = self.sector_of(task).and_then(|s| s.file(replica.kind)).map(|f| f.root);
            if kind == TaskKind::Fetch && counts != Some(replica.root) {
                let message = format!("it brought another {} than the one that counts", replica.kind);
                return bad(ErrorCode::DigestMismatch, message);
            }
        }
        let contradiction = match task.sector {
            Some(number) if kind == TaskKind::DownloadSector => self.receive_contradiction(number, done),
            Some(number) => self.contradiction(number, &done.output),
            None => self.data_cid_contradiction(task.id, &done.output),
        };
        match contradiction {
            Some((code, message)) => bad(code, message),
            None => Ok(()),
        }
    }

    /// A result's commitments must agree with what is known of the sector.
    fn contradiction(&self, number: u64, output: &TaskOutput) -> Option<(ErrorCode, String)> {
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
                if sum != size {
                    return Some((ErrorCode::Internal, format!("pieces of {sum} bytes where the sector has {size}")));
                }
                let others = sector.upload().is_some_and(|(data, _)| !data.agrees_with(pieces));
                others.then(|| (ErrorCode::Internal, "it packed other pieces than it was given".to_owned()))
            }
            TaskOutput::PreCommit1 { comm_d, .. } => differs("comm_d", sector.comm_d, *comm_d),
            TaskOutput::PreCommit2 { comm_r, comm_d } => {
                let published = sector.seed_epoch.and(sector.comm_r);
                differs("comm_d", sector.comm_d, *comm_d).or_else(|| differs("comm_r", published, *comm_r))
            }
            TaskOutput::ReplicaUpdate { comm_d, .. } => {
                differs("comm_d of the update", sector.update.as_ref().and_then(|u| u.comm_d), *comm_d)
            }
            _ => None,
        }
    }

    /// Accepts a valid result: the sector goes on, every other attempt ends, the worker may forget.
    fn complete(&mut self, id: AttemptId, done: TaskDone) {
        let open = self.tasks.contains_key(&id.task);
        let Some(attempt) = self.attempt(id).cloned() else { return };
        check!(Law::L2, at_most_one_completion(open, true), "attempt {id} completes a task that is not open");
        let Some((kind, sector)) = self.tasks.get(&id.task).map(|t| (t.kind, t.sector)) else { return };
        let entry = self.entry_of(id);
        self.praise(&attempt.worker, kind);
        self.end_task(id.task, Some(id), "another attempt was first");
        match (sector, done.output) {
            (Some(number), output) => self.accept(number, kind, TaskDone { output, ..done }, &entry),
            (None, TaskOutput::DataCid(piece)) => self.answer_data_cid(id.task, Ok(piece)),
            (None, _) => {}
        }
        self.acknowledge(&attempt.worker, id);
    }

    // === the verifier ===

    fn verify(&mut self, id: AttemptId, done: TaskDone) {
        let now = self.now;
        let Some(live) = self.live.get_mut(&id) else { return };
        if live.verifying.is_some() {
            // Repeated while the verifier works on it.
            return;
        }
        live.verifying = Some(Box::new(Verifying { done, ask_at: now, failures: 0, reason: String::new() }));
        if let Some(host) = self.attempt(id).map(|a| a.host.clone()) {
            // It computes no more.
            self.touch_host(&host);
        }
        self.ask_verifier(id);
    }

    pub(crate) fn ask_verifier(&mut self, id: AttemptId) {
        let again = self.now.plus(self.config.answer_wait_ms * 10);
        let Some(live) = self.live.get_mut(&id) else { return };
        let Some(verifying) = &mut live.verifying else { return };
        verifying.ask_at = again;
        self.wind(again, Bell::Attempt(id));
        let Some(Verifying { done, .. }) = self.live.get(&id).and_then(|l| l.verifying.as_deref()) else { return };
        let TaskOutput::Proof { proof } = &done.output else { return };
        let proof = proof.clone();
        let question = match self.tasks.get(&id.task).map(|t| t.kind) {
            Some(TaskKind::ProveReplicaUpdate2) => {
                self.update_to_verify(id, proof).map(|update| Effect::VerifyUpdate(Box::new(update)))
            }
            _ => self.seal_to_verify(id, proof).map(|seal| Effect::VerifySeal(Box::new(seal))),
        };
        match question {
            Ok(question) => self.out.push(question),
            Err(message) => self.refuse(id, Failure { code: ErrorCode::Internal, message }),
        }
    }

    fn update_to_verify(&self, id: AttemptId, proof: Vec<u8>) -> Result<UpdateToVerify, String> {
        let sector = self.tasks.get(&id.task).and_then(|t| self.sector_of(t)).ok_or("its sector is gone")?;
        let (comm_r_old, comm_r_new, comm_d_new) = update_commitments(sector)?;
        let seal_proof = sector.seal_proof;
        Ok(UpdateToVerify { attempt: id, sector: sector.number, seal_proof, comm_r_old, comm_r_new, comm_d_new, proof })
    }

    fn seal_to_verify(&self, id: AttemptId, proof: Vec<u8>) -> Result<SealToVerify, String> {
        let sector = self.tasks.get(&id.task).and_then(|t| self.sector_of(t)).ok_or("its sector is gone")?;
        Ok(SealToVerify {
            attempt: id,
            sector: sector.number,
            seal_proof: sector.seal_proof,
            ticket: sector.ticket.ok_or("the sector has no ticket")?.0,
            seed: sector.seed.ok_or("the sector has no seed")?.0,
            comm_d: sector.comm_d.ok_or("the sector has no comm_d")?,
            comm_r: sector.comm_r.ok_or("the sector has no comm_r")?,
            proof,
        })
    }

    pub(crate) fn on_verified(&mut self, id: AttemptId, verdict: Result<bool, String>) {
        if self.post_verified(id, &verdict) {
            return;
        }
        let Some(live) = self.live.get_mut(&id) else { return };
        let Some(verifying) = &mut live.verifying else { return };
        match verdict {
            Ok(true) => {
                let done = verifying.done.clone();
                self.complete(id, done);
            }
            Ok(false) => {
                let message = "proof refused by the verifier".to_owned();
                let number = self.tasks.get(&id.task).and_then(|t| t.sector);
                if let Some(sector) = number.and_then(|number| self.sector_mut(number)) {
                    sector.trouble.invalid_proofs = sector.trouble.invalid_proofs.saturating_add(1);
                }
                self.refuse(id, Failure { code: ErrorCode::InvalidProof, message });
            }
            Err(reason) => {
                verifying.failures += 1;
                if verifying.failures >= self.config.verify_retry_limit {
                    // The proof is as good as lost; it counts, or C2 would run again for ever.
                    let message = format!("the verifier could not decide: {reason}");
                    self.refuse(id, Failure { code: ErrorCode::Internal, message });
                    return;
                }
                let ask_at = self.now.plus(self.config.retry_wait_ms(verifying.failures));
                verifying.ask_at = ask_at;
                verifying.reason = reason;
                self.wind(ask_at, Bell::Attempt(id));
            }
        }
    }

    /// The result does not count.
    fn refuse(&mut self, id: AttemptId, failure: Failure) {
        let Some(worker) = self.attempt(id).map(|a| a.worker.clone()) else { return };
        self.fail_attempt(id, &failure);
        self.turn_down(&worker, id, vec![]);
    }
}
