//! The PoSt scheduler: every partition at once on different workers, the next worker at the first trouble, and no proof
//! that the verifier has not seen. It never waits for the index and never queues behind sealing.

use sp_types::{AttemptId, ErrorCode, FileKind, WorkerId};

use crate::core::Core;
use crate::effect::{Assignment, Effect, InputFile, PostReply, PostToVerify, ProvenPartition, Reply, TaskParams};
use crate::event::{Progress, RequestId, TaskOutput, TaskResult};
use crate::model::UnixMs;
use crate::post_job::{Part, PostJob, PostKind, PostSector, Proof, Skipped, Try};
use crate::workers::Worker;

/// Which partition of which request.
type Place = (RequestId, usize);

impl Core {
    /// Takes a request whose partitions are known.
    pub(crate) fn begin_post(
        &mut self,
        id: RequestId,
        kind: PostKind,
        randomness: sp_types::Randomness,
        parts: Vec<(u32, Vec<PostSector>)>,
    ) {
        let parts = parts.into_iter().map(|(index, sectors)| Part::new(self.next_task_id(), index, sectors)).collect();
        let until = self.now.plus(kind.limit_ms(&self.config));
        self.posts.insert(id, PostJob { kind, randomness, started: self.now, until, parts });
        self.replan = true;
    }

    /// Gives every idle partition to the best worker there is: winning first, then the oldest request.
    pub(crate) fn drive_posts(&mut self) {
        let mut order: Vec<RequestId> = self.posts.keys().copied().collect();
        order.sort_by_key(|id| (self.posts.get(id).map(|j| j.kind != PostKind::Winning), *id));
        for id in order {
            let parts = self.posts.get(&id).map_or(0, |job| job.parts.len());
            for at in 0..parts {
                self.drive_part((id, at));
            }
        }
    }

    fn part(&self, (id, at): Place) -> Option<(&PostJob, &Part)> {
        let job = self.posts.get(&id)?;
        Some((job, job.parts.get(at)?))
    }

    fn part_mut(&mut self, (id, at): Place) -> Option<&mut Part> {
        self.posts.get_mut(&id)?.parts.get_mut(at)
    }

    fn place_of(&self, attempt: AttemptId) -> Option<Place> {
        let running = |p: &Part| p.running.as_ref().is_some_and(|t| t.attempt == attempt);
        self.posts.iter().find_map(|(id, job)| job.parts.iter().position(running).map(|at| (*id, at)))
    }

    // === choosing a worker ===

    fn drive_part(&mut self, place: Place) {
        let now = self.now;
        let Some((_, part)) = self.part(place) else { return };
        if part.done.is_some() || part.running.is_some() {
            return;
        }
        match self.choose_prover(place) {
            Choice::Give(worker) => self.start_try(place, &worker),
            Choice::AllBusy => {
                if let Some(part) = self.part_mut(place) {
                    part.nobody_since = None;
                }
            }
            Choice::Nobody => {
                if let Some(part) = self.part_mut(place) {
                    part.nobody_since.get_or_insert(now);
                }
            }
        }
    }

    fn choose_prover(&self, place: Place) -> Choice {
        let Some((job, part)) = self.part(place) else { return Choice::Nobody };
        let kind = job.kind.task();
        let (now, lease_ms) = (self.now, self.config.lease_ms);
        let there = self.workers.values().filter(|w| w.accepts(kind) && w.available(now, lease_ms));
        let there: Vec<&Worker> = there.filter(|w| !part.refused.contains(&w.reg.worker)).collect();
        let trusted = |w: &&&Worker| part.trusts(&w.reg.worker);
        // The built-in worker proves only while nobody else can; whoever has failed twice only while nobody else is there.
        let mut candidates: Vec<&Worker> = there.iter().filter(trusted).filter(|w| !w.reg.builtin).copied().collect();
        if candidates.is_empty() {
            candidates = there.iter().filter(trusted).copied().collect();
        }
        if candidates.is_empty() {
            candidates = there;
        }
        let nobody = candidates.is_empty();
        let load = |w: &Worker| self.post_load(&w.reg.worker);
        candidates.retain(|w| load(w) == 0 || self.has_post_room(w, kind).is_ok());
        candidates.sort_by_key(|w| (part.failures_on(&w.reg.worker), load(w), w.reg.worker.clone()));
        match candidates.first() {
            Some(worker) => Choice::Give(worker.reg.worker.clone()),
            None if nobody => Choice::Nobody,
            None => Choice::AllBusy,
        }
    }

