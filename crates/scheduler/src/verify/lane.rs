//! One verifier child and the questions that wait for it, one at a time.

use std::time::Duration;

use sp_net::Env;
use sp_net::retry::Backoff;
use sp_proto::v1;
use sp_proto::v1::verify_response::Verdict;
use tokio::sync::{mpsc, oneshot};

use super::Question;
use super::child::{Child, ChildCommand};

/// A question is answered within this, or the child is replaced.
const QUESTION_LIMIT: Duration = Duration::from_secs(120);

/// Starts of the child per question.
const TRIES: u32 = 3;

/// A question and who waits for the verdict.
pub(super) struct Job {
    pub(super) question: Question,
    pub(super) answer: oneshot::Sender<Result<bool, String>>,
}

/// Works through questions with one child, started when needed and again after it died.
pub(super) struct Lane {
    pub(super) env: Env,
    pub(super) name: &'static str,
    pub(super) command: ChildCommand,
    /// Asked first of every new child, so that the first real question is fast.
    pub(super) warm: Option<Question>,
    pub(super) jobs: mpsc::Receiver<Job>,
}

impl Lane {
    /// Ends, and its child with it, when nobody can ask any more.
    pub(super) async fn run(mut self) {
        let mut child = match self.warm.is_some() {
            // A lane that is to be warm has its child before the first question.
            true => self.start().await.inspect_err(|reason| tracing::warn!(lane = self.name, reason)).ok(),
            false => None,
        };
        let mut last = 0;
        while let Some(Job { question, answer }) = self.jobs.recv().await {
            if answer.is_closed() {
                continue;
            }
            last += 1;
            let verdict = self.judge(&mut child, last, question).await;
            // The driver may have ended.
            let _ = answer.send(verdict);
        }
    }

    /// A child that dies over a question is replaced and asked again: it may have been killed for something else.
    async fn judge(&self, child: &mut Option<Child>, request: u64, question: Question) -> Result<bool, String> {
        let mut backoff = Backoff::limited(Duration::from_millis(100), Duration::from_secs(2), TRIES - 1);
        loop {
            let tried = match child.take() {
                Some(running) => self.ask(running, request, question.clone()).await,
                None => match self.start().await {
                    Ok(started) => self.ask(started, request, question.clone()).await,
                    Err(reason) => Err(reason),
                },
            };
            match tried {
                Ok((running, verdict)) => {
                    *child = Some(running);
                    return verdict;
                }
                Err(reason) => {
                    tracing::warn!(lane = self.name, reason, "the verifier failed");
                    if !backoff.wait(&self.env).await {
                        return Err(format!("the verifier failed {TRIES} times, at last: {reason}"));
                    }
                }
            }
        }
    }

    async fn start(&self) -> Result<Child, String> {
        let child = Child::start(&self.command).map_err(|e| format!("{}: {e}", self.name))?;
        let Some(question) = self.warm.clone() else { return Ok(child) };
        let (child, verdict) = self.ask(child, 0, question).await?;
        if let Err(reason) = verdict {
            // Without parameters nothing can be verified; the question that needs them will say so.
            tracing::warn!(lane = self.name, reason, "the verifier could not load its keys");
        }
        Ok(child)
    }

    /// Gives the child back with the verdict; a child that failed is dropped and thereby killed.
    async fn ask(
        &self,
        mut child: Child,
        request: u64,
        question: Question,
    ) -> Result<(Child, Result<bool, String>), String> {
        let asked = v1::VerifyRequest { request, what: Some(question) };
        let response = match self.env.timeout(QUESTION_LIMIT, child.ask(&asked)).await {
            Ok(response) => response?,
            Err(elapsed) => return Err(elapsed.to_string()),
        };
        let v1::VerifyResponse { request: answered, verdict } = response;
        if answered != request {
            return Err(format!("it answered question {answered} instead of {request}"));
        }
        let verdict = match verdict {
            Some(Verdict::Valid(valid)) => Ok(valid),
            Some(Verdict::Failed(v1::Failure { code, message })) => Err(format!("{code}: {message}")),
            None => return Err("its answer is empty".into()),
        };
        Ok((child, verdict))
    }
}
