//! One attempt: its state in memory, and the way from assignment to result.

mod download;
mod drive;
mod fetch;
mod give_up;
mod prepare;
mod request;
mod snap;
mod trim;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sp_proto::v1;
use sp_sectors::Manifest;
use sp_types::{AttemptId, FileKind, GpuShare, StoreId};
use tokio_util::sync::CancellationToken;

use crate::assignment::Assignment;
use crate::failure::Failure;
use crate::node::Node;
use crate::upload::Upload;
pub(crate) use drive::{Spent, drive};
pub(crate) use fetch::Speeds;
pub(crate) use prepare::upload_path;
pub(crate) use request::text;

/// Brings the inputs of an assignment, as [`drive`] does first, and stops there.
pub(crate) async fn bring_inputs(node: &Node, assign: v1::Assign) -> Result<Vec<PathBuf>, Failure> {
    let attempt = Attempt::new(Assignment::from_wire(assign)?, None);
    Ok(prepare::prepare(node, &attempt).await?.inputs().cloned().collect())
}

/// An attempt that this worker holds.
pub(crate) struct Attempt {
    pub(crate) assignment: Assignment,
    /// Stops whatever it is doing.
    pub(crate) cancel: CancellationToken,
    /// Set once somebody drives it; an attempt of the last run waits for the scheduler's word.
    started: AtomicBool,
    /// Nobody wants its result: no result is written, everything of it is removed.
    dropped: AtomicBool,
    /// Cancelled once it may compute.
    released: CancellationToken,
    /// GPUs that it computes on.
    gpus: Mutex<Vec<GpuShare>>,
    progress: Mutex<Progress>,
    /// Of files that it brought only to publish them: their manifests, while nothing has happened since each byte was
    /// compared with them. A restart forgets them, and then the files are read again.
    brought: Mutex<BTreeMap<FileKind, Manifest>>,
    /// The upload that it waits for.
    pub(crate) upload: Option<Arc<Upload>>,
    /// Stores of this worker that it works on: its outputs', those of inputs that are read where they lie, and what it
    /// fetches from.
    on: Mutex<BTreeSet<String>>,
}

struct Progress {
    phase: v1::AttemptPhase,
    detail: String,
    fraction: f64,
}

impl Attempt {
    pub(crate) fn new(assignment: Assignment, upload: Option<Arc<Upload>>) -> Self {
        let detail = "waits for the scheduler's word".to_owned();
        let released = CancellationToken::new();
        if !assignment.hold {
            released.cancel();
        }
        let outputs = assignment.outputs.iter().map(|output| output.store.to_string());
        Self {
            on: Mutex::new(outputs.collect()),
            gpus: Mutex::new(assignment.gpus.clone()),
            assignment,
            cancel: CancellationToken::new(),
            started: AtomicBool::new(false),
            dropped: AtomicBool::new(false),
            released,
            progress: Mutex::new(Progress { phase: v1::AttemptPhase::Waiting, detail, fraction: 0.0 }),
            brought: Mutex::default(),
            upload,
        }
    }

    /// The manifest of what was brought, if it is as it came.
    fn brought(&self) -> MutexGuard<'_, BTreeMap<FileKind, Manifest>> {
        self.brought.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn id(&self) -> AttemptId {
        self.assignment.attempt
    }

    fn works_on(&self, store: &StoreId) {
        self.on.lock().unwrap_or_else(PoisonError::into_inner).insert(store.to_string());
    }

    /// Stores of this worker without which it cannot go on.
    fn stores(&self) -> Vec<String> {
        self.on.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// Is something of what it makes to lie in the store?
    pub(crate) fn writes_to(&self, store: Option<String>) -> bool {
        let written = |output: &crate::assignment::Output| Some(output.store.as_str()) == store.as_deref();
        self.assignment.outputs.iter().any(written)
    }

    /// True for the first caller only.
    pub(crate) fn start(&self) -> bool {
        !self.started.swap(true, Ordering::SeqCst)
    }

    /// It may compute, on these GPUs; said again, it changes nothing.
    pub(crate) fn release(&self, gpus: Vec<GpuShare>) {
        if self.is_held() {
            *self.gpus.lock().unwrap_or_else(PoisonError::into_inner) = gpus;
            self.released.cancel();
        }
    }

    /// GPUs that it computes on.
    pub(crate) fn gpus(&self) -> Vec<GpuShare> {
        self.gpus.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until it may compute.
    pub(crate) async fn released(&self) {
        self.released.cancelled().await;
    }

    pub(crate) fn is_held(&self) -> bool {
        !self.released.is_cancelled()
    }

    /// Stops it and forgets its result.
    pub(crate) fn drop_it(&self) {
        self.dropped.store(true, Ordering::SeqCst);
        self.cancel.cancel();
    }

    pub(crate) fn is_dropped(&self) -> bool {
        self.dropped.load(Ordering::SeqCst)
    }

    pub(crate) fn set_phase(&self, phase: v1::AttemptPhase, detail: impl Into<String>) {
        let mut progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        *progress = Progress { phase, detail: detail.into(), fraction: 0.0 };
    }

    pub(crate) fn set_fraction(&self, fraction: f64) {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner).fraction = fraction;
    }

    pub(crate) fn progress(&self) -> v1::AttemptProgress {
        let progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        v1::AttemptProgress {
            attempt: Some(self.id().into()),
            phase: progress.phase as i32,
            fraction: progress.fraction,
            detail: progress.detail.clone(),
        }
    }

    /// Waits for a future unless the attempt is stopped first.
    pub(crate) async fn unless_stopped<T>(
        &self,
        future: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => Err(Failure::cancelled()),
            result = future => result,
        }
    }
}
