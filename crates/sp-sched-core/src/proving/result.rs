//! PoSt results: verified, accepted or tried again, and the answer when every partition is done.

use sp_types::{AttemptId, ErrorCode, Phase, WorkerId};

use crate::core::Core;
use crate::effect::{Effect, PostReply, PostToVerify, ProvenPartition, Reply};
use crate::event::{Progress, TaskOutput, TaskResult};
use crate::model::{Outcome, UnixMs};
use crate::proving::drive::Place;
use crate::proving::job::{Handed, Part, PostId, PostJob, PostKind, Proof, Skipped, Try};

/// A worker that fails tries again at the latest once this part of the time that is left has passed.
const TRIES_LEFT: u64 = 8;

impl Core {
    /// True when the attempt is one of ours.
    pub(crate) fn post_progress(&mut self, worker: &WorkerId, progress: &Progress) -> bool {
        let Some(place) = self.place_of(progress.attempt) else { return false };
        let running = self.part_mut(place).and_then(|p| p.find_mut(progress.attempt)).filter(|t| t.worker == *worker);
        let Some(running) = running else { return false };
        let before = running.progress.replace(progress.clone());
        // Its worker may read another one meanwhile.
        let reads_no_more = progress.phase == Phase::Running && before.is_none_or(|b| b.phase != Phase::Running);
        self.replan |= reads_no_more && self.posts.values().any(|job| job.parts.iter().any(Part::waits));
        true
    }

    /// True when the attempt is one of ours.
    pub(crate) fn post_result(&mut self, worker: &WorkerId, result: &TaskResult) -> bool {
        let Some(place) = self.place_of(result.attempt) else { return false };
        let Some((job, part)) = self.part(place) else { return false };
        let attempt = result.attempt;
        let Some(running) = part.find(attempt).filter(|t| t.worker == *worker) else { return false };
        if running.verifying.is_some() {
            return true;
        }
        if job.proves() && result.outcome.is_ok() {
            // What a check takes says nothing about a proof.
            let (kind, host) = (job.kind.task(), running.host.clone());
            self.learned.took(kind, self.config.sector_size, &host, result.fetch_ms, result.compute_ms);
        }
        let Some((job, part)) = self.part(place) else { return false };
        // For the chain nothing is worth less than trying on: a partition that nobody can read cannot be handed in.
        let others = part.failed_tries == 0 || part.tries.len() > 1 || place.0.is_for_the_chain();
        let not_the_last_word = matches!(job.kind, PostKind::Window(_)) && others;
        let verdict = match &result.outcome {
            Err(failure) => Err(failure.message.clone()),
            Ok(done) => post_output(job.kind, part, &done.output),
        };
        match verdict {
            Err(reason) => {
                self.acknowledge(worker, attempt);
                self.fail_try(place, attempt, &reason);
            }
            // A prover that reads nothing may be the one that is cut off: another one is asked before a whole partition
            // counts as unreadable.
            Ok((proof, skipped)) if proof.is_empty() && not_the_last_word && !skipped.is_empty() => {
                self.acknowledge(worker, attempt);
                self.fail_try(place, attempt, &format!("it could read no sector: {}", skipped[0].1));
            }
            Ok((proof, skipped)) if proof.is_empty() => {
                self.acknowledge(worker, attempt);
                self.finish_part(place, attempt, proof, skipped);
            }
            Ok((proof, skipped)) => {
                let proof = Proof { proof, skipped, ask_at: self.now, failures: 0, reason: String::new() };
                if let Some(running) = self.part_mut(place).and_then(|p| p.find_mut(attempt)) {
                    running.verifying = Some(proof);
                    let host = running.host.clone();
                    // From now on only the verifier is busy: what it proved on is free for others.
                    self.touch_host(&host);
                }
                self.ask_post_verifier(place, attempt);
            }
        }
        true
    }

    pub(crate) fn ask_post_verifier(&mut self, place: Place, attempt: AttemptId) {
        let again = self.now.plus(self.config.answer_wait_ms * 10);
        let Some((job, part)) = self.part(place) else { return };
        let (randomness, partition) = (job.randomness, part.index);
        let post_proof = job.kind.proof_type(self.config.sector_size);
        let Some(verifying) = part.find(attempt).and_then(|running| running.verifying.as_ref()) else { return };
        let (proof, sectors) = (verifying.proof.clone(), part.without(&verifying.skipped));
        let post = PostToVerify { attempt, post_proof, randomness, partition, sectors, proof };
        if let Some(verifying) = self.part_mut(place).and_then(|p| p.find_mut(attempt)?.verifying.as_mut()) {
            verifying.ask_at = again;
        }
        self.out.push(Effect::VerifyPost(Box::new(post)));
    }

