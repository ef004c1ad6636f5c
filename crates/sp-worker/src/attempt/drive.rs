//! Drives an attempt from assignment to result. Every step leaves a durable mark, so that a crash goes on from there.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use sp_env::{CrashPoint, crash_point};
use sp_net::retry::Backoff;
use sp_proto::v1::assign::Params;
use sp_proto::v1::task_done::Output;
use sp_proto::v1::task_result::Outcome;
use sp_proto::v1::{self, AttemptPhase, TaskDone, TaskResult};
use sp_sectors::{Output as Made, Store};
use sp_types::{ErrorCode, FileKind, ReplicaInfo, Soundness, StoreId, TaskClass, TaskKind};

use super::{Attempt, download, give_up, prepare, request, trim};
use crate::executor::{Answer, Job};
use crate::failure::Failure;
use crate::ledger::LedgerError;
use crate::node::{Fate, Node};
use crate::{post, scrub};

/// What an attempt took.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Spent {
    /// Bringing inputs; of PoSt, reading.
    pub(crate) fetch_ms: u64,
    /// Computing.
    pub(crate) compute_ms: u64,
    /// Most memory of the executor meanwhile; 0: not measured.
    pub(crate) peak_memory_bytes: u64,
}

/// Runs the attempt to its end, whatever that is, and hands over its result.
pub(crate) async fn drive(node: Arc<Node>, attempt: Arc<Attempt>) {
    let id = attempt.id();
    tracing::info!(attempt = %id, task = %attempt.assignment.task, sector = %attempt.assignment.sector, "started");
    let outcome = within_limit(&node, &attempt).await;
    if attempt.is_dropped() {
        tracing::info!(attempt = %id, "dropped");
        node.forget(id, Fate::Open(attempt.assignment.task)).await;
        return;
    }
    let result = match outcome {
        Ok(result) => result,
        Err(failure) => {
            tracing::warn!(attempt = %id, task = %attempt.assignment.task, reason = %failure, "failed");
            TaskResult {
                attempt: Some(id.into()),
                task: v1::TaskKind::from(attempt.assignment.task) as i32,
                outcome: Some(Outcome::Failed(failure.to_wire())),
                ..TaskResult::default()
            }
        }
    };
    attempt.set_phase(AttemptPhase::Returning, "waits for the acknowledgement of its result");
    save_result(&node, &attempt, &result).await;
    crash_point(CrashPoint::WorkerResultSaved);
    node.hand_over(id, result).await;
}

/// Stops the attempt at its time limit, and waits until it has stopped.
async fn within_limit(node: &Node, attempt: &Attempt) -> Result<TaskResult, Failure> {
    let limit = attempt.assignment.time_limit;
    let mut steps = pin!(steps(node, attempt));
    tokio::select! {
        result = &mut steps => return result,
        // Waiting for room is not the attempt's fault.
        () = async {
            attempt.released().await;
            node.env.clock.sleep(limit).await;
        } => {}
    }
    attempt.cancel.cancel();
    // What it waits for ends with the token, the executor is killed; only a call on a path that hangs does not end.
    match node.env.timeout(give_up::STOP_WITHIN, steps).await {
        Ok(Ok(result)) => Ok(result),
        _ => {
            let message = format!("not finished within its limit of {} s", limit.as_secs());
            Err(Failure::new(ErrorCode::TimedOut, message))
        }
    }
}

async fn steps(node: &Node, attempt: &Attempt) -> Result<TaskResult, Failure> {
    let (id, ledger) = (attempt.id(), node.ledger.clone());
    let finished = match node.env.blocking(move || ledger.finished(id)).await? {
        Some(finished) => {
            tracing::info!(attempt = %id, "its executor had finished; going on from there");
            finished
        }
        None => {
            let finished = compute(node, attempt).await?;
            crash_point(CrashPoint::WorkerAnswered);
            let (ledger, record) = (node.ledger.clone(), finished.clone());
            node.env.blocking(move || ledger.save_finished(id, &record)).await?;
            let (task, sector) = (attempt.assignment.task, attempt.assignment.sector);
            tracing::info!(attempt = %id, %task, %sector, "executor answer recorded");
            finished
        }
    };
    publish(node, attempt, finished).await
}

