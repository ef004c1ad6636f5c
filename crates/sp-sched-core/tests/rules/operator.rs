//! What operators do to sectors: limits and priorities on intake, FinalizeEarly, remove, force, retry.

use sp_sched_core::data::{PieceData, SectorData};
use sp_sched_core::effect::Reply;
use sp_sched_core::event::Request;
use sp_sched_core::model::UnixMs;
use sp_types::{ErrorCode, FileKind, SectorState, TaskKind, WorkerId};

use crate::world::{Happening, Role, World};

const SEALING: [TaskKind; 6] = [
    TaskKind::AddPiece,
    TaskKind::PreCommit1,
    TaskKind::PreCommit2,
    TaskKind::Commit1,
    TaskKind::Commit2,
    TaskKind::Finalize,
];

fn pledge(count: u32) -> Request {
    Request::Pledge { count, priority: None }
}

fn piece() -> Request {
    Request::AddPiece {
        data: SectorData::one(PieceData { data_bytes: 2000, digest: [9; 32], name: "cat.jpg".to_owned() }),
        priority: None,
    }
}

fn refusal(world: &mut World, request: Request) -> (ErrorCode, String) {
    let Reply::Failed { code, message } = world.answer(request.clone()) else { panic!("{request:?} was granted") };
    (code, message)
}

fn restart_with(world: &mut World, change: impl FnOnce(&mut sp_sched_core::Config)) {
    change(&mut world.config);
    world.kill_scheduler();
    world.start_scheduler();
    world.run_for(1_000);
}

fn sealer(seed: u64) -> (World, WorkerId) {
    let mut world = World::new(seed);
    let worker = world.add_worker("w", Role::Sealing(SEALING.to_vec()), |_| {});
    (world, worker)
}

// === intake ===

#[test]
fn limits_stop_the_intake_with_lotuss_words() {
    let (mut world, worker) = sealer(1);
    restart_with(&mut world, |c| {
        (c.max_sealing_sectors, c.max_sealing_sectors_for_deals) = (2, 3);
    });
    world.workers.get_mut(&worker).unwrap().fails = [(TaskKind::PreCommit1, u32::MAX)].into();
    let (code, message) = refusal(&mut world, pledge(3));
    assert_eq!((code, message.as_str()), (ErrorCode::Unavailable, "too many sectors sealing (curSealing: 0, max: 2)"));
    assert_eq!(world.answer(pledge(2)), Reply::Sectors(vec![0, 1]));
    assert_eq!(refusal(&mut world, pledge(1)).1, "too many sectors sealing (curSealing: 2, max: 2)");
    assert_eq!(world.answer(piece()), Reply::Sectors(vec![2]), "deals have a limit of their own");
    assert_eq!(refusal(&mut world, piece()).1, "too many sectors sealing (curSealing: 3, max: 3)");
    // Failed sectors count.
    let stopped = |w: &World| (0..3).all(|n| w.state(n) == SectorState::FailedUnrecoverable);
    assert!(world.run_until(4_000_000, stopped), "{}", world.describe());
    assert_eq!(refusal(&mut world, piece()).1, "too many sectors sealing (curSealing: 3, max: 3)");
    world.workers.get_mut(&worker).unwrap().fails.clear();
    (0..3).for_each(|sector| drop(world.answer(Request::Retry { sector })));
    assert!(world.run_until(4_000_000, |w| w.all_proving(3)), "{}", world.describe());
    assert_eq!(world.answer(pledge(1)), Reply::Sectors(vec![3]), "sealed ones do not");
    world.answer(Request::Remove { sector: 3 });
    assert_eq!(world.answer(pledge(2)), Reply::Sectors(vec![4, 5]), "removed ones neither");
}

