//! What operators see, derived from the state when asked for, never stored.

use std::collections::{BTreeMap, BTreeSet};

use sp_types::{
    AttemptId, ChainEpoch, DeadlineIndex, FileKind, ReplicaId, ReplicaInfo, SectorState, StoreId, TaskKind, WorkerId,
};

use crate::core::{Core, Live};
use crate::effect::ChainCall;
use crate::event::{Phase, Progress, StoreFact};
use crate::facts::Replica;
use crate::model::{Attempt, AttemptState, Sector, Task, UnixMs};
use crate::place::Binding;
use crate::proving::job::{Part, PostJob, Try};
use crate::view::{JobView, Sources, UploadView, WorkerView};
use crate::workers::Worker;

/// State of a task that nobody has.
const QUEUED: &str = "queued";

/// A worker that did not list an attempt yet has it for sure after this long.
const SENT_MS: u64 = 3_000;

impl Core {
    /// Every worker that has registered, by id.
    pub fn workers(&self, now: UnixMs) -> Vec<WorkerView> {
        let now = now.max(self.now);
        self.workers.values().map(|w| self.worker_view(w, now)).collect()
    }

    fn worker_view(&self, w: &Worker, now: UnixMs) -> WorkerView {
        let reg = &w.reg;
        let used = w.account.computing();
        let disabled_reason = w.away_reason(now, self.config.lease_ms);
        let gpus = self.gpus_given(&reg.worker);
        WorkerView {
            worker: reg.worker.clone(),
            session: reg.session.clone(),
            host: reg.host.clone(),
            name: reg.name.clone(),
            build: reg.build.clone(),
            class: w.class(),
            builtin: reg.builtin,
            connected: disabled_reason.is_empty(),
            disabled_reason,
            tasks: reg.tasks.clone(),
            capacity: reg.capacity.clone(),
            limits: reg.limits.clone(),
            cpus_used: used.cpus,
            memory_min_used_bytes: used.memory_min_bytes,
            memory_max_used_bytes: used.memory_max_bytes,
            gpus_used: gpus.iter().map(|gpu| gpu.share).sum(),
            gpus_in_use: gpus.into_iter().map(|gpu| gpu.id).collect::<BTreeSet<_>>().into_iter().collect(),
            counts: self.counts(w),
            stores: reg.stores.clone(),
            data_url: reg.data_url.clone(),
            pid: reg.pid,
            row: w.row.clone(),
            windows: w.windows.iter().map(|window| window.tasks.iter().map(|b| b.task).collect()).collect(),
            windows_limit: self.config.windows,
            empty: self.is_empty(w),
            connected_ms: now.since(w.since),
        }
    }

    /// Nothing runs on the worker or is bound to it; while it finishes pipelines, no sector in progress has files there.
    fn is_empty(&self, w: &Worker) -> bool {
        let id = &w.reg.worker;
        let idle = self.load_of(id) == 0 && w.windows.is_empty();
        let in_progress = |s: &&Sector| !s.state.is_settled() && !s.is_stopped();
        let here = |s: &Sector| s.files.iter().any(|f| self.holds(id, s.number, f));
        idle && (!w.row.finish_pipelines || !self.sectors.values().filter(in_progress).any(here))
    }

    fn counts(&self, w: &Worker) -> Vec<(TaskKind, sp_types::RegisteredSealProof, u32, u32)> {
        let classes: BTreeSet<_> = w.counts.keys().chain(w.bound_counts.keys()).copied().collect();
        let counted = classes.into_iter().map(|class| {
            let limit = self.row(w, class).max_concurrent;
            (class.0, class.1, self.count(w, class), limit)
        });
        let mut counts: Vec<_> = counted.filter(|(.., count, _)| *count > 0).collect();
        counts.sort_by_key(|(kind, ..)| (kind.order(), *kind));
        counts
    }

