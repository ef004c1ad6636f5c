//! Sealing from pledge to Proving over two workers, without and with trouble.

use sp_sched_core::data::{PieceData, SectorData};
use sp_sched_core::effect::Reply;
use sp_sched_core::event::{Event, Failure, Request, TaskResult};
use sp_sched_core::model::UnixMs;
use sp_sched_core::view::UploadView;
use sp_types::{ErrorCode, FileKind, SectorState, TaskKind, WorkerId};

use crate::world::{Role, World};

const ALWAYS: [TaskKind; 2] = [TaskKind::Commit1, TaskKind::Finalize];

fn two_workers(world: &mut World) -> (WorkerId, WorkerId) {
    let with = |kinds: &[TaskKind]| Role::Sealing(kinds.iter().chain(&ALWAYS).copied().collect());
    let first = with(&[TaskKind::AddPiece, TaskKind::PreCommit1, TaskKind::Unseal]);
    let second = with(&[TaskKind::PreCommit2, TaskKind::Commit2]);
    (world.add_worker("w1", first, |_| {}), world.add_worker("w2", second, |_| {}))
}

fn piece() -> Request {
    Request::AddPiece {
        data: SectorData::one(PieceData { data_bytes: 2000, digest: [9; 32], name: "cat.jpg".to_owned() }),
        priority: None,
    }
}

fn three_sectors(world: &mut World) {
    assert_eq!(world.answer(Request::Pledge { count: 2, priority: None }), Reply::Sectors(vec![0, 1]));
    assert_eq!(world.answer(piece()), Reply::Sectors(vec![2]));
    assert!(world.run_until(600_000, |w| w.all_proving(3)), "{}", world.describe());
    world.run_for(70_000);
}

const PATH: [&str; 8] = [
    "Packing -> PreCommit1",
    "PreCommit1 -> PreCommit2",
    "PreCommit2 -> WaitSeed",
    "WaitSeed -> Committing1",
    "Committing1 -> Committing2",
    "Committing2 -> FinalizeSector",
    "FinalizeSector -> Proving",
    "C2 accepted",
];

#[test]
fn three_sectors_reach_proving_and_every_phase_runs_once() {
    let mut world = World::new(1);
    two_workers(&mut world);
    three_sectors(&mut world);
    for sector in 0..3 {
        for edge in PATH {
            assert_eq!(world.edges(sector, edge), 1, "{sector} {edge}");
        }
    }
    let runs = world.workers.values().flat_map(|w| &w.computed);
    assert!(runs.clone().all(|(_, times)| *times == 1));
    assert_eq!(runs.count(), 3 * 6);
    assert!(world.index.holds_nothing(), "{:?} {:?}", world.index.reservations, world.index.locks);
    assert!(world.database.tasks.is_empty());
    assert!(world.workers.values().all(|w| w.attempts.is_empty() && w.results.is_empty()));
    // Two sectors fill a partition of this size.
    let deadlines = world.core().deadlines();
    let sizes: Vec<usize> = deadlines.values().flatten().map(Vec::len).collect();
    assert_eq!((deadlines.len(), sizes), (1, vec![2, 1]));
}

#[test]
fn what_is_no_longer_needed_is_deleted_and_nothing_else() {
    let mut world = World::new(2);
    let (_, w2) = two_workers(&mut world);
    three_sectors(&mut world);
    let kinds = |sector| world.index.of_sector(sector).into_iter().map(|(kind, _)| kind).collect::<Vec<_>>();
    assert_eq!(kinds(0), [FileKind::Sealed, FileKind::Cache], "a CC sector keeps no unsealed copy");
    assert_eq!(kinds(2), [FileKind::Unsealed, FileKind::Sealed, FileKind::Cache]);
    let on_second = world.index.replicas.keys().filter(|r| r.store == World::store_of(&w2)).count();
    assert_eq!((on_second, world.index.replicas.len()), (6, 7), "PC2 fetched, so the sectors lie where PC2 ran");
    for sector in world.core().sectors() {
        let files: Vec<_> = sector.files.iter().map(|f| (f.kind, f.root)).collect();
        assert_eq!(files, world.index.of_sector(sector.number).into_iter().collect::<Vec<_>>());
    }
}

#[test]
fn a_piece_is_uploaded_to_the_worker_that_waits_for_it() {
    let mut world = World::new(3);
    world.run_for(1_000);
    assert_eq!(world.answer(piece()), Reply::Sectors(vec![0]));
    let Some(UploadView::NotYet { detail }) = world.core().upload(0) else { panic!("nobody can take it") };
    assert!(detail.contains("no sealing worker has registered"), "{detail}");
    let (w1, _) = two_workers(&mut world);
    world.workers.get_mut(&w1).unwrap().compute_ms = 60_000;
    assert!(world.run_until(10_000, |w| matches!(w.core().upload(0), Some(UploadView::Here { .. }))));
    let Some(UploadView::Here { data_url, ticket }) = world.core().upload(0) else { unreachable!() };
    assert_eq!((data_url.as_str(), ticket.len()), ("http://w1", 32));
    assert!(world.run_until(600_000, |w| w.all_proving(1)), "{}", world.describe());
    assert_eq!(world.core().upload(0), Some(UploadView::Accepted));
    assert_eq!(world.core().upload(9), None);
}