#[test]
fn priorities_decide_who_goes_first_and_are_kept() {
    let mut world = World::new(2);
    assert_eq!(world.answer(pledge(1)), Reply::Sectors(vec![0]));
    assert_eq!(world.answer(piece()), Reply::Sectors(vec![1]));
    assert_eq!(world.answer(Request::Pledge { count: 1, priority: Some(2000) }), Reply::Sectors(vec![2]));
    assert_eq!(world.answer(Request::Pledge { count: 1, priority: Some(-1) }), Reply::Sectors(vec![3]));
    let priorities: Vec<i64> = world.database.tasks.values().map(|t| t.priority).collect();
    assert_eq!(priorities, [0, 1024, 2000, -1]);
    world.add_worker("w", Role::Sealing(vec![TaskKind::AddPiece]), |w| w.cpus = 1);
    assert!(world.run_until(600_000, |w| (0..4).all(|n| w.state(n) == SectorState::PreCommit1)));
    let packed = |n: u64| {
        let log = &world.database.sectors[&n].log;
        log.iter().find(|e| e.event == "Packing -> PreCommit1").unwrap().at
    };
    let mut order: Vec<u64> = (0..4).collect();
    order.sort_by_key(|n| packed(*n));
    assert_eq!(order, [2, 1, 0, 3]);
    assert!(
        world.database.tasks.values().any(|t| (t.sector, t.priority) == (Some(2), 2000)),
        "later tasks have it too"
    );
}

// === options ===

#[test]
fn finalize_early_runs_fin_before_the_proof_is_published() {
    let (mut world, worker) = sealer(3);
    restart_with(&mut world, |c| c.finalize_early = true);
    world.workers.get_mut(&worker).unwrap().fails = [(TaskKind::Finalize, 2)].into();
    world.answer(pledge(1));
    assert!(world.run_until(600_000, |w| w.state(0) == SectorState::CommitFinalizeFailed), "{}", world.describe());
    assert!(world.outside.commits.is_empty() && world.core().deadlines().is_empty());
    assert!(world.run_until(600_000, |w| w.all_proving(1)), "{}", world.describe());
    for edge in ["Committing2 -> CommitFinalize", "CommitFinalize -> SubmitCommit", "SubmitCommit -> Proving"] {
        assert_eq!(world.edges(0, edge), 1, "{edge}");
    }
    assert_eq!((world.outside.commits.len(), world.core().deadlines().len()), (1, 1));
    assert_eq!(world.workers[&worker].computed[&(TaskKind::Finalize, 0)], 1);
}

#[test]
fn cc_sectors_may_be_available_at_once_and_others_never() {
    for early in [false, true] {
        let (mut world, _) = sealer(4);
        restart_with(&mut world, |c| (c.make_cc_sectors_available, c.finalize_early) = (true, early));
        world.answer(pledge(1));
        world.answer(piece());
        let sealed = |w: &World| w.state(0) == SectorState::Available && w.state(1) == SectorState::Proving;
        assert!(world.run_until(600_000, sealed), "{}", world.describe());
        assert_eq!(world.core().deadlines().values().flatten().flatten().count(), 2, "both are proven");
    }
}

#[test]
fn the_unsealed_copy_goes_when_nobody_wants_it() {
    let (mut world, _) = sealer(5);
    restart_with(&mut world, |c| c.always_keep_unsealed_copy = false);
    world.answer(piece());
    assert!(world.run_until(600_000, |w| w.all_proving(1)), "{}", world.describe());
    world.run_for(100_000);
    let kinds: Vec<FileKind> = world.index.of_sector(0).into_iter().map(|(kind, _)| kind).collect();
    assert_eq!(kinds, [FileKind::Sealed, FileKind::Cache]);
}

// === remove ===

