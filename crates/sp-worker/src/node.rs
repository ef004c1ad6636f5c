//! What the parts of a worker share: its stores, its attempts, its links to scheduler and index.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use sp_env::{CrashPoint, crash_point, crash_requested};
use sp_net::Env;
use sp_net::refusals::Refusals;
use sp_proto::v1::{self, TaskResult};
use sp_sectors::{Disk, Store};
use sp_types::{AttemptId, ErrorCode, FileKind, GpuShare, ReplicaId, ReplicaInfo, TaskKind};
use tokio::sync::{Notify, Semaphore, watch};
use tokio_util::sync::CancellationToken;

use crate::assignment::Assignment;
use crate::attempt::{Attempt, Speeds, drive, upload_path};
use crate::executor::Executor;
use crate::failure::Failure;
use crate::fences::Fences;
use crate::index::IndexLink;
use crate::ledger::{Ledger, LedgerError};
use crate::leftovers::Leftovers;
use crate::options::Options;
use crate::outbox::Outbox;
use crate::pace::{Bounds, Pace};
use crate::scrub::Scrubs;
use crate::stores::{ANSWER_WITHIN, Stores};
use crate::upload::{Upload, Uploads};

/// A message that is handed to the session is on the wire after this long.
const LEAVES_WITHIN: Duration = Duration::from_millis(50);

/// Reads of the data plane at once for bulk streams: enough for a disk that is fast, few enough for one that is not.
const SENDING_READS: usize = 8;

/// What has become of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Its result was accepted, or had no files.
    Counts,
    /// What it made does not count, but for these files.
    Void(Vec<FileKind>),
    /// It has ended, and nobody has said how: it may have been accepted and told so to a run of before.
    Open(TaskKind),
}

/// What came of removing an attempt.
enum Removed {
    /// It is gone; these are back.
    Gone(Vec<ReplicaInfo>),
    /// These stand in the place of others: first the scheduler says whether they count.
    Asks(Vec<ReplicaInfo>),
}

/// Shared by every task of a worker.
pub(crate) struct Node {
    pub(crate) env: Env,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) executor: Arc<dyn Executor>,
    pub(crate) options: Options,
    pub(crate) worker_id: String,
    pub(crate) session_id: String,
    pub(crate) stores: Arc<Stores>,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) fences: Fences,
    pub(crate) uploads: Uploads,
    pub(crate) index: IndexLink,
    pub(crate) outbox: Outbox,
    pub(crate) fetch_slots: Semaphore,
    /// Paces what fetches take.
    pub(crate) fetching: Pace,
    /// Paces what the data plane sends.
    pub(crate) sending: Pace,
    /// How fast other data planes have been.
    pub(crate) speeds: Speeds,
    /// Attempts without a result.
    attempts: Mutex<BTreeMap<AttemptId, Arc<Attempt>>>,
    /// Results that nobody has acknowledged.
    results: Mutex<BTreeMap<AttemptId, TaskResult>>,
    pub(crate) leftovers: Leftovers,
    pub(crate) scrubs: Scrubs,
    /// What peers and paths brought that was not to be believed.
    pub(crate) refusals: Refusals,
    data_url: OnceLock<String>,
    /// Set while registered: how often leases are renewed, ms.
    pub(crate) heartbeat: watch::Sender<Option<u64>>,
    /// Wakes the session so that it connects again.
    pub(crate) reconnect: Notify,
    /// Why the worker cannot go on at all.
    pub(crate) fatal: watch::Sender<Option<String>>,
    /// An operator wants it to leave for good.
    pub(crate) stopping: CancellationToken,
}

/// The parts of a node that its maker brings.
pub(crate) struct Parts {
    pub(crate) env: Env,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) executor: Arc<dyn Executor>,
    pub(crate) options: Options,
    pub(crate) worker_id: String,
    pub(crate) stores: Arc<Stores>,
    pub(crate) ledger: Ledger,
}