    fn post_load(&self, worker: &WorkerId) -> usize {
        self.posts.values().flat_map(PostJob::running).filter(|(_, w, _)| *w == worker).count()
    }

    fn start_try(&mut self, place: Place, worker: &WorkerId) {
        let now = self.now;
        let Some(host) = self.workers.get(worker).map(|w| w.reg.host.clone()) else { return };
        let Some(part) = self.part_mut(place) else { return };
        part.last_number += 1;
        part.nobody_since = None;
        let attempt = AttemptId { task: part.task, number: part.last_number };
        let worker_id = worker.clone();
        part.running = Some(Try { attempt, worker: worker_id, host, since: now, progress: None, verifying: None });
        if let Some(assignment) = self.post_assignment(place, attempt, worker) {
            self.out.push(Effect::Assign { worker: worker.clone(), assignment: Box::new(assignment) });
        }
    }

    fn post_assignment(&self, place: Place, attempt: AttemptId, worker: &WorkerId) -> Option<Assignment> {
        let (job, part) = self.part(place)?;
        let (randomness, sectors) = (job.randomness, part.sectors.clone());
        let (first, read_timeout_ms) = (*sectors.first()?, self.config.read_timeout_ms);
        let params = match job.kind {
            PostKind::Window(deadline) => {
                let (deadline, partition) = (deadline.0, part.index);
                TaskParams::WindowPost { randomness, deadline, partition, sectors, read_timeout_ms }
            }
            PostKind::Winning => TaskParams::WinningPost { randomness, sector: first, read_timeout_ms },
            PostKind::Check(_) => TaskParams::Check { randomness, sectors, read_timeout_ms },
        };
        Some(Assignment {
            attempt,
            task: job.kind.task(),
            sector: first.0,
            seal_proof: first.2,
            inputs: part.sectors.iter().flat_map(|(number, ..)| self.post_inputs(*number, worker)).collect(),
            outputs: Vec::new(),
            params,
            time_limit_ms: self.config.time_limit_ms(job.kind.task()),
        })
    }

    fn post_inputs(&self, number: u64, worker: &WorkerId) -> Vec<InputFile> {
        let files = self.sectors.get(&number).map(|s| s.files.as_slice()).unwrap_or_default();
        let proven = files.iter().filter(|f| matches!(f.kind, FileKind::Sealed | FileKind::Cache));
        let input = |f: &crate::model::SectorFile| {
            let sources = self.sources_or_everyone(number, f, Some(worker));
            InputFile { sector: number, kind: f.kind, root: f.root, size_bytes: f.size_bytes, sources }
        };
        proven.map(input).collect()
    }

    // === what workers report ===

    /// True when the attempt is one of ours.
    pub(crate) fn post_progress(&mut self, worker: &WorkerId, progress: &Progress) -> bool {
        let Some(place) = self.place_of(progress.attempt) else { return false };
        let running = self.part_mut(place).and_then(|p| p.running.as_mut()).filter(|t| t.worker == *worker);
        let Some(running) = running else { return false };
        running.progress = Some(progress.clone());
        true
    }