    /// True when the attempt is one of ours.
    pub(crate) fn post_verified(&mut self, attempt: AttemptId, verdict: &Result<bool, String>) -> bool {
        let Some(place) = self.place_of(attempt) else { return false };
        let retry_limit = self.config.verify_retry_limit;
        let Some(running) = self.part_mut(place).and_then(|p| p.find_mut(attempt)) else { return false };
        let worker = running.worker.clone();
        let Some(verifying) = &mut running.verifying else { return true };
        match verdict {
            Ok(true) => {
                let (proof, skipped) = (verifying.proof.clone(), verifying.skipped.clone());
                self.acknowledge(&worker, attempt);
                self.finish_part(place, attempt, proof, skipped);
            }
            Ok(false) => {
                self.acknowledge(&worker, attempt);
                if let Some(part) = self.part_mut(place).filter(|part| !part.refused.contains(&worker)) {
                    part.refused.push(worker);
                }
                self.fail_try(place, attempt, "proof refused by the verifier");
            }
            Err(reason) if verifying.failures + 1 >= retry_limit => {
                let reason = format!("the verifier could not decide: {reason}");
                self.acknowledge(&worker, attempt);
                self.fail_try(place, attempt, &reason);
            }
            Err(reason) => {
                verifying.failures += 1;
                verifying.reason.clone_from(reason);
                let failures = verifying.failures;
                let ask_at = self.now.plus(self.config.retry_wait_ms(failures));
                if let Some(verifying) = self.part_mut(place).and_then(|p| p.find_mut(attempt)?.verifying.as_mut()) {
                    verifying.ask_at = ask_at;
                }
            }
        }
        true
    }

    // === ends ===

    fn finish_part(&mut self, place: Place, attempt: AttemptId, proof: Vec<u8>, skipped: Skipped) {
        let now = self.now;
        let Some((job, part)) = self.part(place) else { return };
        let Some(running) = part.find(attempt) else { return };
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
        let tried = running.clone();
        self.touch_host(&tried.host);
        self.note_try_end(place, &tried, Outcome::Done, "");
        self.end_others(place, attempt);
        let Some(part) = self.part_mut(place) else { return };
        part.tries.clear();
        part.problems = skipped;
        let index = partition.index;
        part.done = Some(partition);
        self.note_part(place.0, index);
        self.replan = true;
        self.answer_post(place.0);
    }

    /// Another worker was first.
    fn end_others(&mut self, place: Place, winner: AttemptId) {
        let Some((_, part)) = self.part(place) else { return };
        let others: Vec<Try> = part.tries.iter().filter(|t| t.attempt != winner).cloned().collect();
        for other in others {
            self.touch_host(&other.host);
            self.note_try_end(place, &other, Outcome::Ended, "another worker was first");
            match other.verifying {
                Some(_) => self.acknowledge(&other.worker, other.attempt),
                None => self.cancel_try(&other, "another worker was first"),
            }
        }
    }

    pub(crate) fn cancel_try(&mut self, tried: &Try, reason: &str) {
        if self.hears(&tried.worker) {
            let (worker, attempt) = (tried.worker.clone(), tried.attempt);
            self.out.push(Effect::Cancel { worker, attempt, reason: reason.to_owned() });
        }
    }

    fn answer_post(&mut self, id: PostId) {
        self.submit_ready(id);
        if matches!(id, PostId::Opening(_)) || !self.posts.get(&id).is_some_and(PostJob::is_done) {
            return;
        }
        let Some(job) = self.posts.remove(&id) else { return };
        self.untidy.append(&mut self.homes.being_read);
        let request = match id {
            PostId::Asked(request) => request,
            PostId::Recovery(open) => return self.lost_checked(open, &job),
            PostId::Won(epoch) => return self.keep_win(epoch, &job),
            PostId::Rehearsal(open, _) => return self.rehearsed(open, &job),
            PostId::Opening(_) => return,
        };
        let reply = match job.kind {
            PostKind::Check(_) => Reply::Checked(checked(&job)),
            PostKind::Window(_) | PostKind::Winning | PostKind::Rehearsal(_) => Reply::Post(PostReply {
                proof_type: job.kind.proof_type(self.config.sector_size),
                deadline: job.kind.deadline(),
                randomness: job.randomness,
                took_ms: self.now.since(job.started),
                partitions: job.parts.into_iter().filter_map(|p| p.done).collect(),
            }),
        };
        self.out.push(Effect::Reply(request, reply));
    }