impl Node {
    /// Takes up what the last run left. Blocks.
    pub(crate) fn new(parts: Parts) -> Result<Self, LedgerError> {
        let Parts { env, disk, executor, options, worker_id, stores, ledger } = parts;
        let results = ledger.results()?;
        let held = ledger.attempts()?;
        let session_id = env.uuid();
        let scrubs = Scrubs::read(&*disk, &options.data_dir);
        let refusals = Refusals::new(&env);
        let fetch_slots = Semaphore::new(options.parallel_fetch_limit.max(1));
        let pace = |bytes_per_s, bulk_at_once| Pace::new(&env, Bounds { bytes_per_s, bulk_at_once });
        let fetching = pace(options.transfers.fetch_bytes_per_s, usize::MAX);
        let sending = pace(options.transfers.send_bytes_per_s, SENDING_READS);
        let node = Self {
            env,
            disk,
            executor,
            options,
            worker_id,
            session_id,
            stores,
            ledger: Arc::new(ledger),
            fences: Fences::default(),
            uploads: Uploads::default(),
            index: IndexLink::default(),
            outbox: Outbox::default(),
            fetch_slots,
            fetching,
            sending,
            speeds: Speeds::default(),
            attempts: Mutex::default(),
            results: Mutex::new(results),
            leftovers: Leftovers::default(),
            scrubs,
            refusals,
            data_url: OnceLock::new(),
            heartbeat: watch::Sender::new(None),
            reconnect: Notify::new(),
            fatal: watch::Sender::new(None),
            stopping: CancellationToken::new(),
        };
        for assign in held {
            match node.admit(assign) {
                Ok(attempt) => tracing::info!(attempt = %attempt.id(), "held since the last run"),
                Err(failure) => {
                    tracing::error!(reason = %failure, "a recorded attempt makes no sense; it is left alone")
                }
            }
        }
        Ok(node)
    }

    /// Base URL of the data plane.
    pub(crate) fn data_url(&self) -> &String {
        static NONE: String = String::new();
        self.data_url.get().unwrap_or(&NONE)
    }

    pub(crate) fn set_data_url(&self, url: String) {
        // Set once, before anything is served.
        let _ = self.data_url.set(url);
    }