#[test]
fn unseal_runs_once_and_release_makes_it_run_again() {
    let mut world = World::new(4);
    let (w1, _) = two_workers(&mut world);
    three_sectors(&mut world);
    let Reply::Failed { code, message } = world.answer(Request::Unseal { sector: 0 }) else { panic!("a CC sector") };
    assert_eq!((code, message.contains("CC sector")), (ErrorCode::WrongState, true), "{message}");
    assert_eq!(world.edges(0, "UNS asked for"), 0);
    assert_eq!(world.answer(Request::Unseal { sector: 2 }), Reply::Unsealing { ready: true });
    assert_eq!(world.answer(Request::ReleaseUnsealed { sector: 2 }), Reply::Released { replicas: 1 });
    assert_eq!(world.answer(Request::Unseal { sector: 2 }), Reply::Unsealing { ready: false });
    assert_eq!(world.answer(Request::Unseal { sector: 2 }), Reply::Unsealing { ready: false });
    assert!(world.run_until(60_000, |w| w.core().unsealed(2).is_some()), "{}", world.describe());
    assert_eq!(world.workers[&w1].computed[&(TaskKind::Unseal, 2)], 1);
    world.run_for(100_000);
    assert!(world.core().unsealed(2).is_some(), "nobody deletes it afterwards");
    assert_eq!(world.answer(Request::Unseal { sector: 2 }), Reply::Unsealing { ready: true });
}

#[test]
fn bad_requests_change_nothing() {
    let mut world = World::new(5);
    two_workers(&mut world);
    world.answer(Request::Pledge { count: 1, priority: None });
    let before = world.database.clone();
    let randomness = sp_types::Randomness::new([1; 32]);
    let add = |data_bytes| Request::AddPiece {
        data: SectorData::one(PieceData { data_bytes, digest: [0; 32], name: "f".to_owned() }),
        priority: None,
    };
    let abort = |id: &str| Request::Abort { id: id.to_owned(), reason: String::new() };
    let deadline = |n| sp_types::DeadlineIndex(n);
    for (request, code, text) in [
        (Request::Pledge { count: 0, priority: None }, ErrorCode::BadRequest, "1 to 1000"),
        (add(0), ErrorCode::EmptyPiece, "empty"),
        (add(2033), ErrorCode::PieceTooLarge, "2033 bytes, a 2KiB sector holds 2032"),
        (Request::Unseal { sector: 9 }, ErrorCode::UnknownSector, "no sector 9"),
        (Request::Unseal { sector: 0 }, ErrorCode::WrongState, "wait until it is Proving"),
        (Request::ReleaseUnsealed { sector: 0 }, ErrorCode::WrongState, "Proving"),
        (abort("7.1"), ErrorCode::NotFound, "no job 7.1"),
        (abort("x"), ErrorCode::BadRequest, "no job id"),
        (Request::ComputeWindowPost { deadline: deadline(48), randomness }, ErrorCode::BadRequest, "0 to 47"),
        (Request::ComputeWindowPost { deadline: deadline(1), randomness }, ErrorCode::NotFound, "deadline 1"),
        (Request::ComputeWinningPost { randomness, pick: 1 }, ErrorCode::NotFound, "seal one first"),
    ] {
        let Reply::Failed { code: got, message } = world.answer(request.clone()) else { panic!("{request:?}") };
        assert_eq!(got, code, "{request:?}: {message}");
        assert!(message.contains(text), "{request:?}: {message}");
    }
    assert_eq!(world.database.counters.next_sector, before.counters.next_sector);
    assert_eq!(world.database.sectors.len(), 1);
}

#[test]
fn a_result_from_somebody_else_changes_nothing() {
    let mut world = World::new(15);
    let (w1, w2) = two_workers(&mut world);
    world.workers.get_mut(&w1).unwrap().compute_ms = 30_000;
    world.answer(Request::Pledge { count: 1, priority: None });
    assert!(world.run_until(10_000, |w| !w.workers[&w1].attempts.is_empty()));
    let before = world.database.clone();
    let attempt = *world.workers[&w1].attempts.keys().next().unwrap();
    let outcome = Err(Failure { code: ErrorCode::Internal, message: "not mine".to_owned() });
    let result =
        TaskResult { attempt, task: TaskKind::AddPiece, outcome, fetch_ms: 0, compute_ms: 0, peak_memory_bytes: 0 };
    world.tell(Event::Result { worker: w2, result: Box::new(result) });
    world.run_for(100);
    assert!(world.database == before, "law L14");
}