    /// Everything that waits, runs or returns: sealing by task, then PoSt.
    pub fn jobs(&self, now: UnixMs) -> Vec<JobView> {
        self.jobs_with_reasons(now, usize::MAX)
    }

    /// The same with the reasons of only so many tasks in the queue, the oldest ones: each asks every worker.
    pub fn jobs_with_reasons(&self, now: UnixMs, most: usize) -> Vec<JobView> {
        let now = now.max(self.now);
        let mut left = most;
        let sealing = self.tasks.values().flat_map(|task| {
            let jobs = self.some_task_jobs(task, now, left > 0);
            left = left.saturating_sub(jobs.iter().filter(|job| job.state == QUEUED).count());
            jobs
        });
        let parts = self.posts.values().flat_map(|job| job.parts.iter().map(move |part| (job, part)));
        let proving = parts.filter(|(_, part)| part.done.is_none()).flat_map(|(job, part)| {
            let waits = Some(None).filter(|_| part.tries.is_empty());
            waits.into_iter().chain(part.tries.iter().map(Some)).map(move |tried| self.post_view(job, part, tried, now))
        });
        sealing.chain(proving).collect()
    }

    fn task_jobs(&self, task: &Task, now: UnixMs) -> Vec<JobView> {
        self.some_task_jobs(task, now, true)
    }

    fn some_task_jobs(&self, task: &Task, now: UnixMs, with_reasons: bool) -> Vec<JobView> {
        let mut jobs: Vec<JobView> = task
            .attempts
            .iter()
            .filter_map(|a| Some((a, self.live.get(&a.id)?)))
            .map(|(a, live)| self.attempt_view(task, a, live, now))
            .collect();
        if let Some(binding) = self.bound.get(&task.id) {
            jobs.push(self.bound_view(task, binding, now));
        } else if self.placeable_at(task).is_some() {
            let reasons = if with_reasons { self.why_queued(task) } else { Vec::new() };
            jobs.push(JobView { reasons, detail: self.yielded(task), ..queued_view(task, now) });
        }
        jobs
    }

    /// Whether its last attempt made way for a PoSt, in words.
    fn yielded(&self, task: &Task) -> String {
        self.hints.get(&task.id).and_then(|hints| hints.yielded.clone()).unwrap_or_default()
    }

    fn bound_view(&self, task: &Task, binding: &Binding, now: UnixMs) -> JobView {
        let window = self.window_of(&binding.worker, task.id).unwrap_or(1);
        JobView {
            worker: Some(binding.worker.clone()),
            host_name: self.worker_name(&binding.worker),
            state: assigned(window),
            detail: [self.yielded(task), self.why_bound(task.id)]
                .into_iter()
                .filter(|s| !s.is_empty())
                .collect::<Vec<_>>()
                .join("; "),
            reasons: vec![format!("{}: {}", self.worker_name(&binding.worker), self.why_bound(task.id))],
            ..queued_view(task, now)
        }
    }

    fn attempt_view(&self, task: &Task, attempt: &Attempt, live: &Live, now: UnixMs) -> JobView {
        let progress = self.progress_of(attempt);
        let (state, detail) = match (&live.verifying, live.orphan, attempt.state) {
            (Some(verifying), ..) => ("verifying", verifying.reason.clone()),
            (None, Some(orphan), _) if orphan.until > now => {
                let wait_s = orphan.until.since(now).div_ceil(1_000);
                ("orphaned", format!("its worker lost its lease; goes elsewhere in {wait_s} s"))
            }
            (None, Some(_), _) => ("orphaned", "its worker lost its lease; its result would still count".to_owned()),
            (None, None, AttemptState::Reserving) => ("reserving", self.reserving_detail(task, live)),
            (None, None, AttemptState::Granted)
                if attempt.held && progress.is_none_or(|p| p.phase != Phase::Preparing) =>
            {
                let waits = self.group_in_words(task, attempt.id, now);
                let room = || "its inputs come or are there; waits for room to compute".to_owned();
                ("prepared", waits.unwrap_or_else(room))
            }
            (None, None, AttemptState::Granted) => {
                (phase_name(progress), progress.map(|p| p.detail.clone()).unwrap_or_default())
            }
        };
        let lost = self.lost_in_words(&attempt.worker, &attempt.gpus);
        let said = [lost, detail].into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>();
        JobView {
            attempt: Some(attempt.id),
            worker: Some(attempt.worker.clone()),
            host_name: self.worker_name(&attempt.worker),
            state,
            age_ms: now.since(attempt.created),
            fraction: progress.map_or(0.0, |p| p.fraction),
            detail: said.join("; "),
            gpus: attempt.gpus.clone(),
            ..queued_view(task, now)
        }
    }

