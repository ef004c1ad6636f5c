//! The fake executor: takes simulated time, may die half-way, may return a wrong proof and say that it verified it.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sp_env::BoxFuture;
use sp_net::Env;
use sp_proto::v1::exec_response::Outcome;
use sp_proto::v1::{ExecRequest, Failure, ProofOutput};
use sp_sectors::Disk;
use sp_types::ErrorCode;
use sp_worker::executor::{ExecError, Executor, Job};
use tokio::sync::oneshot;

use super::seal::Made;
use super::stages::Plan;
use crate::process::DATA_DIR;
use crate::rng::Rng;

/// While set, executors die and lie now and then.
pub type Mishaps = Arc<AtomicBool>;

/// One start of an executor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// Short name of the stage.
    pub stage: &'static str,
    /// Number of the sector.
    pub sector: u64,
    /// On whose behalf, as text.
    pub attempt: String,
    /// The worker held a durable record of this attempt's answer already: it should not have asked again.
    pub recorded_before: bool,
    /// How it ended; none if its process was killed first.
    pub ended: Option<End>,
}

/// How a start ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// With the right answer.
    Answered,
    /// With a wrong answer, on purpose.
    Lied,
    /// Without an answer: it died, was cancelled, took too long, or said why it cannot.
    Failed,
}

/// Every start of a run, in order.
#[derive(Clone, Default)]
pub struct Started(Arc<Mutex<Vec<Start>>>);

/// Parts of a hundred.
const DIES_PERCENT: u64 = 6;
const LIES_PERCENT: u64 = 25;

/// The executor of one run of a worker.
#[derive(Clone)]
pub struct FakeExecutor {
    /// The machine.
    pub env: Env,
    /// Its files.
    pub disk: Arc<dyn Disk>,
    /// Whom it tells of replicas.
    pub made: Made,
    /// Whether it misbehaves.
    pub mishaps: Mishaps,
    /// Where it tells what it starts.
    pub started: Started,
}

impl Started {
    /// Everything so far.
    pub fn list(&self) -> Vec<Start> {
        self.lock().clone()
    }

    /// Gives its place in the list.
    fn begin(&self, start: Start) -> usize {
        let mut list = self.lock();
        list.push(start);
        list.len() - 1
    }

    fn end(&self, at: usize, how: End) {
        self.lock()[at].ended = Some(how);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Start>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Executor for FakeExecutor {
    fn run(&self, job: Job) -> BoxFuture<Result<Outcome, ExecError>> {
        let (this, (done, answer)) = (self.clone(), oneshot::channel());
        // A task of its own: a caller that goes away does not stop it.
        let running = async move {
            let result = this.carry_out(job).await;
            // Nobody waits any more.
            let _ = done.send(result);
        };
        drop(self.env.tasks.spawn("fake executor", Box::pin(running)));
        Box::pin(async move { answer.await.unwrap_or_else(|_| Err(ExecError::Crashed("its task ended".into()))) })
    }
}

impl FakeExecutor {
    async fn carry_out(&self, job: Job) -> Result<Outcome, ExecError> {
        let (stage, usual_ms) = Plan::stage_of(&job.request);
        let attempt = job.request.attempt.map(|a| format!("{}.{}", a.task, a.number)).unwrap_or_default();
        let (sector, recorded_before) = (job.request.sector, self.is_recorded(&attempt));
        let at = self.started.begin(Start { stage, sector, attempt, recorded_before, ended: None });
        let mut rng = self.chance();
        let takes = Duration::from_millis(rng.range(usual_ms / 2, usual_ms * 2));
        let mishaps = self.mishaps.load(Ordering::SeqCst);
        let (dies, lies) = (mishaps && rng.percent(DIES_PERCENT), mishaps && rng.percent(LIES_PERCENT));
        let work = self.work(job.request, takes, dies);
        let outcome = tokio::select! {
            biased;
            () = job.cancel.cancelled() => Err(ExecError::Cancelled),
            outcome = self.env.timeout(job.limit, work) => outcome.unwrap_or(Err(ExecError::TimedOut(job.limit))),
        };
        let outcome = match outcome {
            Ok(Outcome::Proof(proof)) if lies => (End::Lied, Ok(spoil(proof))),
            Ok(outcome) => (End::Answered, Ok(outcome)),
            Err(error) => (End::Failed, Err(error)),
        };
        self.started.end(at, outcome.0);
        outcome.1
    }

    /// Does the worker hold the executor's answer to this attempt on its disk?
    fn is_recorded(&self, attempt: &str) -> bool {
        self.disk.metadata(&Path::new(DATA_DIR).join("attempts").join(attempt).join("finished")).is_ok()
    }

    async fn work(&self, request: ExecRequest, takes: Duration, dies: bool) -> Result<Outcome, ExecError> {
        let (name, _) = Plan::stage_of(&request);
        let failed = |e: io::Error| refused(name, &e);
        let disk = self.disk.clone();
        let plan = Arc::new(self.env.blocking(move || Plan::read(&*disk, &request)).await.map_err(failed)?);
        self.env.clock.sleep(takes / 2).await;
        let (disk, begun) = (self.disk.clone(), plan.clone());
        self.env.blocking(move || begun.begin(&*disk)).await.map_err(failed)?;
        if dies {
            return Err(ExecError::Crashed("on purpose".into()));
        }
        self.env.clock.sleep(takes / 2).await;
        let (disk, made) = (self.disk.clone(), self.made.clone());
        let finish = move || {
            let outcome = plan.finish(&*disk)?;
            plan.sealed.iter().for_each(|seal| made.note(seal.clone()));
            Ok(outcome)
        };
        self.env.blocking(finish).await.map_err(failed)
    }

    fn chance(&self) -> Rng {
        let mut seed = [0; 8];
        self.env.entropy.fill(&mut seed);
        Rng::new(u64::from_le_bytes(seed), "executor", 0)
    }
}

fn refused(stage: &str, error: &io::Error) -> ExecError {
    let code = match error.kind() {
        io::ErrorKind::NotFound => ErrorCode::FileMissing,
        _ => ErrorCode::ExecutorFailed,
    };
    ExecError::Refused(Failure { code: code.as_str().to_owned(), message: format!("{stage}: {error}") })
}

/// A well-formed wrong proof whose maker claims that he verified it.
fn spoil(mut output: ProofOutput) -> Outcome {
    output.proof[0] ^= 0x20;
    Outcome::Proof(ProofOutput { self_verified: true, ..output })
}