#[test]
fn a_wrong_seal_proof_changes_nothing_and_the_other_worker_is_preferred() {
    let mut world = World::new(6);
    two_workers(&mut world);
    world.workers.get_mut(&WorkerId::new("w2").unwrap()).unwrap().lies = true;
    world.answer(Request::Pledge { count: 1, priority: None });
    let refused =
        |w: &World| w.core().sector(0).is_some_and(|s| s.last_error.contains("proof refused by the verifier"));
    assert!(world.run_until(600_000, refused), "{}", world.describe());
    assert!(world.database.sectors[&0].proof.is_empty());
    world.add_worker("w3", Role::Sealing(vec![TaskKind::Commit2]), |_| {});
    assert!(world.run_until(600_000, |w| w.all_proving(1)), "{}", world.describe());
    assert_eq!(world.edges(0, "C2 accepted"), 1);
}

#[test]
fn a_worker_that_always_lies_fails_its_sector_in_the_end() {
    let mut world = World::new(7);
    two_workers(&mut world);
    world.workers.get_mut(&WorkerId::new("w2").unwrap()).unwrap().lies = true;
    world.answer(Request::Pledge { count: 1, priority: None });
    assert!(world.run_until(4_000_000, |w| w.state(0) == SectorState::FailedUnrecoverable), "{}", world.describe());
    let sector = &world.database.sectors[&0];
    assert!(sector.proof.is_empty() && sector.last_error.contains("w2: proof refused by the verifier"));
    assert_eq!(sector.log.iter().filter(|e| e.event == "C2 failed").count(), 8);
    assert!(world.database.tasks.is_empty());
}

#[test]
fn an_orphan_is_waited_for_and_its_late_result_still_counts() {
    let mut world = World::new(8);
    let (w1, _) = two_workers(&mut world);
    world.workers.get_mut(&w1).unwrap().compute_ms = 50_000;
    world.answer(Request::Pledge { count: 1, priority: None });
    assert!(world.run_until(10_000, |w| !w.workers[&w1].attempts.is_empty()));
    world.cut_off(&w1, true);
    world.run_for(20_000);
    let jobs = world.core().jobs(UnixMs(world.now));
    assert_eq!(jobs[0].state, "orphaned", "{jobs:?}");
    assert!(jobs[0].detail.contains("goes elsewhere in"), "{jobs:?}");
    world.run_for(90_000);
    let jobs = world.core().jobs(UnixMs(world.now));
    assert_eq!(jobs.iter().map(|j| j.state).collect::<Vec<_>>(), ["orphaned", "queued"]);
    assert!(jobs[1].reasons.iter().any(|r| r.starts_with("w1: lease lost")), "{jobs:?}");
    assert!(jobs[1].reasons.iter().any(|r| r == "w2: does not take AP"), "{jobs:?}");
    world.cut_off(&w1, false);
    assert!(world.run_until(1_000, |w| w.state(0) != SectorState::Packing), "{}", world.describe());
    assert_eq!(world.workers[&w1].computed[&(TaskKind::AddPiece, 0)], 1);
}

#[test]
fn a_restarted_worker_without_its_attempt_gets_a_new_one_at_once_and_is_not_blamed() {
    let mut world = World::new(9);
    let (w1, _) = two_workers(&mut world);
    world.faults.forgets = 100;
    world.workers.get_mut(&w1).unwrap().compute_ms = 20_000;
    world.answer(Request::Pledge { count: 1, priority: None });
    assert!(world.run_until(10_000, |w| !w.workers[&w1].attempts.is_empty()));
    world.kill_worker(&w1);
    world.run_for(3_000);
    world.start_worker(&w1);
    assert!(world.run_until(1_000, |w| !w.workers[&w1].attempts.is_empty()), "{}", world.describe());
    let task = world.database.tasks.values().next().unwrap();
    assert_eq!((task.failures, task.last_number, task.attempts.len()), (0, 2, 1));
    assert_eq!(world.edges(0, "AP lost"), 1);
}