    /// How often the index was asked for the task's space, and what came of it; empty the first time.
    fn reserving_detail(&self, task: &Task, live: &Live) -> String {
        let refusals = self.hints.get(&task.id).map_or(0, |h| h.refusals);
        match (refusals.saturating_add(live.asks), refusals) {
            (0 | 1, _) => String::new(),
            (asked, 0) => format!("asked {asked} times, no answer"),
            (asked, _) => format!("asked {asked} times, last: {}", task.last_error),
        }
    }

    fn post_view(&self, job: &PostJob, part: &Part, running: Option<&Try>, now: UnixMs) -> JobView {
        let progress = running.and_then(|t| t.progress.as_ref());
        let state = match running {
            None => "queued",
            Some(t) if t.verifying.is_some() => "verifying",
            Some(_) => phase_name(progress),
        };
        let waits = if part.nobody_since.is_some() {
            "no worker of this kind is connected"
        } else {
            "every worker of this kind is busy"
        };
        JobView {
            task_id: part.task,
            attempt: running.map(|t| t.attempt),
            task: job.kind.task(),
            sector: part.sectors.first().map(|(n, ..)| *n),
            worker: running.map(|t| t.worker.clone()),
            host_name: running.map(|t| self.worker_name(&t.worker)).unwrap_or_default(),
            state,
            age_ms: now.since(running.map_or(job.started, |t| t.since)),
            fraction: progress.map_or(0.0, |p| p.fraction),
            detail: match running {
                Some(t) if t.verifying.is_some() => part.undecided(),
                _ => progress.map(|p| p.detail.clone()).unwrap_or_default(),
            },
            gpus: running.map(|t| t.gpus.clone()).unwrap_or_default(),
            reasons: if running.is_none() { vec![waits.to_owned()] } else { Vec::new() },
            failures: part.failed_tries,
            last_error: part.retries.last().cloned().unwrap_or_default(),
        }
    }

    // === sectors ===

    /// Every sector, rising.
    pub fn sectors(&self) -> impl Iterator<Item = &Sector> {
        self.sectors.values()
    }

    /// One sector.
    pub fn sector(&self, number: u64) -> Option<&Sector> {
        self.sectors.get(&number)
    }

    /// What a sector waits for, in words; empty when it waits for nothing.
    pub fn waiting_for(&self, number: u64, now: UnixMs) -> String {
        let now = now.max(self.now);
        let trouble = self.sectors.get(&number).map(|s| self.trouble_text(s)).filter(|text| !text.is_empty());
        let mut waits: Vec<String> = trouble.into_iter().collect();
        if let Some(wait) = self.chain.get(&number) {
            waits.push(match &wait.call {
                ChainCall::Ticket => "the chain: ticket".to_owned(),
                ChainCall::PreCommit { .. } => "the chain: pre-commit".to_owned(),
                ChainCall::Seed { epoch } => format!("the chain: seed at epoch {epoch}, now {}", self.epoch),
                ChainCall::Commit { .. } => "the chain: commit".to_owned(),
            });
            if !wait.reason.is_empty() {
                waits.push(format!("asked {} times, last: {}", wait.failures + 1, wait.reason));
            }
        }
        self.tasks_of(number).for_each(|task| waits.extend(self.task_jobs(task, now).iter().map(job_text)));
        waits.join("; ")
    }

