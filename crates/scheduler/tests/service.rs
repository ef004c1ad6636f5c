//! The whole service with everything around it faked: a sector goes its way, refusals have codes, a restart forgets nothing.

#![allow(clippy::unwrap_used)]

mod cluster;

use std::sync::Arc;

use cluster::{FakeIndex, FakeVerifier, FakeWorker, Running, kind, kinds, register};
use sp_net::Env;
use sp_net::status::code_of;
use sp_proto::v1::task_done::Output;
use sp_proto::v1::{self, assign::Params, worker_command};
use sp_state::Memory;
use sp_types::{ErrorCode, FileKind};
use std::sync::atomic::Ordering;

async fn cluster() -> (Env, Memory, Arc<FakeVerifier>, FakeIndex, std::net::SocketAddr, Running) {
    let (env, state, verifier) = (Env::real(), Memory::new(), Arc::new(FakeVerifier::default()));
    let (index, address) = FakeIndex::start(&env).await;
    let mut scheduler = Running::start(&env, &state, verifier.clone(), address).await;
    scheduler.index_connected(&env).await;
    (env, state, verifier, index, address, scheduler)
}

fn pieces() -> Vec<v1::Piece> {
    vec![v1::Piece { padded_bytes: 2048, commitment: vec![1; 32] }]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sector_is_sealed_verified_and_proven() {
    let (env, _, verifier, index, _, mut scheduler) = cluster().await;
    let mut worker = FakeWorker::connect(&env, scheduler.address, register("run-1")).await;
    let registered = worker.registered().await;
    assert_eq!((registered.lease_ms, registered.keep.len()), (15_000, 0));
    let sectors = scheduler
        .operators
        .pledge_sectors(v1::PledgeSectorsRequest { count: 1, priority: None })
        .await
        .unwrap()
        .into_inner()
        .sectors;
    let number = sectors[0];

    let mut seen = Vec::new();
    loop {
        let assign = worker.assigned().await;
        seen.push(assign.task);
        let output = match assign.params.as_ref().unwrap() {
            Params::AddPiece(params) => {
                assert_eq!((params.data_bytes, params.padded_bytes), (0, 2048));
                assert_eq!(kinds(&assign.outputs), [kind(FileKind::Unsealed)]);
                Output::AddPiece(v1::AddPieceOutput { pieces: pieces(), comm_d: vec![2; 32] })
            }
            Params::PreCommit1(params) => {
                assert_eq!((params.pieces.len(), params.ticket.len()), (1, 32));
                Output::PreCommit1(v1::PreCommit1Output { phase1: vec![9], comm_d: vec![2; 32] })
            }
            Params::PreCommit2(_) => {
                Output::PreCommit2(v1::PreCommit2Output { comm_r: vec![3; 32], comm_d: vec![2; 32] })
            }
            Params::Commit2(_) => Output::Proof(v1::ProofOutput { proof: vec![7; 192], self_verified: false }),
            _ => Output::None(v1::NoOutput {}),
        };
        worker.finish(&index, &assign, output).await;
        if assign.task == v1::TaskKind::Finalize as i32 {
            break;
        }
    }
    let status = scheduler.state(&env, number, "Proving").await;
    assert_eq!((status.proof.len(), verifier.asked.load(Ordering::SeqCst)), (192, 1));
    assert!(status.log.len() >= 6, "{:?}", status.log);
    assert_eq!(seen.len(), 6, "AP PC1 PC2 C1 C2 FIN, once each: {seen:?}");
    let fenced = |m: &v1::IndexSchedulerMessage| matches!(m.body, Some(v1::index_scheduler_message::Body::Fence(_)));
    assert!(index.heard.lock().unwrap().iter().any(fenced), "what has ended is fenced at the index");
    let proof = scheduler.operators.sector_proof(v1::SectorProofRequest { number }).await.unwrap().into_inner();
    assert_eq!((proof.proof_type.as_str(), proof.comm_r), ("StackedDrg2KiBV1_1", vec![3; 32]));
    let deadlines = scheduler.operators.list_deadlines(v1::ListDeadlinesRequest { all: false }).await.unwrap();
    assert_eq!(deadlines.into_inner().deadlines[0].sectors, 1);
    let found = scheduler.operators.find_storage(v1::FindStorageRequest { sector: number }).await.unwrap();
    assert!(found.into_inner().replicas.iter().any(|r| r.store.is_some()));
    let ask = v1::ListHistoryRequest { sector: Some(number), worker: "one".into(), ..Default::default() };
    let history = scheduler.operators.list_history(ask).await.unwrap().into_inner().attempts;
    let newest = &history[0];
    assert_eq!((history.len(), newest.task, newest.result.as_str()), (6, v1::TaskKind::Finalize as i32, "done"));
    assert!(history.iter().all(|a| a.started_unix_ms >= a.queued_unix_ms && a.worker_id == "worker-1"), "{history:?}");
    let workers = scheduler.operators.list_workers(v1::ListWorkersRequest {}).await.unwrap().into_inner().workers;
    assert!(workers[0].connected && workers[0].class == "Seal");
    scheduler.stop(&env).await;
}

/// What a worker makes of an assignment.
fn made(assign: &v1::Assign) -> Output {
    match assign.params.as_ref().unwrap() {
        Params::AddPiece(_) => Output::AddPiece(v1::AddPieceOutput { pieces: pieces(), comm_d: vec![2; 32] }),
        Params::PreCommit1(_) => Output::PreCommit1(v1::PreCommit1Output { phase1: vec![9], comm_d: vec![2; 32] }),
        Params::PreCommit2(_) => Output::PreCommit2(v1::PreCommit2Output { comm_r: vec![3; 32], comm_d: vec![2; 32] }),
        Params::ReplicaUpdate(_) => {
            Output::ReplicaUpdate(v1::ReplicaUpdateOutput { comm_r: vec![4; 32], comm_d: vec![2; 32] })
        }
        Params::Commit2(_) | Params::ProveReplicaUpdate2(_) => {
            Output::Proof(v1::ProofOutput { proof: vec![7; 192], self_verified: false })
        }
        _ => Output::None(v1::NoOutput {}),
    }
}

/// Does everything that is asked for, until a task of this kind is done.
async fn work_until(worker: &mut FakeWorker, index: &FakeIndex, last: v1::TaskKind) -> Vec<v1::Assign> {
    let mut done = Vec::new();
    loop {
        let assign = worker.assigned().await;
        worker.finish(index, &assign, made(&assign)).await;
        done.push(assign);
        if done.last().is_some_and(|assign| assign.task == last as i32) {
            return done;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sector_is_updated_repaired_and_removed() {
    let (env, _, verifier, index, _, mut scheduler) = cluster().await;
    let mut worker = FakeWorker::connect(&env, scheduler.address, register("run-1")).await;
    worker.registered().await;
    let pledge = v1::PledgeSectorsRequest { count: 1, priority: Some(5) };
    let number = scheduler.operators.pledge_sectors(pledge).await.unwrap().into_inner().sectors[0];
    work_until(&mut worker, &index, v1::TaskKind::Finalize).await;
    let status = scheduler.state(&env, number, "Proving").await;
    assert_eq!(status.summary.map(|s| (s.priority, s.proven, s.updated)), Some((5, true, false)));

    let operators = &mut scheduler.operators;
    let status = operators.update_proof(v1::UpdateProofRequest { number }).await.expect_err("none yet");
    assert_eq!(code_of(&status), Some(ErrorCode::WrongState));
    let snap = v1::SnapSectorRequest {
        number,
        data_bytes: 2000,
        data_digest: vec![6; 32],
        name: "dog.jpg".into(),
        priority: None,
        pieces: vec![],
    };
    let status = operators.snap_sector(snap.clone()).await.expect_err("not Available");
    assert!(status.message().contains("mark-for-update"), "{status:?}");
    let reply = operators.mark_for_update(v1::MarkForUpdateRequest { number }).await.unwrap().into_inner();
    assert_eq!(reply.state, "Available");
    assert_eq!(operators.snap_sector(snap.clone()).await.unwrap().into_inner().state, "SnapDealsAddPiece");
    let back = operators.abort_upgrade(v1::AbortUpgradeRequest { number }).await.unwrap().into_inner();
    assert_eq!(back.state, "Proving");
    operators.mark_for_update(v1::MarkForUpdateRequest { number }).await.unwrap();
    operators.snap_sector(snap).await.unwrap();
    let done = work_until(&mut worker, &index, v1::TaskKind::FinalizeReplicaUpdate).await;
    let update = done.iter().find_map(|assign| match assign.params.as_ref() {
        Some(Params::ProveReplicaUpdate2(params)) => Some(params.clone()),
        _ => None,
    });
    let params = update.expect("PR2 ran");
    assert_eq!((params.comm_r_old, params.comm_r_new), (vec![3; 32], vec![4; 32]));
    let status = scheduler.state(&env, number, "Proving").await;
    assert_eq!(verifier.asked.load(Ordering::SeqCst), 2, "the seal proof and the update proof");
    assert_eq!(status.update.map(|u| (u.piece_name, u.accepted_unix_ms.is_some())), Some(("dog.jpg".into(), true)));
    let summary = status.summary.unwrap();
    assert_eq!((summary.updated, summary.comm_r, summary.data_bytes), (true, vec![4; 32], 2000));
    let operators = &mut scheduler.operators;
    let proof = operators.update_proof(v1::UpdateProofRequest { number }).await.unwrap().into_inner();
    assert_eq!((proof.update_proof_type.as_str(), proof.proof.len()), ("StackedDrg2KiBV1", 192));
    let key = operators.regen_sector_key(v1::RegenSectorKeyRequest { number }).await.unwrap().into_inner();
    assert!(key.ready);

    let force = |state: &str| v1::UpdateSectorStateRequest { number, state: state.into() };
    let status = operators.update_sector_state(force("Sealed")).await.expect_err("unknown");
    assert_eq!(code_of(&status), Some(ErrorCode::BadRequest));
    let forced = operators.update_sector_state(force("FailedUnrecoverable")).await.unwrap().into_inner();
    assert_eq!(forced.state, "FailedUnrecoverable");
    let status = operators.sector_status(v1::SectorStatusRequest { number, log: true }).await.unwrap().into_inner();
    assert!(status.summary.is_some_and(|s| s.stopped && s.waiting.contains("sectors retry")));
    assert!(status.log.iter().any(|e| e.message == "forced by an operator"));
    operators.update_sector_state(force("Proving")).await.unwrap();
    let status = operators.retry_sector(v1::RetrySectorRequest { number }).await.expect_err("nothing to retry");
    assert_eq!(code_of(&status), Some(ErrorCode::WrongState));
    let removing = operators.remove_sector(v1::RemoveSectorRequest { number }).await.unwrap().into_inner();
    assert_eq!(removing.state, "Removing");
    scheduler.state(&env, number, "Removed").await;
    let deletes = |m: &v1::IndexSchedulerMessage| matches!(&m.body, Some(v1::index_scheduler_message::Body::Delete(_)));
    assert!(index.heard.lock().unwrap().iter().filter(|m| deletes(m)).count() >= 5, "every replica by its name");
    scheduler.stop(&env).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_keeps_rows_and_attempts() {
    let (env, state, verifier, index, address, mut scheduler) = cluster().await;
    let mut worker = FakeWorker::connect(&env, scheduler.address, register("run-1")).await;
    worker.registered().await;
    scheduler.operators.pledge_sectors(v1::PledgeSectorsRequest { count: 1, priority: None }).await.unwrap();
    let first = worker.assigned().await;
    worker.finish(&index, &first, Output::AddPiece(v1::AddPieceOutput { pieces: pieces(), comm_d: vec![2; 32] })).await;
    let second = worker.assigned().await;
    assert_eq!(second.task, v1::TaskKind::PreCommit1 as i32);
    scheduler.stop(&env).await;

    let mut scheduler = Running::start(&env, &state, verifier, address).await;
    scheduler.index_connected(&env).await;
    let again = v1::Register { held: vec![second.attempt.unwrap()], ..register("run-1") };
    let mut worker = FakeWorker::connect(&env, scheduler.address, again).await;
    assert_eq!(
        worker.registered().await.keep,
        [second.attempt.unwrap()],
        "a restart of the scheduler costs no attempt"
    );
    let output = v1::PreCommit1Output { phase1: vec![9], comm_d: vec![2; 32] };
    worker.finish(&index, &second, Output::PreCommit1(output)).await;
    assert_eq!(worker.assigned().await.task, v1::TaskKind::PreCommit2 as i32);
    let status = scheduler.state(&env, 0, "PreCommit2").await;
    assert_eq!(status.summary.unwrap().failures, 0);
    let history = scheduler.operators.list_history(v1::ListHistoryRequest::default()).await.unwrap().into_inner();
    let kinds: Vec<i32> = history.attempts.iter().map(|a| a.task).collect();
    assert_eq!(kinds, [v1::TaskKind::PreCommit1 as i32, v1::TaskKind::AddPiece as i32], "also from before the restart");
    scheduler.stop(&env).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_belong_is_refused_and_a_newer_session_wins() {
    let (env, _, _, _, _, mut scheduler) = cluster().await;
    let wrong = [
        (v1::Register { cluster: "other".into(), ..register("s") }, ErrorCode::WrongCluster),
        (v1::Register { seal_proofs: vec![6, 99], ..register("s") }, ErrorCode::WrongCluster),
        (v1::Register { protocol_minor: 99, ..register("s") }, ErrorCode::WrongProtocol),
        (v1::Register { tasks: vec![17, 3], ..register("s") }, ErrorCode::BadRequest),
        (v1::Register { tasks: vec![99], ..register("s") }, ErrorCode::BadRequest),
        (v1::Register { worker_id: "../x".into(), ..register("s") }, ErrorCode::BadRequest),
    ];
    for (message, code) in wrong {
        let mut worker = FakeWorker::connect(&env, scheduler.address, message).await;
        let status = worker.next().await.expect_err("refused");
        assert_eq!(code_of(&status), Some(code), "{status:?}");
    }
    assert!(scheduler.operators.list_workers(v1::ListWorkersRequest {}).await.unwrap().into_inner().workers.is_empty());

    let mut old = FakeWorker::connect(&env, scheduler.address, register("run-1")).await;
    old.registered().await;
    let mut new = FakeWorker::connect(&env, scheduler.address, register("run-2")).await;
    new.registered().await;
    assert!(old.next().await.is_err(), "the older session is told and ended");
    let renew = |session: &str| v1::RenewRequest {
        worker_id: "worker-1".into(),
        session_id: session.into(),
        ..Default::default()
    };
    assert!(!new.client.renew(renew("run-1")).await.unwrap().into_inner().known);
    assert!(new.client.renew(renew("run-2")).await.unwrap().into_inner().known);
    scheduler.stop(&env).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn live_figures_are_shown_and_a_worker_that_lies_is_put_aside_with_the_reason() {
    let (env, _, _, _, _, mut scheduler) = cluster().await;
    let mut worker = FakeWorker::connect(&env, scheduler.address, register("s")).await;
    worker.registered().await;
    let renew = |session_id: &str, capacity, limits| v1::RenewRequest {
        worker_id: "worker-1".into(),
        session_id: session_id.into(),
        capacity: Some(capacity),
        limits: Some(limits),
        ..Default::default()
    };
    let gpu = v1::GpuDevice { id: "GPU-1".into(), name: "card".into(), memory_bytes: 9, ..Default::default() };
    let now = v1::HostCapacity { memory_bytes: 1 << 30, memory_used_bytes: 5, cpus: 3, ..Default::default() };
    let now = v1::HostCapacity { devices: vec![gpu], ..now };
    let limits = v1::WorkerLimits { cpus: 2, ..Default::default() };
    assert!(worker.client.renew(renew("s", now.clone(), limits.clone())).await.unwrap().into_inner().known);
    let list = v1::ListWorkersRequest {};
    let seen = scheduler.operators.list_workers(list).await.unwrap().into_inner().workers.remove(0);
    assert_eq!((seen.capacity, seen.limits, seen.connected), (Some(now.clone()), Some(limits.clone()), true));

    let lie = v1::HostCapacity { memory_used_bytes: u64::MAX, ..now.clone() };
    let status = worker.client.renew(renew("another-run", lie.clone(), limits.clone())).await.expect_err("refused");
    assert_eq!(code_of(&status), Some(ErrorCode::BadRequest));
    let status = worker.client.renew(renew("s", lie, limits.clone())).await.expect_err("refused");
    assert!(code_of(&status) == Some(ErrorCode::BadRequest) && status.message().contains("capacity.memory_used_bytes"));
    let ended = worker.next().await.expect_err("its session is ended with the reason");
    assert_eq!((code_of(&ended), ended.message()), (code_of(&status), status.message()));
    let seen = scheduler.operators.list_workers(list).await.unwrap().into_inner().workers.remove(0);
    assert!(!seen.connected && seen.disabled_reason.contains("SP-BAD-REQUEST: field `capacity.memory_used_bytes`"));
    assert_eq!((seen.capacity, seen.limits), (Some(now), Some(limits)), "nothing of the lie is believed");
    scheduler.stop(&env).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_make_no_sense_change_nothing() {
    let (env, _, _, _, _, mut scheduler) = cluster().await;
    let operators = &mut scheduler.operators;
    let number = 77;
    let refused = [
        operators.sector_status(v1::SectorStatusRequest { number, log: false }).await.err(),
        operators.sector_proof(v1::SectorProofRequest { number }).await.err(),
        operators.unseal_sector(v1::UnsealSectorRequest { number }).await.err(),
        operators.get_piece(v1::GetPieceRequest { number, piece: vec![] }).await.err(),
        operators.get_upload(v1::GetUploadRequest { sector: number }).await.err(),
        operators.find_storage(v1::FindStorageRequest { sector: number }).await.err(),
    ];
    for status in refused {
        assert_eq!(code_of(&status.expect("refused")), Some(ErrorCode::UnknownSector));
    }
    let add = |data_bytes, digest: Vec<u8>| v1::AddPieceRequest {
        data_bytes,
        data_digest: digest,
        name: "f".into(),
        priority: None,
        pieces: vec![],
    };
    let split = |sizes: &[u64]| {
        let piece = |bytes: &u64| v1::DataPiece { data_bytes: *bytes, data_digest: vec![1; 32], name: "p".into() };
        v1::AddPieceRequest { pieces: sizes.iter().map(piece).collect(), ..add(1500, vec![0; 32]) }
    };
    let cases = [
        (add(0, vec![0; 32]), ErrorCode::EmptyPiece),
        (add(2033, vec![0; 32]), ErrorCode::PieceTooLarge),
        (add(100, vec![0; 31]), ErrorCode::BadRequest),
        (split(&[500, 999]), ErrorCode::BadRequest),
        (split(&[1500, 0]), ErrorCode::EmptyPiece),
        (split(&[400, 600, 500]), ErrorCode::PieceTooLarge),
    ];
    for (request, code) in cases {
        let status = operators.add_piece(request).await.expect_err("refused");
        assert_eq!(code_of(&status), Some(code), "{status:?}");
    }
    let status = operators.get_deadline(v1::GetDeadlineRequest { index: 48 }).await.expect_err("refused");
    assert_eq!(code_of(&status), Some(ErrorCode::BadRequest));
    let request = v1::AttachStorageRequest {
        worker: "nobody".into(),
        attach: Some(v1::AttachStore { path: "/p".into(), ..Default::default() }),
    };
    let status = operators.attach_storage(request).await.expect_err("refused");
    assert_eq!(code_of(&status), Some(ErrorCode::NotFound));
    assert!(operators.list_sectors(v1::ListSectorsRequest {}).await.unwrap().into_inner().sectors.is_empty());
    scheduler.stop(&env).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_sectors_that_nobody_knows_are_counted_and_found() {
    let (env, _, _, index, _, mut scheduler) = cluster().await;
    let foreign = v1::Replica {
        miner: 1000,
        sector: 300,
        kind: kind(FileKind::Sealed),
        store: cluster::STORE.into(),
        root: vec![7; 32],
        size_bytes: 2048,
        primary: true,
        origin: 0,
        soundness: 0,
    };
    index.declare(foreign.clone());
    let operators = &mut scheduler.operators;
    let mut counts = vec![];
    for _ in 0..400 {
        counts = operators.list_storage(v1::ListStorageRequest {}).await.unwrap().into_inner().counts;
        if !counts.is_empty() {
            break;
        }
        env.clock.sleep(std::time::Duration::from_millis(25)).await;
    }
    let expected = v1::ReplicaCount { store: cluster::STORE.into(), kind: kind(FileKind::Sealed), count: 1 };
    assert_eq!(counts, [expected]);
    let found = operators.find_storage(v1::FindStorageRequest { sector: 300 }).await.unwrap().into_inner().replicas;
    assert_eq!(found[0].replica.as_ref(), Some(&foreign));
    scheduler.stop(&env).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn attaching_goes_over_the_workers_stream() {
    let (env, _, _, _, _, scheduler) = cluster().await;
    let mut worker = FakeWorker::connect(&env, scheduler.address, register("run-1")).await;
    worker.registered().await;
    let request = v1::AttachStorageRequest {
        worker: "one".into(),
        attach: Some(v1::AttachStore { path: "/p".into(), seal: true, ..Default::default() }),
    };
    let answer = async {
        let Some(worker_command::Body::AttachStore(attach)) = worker.next().await.unwrap() else { panic!("attach") };
        assert_eq!(attach.path, "/p");
        let outcome = Some(v1::attach_reply::Outcome::Store("store-2".into()));
        let reply = v1::AttachReply { request: attach.request, outcome };
        let body = Some(v1::worker_message::Body::AttachReply(reply));
        worker.messages.send(v1::WorkerMessage { body }).await.unwrap();
    };
    let mut operators = scheduler.operators.clone();
    let (reply, ()) = tokio::join!(operators.attach_storage(request), answer);
    assert_eq!(reply.unwrap().into_inner().store, "store-2");
    scheduler.stop(&env).await;
}