#[test]
fn the_host_s_other_workers_share_its_cores() {
    let mut world = World::new(10);
    let all = || Role::Sealing(vec![TaskKind::AddPiece]);
    for name in ["a", "b"] {
        world.add_worker(name, all(), |w| {
            w.host = "same".to_owned();
            w.cpus = 2;
            w.compute_ms = 100_000;
        });
    }
    world.answer(Request::Pledge { count: 4, priority: None });
    world.run_for(1_000);
    let jobs = world.core().jobs(UnixMs(world.now));
    assert_eq!(jobs.iter().filter(|j| j.attempt.is_some()).count(), 2, "{jobs:?}");
    let waiting = jobs.iter().find(|j| j.attempt.is_none()).unwrap();
    assert_eq!((waiting.state, waiting.detail.as_str()), ("assigned(1)", "its host needs 1 core, 0 of 2 free"));
    let explained = world.core().explain(waiting.task_id, UnixMs(world.now)).unwrap();
    let reasons: Vec<&str> = explained.verdicts.iter().map(|v| v.reason.as_str()).collect();
    assert!(reasons.iter().all(|r| r.ends_with("needs 1 core, 0 of 2 free")), "{reasons:?}");
    assert_eq!(explained.verdicts[0].users.len(), 2, "who uses it is named");
}

#[test]
fn the_index_away_stops_placements_and_says_so() {
    let mut world = World::new(11);
    two_workers(&mut world);
    world.run_for(1_000);
    world.lose_index(30_000);
    world.run_for(100);
    world.answer(Request::Pledge { count: 1, priority: None });
    world.run_for(1_000);
    assert_eq!(world.core().waiting_for(0, UnixMs(world.now)), "AP queued (index away: new sealing placements wait)");
    assert!(world.run_until(600_000, |w| w.all_proving(1)), "{}", world.describe());
}

#[test]
fn a_full_store_is_named() {
    let mut world = World::new(12);
    let (w1, _) = two_workers(&mut world);
    world.workers.get_mut(&w1).unwrap().space_bytes = 4096;
    world.tell_store(&w1);
    world.answer(Request::Pledge { count: 1, priority: None });
    assert!(world.run_until(60_000, |w| w.state(0) == SectorState::PreCommit1));
    world.run_for(1_000);
    let waits = world.core().waiting_for(0, UnixMs(world.now));
    assert!(waits.contains("w1: no store with 30.2 KiB free for sealed, cache"), "{waits}");
    world.workers.get_mut(&w1).unwrap().space_bytes = 1 << 20;
    world.tell_store(&w1);
    assert!(world.run_until(600_000, |w| w.all_proving(1)), "{}", world.describe());
}

#[test]
fn lost_inputs_send_the_sector_back_to_the_phase_that_makes_them() {
    let mut world = World::new(13);
    let (w1, _) = two_workers(&mut world);
    world.answer(Request::Pledge { count: 1, priority: None });
    assert!(world.run_until(60_000, |w| w.state(0) == SectorState::WaitSeed));
    let w2 = WorkerId::new("w2").unwrap();
    // The disk of w2 dies with what PC2 made.
    let lost: Vec<_> = world.index.replicas.keys().filter(|r| r.store == World::store_of(&w2)).cloned().collect();
    lost.iter().for_each(|replica| world.delete(replica));
    assert!(world.run_until(60_000, |w| w.state(0) == SectorState::Committing1));
    assert!(world.run_until(4_000_000, |w| w.all_proving(1)), "{}", world.describe());
    assert_eq!(world.edges(0, "Committing1 -> PreCommit1"), 1);
    assert_eq!(world.workers[&w1].computed[&(TaskKind::PreCommit1, 0)], 2);
    assert_eq!(world.outside.pre_commits.len(), 1);
}

#[test]
fn abort_ends_an_attempt_or_a_whole_task() {
    let mut world = World::new(14);
    let (w1, _) = two_workers(&mut world);
    world.workers.get_mut(&w1).unwrap().compute_ms = 30_000;
    world.answer(Request::Pledge { count: 2, priority: None });
    assert!(world.run_until(10_000, |w| w.workers[&w1].attempts.len() == 2));
    let jobs = world.core().jobs(UnixMs(world.now));
    let abort = |id: String| Request::Abort { id, reason: "wrong disk".to_owned() };
    let Reply::Aborted { description } = world.answer(abort(jobs[0].attempt.unwrap().to_string())) else { panic!() };
    assert_eq!(description, "job 1.1, task AP, sector 0, running on host w1");
    let Reply::Aborted { description } = world.answer(abort(jobs[1].task_id.to_string())) else { panic!() };
    assert_eq!(
        description,
        "job 2, task AP, sector 1; its sector is FailedUnrecoverable, `sp-ctl sectors retry 1` goes on"
    );
    world.run_for(5_000);
    assert_eq!(world.state(1), SectorState::FailedUnrecoverable);
    assert_eq!(world.database.sectors[&1].last_error, "aborted: wrong disk");
    assert_eq!(world.workers[&w1].attempts.keys().map(ToString::to_string).collect::<Vec<_>>(), ["1.2"]);
    assert!(world.run_until(600_000, |w| w.state(0) == SectorState::Proving), "{}", world.describe());
}