/// Inputs and executor: what may have to be done again after a crash.
async fn compute(node: &Node, attempt: &Attempt) -> Result<TaskResult, Failure> {
    let assignment = &attempt.assignment;
    let mut spent = Spent::default();
    let output = if assignment.task.class() == TaskClass::Sealing {
        seal(node, attempt, &mut spent).await?
    } else {
        Output::Post(post::prove(node, attempt, &mut spent).await?)
    };
    let done = TaskDone { replicas: vec![], output: Some(output) };
    Ok(TaskResult {
        attempt: Some(assignment.attempt.into()),
        task: v1::TaskKind::from(assignment.task) as i32,
        outcome: Some(Outcome::Done(done)),
        fetch_ms: spent.fetch_ms,
        compute_ms: spent.compute_ms,
        peak_memory_bytes: spent.peak_memory_bytes,
    })
}

async fn seal(node: &Node, attempt: &Attempt, spent: &mut Spent) -> Result<Output, Failure> {
    let assignment = &attempt.assignment;
    if !node.options.tasks.contains(&assignment.task) {
        let message = format!("this worker does not do {}", assignment.task);
        return Err(Failure::new(ErrorCode::BadRequest, message));
    }
    let started = node.env.clock.monotonic();
    let files = give_up::while_it_prepares(node, attempt, prepare::prepare(node, attempt)).await?;
    let ready = node.env.clock.monotonic();
    crash_point(CrashPoint::WorkerFetched);
    if attempt.is_held() {
        attempt.set_phase(AttemptPhase::Prepared, "its inputs are here; waits for room to compute");
        let released = async {
            attempt.released().await;
            Ok(())
        };
        give_up::while_it_prepares(node, attempt, attempt.unless_stopped(released)).await?;
        crash_point(CrashPoint::WorkerReleased);
    }
    let began = node.env.clock.monotonic();
    node.fences.check(assignment.attempt)?;
    if matches!(assignment.params, Params::Fetch(_)) {
        // Every output is the input of its kind, and was brought where outputs are made.
        *spent = Spent { fetch_ms: ready.since_ms(started), ..Spent::default() };
        return Ok(Output::None(v1::NoOutput {}));
    }
    if let Params::Download(params) = &assignment.params {
        let coming = attempt.unless_stopped(download::download(node, attempt, params, &files));
        let output = give_up::while_it_prepares(node, attempt, coming).await?;
        let fetch_ms = node.env.clock.monotonic().since_ms(began);
        *spent = Spent { fetch_ms, ..Spent::default() };
        return Ok(Output::Download(output));
    }
    if let Params::FinalizeUnsealed(params) = &assignment.params {
        attempt.set_phase(AttemptPhase::Running, "copies what is kept");
        give_up::while_it_computes(node, attempt, trim::trim(node, attempt, params)).await?;
        *spent = Spent { compute_ms: node.env.clock.monotonic().since_ms(began), ..Spent::default() };
        return Ok(Output::None(v1::NoOutput {}));
    }
    attempt.set_phase(AttemptPhase::Running, "computes");
    let job = Job {
        role: request::role(assignment.task),
        request: request::request(assignment, &files)?,
        limit: assignment.time_limit,
        cancel: attempt.cancel.clone(),
        gpus: attempt.gpus(),
    };
    let running = async { Ok(node.executor.run(job).await?) };
    let Answer { outcome, peak_memory_bytes, waited: _ } = give_up::while_it_computes(node, attempt, running).await?;
    let (fetch_ms, compute_ms) = (ready.since_ms(started), node.env.clock.monotonic().since_ms(began));
    *spent = Spent { fetch_ms, compute_ms, peak_memory_bytes };
    request::output_of(outcome)
}

/// Publishes and declares what the executor made. May be done again after a crash: the store knows what it has.
async fn publish(node: &Node, attempt: &Attempt, mut finished: TaskResult) -> Result<TaskResult, Failure> {
    let mut published = Vec::new();
    let declared = publish_and_declare(node, attempt, &mut published).await;
    if declared.is_err() {
        // It lies there all the same, and the index has to know it to have it deleted.
        published.iter().for_each(Store::list_anew);
    }
    let replicas = declared?;
    if let Some(Outcome::Done(done)) = &mut finished.outcome {
        done.replicas = replicas;
    }
    Ok(finished)
}