    /// True when the attempt is one of ours.
    pub(crate) fn post_result(&mut self, worker: &WorkerId, result: &TaskResult) -> bool {
        let Some(place) = self.place_of(result.attempt) else { return false };
        let Some((job, part)) = self.part(place) else { return false };
        let Some(running) = part.running.as_ref().filter(|t| t.worker == *worker) else { return false };
        if running.verifying.is_some() {
            return true;
        }
        let verdict = match &result.outcome {
            Err(failure) => Err(failure.message.clone()),
            Ok(done) => post_output(job.kind, part, &done.output),
        };
        match verdict {
            Err(reason) => {
                self.acknowledge(worker, result.attempt);
                self.fail_try(place, &reason);
            }
            Ok((proof, skipped)) if proof.is_empty() => {
                self.acknowledge(worker, result.attempt);
                self.finish_part(place, proof, skipped);
            }
            Ok((proof, skipped)) => {
                let proof = Proof { proof, skipped, ask_at: self.now, failures: 0 };
                if let Some(running) = self.part_mut(place).and_then(|p| p.running.as_mut()) {
                    running.verifying = Some(proof);
                }
                self.ask_post_verifier(place);
            }
        }
        true
    }

    fn ask_post_verifier(&mut self, place: Place) {
        let again = self.now.plus(self.config.answer_wait_ms * 10);
        let Some((job, part)) = self.part(place) else { return };
        let (randomness, partition) = (job.randomness, part.index);
        let post_proof = job.kind.proof_type(self.config.sector_size);
        let Some(running) = &part.running else { return };
        let Some(verifying) = &running.verifying else { return };
        let (attempt, proof, sectors) = (running.attempt, verifying.proof.clone(), part.without(&verifying.skipped));
        let post = PostToVerify { attempt, post_proof, randomness, partition, sectors, proof };
        if let Some(verifying) = self.part_mut(place).and_then(|p| p.running.as_mut()?.verifying.as_mut()) {
            verifying.ask_at = again;
        }
        self.out.push(Effect::VerifyPost(Box::new(post)));
    }

    /// True when the attempt is one of ours.
    pub(crate) fn post_verified(&mut self, attempt: AttemptId, verdict: &Result<bool, String>) -> bool {
        let Some(place) = self.place_of(attempt) else { return false };
        let retry_limit = self.config.verify_retry_limit;
        let Some(running) = self.part_mut(place).and_then(|p| p.running.as_mut()) else { return false };
        let worker = running.worker.clone();
        let Some(verifying) = &mut running.verifying else { return true };
        match verdict {
            Ok(true) => {
                let (proof, skipped) = (verifying.proof.clone(), verifying.skipped.clone());
                self.acknowledge(&worker, attempt);
                self.finish_part(place, proof, skipped);
            }
            Ok(false) => {
                self.acknowledge(&worker, attempt);
                if let Some(part) = self.part_mut(place) {
                    part.refused.push(worker);
                }
                self.fail_try(place, "proof refused by the verifier");
            }
            Err(reason) if verifying.failures + 1 >= retry_limit => {
                let reason = format!("the verifier could not decide: {reason}");
                self.acknowledge(&worker, attempt);
                self.fail_try(place, &reason);
            }
            Err(_) => {
                verifying.failures += 1;
                let failures = verifying.failures;
                let ask_at = self.now.plus(self.config.retry_wait_ms(failures));
                if let Some(verifying) = self.part_mut(place).and_then(|p| p.running.as_mut()?.verifying.as_mut()) {
                    verifying.ask_at = ask_at;
                }
            }
        }
        true
    }

    // === ends ===

    fn finish_part(&mut self, place: Place, proof: Vec<u8>, skipped: Skipped) {
        let now = self.now;
        let Some((job, part)) = self.part(place) else { return };
        let Some(running) = &part.running else { return };
        let worker = self.workers.get(&running.worker);
        let partition = ProvenPartition {
            index: part.index,
            worker: self.worker_name(&running.worker),
            builtin: worker.is_some_and(|w| w.reg.builtin),
            sectors: part.without(&skipped),
            skipped: skipped.clone(),
            proof,
            took_ms: now.since(job.started),
            retries: part.retries.clone(),
        };
        let Some(part) = self.part_mut(place) else { return };
        part.running = None;
        part.problems = skipped;
        part.done = Some(partition);
        self.replan = true;
        self.answer_post(place.0);
    }

