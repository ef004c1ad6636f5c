//! Real executor children of `sp-sealing-worker`: work, crashes, cancels, hangs, and an end with their parent.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)]

use std::path::Path;
use std::time::{Duration, Instant};

use sp_proto::v1::exec_request::Op;
use sp_proto::v1::exec_response::Outcome;
use sp_proto::v1::{AttemptId, ExecAddPiece, ExecReadPiece, ExecRequest};
use sp_types::{GpuId, GpuShare};
use sp_worker::children::{ChildConfig, ChildExecutor};
use sp_worker::executor::{ExecError, Executor, Job, Role};
use tokio_util::sync::CancellationToken;

const LIMIT: Duration = Duration::from_secs(60);

fn executor(dir: &Path, environment: &[(&str, &str)]) -> ChildExecutor {
    let variable = |(name, value): &(&str, &str)| (name.into(), Some(value.into()));
    let config = ChildConfig {
        program: env!("CARGO_BIN_EXE_sp-sealing-worker").into(),
        arguments: vec!["executor".into()],
        environment: environment.iter().map(variable).collect(),
        data_dir: dir.to_owned(),
        own_tmpdir: true,
        pools: vec![(Role::Task, 1), (Role::Reader, 1)],
        computes_on_gpus: true,
    };
    ChildExecutor::new(config).unwrap()
}

fn job(role: Role, op: Op) -> Job {
    let attempt = Some(AttemptId { task: 1, number: 1 });
    let request = ExecRequest { attempt, seal_proof: 5, miner: 1000, sector: 3, op: Some(op), ..Default::default() };
    Job { role, request, limit: LIMIT, cancel: CancellationToken::new(), gpus: vec![] }
}

fn pledge(out: &Path) -> Op {
    Op::AddPiece(ExecAddPiece { unsealed: out.display().to_string(), ..Default::default() })
}

/// Process ids of the children, by their records.
fn children(dir: &Path) -> Vec<u32> {
    let entries = std::fs::read_dir(dir.join("children")).unwrap();
    entries.map(|entry| entry.unwrap().file_name().to_str().unwrap().parse().unwrap()).collect()
}

fn signal(pid: u32, name: &str) {
    assert!(std::process::Command::new("kill").args([name, &pid.to_string()]).status().unwrap().success());
}

/// False once every thread has ended: only then does a wait for the process return.
fn alive(pid: u32) -> bool {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count);
    let zombie = std::fs::read_to_string(format!("/proc/{pid}/stat")).map_or(true, |stat| stat.contains(") Z "));
    threads > 1 || !zombie
}

