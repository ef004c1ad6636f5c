//! One child from the parent's side: one request at a time over its pipes, killed when it does not answer.

use std::io;
use std::path::PathBuf;
use std::process::Child as Process;
use std::time::Duration;

use sp_net::frame;
use sp_proto::v1::exec_response::Outcome;
use sp_proto::v1::{ExecRequest, ExecResponse};
use tokio::process::{ChildStdin, ChildStdout};
use tokio_util::sync::CancellationToken;

use super::CANCEL_GRACE;
use super::spawner::Started;
use crate::executor::{Answer, ExecError};

/// How long a killed child is waited for before it is abandoned.
const REAP_WITHIN: Duration = Duration::from_secs(10);
const REAP_POLL: Duration = Duration::from_millis(5);

pub(super) struct Child {
    process: Option<Process>,
    record: PathBuf,
    tmpdir: Option<PathBuf>,
    stdin: ChildStdin,
    stdout: ChildStdout,
    requests: u64,
}

impl Child {
    pub(super) fn new(started: Started) -> io::Result<Self> {
        let Started { mut process, record, tmpdir } = started;
        let missing = || io::Error::other("the child has no pipes");
        let stdin = ChildStdin::from_std(process.stdin.take().ok_or_else(missing)?)?;
        let stdout = ChildStdout::from_std(process.stdout.take().ok_or_else(missing)?)?;
        Ok(Self { process: Some(process), record, tmpdir, stdin, stdout, requests: 0 })
    }

    /// False when it has ended while nobody needed it.
    pub(super) fn is_alive(&mut self) -> bool {
        self.process.as_mut().is_some_and(|process| matches!(process.try_wait(), Ok(None)))
    }

    /// One request. After an error other than `Refused` the child is dead.
    pub(super) async fn request(
        &mut self,
        mut request: ExecRequest,
        limit: Duration,
        cancel: &CancellationToken,
    ) -> Result<Answer, ExecError> {
        self.requests += 1;
        request.request = self.requests;
        let stopped = async {
            cancel.cancelled().await;
            tokio::time::sleep(CANCEL_GRACE).await;
        };
        let answer = tokio::select! {
            answer = self.exchange(&request) => answer,
            () = tokio::time::sleep(limit) => Err(ExecError::TimedOut(limit)),
            () = stopped => Err(ExecError::Cancelled),
        };
        if !matches!(answer, Ok(_) | Err(ExecError::Refused(_))) {
            let status = self.end().await;
            if let Err(ExecError::Crashed(reason)) = answer {
                return Err(ExecError::Crashed(format!("{reason} ({status})")));
            }
        }
        answer
    }

    async fn exchange(&mut self, request: &ExecRequest) -> Result<Answer, ExecError> {
        let crashed = |reason: &dyn std::fmt::Display| ExecError::Crashed(reason.to_string());
        frame::write(&mut self.stdin, request).await.map_err(|e| crashed(&e))?;
        let response: Option<ExecResponse> = frame::read(&mut self.stdout).await.map_err(|e| crashed(&e))?;
        let response = response.ok_or_else(|| crashed(&"it ended without an answer"))?;
        if response.request != request.request {
            return Err(crashed(&format!("it answered request {}, not {}", response.request, request.request)));
        }
        match response.outcome {
            Some(Outcome::Failed(failure)) => Err(ExecError::Refused(failure)),
            Some(outcome) => Ok(Answer { peak_memory_bytes: response.peak_memory_bytes, ..outcome.into() }),
            None => Err(crashed(&"it answered without an outcome")),
        }
    }

    /// Kills it and waits until it is gone, so that nothing of it writes any more. Says how it ended.
    async fn end(&mut self) -> String {
        let Some(mut process) = self.process.take() else { return "it is gone".to_owned() };
        let (record, tmpdir) = (self.record.clone(), self.tmpdir.take());
        let ended = tokio::task::spawn_blocking(move || reap(&mut process, &record, tmpdir));
        ended.await.unwrap_or_else(|e| format!("nobody knows how it ended: {e}"))
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let (record, tmpdir) = (self.record.clone(), self.tmpdir.take());
            // Drop cannot wait; a thread does. If it cannot start, the closed pipe still ends the child.
            let reaper = move || {
                reap(&mut process, &record, tmpdir);
            };
            if let Err(error) = std::thread::Builder::new().name("reaper".into()).spawn(reaper) {
                tracing::warn!(%error, "no thread to wait for an ended child; raise the limit on processes (ulimit -u)");
            }
        }
    }
}

fn reap(process: &mut Process, record: &std::path::Path, tmpdir: Option<PathBuf>) -> String {
    let pid = process.id();
    // Already dead is fine.
    let _ = process.kill();
    for _ in 0..REAP_WITHIN.as_millis() / REAP_POLL.as_millis() {
        match process.try_wait() {
            Ok(Some(status)) => {
                // Both are removed at the next start at the latest.
                let _ = std::fs::remove_file(record);
                let _ = tmpdir.map(std::fs::remove_dir_all);
                return status.to_string();
            }
            Ok(None) => std::thread::sleep(REAP_POLL),
            Err(error) => return format!("waiting for it failed: {error}"),
        }
    }
    tracing::error!(pid, "a killed executor child does not end (hung I/O?); it is abandoned");
    "it does not end and is abandoned".to_owned()
}
