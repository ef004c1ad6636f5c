//! Time-critical work first: how much time a PoSt has left by measured times, and which hosts make way for it once that
//! is gone.

use std::collections::{BTreeMap, BTreeSet};

use sp_types::{AttemptId, DeadlineIndex, HostId, Phase, TaskKind, WorkerId};

use crate::core::Core;
use crate::effect::Effect;
use crate::explain::Refusal;
use crate::model::{Attempt, Outcome, UnixMs};
use crate::proving::job::{Part, PostId, PostJob, PostKind, Try};
use crate::view::Slack;
use crate::workers::Worker;

/// A try that has outlasted what was measured needs at least this part of it still.
const LEAST_LEFT: u64 = 4;
/// All reads of a try together get this part of the time that is left, so that there is time for one more try ...
const READS: u64 = 3;
/// ... and this part of the time that the try may take: the rest is for the proof.
const READS_OF_TRY: u64 = 2;
/// As long as a worker waits for a holder that is being started again, and a little.
const READS_LEAST_MS: u64 = 15_000;
/// A try that has taken so many times as long as it does at the worst is not slow, it hangs.
const HANGS: u64 = 2;
/// This part of the time of a PoSt is kept for verifying and handing in.
const RESERVE: u64 = 10;

impl Core {
    // === arithmetic ===

    /// When the try will be done: as measured on its host, or some time from now if that is over. What is read ahead is
    /// proven after what its worker proves now.
    pub(super) fn try_done_at(&self, kind: TaskKind, run: &Try) -> UnixMs {
        let expected = self.post_ms(kind, &run.host);
        let done = run.since.plus(expected).max(self.now.plus(expected / LEAST_LEFT));
        if run.ahead { done.plus(expected) } else { done }
    }

    /// Of several tries the first one counts. None: nobody has it, or what is to be proven is with the verifier.
    fn part_done_at(&self, kind: TaskKind, part: &Part) -> Option<UnixMs> {
        let running = part.tries.iter().filter(|t| t.verifying.is_none());
        running
            .map(|run| self.try_done_at(kind, run))
            .min()
            .filter(|_| part.tries.iter().all(|t| t.verifying.is_none()))
    }

    /// What it takes there at the worst: what is late costs more than what yields.
    pub(crate) fn post_ms(&self, kind: TaskKind, host: &HostId) -> u64 {
        self.learned.worst_ms(kind, self.config.sector_size, host)
    }

    /// Workers that prove now: the built-in one only while there is no other.
    fn provers(&self, kind: TaskKind) -> Vec<&Worker> {
        let (now, lease_ms) = (self.now, self.config.lease_ms);
        let there = self.workers.values().filter(|w| w.accepts(kind) && w.available(now, lease_ms));
        let (builtin, own): (Vec<&Worker>, Vec<&Worker>) = there.partition(|w| w.reg.builtin);
        if own.is_empty() { builtin } else { own }
    }

    /// How long so many partitions take: round by round, the slowest prover decides. One round takes as long as it does at
    /// the worst, the others as usual: that all of them are the worst does not happen, and sealing that made way for it
    /// would have done so in vain. None: nobody proves.
    fn rounds_ms(&self, kind: TaskKind, partitions: usize) -> Option<u64> {
        let (provers, size) = (self.provers(kind), self.config.sector_size);
        let worst = provers.iter().map(|w| self.post_ms(kind, &w.reg.host)).max()?;
        let usual = provers.iter().map(|w| self.learned.expected_ms(kind, size, &w.reg.host) as u64).max()?;
        let others = partitions.div_ceil(provers.len()).saturating_sub(1) as u64;
        let one = if partitions == 0 { 0 } else { worst };
        Some(usual.min(worst).saturating_mul(others).saturating_add(one))
    }

    /// When the PoSt will be proven. None: nobody proves.
    fn done_at(&self, job: &PostJob) -> Option<UnixMs> {
        let kind = job.kind.task();
        let own = job.parts.iter().filter_map(|part| self.part_done_at(kind, part)).max();
        let waiting = job.parts.iter().filter(|p| p.waits()).count();
        if waiting == 0 {
            return Some(own.unwrap_or(self.now));
        }
        let others = self.posts.iter().filter(|(id, _)| !id.is_rehearsal()).map(|(_, job)| job);
        let busy = others.flat_map(PostJob::running).filter(|(k, _)| *k == kind);
        let busy: Vec<UnixMs> = busy.map(|(kind, run)| self.try_done_at(kind, run)).collect();
        let all_busy = busy.len() >= self.provers(kind).len();
        let free_at = busy.into_iter().min().filter(|_| all_busy).unwrap_or(self.now);
        Some(free_at.plus(self.rounds_ms(kind, waiting)?).max(own.unwrap_or(self.now)))
    }