    pub(crate) fn attempts(&self) -> Vec<Arc<Attempt>> {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Attempts whose work directories are still needed.
    pub(crate) fn kept(&self) -> BTreeSet<AttemptId> {
        let held = self.attempts().into_iter().map(|attempt| attempt.id());
        held.chain(self.results().into_keys()).chain(self.leftovers.list()).collect()
    }

    pub(crate) fn results(&self) -> BTreeMap<AttemptId, TaskResult> {
        self.results.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How far everything is that the scheduler may still hear of: a result that waits holds its lease too.
    pub(crate) fn progress(&self) -> Vec<v1::AttemptProgress> {
        let returning = |id: &AttemptId| v1::AttemptProgress {
            attempt: Some((*id).into()),
            phase: v1::AttemptPhase::Returning as i32,
            fraction: 1.0,
            detail: "waits for the acknowledgement of its result".to_owned(),
        };
        let results = self.results.lock().unwrap_or_else(PoisonError::into_inner);
        let results: Vec<_> = results.keys().map(returning).collect();
        self.attempts().iter().map(|attempt| attempt.progress()).chain(results).collect()
    }

    pub(crate) fn attempt(&self, id: AttemptId) -> Option<Arc<Attempt>> {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }

    /// Takes a task. One that it has already, or has finished, is not run again.
    pub(crate) async fn assign(self: &Arc<Self>, assign: v1::Assign) {
        let Some(id) = assign.attempt.map(AttemptId::from) else {
            tracing::error!("the scheduler sent an assignment without an attempt; ignored");
            return;
        };
        crash_point(CrashPoint::WorkerAssigned);
        let result = self.results.lock().unwrap_or_else(PoisonError::into_inner).get(&id).cloned();
        if let Some(result) = result {
            self.outbox.send_result(result).await;
            return;
        }
        if self.attempt(id).is_some() {
            return;
        }
        let (ledger, record) = (self.ledger.clone(), assign.clone());
        let saved = self.env.blocking(move || ledger.save_assign(id, &record)).await;
        crash_point(CrashPoint::WorkerAssignSaved);
        let admitted = saved.map_err(Failure::from).and_then(|()| self.admit(assign.clone()));
        match admitted {
            Ok(attempt) => self.start(attempt),
            Err(failure) => self.refuse(id, assign.task, failure).await,
        }
    }

    /// An assignment that cannot even be begun.
    async fn refuse(&self, id: AttemptId, task: i32, failure: Failure) {
        tracing::warn!(attempt = %id, reason = %failure, "an assignment is refused");
        let outcome = Some(v1::task_result::Outcome::Failed(failure.to_wire()));
        let result = TaskResult { attempt: Some(id.into()), task, outcome, ..TaskResult::default() };
        self.hand_over(id, result).await;
    }

    fn admit(&self, assign: v1::Assign) -> Result<Arc<Attempt>, Failure> {
        let assignment = Assignment::from_wire(assign)?;
        let id = assignment.attempt;
        let upload = match assignment.upload()? {
            None => None,
            Some((ticket, total_bytes, digest)) => {
                let output = assignment.outputs.first().and_then(|output| self.stores.opened(&output.store));
                let store = output.ok_or_else(|| {
                    Failure::new(ErrorCode::NotFound, "the store of the output is not attached to this worker")
                })?;
                let path = upload_path(&store, id);
                let upload = Arc::new(Upload::new(id, self.disk.clone(), path, total_bytes, digest));
                self.uploads.expect(&ticket, upload.clone());
                Some(upload)
            }
        };
        let attempt = Arc::new(Attempt::new(assignment, upload));
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner).insert(id, attempt.clone());
        Ok(attempt)
    }

    /// Drives an attempt unless somebody does already.
    fn start(self: &Arc<Self>, attempt: Arc<Attempt>) {
        if !attempt.start() {
            return;
        }
        let (node, upload) = (self.clone(), attempt.upload.clone());
        let driving = async move {
            if let Some(upload) = upload {
                // What arrived before a restart may be all of it.
                let settled = node.env.blocking(move || upload.settle()).await;
                if let Err(failure) = settled {
                    tracing::warn!(attempt = %attempt.id(), reason = %failure, "the upload starts over");
                }
            }
            drive(node, attempt).await;
        };
        self.env.tasks.spawn("attempt", Box::pin(driving));
    }

    /// A held attempt may compute. Said again after a restart, so it is not written down.
    pub(crate) fn release(&self, id: AttemptId, gpus: Vec<GpuShare>) {
        if let Some(attempt) = self.attempt(id) {
            attempt.release(gpus);
        }
    }

    /// The scheduler has said which of these attempts go on; the others are removed.
    pub(crate) async fn keep_only(self: &Arc<Self>, presented: &[AttemptId], keep: &BTreeSet<AttemptId>) {
        for id in presented {
            let Some(attempt) = self.attempt(*id) else { continue };
            match keep.contains(id) {
                true => self.start(attempt),
                false => self.cancel(*id, "the scheduler does not know it any more").await,
            }
        }
    }

    /// Ends an attempt: nobody wants its result. One that has a result presents it again: it may have been accepted, and its
    /// acknowledgement says what of it counts.
    pub(crate) async fn cancel(&self, id: AttemptId, reason: &str) {
        let Some(attempt) = self.attempt(id) else {
            let waiting = self.results.lock().unwrap_or_else(PoisonError::into_inner).get(&id).cloned();
            if let Some(result) = waiting {
                self.outbox.send_result(result).await;
            }
            return;
        };
        tracing::info!(attempt = %id, reason, "cancelled");
        attempt.drop_it();
        // Nobody drives it yet: nobody else will forget it.
        if attempt.start() {
            self.forget(id, Fate::Open(attempt.assignment.task)).await;
        }
    }

    /// The index says that attempts have ended.
    pub(crate) async fn fence(&self, fence: v1::Fence) {
        let task = sp_types::TaskId(fence.task);
        self.fences.raise(task, fence.up_to_number);
        for attempt in self.attempts() {
            if self.fences.is_ended(attempt.id()) {
                self.cancel(attempt.id(), "it has ended").await;
            }
        }
    }

    /// A result that is durable is sent, and kept until it is acknowledged.
    pub(crate) async fn hand_over(&self, id: AttemptId, result: TaskResult) {
        self.forget_upload(id);
        self.results.lock().unwrap_or_else(PoisonError::into_inner).insert(id, result.clone());
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        self.outbox.send_result(result).await;
        if crash_requested(CrashPoint::WorkerResultSent) {
            // Only in tests that ask for it. So far the message waits in this process: it would never leave.
            self.env.clock.sleep(LEAVES_WITHIN).await;
            tracing::error!("crash point {}", CrashPoint::WorkerResultSent.name());
            std::process::abort();
        }
    }

    /// Removes all that is known of an attempt. What it has published stays if it counts; else what that replaced comes
    /// back.
    pub(crate) async fn forget(&self, id: AttemptId, fate: Fate) {
        self.forget_upload(id);
        if self.remove(id, fate).await {
            self.results.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
            self.attempts.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        }
    }

    /// Removes its files and records, once what they have replaced is back if it has to be; what the disk refuses now,
    /// later. The records go last: with them the attempt is dealt with anew after a crash. False: the scheduler is asked
    /// first what of it counts.
    pub(crate) async fn remove(&self, id: AttemptId, fate: Fate) -> bool {
        let (stores, ledger, wanted) = (self.stores.clone(), self.ledger.clone(), fate.clone());
        let removed = move || {
            let assigned = ledger.assigned(id).map_err(|e| e.to_string())?.unwrap_or_default();
            let written: Vec<String> = assigned.outputs.into_iter().map(|output| output.store).collect();
            if let Some(reason) = stores.away(&written).filter(|_| wanted != Fate::Counts) {
                return Err(reason);
            }
            let restored = match &wanted {
                Fate::Void(counting) => stores.restore(id, counting).map_err(|e| e.to_string())?,
                Fate::Counts => vec![],
                Fate::Open(_) => match stores.stands_in_place(id).map_err(|e| e.to_string())? {
                    standing if standing.is_empty() => standing,
                    standing => return Ok(Removed::Asks(standing)),
                },
            };
            let work = stores.discard(id);
            crash_point(CrashPoint::WorkerMidForget);
            let records = ledger.forget(id);
            work.map_err(|e| e.to_string()).and(records.map_err(|e| e.to_string())).map(|()| Removed::Gone(restored))
        };
        let silent = |_| {
            if matches!(fate, Fate::Void(_)) {
                // Who is left behind may still bring something back, and tells nobody.
                self.stores.mark_all_stale();
            }
            Err(format!("its paths have not answered within {} s", ANSWER_WITHIN.as_secs()))
        };
        let removed = self.env.timeout(ANSWER_WITHIN, self.env.blocking(removed)).await.unwrap_or_else(silent);
        match (removed, fate) {
            (Ok(Removed::Gone(restored)), _) if restored.is_empty() => {}
            (Ok(Removed::Gone(restored)), _) => {
                tracing::info!(attempt = %id, replicas = restored.len(), "what it had replaced is back");
                self.index.declare_found(restored).await;
            }
            (Ok(Removed::Asks(standing)), Fate::Open(task)) => {
                self.ask_what_counts(id, task, standing).await;
                return false;
            }
            (Ok(Removed::Asks(_)), _) => {}
            (Err(reason), fate) => {
                tracing::warn!(attempt = %id, reason, "something of an attempt that is over cannot be removed yet");
                self.leftovers.add(id, fate);
            }
        }
        true
    }

    /// Presents the files as a result: the acknowledgement says which of them count.
    async fn ask_what_counts(&self, id: AttemptId, task: TaskKind, standing: Vec<ReplicaInfo>) {
        let replicas = standing.into_iter().map(v1::Replica::from).collect();
        let output = Some(v1::task_done::Output::None(v1::NoOutput {}));
        let outcome = Some(v1::task_result::Outcome::Done(v1::TaskDone { replicas, output }));
        let task = v1::TaskKind::from(task) as i32;
        let result = TaskResult { attempt: Some(id.into()), task, outcome, ..TaskResult::default() };
        // Not written down: should this run end before the answer, the next one asks again, for the attempt's own record
        // is still there.
        self.hand_over(id, result).await;
    }

    /// A file that came with a path has been read whole: from now on it has a root, and the index hears of it.
    pub(crate) async fn tell_read(&self, store: &Store, id: &ReplicaId) {
        if id.root != [0; 32] {
            return;
        }
        let (store, sector, kind) = (store.clone(), id.sector, id.kind);
        let found = self.env.blocking(move || store.find(sector, kind)).await;
        if let Ok(Some(info)) = found
            && info.id.root != [0; 32]
        {
            self.index.declare_found(vec![info]).await;
        }
    }

    fn forget_upload(&self, id: AttemptId) {
        if let Some(attempt) = self.attempt(id)
            && let Ok(Some((ticket, ..))) = attempt.assignment.upload()
        {
            self.uploads.forget(&ticket);
        }
    }

    /// The worker cannot go on: the one who runs it learns why.
    pub(crate) fn give_up(&self, reason: String) {
        self.fatal.send_if_modified(|fatal| {
            let first = fatal.is_none();
            fatal.get_or_insert(reason);
            first
        });
    }
}
