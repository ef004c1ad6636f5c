//! The child's side: requests from stdin, answers to where stdout was, an end when the parent is gone.

use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::time::Instant;

use sp_env::{CrashPoint, crash_point};
use sp_net::{child, frame};
use sp_proto::v1::exec_request::Op;
use sp_proto::v1::exec_response::Outcome;
use sp_proto::v1::{ExecRequest, ExecResponse, Failure};
use sp_types::ErrorCode;

use super::memory;

/// Serves requests until the parent closes the pipe or dies; then the process ends, whatever it is doing.
///
/// Writes one line to stderr when work of an attempt starts and one when it finishes: tests count them.
pub fn serve(parent: u32, mut handle: impl FnMut(&ExecRequest) -> Result<Outcome, Failure>) -> anyhow::Result<()> {
    child::guard_parent(parent)?;
    let mut answers = child::move_stdout_aside()?;
    let (sender, requests) = mpsc::channel();
    std::thread::Builder::new().name("parent-watch".into()).spawn(move || watch(&sender))?;
    for request in requests {
        let response = answer(&request, &mut handle);
        frame::blocking::write(&mut answers, &response)?;
    }
    Ok(())
}

/// Reads requests; ends the process when the pipe closes, so that no work outlives the parent.
fn watch(sender: &mpsc::Sender<ExecRequest>) {
    let mut stdin = std::io::stdin().lock();
    loop {
        match frame::blocking::read(&mut stdin) {
            Ok(Some(request)) => {
                if sender.send(request).is_err() {
                    return;
                }
            }
            Ok(None) => std::process::exit(0),
            Err(error) => {
                log_line(&format!("executor ends: {error}"));
                std::process::exit(1);
            }
        }
    }
}

fn answer(request: &ExecRequest, handle: &mut impl FnMut(&ExecRequest) -> Result<Outcome, Failure>) -> ExecResponse {
    let what = describe(request);
    if let Some(what) = &what {
        log_line(&format!("executor start {what}"));
        crash_point(CrashPoint::ExecutorStarted);
    }
    let started = Instant::now();
    memory::forget_peak();
    // A bug in a stage costs one attempt; the pipe's framing stays intact.
    let outcome = catch_unwind(AssertUnwindSafe(|| handle(request))).unwrap_or_else(|_| {
        let message = "the executor panicked; its log has the place".to_owned();
        Err(Failure { code: ErrorCode::ExecutorFailed.as_str().to_owned(), message })
    });
    if let Some(what) = &what {
        let how = outcome.as_ref().map_or_else(|f| format!("failed {}: {}", f.code, f.message), |_| "ok".to_owned());
        log_line(&format!("executor finish {what} took_ms={} {how}", started.elapsed().as_millis()));
        crash_point(CrashPoint::ExecutorFinished);
    }
    let outcome = Some(outcome.unwrap_or_else(Outcome::Failed));
    ExecResponse { request: request.request, outcome, peak_memory_bytes: memory::peak_bytes() }
}

/// Attempt, task and sector of work; None for reads, checks and warming, which belong to no attempt.
fn describe(request: &ExecRequest) -> Option<String> {
    let attempt = request.attempt.as_ref()?;
    let task = match request.op.as_ref()? {
        Op::DataCid(_) => "DC",
        Op::AddPiece(_) => "AP",
        Op::PreCommit1(_) => "PC1",
        Op::PreCommit2(_) => "PC2",
        Op::Commit1(_) => "C1",
        Op::Commit2(_) => "C2",
        Op::Finalize(_) => "FIN",
        Op::Unseal(_) => "UNS",
        Op::ReplicaUpdate(_) => "RU",
        Op::ProveReplicaUpdate1(_) => "PR1",
        Op::ProveReplicaUpdate2(_) => "PR2",
        Op::FinalizeReplicaUpdate(_) => "FRU",
        Op::RegenSectorKey(_) => "GSK",
        Op::WindowPost(_) => "WDP",
        Op::WinningPost(_) => "WNP",
        Op::Vanilla(_) | Op::CheckVanilla(_) | Op::ReadCommR(_) | Op::ReadPiece(_) | Op::Warm(_) => return None,
        Op::CheckData(_) | Op::CheckReplica(_) => return None,
    };
    Some(format!("attempt={}.{} task={task} sector={}", attempt.task, attempt.number, request.sector))
}

fn log_line(text: &str) {
    // One write, so that lines of several children do not mix. A log that cannot be written is no reason to stop.
    let _ = std::io::stderr().write_all(format!("{text}\n").as_bytes());
}

#[cfg(test)]
mod tests {
    use sp_proto::v1::{AttemptId, ExecCommit2, ExecWarm};

    use super::*;

    #[test]
    fn only_work_of_attempts_is_named() {
        let attempt = Some(AttemptId { task: 7, number: 2 });
        let op = Some(Op::Commit2(ExecCommit2::default()));
        let request = ExecRequest { attempt, sector: 3, op, ..Default::default() };
        assert_eq!(describe(&request).unwrap(), "attempt=7.2 task=C2 sector=3");
        assert_eq!(describe(&ExecRequest { attempt: None, ..request.clone() }), None);
        assert_eq!(describe(&ExecRequest { op: Some(Op::Warm(ExecWarm::default())), ..request }), None);
    }

    #[test]
    fn a_panic_is_an_answer() {
        let request = ExecRequest { request: 5, ..Default::default() };
        let response = answer(&request, &mut |_| panic!("on purpose"));
        assert_eq!(response.request, 5);
        assert!(matches!(response.outcome, Some(Outcome::Failed(f)) if f.code == "SP-EXECUTOR-FAILED"));
    }
}
