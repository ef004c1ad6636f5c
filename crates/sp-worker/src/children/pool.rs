//! The children of one role and one set of GPUs: grown on demand, reused when idle, started again with growing waits after crashes.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::child::Child;
use super::gpus::Variable;
use super::spawner::Spawner;
use crate::executor::{Answer, ExecError, Job, Role};

/// Wait before a child is started after one crash; doubled for each further one in a row.
const RESTART_FIRST: Duration = Duration::from_millis(100);
const RESTART_LONGEST: Duration = Duration::from_secs(10);

pub(super) struct Pool {
    role: Role,
    free: Semaphore,
    /// On top of every child's.
    variables: Vec<Variable>,
    spawner: Arc<Spawner>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The one used last is used first: it has the warmest caches.
    idle: Vec<Child>,
    /// Crashes since the last answer.
    crashes: u32,
}

impl Pool {
    pub(super) fn new(role: Role, size: usize, variables: Vec<Variable>, spawner: Arc<Spawner>) -> Self {
        Self { role, free: Semaphore::new(size.max(1)), variables, spawner, state: Mutex::default() }
    }

    pub(super) async fn run(&self, job: Job) -> Result<Answer, ExecError> {
        let Job { request, limit, cancel, .. } = job;
        let asked = Instant::now();
        let deadline = asked + limit;
        let waiting = async {
            let permit = self.free.acquire().await;
            (permit, self.take_child().await)
        };
        let (_permit, child) = tokio::select! {
            ready = waiting => ready,
            () = cancel.cancelled() => return Err(ExecError::Cancelled),
            () = tokio::time::sleep_until(deadline) => return Err(ExecError::TimedOut(limit)),
        };
        let mut child = child?;
        let waited = asked.elapsed();
        let left = deadline.saturating_duration_since(Instant::now());
        let answer = child.request(request, left, &cancel).await;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match &answer {
            Ok(_) | Err(ExecError::Refused(_)) => {
                state.crashes = 0;
                state.idle.push(child);
            }
            Err(ExecError::Crashed(reason)) => {
                state.crashes = state.crashes.saturating_add(1);
                tracing::warn!(role = ?self.role, in_a_row = state.crashes, reason, "an executor child failed");
            }
            Err(ExecError::TimedOut(_) | ExecError::Cancelled) => {}
        }
        answer.map(|answer| Answer { waited, ..answer }).map_err(|error| match error {
            // What is left after waiting is no limit that anybody knows.
            ExecError::TimedOut(_) => ExecError::TimedOut(limit),
            other => other,
        })
    }

    async fn take_child(&self) -> Result<Child, ExecError> {
        let crashes = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            while let Some(mut child) = state.idle.pop() {
                if child.is_alive() {
                    return Ok(child);
                }
            }
            state.crashes
        };
        if crashes > 0 {
            let wait = RESTART_FIRST.saturating_mul(1 << (crashes - 1).min(10)).min(RESTART_LONGEST);
            tokio::time::sleep(wait).await;
        }
        let started = self.spawner.spawn(self.variables.clone()).await.and_then(Child::new);
        started.map_err(|e| ExecError::Crashed(format!("a child cannot be started: {e}")))
    }
}
