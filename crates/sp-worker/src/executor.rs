//! The seam to the arithmetic: a request goes to a child of some role, an answer or the reason for none comes back.

use std::time::Duration;

use sp_env::BoxFuture;
use sp_proto::v1::exec_response::Outcome;
use sp_proto::v1::{ExecRequest, Failure};
use sp_types::{ErrorCode, GpuShare};
use tokio_util::sync::CancellationToken;

/// Which child serves a request. Roles never share a child.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Sealing work other than proofs; as many children as cores.
    Task,
    /// Proofs: one child, because it keeps the parameters and uses all cores; with GPUs one for each set of them.
    Prover,
    /// Short reads on behalf of others: challenges and pieces.
    Reader,
}

/// One request with its bounds.
#[derive(Debug, Clone)]
pub struct Job {
    /// Who is to serve it.
    pub role: Role,
    /// What is to be done.
    pub request: ExecRequest,
    /// It is killed and fails with [`ExecError::TimedOut`] after this long, waiting for a free child included.
    pub limit: Duration,
    /// Asks it to stop.
    pub cancel: CancellationToken,
    /// GPUs that it computes on; empty: none.
    pub gpus: Vec<GpuShare>,
}

/// What a child answered.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// What came of it; never a failure.
    pub outcome: Outcome,
    /// Most memory that was resident in the child meanwhile, mapped files included, bytes; 0: not measured.
    pub peak_memory_bytes: u64,
    /// How long it waited for a free child: nobody computed for it meanwhile.
    pub waited: Duration,
}

impl From<Outcome> for Answer {
    fn from(outcome: Outcome) -> Self {
        Self { outcome, peak_memory_bytes: 0, waited: Duration::ZERO }
    }
}

/// Why a request has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExecError {
    /// The stage said no, with its own code.
    #[error("{}", .0.message)]
    Refused(Failure),
    /// The child ended or spoke nonsense.
    #[error("the executor failed: {0}")]
    Crashed(String),
    /// It took longer than it may.
    #[error("the executor did not finish within {} ms and was killed", .0.as_millis())]
    TimedOut(Duration),
    /// It was asked to stop.
    #[error("cancelled")]
    Cancelled,
}

impl ExecError {
    /// As it goes over the wire.
    pub fn to_failure(&self) -> Failure {
        let code = match self {
            Self::Refused(failure) => return failure.clone(),
            Self::Crashed(_) => ErrorCode::ExecutorFailed,
            Self::TimedOut(_) => ErrorCode::TimedOut,
            Self::Cancelled => ErrorCode::Cancelled,
        };
        Failure { code: code.as_str().to_owned(), message: self.to_string() }
    }
}

/// Runs requests. The real one has child processes; a simulation brings its own.
pub trait Executor: Send + Sync + 'static {
    /// Carries out one request. Dropping the future does not stop it; the job's token does.
    fn run(&self, job: Job) -> BoxFuture<Result<Answer, ExecError>>;
}