#[test]
fn a_removed_sector_leaves_nothing_behind_and_is_not_proven() {
    let (mut world, _) = sealer(6);
    world.answer(pledge(2));
    assert!(world.run_until(600_000, |w| w.all_proving(2)));
    assert_eq!(world.answer(Request::Remove { sector: 0 }), Reply::Moved(SectorState::Removing));
    assert!(world.run_until(10_000, |w| w.state(0) == SectorState::Removed), "{}", world.describe());
    assert!(world.index.of_sector(0).is_empty() && world.index.of_sector(1).len() == 2);
    assert!(world.index.deleted.iter().all(|replica| replica.sector.number == 0 || replica.kind != FileKind::Sealed));
    assert_eq!(world.core().deadlines().values().flatten().flatten().collect::<Vec<_>>(), [&1]);
    assert_eq!(world.answer(Request::Remove { sector: 0 }), Reply::Moved(SectorState::Removed), "once is enough");
    let forced = Request::ForceState { sector: 0, state: SectorState::Proving };
    assert_eq!(refusal(&mut world, forced).0, ErrorCode::WrongState);
}

#[test]
fn removing_ends_what_is_under_way() {
    let (mut world, worker) = sealer(7);
    world.workers.get_mut(&worker).unwrap().compute_ms = 30_000;
    world.answer(pledge(1));
    assert!(world.run_until(100_000, |w| w.state(0) == SectorState::PreCommit1));
    world.run_for(1_000);
    assert!(!world.workers[&worker].attempts.is_empty());
    world.answer(Request::Remove { sector: 0 });
    assert!(world.run_until(10_000, |w| w.state(0) == SectorState::Removed), "{}", world.describe());
    assert!(world.workers[&worker].attempts.is_empty() && world.database.tasks.is_empty());
    world.run_for(100_000);
    assert!(world.index.of_sector(0).is_empty() && world.index.holds_nothing());
}

#[test]
fn a_store_that_is_away_delays_the_removal_and_is_named() {
    let (mut world, worker) = sealer(8);
    world.answer(pledge(1));
    assert!(world.run_until(600_000, |w| w.all_proving(1)));
    world.run_for(1_000);
    world.kill_worker(&worker);
    world.answer(Request::Remove { sector: 0 });
    world.run_for(1_000);
    let waits = world.core().waiting_for(0, UnixMs(world.now));
    assert_eq!(waits, "2 replicas are still to be deleted on store-w");
    assert!(world.run_until(2_000_000, |w| w.state(0) == SectorState::RemoveFailed), "{}", world.describe());
    assert!(world.run_until(10_000_000, |w| w.edges(0, "RemoveFailed -> Removing") == 3), "{}", world.describe());
    world.kill_scheduler();
    world.after(100, Happening::StartScheduler);
    world.run_for(1_000);
    world.start_worker(&worker);
    assert!(world.run_until(300_000, |w| w.state(0) == SectorState::Removed), "{}", world.describe());
    assert!(world.index.of_sector(0).is_empty());
}

#[test]
fn a_removal_that_ends_while_the_index_is_away_is_seen_when_it_is_back() {
    let (mut world, worker) = sealer(11);
    world.answer(pledge(1));
    assert!(world.run_until(600_000, |w| w.all_proving(1)));
    world.run_for(1_000);
    world.kill_worker(&worker);
    world.answer(Request::Remove { sector: 0 });
    world.run_for(1_000);
    assert_eq!(world.state(0), SectorState::Removing);
    world.lose_index(5_000);
    world.index.replicas.clear();
    assert!(world.run_until(10_000, |w| w.state(0) == SectorState::Removed), "{}", world.describe());
}

#[test]
fn replicas_that_turn_up_later_are_deleted_too() {
    let (mut world, worker) = sealer(9);
    world.answer(pledge(1));
    assert!(world.run_until(600_000, |w| w.all_proving(1)));
    let replica = world.index.replicas.keys().find(|r| r.kind == FileKind::Sealed).unwrap().clone();
    world.answer(Request::Remove { sector: 0 });
    assert!(world.run_until(10_000, |w| w.state(0) == SectorState::Removed));
    // A disk that nobody knew of is attached.
    world.index.replicas.insert(replica.clone(), 2048);
    let fact = world.replica_fact(replica, 2048);
    world.tell(fact);
    world.run_for(1_000);
    assert!(world.index.of_sector(0).is_empty(), "{worker}");
}

// === force and retry ===

