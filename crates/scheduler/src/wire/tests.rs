//! What comes over the wire is read whole or refused by name.

use sp_proto::v1;
use sp_sched_core::event::{Event, Phase, TaskOutput};
use sp_sched_core::model::WorkerRow;
use sp_sched_core::view::WorkerView;
use sp_types::{ErrorCode, HostCapacity, HostId, SessionId, TaskClass, TaskId, TaskKind, WorkerId};

use super::*;

fn register(tasks: &[TaskKind]) -> v1::Register {
    v1::Register {
        worker_id: "w".into(),
        session_id: "s".into(),
        host_id: "h".into(),
        name: "name".into(),
        cluster: "dev".into(),
        protocol_minor: 1,
        tasks: tasks.iter().map(|t| v1::TaskKind::from(*t) as i32).collect(),
        capacity: Some(v1::HostCapacity { cpus: 4, ..Default::default() }),
        stores: vec!["store".into()],
        ..Default::default()
    }
}

#[test]
fn a_worker_is_of_one_class() {
    let (seen, admission) = registration(register(&[TaskKind::AddPiece, TaskKind::Commit2])).expect("sealing");
    assert_eq!((seen.tasks.len(), admission.cluster.as_str()), (2, "dev"));
    for mixed in [
        [TaskKind::GenerateWindowPost, TaskKind::GenerateWinningPost],
        [TaskKind::GenerateWindowPost, TaskKind::AddPiece],
    ] {
        let error = registration(register(&mixed)).expect_err("mixed").to_string();
        assert!(error.contains("never two"), "{error}");
    }
    assert!(registration(register(&[])).is_err());
}

#[test]
fn classes_are_named_as_users_know_them() {
    // `sp-ctl sealing workers` and `proving workers` go by these words.
    for (class, word) in
        [(TaskClass::Sealing, "Seal"), (TaskClass::WindowPost, "WdPoSt"), (TaskClass::WinningPost, "WinPoSt")]
    {
        assert_eq!(worker_status(worker(class)).class, word);
    }
}

fn worker(class: TaskClass) -> WorkerView {
    WorkerView {
        worker: WorkerId::new("w").expect("valid"),
        session: SessionId::new("s").expect("valid"),
        host: HostId::new("h").expect("valid"),
        name: "name".into(),
        build: String::new(),
        class,
        builtin: false,
        connected: true,
        disabled_reason: String::new(),
        tasks: vec![],
        capacity: HostCapacity::default(),
        cpus_used: 0,
        memory_min_used_bytes: 0,
        memory_max_used_bytes: 0,
        gpus_used: 0.0,
        counts: vec![],
        stores: vec![],
        data_url: String::new(),
        pid: 1,
        row: WorkerRow::new(WorkerId::new("w1").expect("a valid id")),
        windows: vec![vec![TaskId(7)]],
        windows_limit: 2,
        empty: false,
        connected_ms: 5,
    }
}

#[test]
fn unknown_kinds_are_refused_as_unknown() {
    for number in [0, 99] {
        let mut message = register(&[TaskKind::AddPiece]);
        message.tasks.push(number);
        let error = registration(message).expect_err("unknown").to_string();
        assert!(error.contains(&format!("unknown task kind {number}")), "{error}");
    }
    let progress = v1::AttemptProgress { attempt: Some(Default::default()), phase: 77, ..Default::default() };
    let request =
        v1::RenewRequest { worker_id: "w".into(), session_id: "s".into(), attempts: vec![progress], capacity: None };
    assert!(renewal(request).expect_err("unknown").to_string().contains("77"));
}

#[test]
fn renewals_are_clamped() {
    let attempt = Some(v1::AttemptId { task: 3, number: 1 });
    let phase = v1::AttemptPhase::Running as i32;
    let progress = v1::AttemptProgress { attempt, phase, fraction: f64::NAN, detail: "x".into() };
    let request =
        v1::RenewRequest { worker_id: "w".into(), session_id: "s".into(), attempts: vec![progress], capacity: None };
    let (_, _, event) = renewal(request).expect("good");
    let Event::Renewed { attempts, .. } = event else { panic!("{event:?}") };
    assert_eq!((attempts[0].phase, attempts[0].fraction), (Phase::Running, 0.0));
}

#[test]
fn results_lose_the_workers_own_verdict_and_keep_unknown_codes_as_text() {
    let output = v1::task_done::Output::Proof(v1::ProofOutput { proof: vec![1], self_verified: true });
    let done = v1::TaskDone { replicas: vec![], output: Some(output) };
    let message = v1::TaskResult {
        attempt: Some(v1::AttemptId { task: 1, number: 2 }),
        task: v1::TaskKind::Commit2 as i32,
        outcome: Some(v1::task_result::Outcome::Done(done)),
        fetch_ms: 0,
        compute_ms: 5,
    };
    let result = task_result(message.clone()).expect("good");
    assert_eq!(result.outcome.expect("done").output, TaskOutput::Proof { proof: vec![1] });
    let failed = v1::Failure { code: "SP-FUTURE".into(), message: "why".into() };
    let message = v1::TaskResult { outcome: Some(v1::task_result::Outcome::Failed(failed)), ..message };
    let failure = task_result(message.clone()).expect("good").outcome.expect_err("failed");
    assert_eq!((failure.code, failure.message.as_str()), (ErrorCode::Internal, "SP-FUTURE: why"));
    assert!(task_result(v1::TaskResult { outcome: None, ..message }).is_err());
}

#[test]
fn facts_of_other_miners_are_not_ours() {
    let replica = v1::Replica { miner: 1000, sector: 1, kind: 2, store: "s".into(), ..Default::default() };
    let fact = |replica| v1::IndexFact { body: Some(v1::index_fact::Body::Replica(replica)) };
    assert!(matches!(fact_event(1000, fact(replica.clone())), Ok(Some(Event::Replica { .. }))));
    assert_eq!(fact_event(7, fact(replica.clone())), Ok(None));
    let unknown = v1::Replica { kind: 3, ..replica };
    assert!(fact_event(1000, fact(unknown)).is_err());
    assert!(fact_event(1000, v1::IndexFact { body: None }).is_err());
}