    fn answer_post(&mut self, id: RequestId) {
        if !self.posts.get(&id).is_some_and(PostJob::is_done) {
            return;
        }
        let Some(job) = self.posts.remove(&id) else { return };
        let reply = match job.kind {
            PostKind::Check(_) => Reply::Checked(checked(&job)),
            PostKind::Window(_) | PostKind::Winning => Reply::Post(PostReply {
                proof_type: job.kind.proof_type(self.config.sector_size),
                deadline: job.kind.deadline(),
                randomness: job.randomness,
                took_ms: self.now.since(job.started),
                partitions: job.parts.into_iter().filter_map(|p| p.done).collect(),
            }),
        };
        self.out.push(Effect::Reply(id, reply));
    }

    /// A try came to nothing: the next worker, unless there were too many.
    fn fail_try(&mut self, place: Place, reason: &str) {
        let tries = self.config.post_tries;
        let Some(running) = self.part_mut(place).and_then(|p| p.running.take()) else { return };
        let name = self.worker_name(&running.worker);
        let Some(part) = self.part_mut(place) else { return };
        part.failed_tries += 1;
        *part.failed_on.entry(running.worker).or_default() += 1;
        part.retries.push(format!("{name}: {reason}"));
        if part.failed_tries >= tries {
            let message = format!("partition {} failed {} times", part.index, part.failed_tries);
            self.fail_post(place.0, ErrorCode::Unavailable, &message);
        }
        self.replan = true;
    }

    /// The request fails: everybody may stop, and the caller learns what was tried.
    pub(crate) fn fail_post(&mut self, id: RequestId, code: ErrorCode, message: &str) {
        let Some(job) = self.posts.remove(&id) else { return };
        let mut message = format!("{}: {message}", job.kind.name());
        for part in &job.parts {
            message.push_str(&part.story());
            if let Some(running) = part.running.as_ref().filter(|t| self.is_available(&t.worker)) {
                let (worker, attempt) = (running.worker.clone(), running.attempt);
                self.out.push(Effect::Cancel { worker, attempt, reason: "its request has failed".to_owned() });
            }
        }
        self.out.push(Effect::Reply(id, Reply::Failed { code, message }));
        self.replan = true;
    }

    // === lost workers ===

    /// Everything that the worker proves goes elsewhere, now. What is with the verifier already stays.
    pub(crate) fn lose_posts(&mut self, worker: &WorkerId, reason: &str) {
        for place in self.proven_by(worker) {
            self.fail_try(place, reason);
        }
    }

    /// A worker is back: what it still holds goes on, what it does not hold goes elsewhere.
    pub(crate) fn reconcile_posts(
        &mut self,
        worker: &WorkerId,
        held: &[AttemptId],
        finished: &[AttemptId],
    ) -> Vec<AttemptId> {
        let mut keep = Vec::new();
        for place in self.proven_by(worker) {
            let attempt = self.part(place).and_then(|(_, p)| p.running.as_ref()).map(|t| t.attempt);
            match attempt {
                Some(attempt) if held.contains(&attempt) => keep.push(attempt),
                Some(attempt) if finished.contains(&attempt) => {}
                _ => self.fail_try(place, "the worker came back without it"),
            }
        }
        keep
    }

    fn proven_by(&self, worker: &WorkerId) -> Vec<Place> {
        let mine = |p: &Part| p.running.as_ref().is_some_and(|t| t.worker == *worker && t.verifying.is_none());
        let places = self.posts.iter().flat_map(|(id, job)| (0..job.parts.len()).map(move |at| (*id, at)));
        places.filter(|place| self.part(*place).is_some_and(|(_, p)| mine(p))).collect()
    }

    // === time ===

    pub(crate) fn post_timers(&mut self) {
        let now = self.now;
        let late: Vec<RequestId> = self.posts.iter().filter(|(_, j)| j.until <= now).map(|(id, _)| *id).collect();
        for id in late {
            self.fail_post(id, ErrorCode::TimedOut, "not finished within its time limit");
        }
        let places = self.posts.iter().flat_map(|(id, job)| (0..job.parts.len()).map(move |at| (*id, at)));
        for place in places.collect::<Vec<Place>>() {
            self.part_timers(place);
        }
    }