#[tokio::test(flavor = "multi_thread")]
async fn one_child_serves_many_requests_and_refusals_keep_it() {
    let dir = tempfile::tempdir().unwrap();
    let executor = executor(dir.path(), &[]);
    let out = dir.path().join("unsealed");
    let answer = executor.run(job(Role::Task, pledge(&out))).await.unwrap();
    assert!(answer.peak_memory_bytes > 1 << 20, "{}", answer.peak_memory_bytes);
    let Outcome::AddPiece(output) = answer.outcome else { panic!() };
    assert_eq!((output.pieces.len(), output.pieces[0].padded_bytes), (1, 2048));
    let again = executor.run(job(Role::Task, pledge(&out))).await.unwrap_err();
    assert!(matches!(again, ExecError::Refused(failure) if failure.code == "SP-BAD-REQUEST"));
    assert_eq!(children(dir.path()).len(), 1);
    let read = ExecReadPiece { unsealed: out.display().to_string(), offset: 100, size_bytes: 1000 };
    let read = executor.run(job(Role::Reader, Op::ReadPiece(read))).await.unwrap();
    let Outcome::Data(data) = read.outcome else { panic!() };
    assert_eq!(data, [0; 1000]);
    assert_eq!(children(dir.path()).len(), 2, "reads have a child of their own");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_costs_the_attempt_and_the_next_child_works() {
    let dir = tempfile::tempdir().unwrap();
    let token = dir.path().join("token");
    std::fs::write(&token, b"").unwrap();
    let crash = format!("executor-finished={}", token.display());
    let executor = executor(dir.path(), &[("SP_CRASH_AT", &crash)]);
    let out = dir.path().join("unsealed");
    let error = executor.run(job(Role::Task, pledge(&out))).await.unwrap_err();
    assert!(matches!(&error, ExecError::Crashed(reason) if reason.contains("signal")), "{error}");
    assert_eq!(error.to_failure().code, "SP-EXECUTOR-FAILED");
    assert!(children(dir.path()).is_empty());
    std::fs::remove_file(&out).unwrap();
    executor.run(job(Role::Task, pledge(&out))).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hung_child_is_killed_at_its_limit_or_after_a_cancel() {
    let dir = tempfile::tempdir().unwrap();
    let executor = executor(dir.path(), &[]);
    executor.run(job(Role::Task, pledge(&dir.path().join("a")))).await.unwrap();
    let first = children(dir.path())[0];
    signal(first, "-STOP");
    let short = Job { limit: Duration::from_millis(300), ..job(Role::Task, pledge(&dir.path().join("b"))) };
    assert_eq!(executor.run(short).await.unwrap_err(), ExecError::TimedOut(Duration::from_millis(300)));
    assert!(!alive(first));
    executor.run(job(Role::Task, pledge(&dir.path().join("b")))).await.unwrap();
    let second = children(dir.path())[0];
    signal(second, "-STOP");
    let hung = job(Role::Task, pledge(&dir.path().join("c")));
    let cancel = hung.cancel.clone();
    let running = tokio::spawn(executor.run(hung));
    tokio::time::sleep(Duration::from_millis(100)).await;
    let asked = Instant::now();
    cancel.cancel();
    assert_eq!(running.await.unwrap().unwrap_err(), ExecError::Cancelled);
    assert!(asked.elapsed() >= Duration::from_secs(2), "it is asked first");
    assert!(!alive(second));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_child_that_died_is_replaced_unnoticed() {
    let dir = tempfile::tempdir().unwrap();
    let executor = executor(dir.path(), &[]);
    executor.run(job(Role::Task, pledge(&dir.path().join("a")))).await.unwrap();
    let pid = children(dir.path())[0];
    signal(pid, "-KILL");
    while alive(pid) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    executor.run(job(Role::Task, pledge(&dir.path().join("b")))).await.unwrap();
}

#[test]
fn a_child_refuses_a_parent_that_is_not_its_own_and_ends_with_its_pipe() {
    let program = env!("CARGO_BIN_EXE_sp-sealing-worker");
    let start = |parent: u32| {
        let mut command = std::process::Command::new(program);
        command.args(["executor", &parent.to_string()]).stdin(std::process::Stdio::piped());
        command.stderr(std::process::Stdio::null()).spawn().unwrap()
    };
    assert!(!start(1).wait().unwrap().success());
    let mut child = start(std::process::id());
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
}

/// What the child sees of GPUs.
fn sees(pid: u32) -> Option<String> {
    let environment = std::fs::read_to_string(format!("/proc/{pid}/environ")).unwrap();
    environment.split('\0').find_map(|v| v.strip_prefix("CUDA_VISIBLE_DEVICES=").map(str::to_owned))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_set_of_gpus_has_children_that_see_it_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let executor = executor(dir.path(), &[]);
    let on = |gpus: &[&str], at: usize| Job {
        gpus: gpus.iter().map(|id| GpuShare { id: GpuId::new(*id).unwrap(), index: 0, share: 0.5 }).collect(),
        ..job(Role::Task, pledge(&dir.path().join(format!("unsealed-{at}"))))
    };
    for (at, gpus) in [&[][..], &["GPU-a"], &["GPU-b", "GPU-a"], &["GPU-a"]].into_iter().enumerate() {
        executor.run(on(gpus, at)).await.unwrap();
    }
    let mut seen: Vec<String> = children(dir.path()).into_iter().filter_map(sees).collect();
    seen.sort();
    assert_eq!(seen, ["", "GPU-a", "GPU-b,GPU-a"], "the last request went to the child of its device");
}