    /// When the proofs have to be there so that there is time for what follows.
    pub(crate) fn due_at(job: &PostJob) -> UnixMs {
        UnixMs(job.until.0.saturating_sub(job.until.since(job.started) / RESERVE))
    }

    /// How long the reads of a try that begins now may take together. A path that hangs costs its sectors, not the partition.
    pub(crate) fn reads_ms(&self, job: &PostJob, since: UnixMs) -> u64 {
        let left_ms = Self::due_at(job).since(since) / READS;
        let of_try_ms = self.config.time_limit_ms(job.kind.task()) / READS_OF_TRY;
        left_ms.min(of_try_ms).min(self.config.partition_timeout_ms).max(READS_LEAST_MS)
    }

    /// Could it be late? Then what it still needs is more than what is left.
    fn has_no_slack(&self, job: &PostJob) -> bool {
        job.is_urgent() && self.done_at(job).is_none_or(|done| done >= Self::due_at(job))
    }

    /// When the slack of a PoSt will be gone if nothing else happens: none if it is gone, or if it is not urgent.
    pub(crate) fn slack_ends_at(&self, job: &PostJob) -> Option<UnixMs> {
        if !job.is_urgent() || self.has_no_slack(job) {
            return None;
        }
        let kind = job.kind.task();
        let at_least = |(kind, run): (TaskKind, &Try)| {
            let (ms, behind) = (self.post_ms(kind, &run.host), u64::from(run.ahead));
            (ms / LEAST_LEFT).saturating_add(ms.saturating_mul(behind))
        };
        let left = job.given().map(at_least).max();
        let waiting = job.parts.iter().filter(|p| p.waits()).count();
        let rounds = if waiting > 0 { self.rounds_ms(kind, waiting).unwrap_or(0) } else { 0 };
        let ends = UnixMs(Self::due_at(job).0.saturating_sub(left.unwrap_or(0).saturating_add(rounds)));
        Some(ends.max(self.now.plus(1)))
    }

    /// What is left of the opening of a deadline once so many partitions are proven. None: nothing is to be proven, or
    /// nobody proves.
    pub fn slack(&self, deadline: DeadlineIndex, unproven: usize, opens: UnixMs, closes: UnixMs) -> Option<Slack> {
        let kind = TaskKind::GenerateWindowPost;
        if unproven == 0 {
            return None;
        }
        let begins = opens.max(self.now);
        let job = self.posts.values().find(|job| job.kind == PostKind::Window(deadline));
        let done = match job {
            Some(job) => self.done_at(job)?,
            None => begins.plus(self.rounds_ms(kind, unproven)?),
        };
        let provers = self.provers(kind);
        let size = self.config.sector_size;
        let hosts: BTreeSet<&HostId> = provers.iter().map(|w| &w.reg.host).collect();
        let samples = hosts.into_iter().filter_map(|host| self.learned.duration(kind, size, host));
        Some(Slack {
            ms: closes.0 as i64 - done.0 as i64,
            needed_ms: done.since(begins),
            provers: provers.len(),
            samples: samples.map(|estimate| estimate.samples).sum(),
        })
    }

    // === making way ===

    /// Finds out which hosts make way; called whenever PoSt has been looked at.
    pub(crate) fn watch_slack(&mut self) {
        self.alert_of_slack();
        let mut hosts: BTreeMap<HostId, String> = BTreeMap::new();
        for job in self.posts.values().filter(|job| self.has_no_slack(job)) {
            let reason = self.reason_of(job);
            for host in self.hosts_of(job) {
                hosts.entry(host).or_insert_with(|| reason.clone());
            }
        }
        let before = std::mem::replace(&mut self.yielding, hosts);
        // Whatever waited for such a host may start again.
        let over: Vec<HostId> = before.into_keys().filter(|host| !self.yielding.contains_key(host)).collect();
        over.iter().for_each(|host| self.touch_host(host));
        for (host, reason) in self.yielding.clone() {
            self.make_way(&host, &reason);
        }
    }

