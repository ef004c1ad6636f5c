//! The fake executor: takes simulated time, may die half-way, may return a wrong proof and say that it verified it.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
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
use crate::rng::Rng;

/// While set, executors die and lie now and then.
pub type Mishaps = Arc<AtomicBool>;

/// What was started, in order: `PC1 of 2 (5.1)`.
#[derive(Clone, Default)]
pub struct Started(Arc<Mutex<Vec<String>>>);

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
    pub fn list(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, what: String) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(what);
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
        let (name, usual_ms) = Plan::stage_of(&job.request);
        let attempt = job.request.attempt.map(|a| format!("{}.{}", a.task, a.number)).unwrap_or_default();
        self.started.note(format!("{name} of {} ({attempt})", job.request.sector));
        let mut rng = self.chance();
        let takes = Duration::from_millis(rng.range(usual_ms / 2, usual_ms * 2));
        let mishaps = self.mishaps.load(Ordering::SeqCst);
        let (dies, lies) = (mishaps && rng.percent(DIES_PERCENT), mishaps && rng.percent(LIES_PERCENT));
        let work = self.work(job.request, takes, dies);
        let outcome = tokio::select! {
            biased;
            () = job.cancel.cancelled() => return Err(ExecError::Cancelled),
            outcome = self.env.timeout(job.limit, work) => outcome.unwrap_or(Err(ExecError::TimedOut(job.limit)))?,
        };
        Ok(if lies { spoil(outcome) } else { outcome })
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
fn spoil(outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Proof(ProofOutput { mut proof, .. }) => {
            proof[0] ^= 0x20;
            Outcome::Proof(ProofOutput { proof, self_verified: true })
        }
        other => other,
    }
}