#[test]
fn a_state_can_be_forced_and_the_log_says_who_did_it() {
    let (mut world, worker) = sealer(10);
    world.answer(pledge(1));
    assert!(world.run_until(600_000, |w| w.all_proving(1)));
    let force = |state| Request::ForceState { sector: 0, state };
    assert_eq!(world.answer(force(SectorState::PreCommit1)), Reply::Moved(SectorState::PreCommit1));
    let entry = world.database.sectors[&0].log.iter().find(|e| e.event == "Proving -> PreCommit1").unwrap();
    assert_eq!(entry.message, "forced by an operator");
    // CC sectors keep no unsealed copy: PC1 cannot run, and says so.
    world.run_for(1_000);
    let waits = world.core().waiting_for(0, UnixMs(world.now));
    assert!(waits.contains("the sector has no unsealed file"), "{waits}");
    assert_eq!(world.answer(force(SectorState::Packing)), Reply::Moved(SectorState::Packing));
    assert!(world.run_until(600_000, |w| w.all_proving(1)), "{}", world.describe());
    assert_eq!(world.workers[&worker].computed[&(TaskKind::PreCommit1, 0)], 2);
    assert_eq!(world.answer(force(SectorState::FailedUnrecoverable)), Reply::Moved(SectorState::FailedUnrecoverable));
    let (_, message) = refusal(&mut world, Request::Retry { sector: 0 });
    assert!(message.contains("update-state 0 Proving"), "{message}");
    assert_eq!(world.answer(force(SectorState::Proving)), Reply::Moved(SectorState::Proving));
    for state in [SectorState::Failed, SectorState::Removed, SectorState::UpdateReplica] {
        assert_eq!(refusal(&mut world, force(state)).0, ErrorCode::WrongState, "{state}");
    }
    assert_eq!(world.answer(force(SectorState::Removing)), Reply::Moved(SectorState::Removing));
}

#[test]
fn retry_hurries_what_waits_and_refuses_what_does_not() {
    let (mut world, worker) = sealer(11);
    world.workers.get_mut(&worker).unwrap().fails = [(TaskKind::AddPiece, 7)].into();
    world.answer(pledge(1));
    let tried = |w: &World| w.database.sectors.get(&0).is_some_and(|s| s.failures == 7);
    assert!(world.run_until(600_000, tried), "{}", world.describe());
    let before = world.now;
    assert_eq!(world.answer(Request::Retry { sector: 0 }), Reply::Moved(SectorState::Packing));
    assert!(world.run_until(20_000, |w| w.state(0) == SectorState::PreCommit1), "{}", world.describe());
    assert!(world.now - before < 20_000);
    assert!(world.run_until(600_000, |w| w.all_proving(1)));
    assert_eq!(refusal(&mut world, Request::Retry { sector: 0 }).0, ErrorCode::WrongState);
    assert_eq!(refusal(&mut world, Request::Retry { sector: 5 }).0, ErrorCode::UnknownSector);
}

#[test]
fn sectors_that_failed_under_an_older_build_go_on_where_they_stood() {
    let (mut world, worker) = sealer(12);
    world.answer(pledge(1));
    assert!(world.run_until(600_000, |w| w.state(0) == SectorState::PreCommit2), "{}", world.describe());
    world.kill_scheduler();
    let sector = world.database.sectors.get_mut(&0).unwrap();
    (sector.state, sector.last_error) = (SectorState::Failed, "w: out of memory".to_owned());
    world.database.tasks.clear();
    world.start_scheduler();
    world.run_for(10_000);
    assert_eq!(world.state(0), SectorState::Failed);
    assert!(world.core().waiting_for(0, UnixMs(world.now)).contains("w: out of memory"));
    assert_eq!(world.answer(Request::Retry { sector: 0 }), Reply::Moved(SectorState::PreCommit2));
    assert!(world.run_until(600_000, |w| w.all_proving(1)), "{}", world.describe());
    assert_eq!(world.workers[&worker].computed[&(TaskKind::PreCommit1, 0)], 1);
}