    fn part_timers(&mut self, place: Place) {
        let now = self.now;
        let Some((job, part)) = self.part(place) else { return };
        if let Some(since) = part.nobody_since.filter(|since| since.plus(self.config.post_worker_wait_ms) <= now) {
            let waited_s = now.since(since) / 1_000;
            let (name, flag) = (job.kind.task(), job.kind.flag());
            let message = format!("no worker for {name} connected for {waited_s} s; start `sp-post-worker run {flag}`");
            return self.fail_post(place.0, ErrorCode::Unavailable, &message);
        }
        let Some(running) = &part.running else { return };
        if let Some(verifying) = &running.verifying {
            if verifying.ask_at <= now {
                self.ask_post_verifier(place);
            }
        } else if self.lease_until(&running.worker) <= now {
            self.fail_try(place, "lease lost");
        } else if self.try_limit(job, running) <= now {
            let (worker, attempt) = (running.worker.clone(), running.attempt);
            self.out.push(Effect::Cancel { worker, attempt, reason: "it took too long".to_owned() });
            self.fail_try(place, "no result within its time limit");
        }
    }

    /// The worker reports a time-out itself; a hung one is given up a lease later.
    fn try_limit(&self, job: &PostJob, running: &Try) -> UnixMs {
        running.since.plus(self.config.time_limit_ms(job.kind.task())).plus(self.config.lease_ms)
    }

    pub(crate) fn post_due(&self) -> Option<UnixMs> {
        let jobs = self.posts.values().map(|j| j.until);
        let parts = self.posts.values().flat_map(|job| job.parts.iter().map(move |p| (job, p)));
        let parts = parts.filter_map(|(job, part)| {
            let Some(running) = &part.running else {
                return part.nobody_since.map(|since| since.plus(self.config.post_worker_wait_ms));
            };
            Some(match &running.verifying {
                Some(verifying) => verifying.ask_at,
                None => self.lease_until(&running.worker).min(self.try_limit(job, running)),
            })
        });
        jobs.chain(parts).min()
    }
}

enum Choice {
    Give(WorkerId),
    AllBusy,
    Nobody,
}

/// The proof (empty: nothing is to be verified) and the sectors left out; or why the result is none.
fn post_output(kind: PostKind, part: &Part, output: &TaskOutput) -> Result<(Vec<u8>, Skipped), String> {
    let TaskOutput::Post { proof, skipped } = output else { return Err("the result is not a PoSt".to_owned()) };
    let mut skipped = skipped.clone();
    skipped.sort();
    skipped.dedup_by_key(|(number, _)| *number);
    if let Some((number, _)) = skipped.iter().find(|(n, _)| !part.sectors.iter().any(|(s, ..)| s == n)) {
        return Err(format!("it skipped sector {number}, which is not in the partition"));
    }
    let nothing_left = skipped.len() == part.sectors.len();
    match kind {
        PostKind::Check(_) => Ok((Vec::new(), skipped)),
        PostKind::Winning if nothing_left => Err(format!("the challenged sector could not be read: {}", skipped[0].1)),
        PostKind::Window(_) if nothing_left => Ok((Vec::new(), skipped)),
        _ if proof.is_empty() => Err("the result has no proof".to_owned()),
        _ => Ok((proof.clone(), skipped)),
    }
}

/// Every sector that was checked, with its problem or an empty text.
fn checked(job: &PostJob) -> Vec<(u32, u64, String)> {
    let of_part = |part: &Part| {
        let problem = |n: u64| part.problems.iter().find(|(s, _)| *s == n).map(|(_, why)| why.clone());
        part.sectors.iter().map(|(n, ..)| (part.index, *n, problem(*n).unwrap_or_default())).collect::<Vec<_>>()
    };
    job.parts.iter().flat_map(of_part).collect()
}
