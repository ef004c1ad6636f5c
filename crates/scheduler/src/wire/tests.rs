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

fn renew() -> v1::RenewRequest {
    v1::RenewRequest { worker_id: "w".into(), session_id: "s".into(), ..Default::default() }
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
        limits: sp_types::WorkerLimits::default(),
        gpus_in_use: vec![],
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
    let bad = renewal(v1::RenewRequest { attempts: vec![progress], ..renew() }).expect_err("unknown");
    assert!(bad.error.to_string().contains("77"));
}

#[test]
fn renewals_are_clamped() {
    let attempt = Some(v1::AttemptId { task: 3, number: 1 });
    let phase = v1::AttemptPhase::Running as i32;
    let progress = v1::AttemptProgress { attempt, phase, fraction: f64::NAN, detail: "x".into() };
    let (_, _, event) = renewal(v1::RenewRequest { attempts: vec![progress], ..renew() }).expect("good");
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
        peak_memory_bytes: 7 << 30,
    };
    let result = task_result(message.clone()).expect("good");
    assert_eq!(result.peak_memory_bytes, 7 << 30);
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

fn capacity() -> v1::HostCapacity {
    let gpu = |id: &str| v1::GpuDevice { id: id.into(), memory_bytes: 80, healthy: true, ..Default::default() };
    let (memory_bytes, swap_bytes, cpus) = (64, 8, 4);
    v1::HostCapacity { memory_bytes, swap_bytes, cpus, devices: vec![gpu("GPU-a"), gpu("GPU-b")], ..Default::default() }
}

/// A change that makes figures absurd.
type Lie<T> = fn(&mut T);

#[test]
fn absurd_figures_of_a_host_are_refused_by_name() {
    let most = v1::HostCapacity { memory_bytes: 1 << 60, ..capacity() };
    assert!(renewal(v1::RenewRequest { capacity: Some(most), ..renew() }).is_ok());
    let lies: [(&str, Lie<v1::HostCapacity>); 13] = [
        ("capacity.cpus", |c| c.cpus = 0),
        ("capacity.cpus", |c| c.cpus = u32::MAX),
        ("capacity.memory_used_bytes", |c| c.memory_used_bytes = 65),
        ("capacity.swap_used_bytes", |c| c.swap_used_bytes = 9),
        ("capacity.memory_bytes", |c| c.memory_bytes = (1 << 60) + 1),
        ("capacity.swap_bytes", |c| c.swap_bytes = u64::MAX),
        ("capacity.devices", |c| c.devices = vec![v1::GpuDevice { id: "GPU-a".into(), ..Default::default() }; 1025]),
        ("capacity.devices", |c| c.devices[1].id = "GPU-a".into()),
        ("capacity.devices.id", |c| c.devices[0].id.clear()),
        ("capacity.devices.id", |c| c.devices[0].id = "../x".into()),
        ("capacity.devices.name", |c| c.devices[0].name = "x".repeat(257)),
        ("capacity.devices.memory_bytes", |c| c.devices[0].memory_bytes = u64::MAX),
        ("capacity.devices.memory_used_bytes", |c| c.devices[0].memory_used_bytes = 81),
    ];
    for (field, lie) in lies {
        let mut seen = capacity();
        lie(&mut seen);
        let bad = renewal(v1::RenewRequest { capacity: Some(seen.clone()), ..renew() }).expect_err(field);
        assert!(bad.error.to_string().contains(&format!("`{field}`")), "{field}: {}", bad.error);
        assert!(bad.from.is_some(), "the worker to put aside is known");
        let register = v1::Register { capacity: Some(seen), ..register(&[TaskKind::AddPiece]) };
        assert_eq!(registration(register).expect_err(field), bad.error);
    }
}

#[test]
fn absurd_limits_are_refused_by_name() {
    let all = v1::WorkerLimits { cpus: 2, memory_bytes: 5, gpus: vec!["GPU-a".into()], no_gpus: false };
    let (_, _, event) = renewal(v1::RenewRequest { limits: Some(all.clone()), ..renew() }).expect("good");
    let Event::Renewed { limits: Some(seen), .. } = event else { panic!("{event:?}") };
    assert_eq!((seen.cpus, seen.memory_bytes, seen.gpus.map(|gpus| gpus.len())), (Some(2), Some(5), Some(1)));
    let none = v1::WorkerLimits { no_gpus: true, ..Default::default() };
    let seen = registration(v1::Register { limits: Some(none), ..register(&[TaskKind::AddPiece]) }).expect("good").0;
    assert_eq!((seen.limits.cpus, seen.limits.memory_bytes, seen.limits.gpus), (None, None, Some(vec![])));
    let twice = vec!["GPU-a".to_owned(); 2];
    for (field, lie) in [
        ("limits.cpus", v1::WorkerLimits { cpus: u32::MAX, ..all.clone() }),
        ("limits.memory_bytes", v1::WorkerLimits { memory_bytes: u64::MAX, ..all.clone() }),
        ("limits.gpus", v1::WorkerLimits { gpus: twice, ..all.clone() }),
        ("limits.gpus", v1::WorkerLimits { gpus: vec!["a b".into()], ..all.clone() }),
        ("limits.no_gpus", v1::WorkerLimits { no_gpus: true, ..all }),
    ] {
        let bad = renewal(v1::RenewRequest { limits: Some(lie), ..renew() }).expect_err(field);
        assert!(bad.error.to_string().contains(&format!("`{field}`")), "{field}: {}", bad.error);
    }
}

#[test]
fn absurd_rows_of_the_resource_table_are_refused_by_name() {
    let row = |change: Lie<v1::ResourceRow>| {
        let mut row = v1::ResourceRow { task: 1, sector_size: 2048, gpu_utilization: 0.5, ..Default::default() };
        change(&mut row);
        registration(v1::Register { resources: vec![row], ..register(&[TaskKind::AddPiece]) })
    };
    assert!(row(|_| ()).is_ok() && row(|r| r.max_parallelism = -1).is_ok());
    let lies: [(&str, Lie<v1::ResourceRow>); 7] = [
        ("resources.gpu_utilization", |r| r.gpu_utilization = f64::NAN),
        ("resources.gpu_utilization", |r| r.gpu_utilization = -0.5),
        ("resources.gpu_utilization", |r| r.gpu_utilization = f64::INFINITY),
        ("resources.max_parallelism", |r| r.max_parallelism = -2),
        ("resources.max_parallelism_gpu", |r| r.max_parallelism_gpu = i32::MIN),
        ("resources.min_memory_bytes", |r| r.min_memory_bytes = u64::MAX),
        ("resources.base_min_memory_bytes", |r| r.base_min_memory_bytes = u64::MAX),
    ];
    for (field, lie) in lies {
        let error = row(lie).expect_err(field).to_string();
        assert!(error.contains(&format!("`{field}`")), "{field}: {error}");
    }
}