    /// Where piece bytes of a sector are wanted. None: there is no such sector, or it holds no data.
    pub fn upload(&self, number: u64) -> Option<UploadView> {
        let sector = self.sectors.get(&number)?;
        let (_, arrived) = sector.upload()?;
        if arrived {
            return Some(UploadView::Accepted);
        }
        let task = self.tasks_of(number).find(|t| t.kind == TaskKind::AddPiece);
        let detail = || format!("the sector is {}: {}", sector.state, sector.last_error);
        Some(self.upload_of(task).unwrap_or_else(|| UploadView::NotYet { detail: detail() }))
    }

    /// Where the task wants the bytes of its piece, or what it waits for. None: there is no such task.
    pub(crate) fn upload_of(&self, task: Option<&Task>) -> Option<UploadView> {
        let task = task?;
        let ready = task.attempts.iter().find(|a| self.takes_upload(a));
        let here = ready.and_then(|a| {
            let data_url = self.workers.get(&a.worker)?.reg.data_url.clone();
            Some(UploadView::Here { data_url, ticket: a.upload_ticket.clone() })
        });
        let detail = || self.task_jobs(task, self.now).iter().map(job_text).collect::<Vec<_>>().join("; ");
        Some(here.unwrap_or_else(|| UploadView::NotYet { detail: detail() }))
    }

    /// Its worker knows the ticket: it has listed the attempt, or has had it for a while.
    fn takes_upload(&self, attempt: &Attempt) -> bool {
        let Some(live) = self.live.get(&attempt.id).filter(|_| self.is_available(&attempt.worker)) else {
            return false;
        };
        let had = live.sent.as_ref().is_some_and(|(_, at)| self.now.since(*at) >= SENT_MS);
        attempt.state == AttemptState::Granted && (had || self.progress_of(attempt).is_some())
    }

    /// Deadlines with sectors.
    pub fn deadlines(&self) -> BTreeMap<DeadlineIndex, Vec<Vec<u64>>> {
        deadlines_of(self.sectors.values())
    }

    /// Root, length and holders of the unsealed copy that counts. None: there is none, or nobody has it.
    pub fn unsealed(&self, number: u64) -> Option<([u8; 32], u64, Sources)> {
        let file = self.sectors.get(&number)?.file(FileKind::Unsealed)?;
        let sources = self.sources(number, file, None);
        (!sources.is_empty()).then_some((file.root, file.size_bytes, sources))
    }

    // === the index's facts ===

    /// Every store.
    pub fn stores(&self) -> impl Iterator<Item = &StoreFact> {
        self.facts.stores()
    }

    /// Every replica of a sector.
    pub fn replicas_of(&self, number: u64) -> Vec<ReplicaInfo> {
        let info = |(id, replica): (&ReplicaId, &Replica)| {
            let Replica { size_bytes, primary, origin, soundness } = *replica;
            ReplicaInfo { id: id.clone(), size_bytes, primary, origin, soundness }
        };
        self.facts.replicas(number).map(info).collect()
    }

    /// Sectors of which a file that counts lies on this store and, as far as is known, nowhere else.
    pub fn sectors_only_on(&self, store: &StoreId) -> Vec<u64> {
        let only_there = |number: &u64| {
            let files = self.sectors.get(number).into_iter().flat_map(|sector| &sector.files);
            let mut places = files.map(|file| self.facts.replicas_of(*number, file).map(|(id, _)| &id.store));
            places.any(|stores| stores.fold(None, |only, s| Some(only.unwrap_or(true) && s == store)) == Some(true))
        };
        self.facts.sectors_on(store).filter(only_there).collect()
    }