async fn publish_and_declare(
    node: &Node,
    attempt: &Attempt,
    published: &mut Vec<Store>,
) -> Result<Vec<v1::Replica>, Failure> {
    let assignment = &attempt.assignment;
    attempt.set_phase(AttemptPhase::Publishing, "publishes what it made");
    let mut by_store: BTreeMap<StoreId, Vec<FileKind>> = BTreeMap::new();
    // DC makes nothing: its one output is room for what is uploaded.
    let makes_files = assignment.task != TaskKind::DataCid;
    for output in assignment.outputs.iter().filter(|_| makes_files) {
        by_store.entry(output.store.clone()).or_default().push(output.kind);
    }
    let mut replicas: Vec<ReplicaInfo> = Vec::new();
    for (store, kinds) in by_store {
        node.fences.check(assignment.attempt)?;
        let not_attached = || Failure::new(ErrorCode::NotFound, format!("store {store} is not attached any more"));
        // Also when it is put aside: hours of work are not given up before it was tried.
        let opened = node.stores.opened(&store).ok_or_else(not_attached)?;
        let (sector, origin) = (assignment.sector, assignment.origin);
        let brought = attempt.brought().clone();
        let output =
            |kind: FileKind| Made { origin, manifest: brought.get(&kind).cloned(), ..Made::made(sector, kind) };
        let outputs: Vec<_> = kinds.into_iter().map(output).collect();
        replicas.extend(publish_in(node, attempt, &opened, outputs).await?);
        published.push(opened);
    }
    for replica in &mut replicas {
        scrub::forget(node, &replica.id).await;
        replica.soundness = Soundness::Sound;
    }
    let replicas: Vec<v1::Replica> = replicas.into_iter().map(v1::Replica::from).collect();
    if !replicas.is_empty() {
        attempt.set_phase(AttemptPhase::Publishing, "waits for the storage index to take note");
        attempt.unless_stopped(node.index.declare(assignment.attempt, replicas.clone())).await?;
        crash_point(CrashPoint::WorkerDeclared);
    }
    Ok(replicas)
}

/// Publishes in one store; where that does not answer to the end, again once it does: hours of work wait for it.
async fn publish_in(
    node: &Node,
    attempt: &Attempt,
    store: &Store,
    outputs: Vec<Made>,
) -> Result<Vec<ReplicaInfo>, Failure> {
    let (id, outputs) = (attempt.id(), Arc::new(outputs));
    loop {
        let (publishing, outputs) = (store.clone(), outputs.clone());
        match node.env.blocking(move || publishing.publish_outputs(id, &outputs)).await {
            Err(error) if error.is_unanswered() => {
                tracing::warn!(attempt = %id, %error, "cannot publish yet");
                attempt.set_phase(AttemptPhase::Publishing, format!("waits for store {} to answer", store.id()));
                attempt.unless_stopped(give_up::until_back(node, store)).await?;
                attempt.set_phase(AttemptPhase::Publishing, "publishes what it made");
            }
            other => return Ok(other?),
        }
    }
}

/// Makes the result durable. A disk that refuses is given time: an unsaved result would not survive a crash.
async fn save_result(node: &Node, attempt: &Attempt, result: &TaskResult) {
    let id = attempt.id();
    let mut backoff = Backoff::limited(Duration::from_millis(200), Duration::from_secs(10), 60);
    loop {
        let (ledger, record) = (node.ledger.clone(), result.clone());
        match node.env.blocking(move || ledger.save_result(id, &record)).await {
            Ok(()) => return,
            Err(error) => tracing::error!(attempt = %id, %error, "a result cannot be made durable"),
        }
        if !backoff.wait(&node.env).await {
            tracing::error!(attempt = %id, "giving up on the disk; the result is sent without being durable here");
            return;
        }
    }
}

impl From<LedgerError> for Failure {
    fn from(error: LedgerError) -> Self {
        Self::new(ErrorCode::Internal, error.to_string())
    }
}
