//! The fake executor: takes simulated time, may die half-way, may return a wrong proof and say that it verified it.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sp_env::BoxFuture;
use sp_invariants::Law;
use sp_net::Env;
use sp_proto::v1::exec_response::Outcome;
use sp_proto::v1::{ExecRequest, Failure, ProofOutput};
use sp_sectors::Disk;
use sp_types::{AttemptId, ErrorCode, HostCapacity, SectorSize, TaskId, TaskKind};
use sp_worker::executor::{Answer, ExecError, Executor, Job};
use tokio::sync::oneshot;

use super::prover::Ask;
use super::stages::Plan;
use crate::cast::Part;
use crate::process::DATA_DIR;
use crate::rng::Rng;
use crate::stage::Stage;
use crate::watch::{End, Running, Seat, Watch};

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
    /// What everybody shares.
    pub stage: Stage,
    /// The machine, for the board.
    pub machine: &'static str,
    /// What it has.
    pub capacity: HostCapacity,
    /// Whose it is.
    pub part: Part,
}

impl Executor for FakeExecutor {
    fn run(&self, job: Job) -> BoxFuture<Result<Answer, ExecError>> {
        let (this, (done, answer)) = (self.clone(), oneshot::channel());
        // A task of its own: a caller that goes away does not stop it.
        let running = async move {
            let result = this.carry_out(job).await.map(Answer::from);
            // Nobody waits any more.
            let _ = done.send(result);
        };
        drop(self.env.tasks.spawn("fake executor", Box::pin(running)));
        Box::pin(async move { answer.await.unwrap_or_else(|_| Err(ExecError::Crashed("its task ended".into()))) })
    }
}

impl FakeExecutor {
    async fn carry_out(&self, job: Job) -> Result<Outcome, ExecError> {
        if let Some(ask) = Ask::of(&job.request) {
            return self.answer(ask, job).await;
        }
        let Some((task, usual_ms)) = Plan::stage_of(&job.request) else {
            return Err(ExecError::Crashed("the fake executor knows nothing of this".into()));
        };
        let attempt = attempt_of(&job.request);
        let recorded = self.is_recorded(attempt);
        let number = self.stage.watch.executor_begins(task, job.request.sector, attempt, recorded);
        let seat = self.sit_down(task, &job.request);
        let (how, result) = match self.compute(task, usual_ms, job).await {
            Ok((outcome, true)) => (End::Lied, Ok(outcome)),
            Ok((outcome, false)) => (End::Answered, Ok(outcome)),
            Err(error) => (End::Failed, Err(error)),
        };
        seat.leave();
        self.stage.watch.executor_ends(number, how);
        result
    }

    /// Does the worker hold the answer to this attempt on its disk?
    fn is_recorded(&self, attempt: AttemptId) -> bool {
        let record = Path::new(DATA_DIR).join("attempts").join(attempt.to_string()).join("finished");
        self.disk.metadata(&record).is_ok()
    }

    /// The outcome, and whether it is a lie.
    async fn compute(&self, task: TaskKind, usual_ms: u64, job: Job) -> Result<(Outcome, bool), ExecError> {
        let mut rng = self.chance();
        let takes = Duration::from_millis(rng.range(usual_ms / 2, usual_ms * 2));
        let mishaps = self.stage.mood.executors();
        let (dies, lies) = (mishaps && rng.percent(DIES_PERCENT), mishaps && rng.percent(LIES_PERCENT));
        let work = self.work(task, job.request, takes, dies);
        let outcome = tokio::select! {
            biased;
            () = job.cancel.cancelled() => return Err(ExecError::Cancelled),
            outcome = self.env.timeout(job.limit, work) => outcome.unwrap_or(Err(ExecError::TimedOut(job.limit)))?,
        };
        Ok(match outcome {
            Outcome::Proof(proof) if lies => (spoil(proof, &self.stage.watch), true),
            outcome => (outcome, false),
        })
    }

    /// Tells the board what runs from now on.
    fn sit_down(&self, task: TaskKind, request: &ExecRequest) -> Seat {
        let attempt = attempt_of(request);
        let Part { name, ref resources, .. } = self.part;
        self.stage.watch.note(format!("{name} runs {task} of {attempt}, sector {}", request.sector));
        let row = resources.row(task, SectorSize::KiB2);
        let (machine, capacity) = (self.machine, self.capacity.clone());
        self.stage.watch.seat(Running { machine, capacity, worker: name, attempt, task, row })
    }

    async fn work(
        &self,
        task: TaskKind,
        request: ExecRequest,
        takes: Duration,
        dies: bool,
    ) -> Result<Outcome, ExecError> {
        let watch = self.stage.watch.clone();
        let failed = |e: io::Error| refused(task, &e, &watch);
        let (disk, made) = (self.disk.clone(), self.stage.made.clone());
        let plan = Arc::new(self.env.blocking(move || Plan::read(&*disk, &made, &request)).await.map_err(failed)?);
        self.env.clock.sleep(takes / 2).await;
        let (disk, begun) = (self.disk.clone(), plan.clone());
        self.env.blocking(move || begun.begin(&*disk)).await.map_err(failed)?;
        if dies {
            self.stage.watch.injected("executor dies");
            return Err(ExecError::Crashed("on purpose".into()));
        }
        self.env.clock.sleep(takes / 2).await;
        let (disk, made) = (self.disk.clone(), self.stage.made.clone());
        let finish = move || {
            let outcome = plan.finish(&*disk)?;
            plan.sealed.iter().for_each(|seal| made.note(seal.clone()));
            plan.updated.iter().for_each(|update| made.note_update(update.clone()));
            Ok(outcome)
        };
        self.env.blocking(finish).await.map_err(failed)
    }

    pub(super) fn chance(&self) -> Rng {
        let mut seed = [0; 8];
        self.env.entropy.fill(&mut seed);
        Rng::new(u64::from_le_bytes(seed), "executor", 0)
    }
}

/// What a stage cannot do. A file that is not what it must be was visible unverified (law L10).
fn refused(task: TaskKind, error: &io::Error, watch: &Watch) -> ExecError {
    let code = match error.kind() {
        io::ErrorKind::NotFound => ErrorCode::FileMissing,
        io::ErrorKind::StorageFull => ErrorCode::NoSpace,
        _ => ErrorCode::ExecutorFailed,
    };
    if error.kind() == io::ErrorKind::InvalidData {
        watch.broken(Law::L10, format!("{task}: {error}"));
    }
    ExecError::Refused(Failure { code: code.as_str().to_owned(), message: format!("{task}: {error}") })
}

/// A well-formed wrong proof whose maker claims that he verified it.
fn spoil(mut output: ProofOutput, watch: &Watch) -> Outcome {
    watch.injected("wrong proof");
    output.proof[0] ^= 0x20;
    Outcome::Proof(ProofOutput { self_verified: true, ..output })
}

fn attempt_of(request: &ExecRequest) -> AttemptId {
    request.attempt.map_or(AttemptId { task: TaskId(0), number: 0 }, AttemptId::from)
}