    /// How many replicas of each kind lie on each store, those of sectors unknown here included.
    pub fn replica_counts(&self) -> BTreeMap<(StoreId, FileKind), u64> {
        let mut counts = BTreeMap::new();
        self.facts.all_replicas().for_each(|id| *counts.entry((id.store.clone(), id.kind)).or_default() += 1);
        counts
    }

    /// What an attempt that goes on does, and where: kind, worker, and the worker's name.
    pub fn doer(&self, id: AttemptId) -> Option<(TaskKind, WorkerId, String)> {
        let (task, attempt) = (self.tasks.get(&id.task)?, self.attempt(id)?);
        Some((task.kind, attempt.worker.clone(), self.worker_name(&attempt.worker)))
    }

    /// The index is there and its facts are complete.
    pub fn index_connected(&self) -> bool {
        self.facts.connected
    }

    /// The chain's head.
    pub fn epoch(&self) -> ChainEpoch {
        self.epoch
    }

    /// Names of sectors whose state is `state`; for counts.
    pub fn numbers_in(&self, state: SectorState) -> BTreeSet<u64> {
        self.sectors.values().filter(|s| s.state == state).map(|s| s.number).collect()
    }
}

/// Deadlines of these sectors, which rise: the numbers of each partition, rising. A partition may have become empty.
pub fn deadlines_of<'a>(sectors: impl Iterator<Item = &'a Sector>) -> BTreeMap<DeadlineIndex, Vec<Vec<u64>>> {
    let mut deadlines: BTreeMap<DeadlineIndex, Vec<Vec<u64>>> = BTreeMap::new();
    for sector in sectors.filter(|s| s.is_proven()) {
        let Some((deadline, partition)) = sector.location else { continue };
        let partitions = deadlines.entry(deadline).or_default();
        let at = partition.0 as usize;
        if partitions.len() <= at {
            partitions.resize(at + 1, Vec::new());
        }
        partitions[at].push(sector.number);
    }
    deadlines
}

/// Lotus's name of a task in a window, 1 for the first.
fn assigned(window: usize) -> &'static str {
    const NAMES: [&str; 4] = ["assigned(1)", "assigned(2)", "assigned(3)", "assigned(4)"];
    NAMES.get(window.saturating_sub(1)).copied().unwrap_or("assigned(5+)")
}

fn phase_name(progress: Option<&Progress>) -> &'static str {
    match progress.map(|p| p.phase) {
        None | Some(Phase::Waiting) => "waiting",
        Some(Phase::Preparing) => "preparing",
        Some(Phase::Prepared) => "prepared",
        Some(Phase::Running) => "running",
        Some(Phase::Publishing) => "publishing",
        Some(Phase::Returning) => "returning",
    }
}

fn queued_view(task: &Task, now: UnixMs) -> JobView {
    JobView {
        task_id: task.id,
        attempt: None,
        task: task.kind,
        sector: task.sector,
        worker: None,
        host_name: String::new(),
        state: QUEUED,
        age_ms: now.since(task.queued),
        fraction: 0.0,
        detail: String::new(),
        gpus: Vec::new(),
        reasons: Vec::new(),
        failures: task.failures,
        last_error: task.last_error.clone(),
    }
}

/// `PC1 running on w1, 37 %` or `PC2 queued (w1: does not take PC2)`.
fn job_text(job: &JobView) -> String {
    let mut text = format!("{} {}", job.task, job.state);
    if !job.host_name.is_empty() {
        text.push_str(&format!(" on {}", job.host_name));
    }
    if job.fraction > 0.0 {
        text.push_str(&format!(", {:.0} %", job.fraction * 100.0));
    }
    if !job.detail.is_empty() {
        text.push_str(&format!(": {}", job.detail));
    }
    if !job.reasons.is_empty() {
        text.push_str(&format!(" ({})", job.reasons.join("; ")));
    }
    text
}