    /// What the chain may miss is said once, while there is still something to be done about it.
    fn alert_of_slack(&mut self) {
        // Workers that were there before a restart need a moment to come back.
        let nobody_still = |job: &PostJob| job.started.plus(self.config.post_worker_wait_ms) <= self.now;
        let late = |id: &PostId, job: &PostJob| {
            let is_open = matches!(id, PostId::Opening(_)) && !job.alerted && !job.is_done();
            is_open && self.has_no_slack(job) && (self.done_at(job).is_some() || nobody_still(job))
        };
        let late: Vec<(PostId, String)> =
            self.posts.iter().filter(|(id, job)| late(id, job)).map(|(id, job)| (*id, self.reason_of(job))).collect();
        for (id, reason) in late {
            if let Some(job) = self.posts.get_mut(&id) {
                job.alerted = true;
                let help = format!("start another `sp-post-worker run {}`", job.kind.flag());
                self.out.push(Effect::Alert { message: format!("{reason}; {help}") });
            }
        }
    }

    fn reason_of(&self, job: &PostJob) -> String {
        let what = match job.kind {
            PostKind::Window(deadline) => format!("{} of deadline {deadline}", job.kind.name()),
            PostKind::Winning | PostKind::Check(_) | PostKind::Rehearsal(_) => job.kind.name().to_owned(),
        };
        let due_s = Self::due_at(job).since(self.now) / 1_000;
        match self.done_at(job) {
            Some(done) => {
                let needed_s = done.since(self.now).div_ceil(1_000);
                format!("{what} has no slack left: needs {needed_s} s by measured times, has {due_s} s")
            }
            None => format!("{what} has no slack left: nobody proves, it has {due_s} s"),
        }
    }

    /// Where it is proven; for a partition that waits, also where it could be. Room helps whoever computes: not a try that
    /// hangs, nor a partition where it has failed before for another reason.
    fn hosts_of(&self, job: &PostJob) -> BTreeSet<HostId> {
        let (kind, size) = (job.kind.task(), self.config.sector_size);
        let measured = |host: &HostId| self.learned.duration(kind, size, host).is_some();
        let most_ms = |host: &HostId| self.post_ms(kind, host).saturating_mul(HANGS);
        let hangs = |run: &Try| measured(&run.host) && run.since.plus(most_ms(&run.host)) <= self.now;
        let provers = if job.parts.iter().any(Part::waits) { self.provers(kind) } else { Vec::new() };
        let mut hosts = BTreeSet::new();
        for part in &job.parts {
            let helps = |worker: &WorkerId| part.failures_on(worker) == 0;
            let running = part.tries.iter().filter(|run| run.verifying.is_none() && helps(&run.worker) && !hangs(run));
            hosts.extend(running.map(|run| run.host.clone()));
            let able = provers.iter().filter(|w| part.waits() && helps(&w.reg.worker));
            hosts.extend(able.map(|w| w.reg.host.clone()));
        }
        hosts
    }

    /// Why nothing of sealing starts on this worker's host.
    pub(crate) fn makes_way(&self, worker: &Worker) -> Option<Refusal> {
        let reason = self.yielding.get(&worker.reg.host)?;
        Some(Refusal::new("proving", format!("its host makes way: {reason}")))
    }

    fn make_way(&mut self, host: &HostId, reason: &str) {
        let here = self.lookup.on_host(host).filter_map(|id| self.attempt(id));
        let ids: Vec<AttemptId> = here.filter(|a| self.disturbs(a)).map(|a| a.id).collect();
        for id in ids {
            self.yield_attempt(id, reason);
        }
    }

    /// It computes, or will without being asked again. What waits for bytes or only publishes does not matter.
    fn disturbs(&self, attempt: &Attempt) -> bool {
        let Some(live) = self.live.get(&attempt.id) else { return false };
        let phase = self.progress_of(attempt).map(|p| p.phase);
        let idle = matches!(phase, Some(Phase::Waiting | Phase::Publishing | Phase::Returning));
        !attempt.held && !idle && live.verifying.is_none()
    }

    /// The attempt ends, which is nobody's failure. No build resumes anything yet, so what it has done is the price.
    fn yield_attempt(&mut self, id: AttemptId, reason: &str) {
        let now = self.now;
        let lost_ms = self.live.get(&id).filter(|live| live.sent.is_some()).map_or(0, |live| now.since(live.started));
        let story = format!("yielded, {} s of work lost: {reason}", lost_ms / 1_000);
        self.log_attempt(id, "yielded", &story);
        if let Some((worker, true)) = self.close_attempt(id, Outcome::Ended, &story) {
            self.out.push(Effect::Yield { worker, attempt: id, reason: story.clone() });
        }
        self.postpone(id.task, 0, story.clone());
        self.hints.entry(id.task).or_default().yielded = Some(story);
    }
}