    /// A try came to nothing: the next worker. An operator is told after so many of them, the chain waits to the end.
    pub(crate) fn fail_try(&mut self, place: Place, attempt: AttemptId, reason: &str) {
        let tries = if place.0.is_for_the_chain() { u32::MAX } else { self.config.post_tries };
        let Some(part) = self.part_mut(place) else { return };
        let Some(at) = part.tries.iter().position(|t| t.attempt == attempt) else { return };
        let running = part.tries.remove(at);
        self.touch_host(&running.host);
        self.note_try_end(place, &running, Outcome::Failed, reason);
        if place.0.is_rehearsal() {
            return self.rehearsal_failed(place.0, &running.worker, reason);
        }
        let name = self.worker_name(&running.worker);
        let again_at = self.again_at(place);
        let Some(part) = self.part_mut(place) else { return };
        part.failed_tries += 1;
        part.again_at = again_at;
        *part.failed_on.entry(running.worker).or_default() += 1;
        part.retries.push(format!("{name}: {reason}"));
        let (index, failed_tries, is_last) = (part.index, part.failed_tries, part.tries.is_empty());
        self.note_part(place.0, index);
        if failed_tries >= tries && is_last {
            let message = format!("partition {index} failed {failed_tries} times");
            self.fail_post(place.0, ErrorCode::Unavailable, &message);
        }
        self.replan = true;
    }

    /// When a worker that has failed already may try again: soon at first, then seldom, but never too late.
    fn again_at(&self, place: Place) -> UnixMs {
        let least_ms = self.config.retry_wait_min_ms;
        let Some((job, part)) = self.part(place) else { return self.now };
        let wait_ms = match place.0 {
            PostId::Opening(_) | PostId::Won(_) => {
                self.config.retry_wait_ms(part.failed_tries + 1).min(job.until.since(self.now) / TRIES_LEFT)
            }
            PostId::Asked(_) | PostId::Recovery(_) | PostId::Rehearsal(..) => least_ms,
        };
        self.now.plus(wait_ms.max(least_ms))
    }

    /// The PoSt fails: everybody may stop, and whoever waits for it learns what was tried.
    pub(crate) fn fail_post(&mut self, id: PostId, code: ErrorCode, message: &str) {
        let Some(job) = self.drop_post(id, "its request has failed") else { return };
        let reason = message;
        let mut message = format!("{}: {reason}", job.kind.name());
        for part in &job.parts {
            message.push_str(&part.story());
        }
        match id {
            PostId::Asked(request) => self.out.push(Effect::Reply(request, Reply::Failed { code, message })),
            PostId::Opening(_) => self.alert_missed(&job, &message),
            PostId::Won(epoch) => {
                self.out.push(Effect::Alert { message: format!("epoch {epoch} was won in vain: {message}") })
            }
            // Its sectors stay faulty, and are read again.
            PostId::Recovery(_) => {}
            PostId::Rehearsal(open, _) => self.note_failed_rehearsal(open, &job, reason),
        }
    }

    fn alert_missed(&mut self, job: &PostJob, message: &str) {
        let open = job.parts.iter().filter(|part| part.handed != Handed::Accepted);
        let told = |part: &Part| match part.done {
            Some(_) => format!("{} (proven; the chain has not said that it has the proof)", part.index),
            None => part.index.to_string(),
        };
        let open: Vec<String> = open.map(told).collect();
        let message = format!("deadline {}, partitions {}: {message}", job.kind.deadline(), open.join(", "));
        self.out.push(Effect::Alert { message });
    }

    /// Everybody may stop.
    pub(crate) fn drop_post(&mut self, id: PostId, reason: &str) -> Option<PostJob> {
        self.note_parts(id);
        let job = self.posts.remove(&id)?;
        job.parts.iter().for_each(|part| self.stop_part(part, &job, reason));
        self.untidy.append(&mut self.homes.being_read);
        self.replan = true;
        Some(job)
    }

    /// Whoever has the partition of a PoSt that goes on without it may stop.
    pub(crate) fn stop_part(&mut self, part: &Part, job: &PostJob, reason: &str) {
        for tried in &part.tries {
            self.note_end_of_try(job, part, tried, Outcome::Ended, reason);
            self.touch_host(&tried.host);
            self.cancel_try(tried, reason);
        }
    }
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
        PostKind::Window(_) | PostKind::Rehearsal(_) if nothing_left => Ok((Vec::new(), skipped)),
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
