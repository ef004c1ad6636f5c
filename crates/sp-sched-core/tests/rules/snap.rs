//! Updates of sealed sectors: data in place of zeros, with PoSt going on, and everything that may come between.

use sp_sched_core::data::{PieceData, SectorData};
use sp_sched_core::effect::{PostReply, Reply};
use sp_sched_core::event::Request;
use sp_sched_core::model::UnixMs;
use sp_sched_core::view::UploadView;
use sp_types::{Commitment, DeadlineIndex, ErrorCode, FileKind, Randomness, SectorState, TaskKind, WorkerId};

use crate::world::{Faults, Happening, Role, World};

/// A worker for sealing, one for updates, and one that proves; sector 0 is Available.
fn updatable(seed: u64) -> World {
    let mut world = World::new(seed);
    let always =
        [TaskKind::Commit1, TaskKind::Finalize, TaskKind::ProveReplicaUpdate1, TaskKind::FinalizeReplicaUpdate];
    let with = |kinds: &[TaskKind]| Role::Sealing(kinds.iter().chain(&always).copied().collect());
    let sealing = [TaskKind::AddPiece, TaskKind::PreCommit1, TaskKind::PreCommit2, TaskKind::Commit2, TaskKind::Unseal];
    let updating = [TaskKind::ReplicaUpdate, TaskKind::ProveReplicaUpdate2, TaskKind::RegenSectorKey];
    world.add_worker("w1", with(&sealing), |_| {});
    world.add_worker("w2", with(&updating), |_| {});
    world.add_worker("prover", Role::WindowPost, |_| {});
    world.answer(Request::Pledge { count: 1, priority: None });
    assert!(world.run_until(600_000, |w| w.all_proving(1)), "{}", world.describe());
    assert_eq!(world.answer(Request::MarkForUpdate { sector: 0 }), Reply::Moved(SectorState::Available));
    world
}

fn snap() -> Request {
    let (digest, name) = ([8; 32], "dog.jpg".to_owned());
    Request::Snap { sector: 0, data: SectorData::one(PieceData { data_bytes: 1500, digest, name }), priority: None }
}

fn updated(world: &World) -> bool {
    world.database.sectors[&0].is_updated() && world.state(0) == SectorState::Proving
}

fn refusal(world: &mut World, request: Request) -> (ErrorCode, String) {
    let Reply::Failed { code, message } = world.answer(request.clone()) else { panic!("{request:?} was granted") };
    (code, message)
}

fn kinds(world: &World) -> Vec<FileKind> {
    world.index.of_sector(0).into_iter().map(|(kind, _)| kind).collect()
}

/// Proves the sector's deadline and returns the comm_r that was proven.
fn proven(world: &mut World) -> Commitment {
    let window = Request::ComputeWindowPost { deadline: DeadlineIndex(0), randomness: Randomness::new([9; 32]) };
    let Reply::Post(PostReply { partitions, .. }) = world.answer(window) else { panic!("no proof") };
    assert!(partitions[0].skipped.is_empty() && !partitions[0].proof.is_empty());
    partitions[0].sectors[0].1
}

const PATH: [&str; 7] = [
    "Proving -> Available",
    "Available -> SnapDealsAddPiece",
    "SnapDealsAddPiece -> SnapDealsPacking",
    "SnapDealsPacking -> UpdateReplica",
    "UpdateReplica -> ProveReplicaUpdate",
    "ProveReplicaUpdate -> FinalizeReplicaUpdate",
    "FinalizeReplicaUpdate -> Proving",
];

#[test]
fn an_available_sector_takes_data_and_is_proven_all_the_while() {
    let mut world = updatable(1);
    let old = world.database.sectors[&0].comm_r.unwrap();
    assert_eq!(proven(&mut world), old);
    assert_eq!(world.answer(snap()), Reply::Moved(SectorState::SnapDealsAddPiece));
    let Some(UploadView::NotYet { .. } | UploadView::Here { .. }) = world.core().upload(0) else { panic!("no upload") };
    assert_eq!(proven(&mut world), old, "the update does not count yet");
    assert!(world.run_until(600_000, updated), "{}", world.describe());
    for edge in PATH {
        assert_eq!(world.edges(0, edge), 1, "{edge}");
    }
    let sector = world.database.sectors[&0].clone();
    let update = sector.update.as_ref().unwrap();
    assert_eq!((sector.comm_r, sector.present_comm_r()), (Some(old), update.comm_r));
    assert_eq!((sector.priority, update.proof.as_slice(), update.pieces.len()), (1024, &b"good"[..], 1));
    assert_eq!(sector.stored_data().map(|d| d.name()), Some("dog.jpg".to_owned()));
    assert_eq!(proven(&mut world), update.comm_r.unwrap());
    assert_eq!(world.core().upload(0), Some(UploadView::Accepted));
    world.run_for(100_000);
    use FileKind::*;
    assert_eq!(kinds(&world), [Unsealed, Sealed, Cache, Update, UpdateCache]);
    for kind in [TaskKind::ReplicaUpdate, TaskKind::ProveReplicaUpdate1, TaskKind::ProveReplicaUpdate2] {
        let runs: u32 = world.workers.values().filter_map(|w| w.computed.get(&(kind, 0))).sum();
        assert_eq!(runs, 1, "{kind}");
    }
    assert!(world.database.tasks.is_empty() && world.index.holds_nothing());
}

#[test]
fn the_data_of_an_update_is_unsealed_with_the_replica_before_it() {
    let mut world = updatable(2);
    world.answer(snap());
    assert!(world.run_until(600_000, updated), "{}", world.describe());
    assert_eq!(world.answer(Request::ReleaseUnsealed { sector: 0 }), Reply::Released { replicas: 1 });
    assert_eq!(world.answer(Request::Unseal { sector: 0 }), Reply::Unsealing { ready: false });
    let params = |w: &World| w.trace.iter().any(|line| line.contains("Unseal { ") && line.contains("updated: true"));
    assert!(world.run_until(60_000, |w| w.core().unsealed(0).is_some()), "{}", world.describe());
    assert!(params(&world));
}

#[test]
fn the_sector_key_is_let_go_if_so_asked_and_can_be_made_again() {
    let mut world = updatable(3);
    world.config.release_sector_key = true;
    world.kill_scheduler();
    world.start_scheduler();
    world.answer(snap());
    assert!(world.run_until(600_000, updated), "{}", world.describe());
    assert_eq!(world.edges(0, "FinalizeReplicaUpdate -> ReleaseSectorKey"), 1);
    world.run_for(100_000);
    use FileKind::*;
    assert_eq!(kinds(&world), [Unsealed, Cache, Update, UpdateCache]);
    let new = world.database.sectors[&0].present_comm_r().unwrap();
    assert_eq!(proven(&mut world), new, "nothing of the old replica is needed");
    let (_, message) = refusal(&mut world, Request::ReleaseUnsealed { sector: 0 });
    assert!(message.contains("all there is to read"), "{message}");

    assert_eq!(world.answer(Request::RegenSectorKey { sector: 0 }), Reply::Regenerating { ready: false });
    let there = |w: &World| w.core().sector(0).unwrap().files.len() == 5;
    assert!(world.run_until(60_000, there), "{}", world.describe());
    world.run_for(100_000);
    assert_eq!(kinds(&world), [Unsealed, Sealed, Cache, Update, UpdateCache]);
    assert_eq!(world.answer(Request::RegenSectorKey { sector: 0 }), Reply::Regenerating { ready: true });
    assert_eq!(world.answer(Request::ReleaseUnsealed { sector: 0 }), Reply::Released { replicas: 1 });
}

#[test]
fn the_lost_sealed_file_of_before_the_update_is_regenerated_but_not_without_its_cache() {
    let mut world = updatable(4);
    world.answer(snap());
    assert!(world.run_until(600_000, updated), "{}", world.describe());
    lose(&mut world, FileKind::Sealed);
    assert_eq!(world.answer(Request::RegenSectorKey { sector: 0 }), Reply::Regenerating { ready: false });
    assert!(world.run_until(60_000, |w| kinds(w).contains(&FileKind::Sealed)), "{}", world.describe());
    world.run_for(100_000);
    assert_eq!(world.state(0), SectorState::Proving);

    lose(&mut world, FileKind::Sealed);
    lose(&mut world, FileKind::Cache);
    let (code, message) = refusal(&mut world, Request::RegenSectorKey { sector: 0 });
    assert!(code == ErrorCode::WrongState && message.contains("lost its cache"), "{message}");
}

/// A move reads the cache that a new key is written beside: it waits, says why, and goes on.
#[test]
fn a_move_waits_while_the_key_is_made() {
    let mut world = updatable(6);
    world.answer(snap());
    assert!(world.run_until(600_000, updated), "{}", world.describe());
    let home = world.add_worker("home", Role::Sealing([TaskKind::Fetch].into()), |_| {});
    world.run_for(5_000);
    lose(&mut world, FileKind::Sealed);
    world.answer(Request::RegenSectorKey { sector: 0 });
    let attempts = |w: &World, kind| -> usize {
        w.database.tasks.values().filter(|t| t.kind == kind).map(|t| t.attempts.len()).sum()
    };
    let writes = |w: &World| attempts(w, TaskKind::RegenSectorKey) == 1;
    assert!(world.run_until(10_000, writes), "{}", world.describe());
    world.answer(Request::MoveFiles { sector: 0, store: World::store_of(&home) });
    assert_eq!(attempts(&world, TaskKind::Fetch), 0, "{}", world.describe());
    let reasons = world.core().waiting_for(0, world.clock());
    assert!(reasons.contains("GSK of its sector works on cache"), "{reasons}");
    let moves = |w: &World| attempts(w, TaskKind::Fetch) == 1;
    assert!(world.run_until(60_000, moves), "{}", world.describe());
    assert_eq!(attempts(&world, TaskKind::RegenSectorKey), 0);
    world.run_for(200_000);
    let stores: Vec<_> = world.index.replicas.keys().map(|r| &r.store).collect();
    assert!(stores.iter().all(|store| **store == World::store_of(&home)), "{stores:?}");
    assert!(world.index.holds_nothing());
}

fn lose(world: &mut World, kind: FileKind) {
    let lost: Vec<_> = world.index.replicas.keys().filter(|r| r.kind == kind).cloned().collect();
    assert!(!lost.is_empty(), "{kind}");
    lost.iter().for_each(|replica| world.delete(replica));
    world.run_for(100);
}

#[test]
fn an_update_can_be_dropped_in_each_of_its_states() {
    use SectorState as S;
    let states =
        [S::Available, S::SnapDealsAddPiece, S::UpdateReplica, S::ProveReplicaUpdate, S::FinalizeReplicaUpdate];
    for state in states {
        let mut world = updatable(5);
        let old = world.database.sectors[&0].comm_r.unwrap();
        if state != S::Available {
            world.answer(snap());
        }
        assert!(world.run_until(600_000, |w| w.state(0) == state), "{state}: {}", world.describe());
        world.run_for(500);
        assert_eq!(world.answer(Request::AbortUpgrade { sector: 0 }), Reply::Moved(S::Proving), "{state}");
        world.run_for(200_000);
        assert_eq!((world.state(0), kinds(&world)), (S::Proving, vec![FileKind::Sealed, FileKind::Cache]), "{state}");
        assert!(world.database.sectors[&0].update.is_none() && world.database.tasks.is_empty());
        assert!(world.workers.values().all(|w| w.attempts.is_empty()), "{state}");
        assert_eq!(proven(&mut world), old);
        assert_eq!(refusal(&mut world, Request::AbortUpgrade { sector: 0 }).0, ErrorCode::WrongState);
        // And it can begin anew.
        world.answer(Request::MarkForUpdate { sector: 0 });
        world.answer(snap());
        assert!(world.run_until(600_000, updated), "{state}: {}", world.describe());
    }
}

#[test]
fn each_phase_of_an_update_has_its_failure_state() {
    for (kind, at_work, failure) in [
        (TaskKind::AddPiece, "SnapDealsAddPiece", "SnapDealsAddPieceFailed"),
        (TaskKind::ReplicaUpdate, "UpdateReplica", "ReplicaUpdateFailed"),
        (TaskKind::ProveReplicaUpdate1, "ProveReplicaUpdate", "ReplicaUpdateFailed"),
        (TaskKind::ProveReplicaUpdate2, "ProveReplicaUpdate", "ReplicaUpdateFailed"),
        (TaskKind::FinalizeReplicaUpdate, "FinalizeReplicaUpdate", "FinalizeReplicaUpdateFailed"),
    ] {
        let mut world = updatable(6);
        let first = if kind == TaskKind::AddPiece { "w1" } else { "w2" };
        let first = WorkerId::new(first).unwrap();
        world.workers.get_mut(&first).unwrap().fails = [(kind, 2)].into();
        world.answer(snap());
        assert!(world.run_until(600_000, updated), "{kind}: {}", world.describe());
        assert_eq!(world.edges(0, &format!("{at_work} -> {failure}")), 2, "{kind}");
        assert_eq!(world.edges(0, &format!("{failure} -> {at_work}")), 2, "{kind}");
    }
}

#[test]
fn an_update_that_keeps_failing_stops_and_the_sector_is_proven_as_before() {
    let mut world = updatable(7);
    let old = world.database.sectors[&0].comm_r.unwrap();
    let w2 = WorkerId::new("w2").unwrap();
    world.workers.get_mut(&w2).unwrap().fails = [(TaskKind::ReplicaUpdate, u32::MAX)].into();
    world.answer(snap());
    let stopped = |w: &World| w.core().sector(0).is_some_and(|s| s.is_stopped());
    assert!(world.run_until(9_000_000, stopped), "{}", world.describe());
    assert_eq!(world.state(0), SectorState::ReplicaUpdateFailed);
    let waits = world.core().waiting_for(0, UnixMs(world.now));
    assert!(waits.contains("after 8 failures: w2: ") && waits.contains("`sp-ctl sectors abort-upgrade 0`"), "{waits}");
    assert_eq!(proven(&mut world), old);
    world.workers.get_mut(&w2).unwrap().fails.clear();
    assert_eq!(world.answer(Request::Retry { sector: 0 }), Reply::Moved(SectorState::UpdateReplica));
    assert!(world.run_until(600_000, updated), "{}", world.describe());
}

#[test]
fn a_refused_update_proof_never_counts_and_the_second_one_has_the_update_made_anew() {
    let mut world = updatable(8);
    let w2 = WorkerId::new("w2").unwrap();
    world.workers.get_mut(&w2).unwrap().lies = true;
    world.answer(snap());
    let again = |w: &World| w.edges(0, "ReplicaUpdateFailed -> UpdateReplica") == 1;
    assert!(world.run_until(600_000, again), "{}", world.describe());
    assert!(world.database.sectors[&0].update.as_ref().unwrap().proof.is_empty());
    world.workers.get_mut(&w2).unwrap().lies = false;
    assert!(world.run_until(600_000, updated), "{}", world.describe());
    assert_eq!(world.workers[&w2].computed[&(TaskKind::ReplicaUpdate, 0)], 2);
}

#[test]
fn lost_files_of_an_update_are_made_again() {
    for (kind, edge) in [(FileKind::Vanilla, "PR1 again"), (FileKind::Update, "ProveReplicaUpdate -> UpdateReplica")] {
        let mut world = updatable(9);
        world.answer(snap());
        let made = |w: &World| w.core().sector(0).is_some_and(|s| s.files.iter().any(|f| f.kind == kind));
        assert!(world.run_until(600_000, made), "{}", world.describe());
        let lost: Vec<_> = world.index.replicas.keys().filter(|r| r.kind == kind).cloned().collect();
        lost.iter().for_each(|replica| world.delete(replica));
        assert!(world.run_until(9_000_000, updated), "{kind}: {}", world.describe());
        assert_eq!(world.edges(0, edge), 1, "{kind}");
    }
}

#[test]
fn requests_that_make_no_sense_change_nothing() {
    let mut world = updatable(10);
    let piece = Request::AddPiece {
        data: SectorData::one(PieceData { data_bytes: 2000, digest: [9; 32], name: "cat.jpg".to_owned() }),
        priority: None,
    };
    world.answer(piece);
    assert!(world.run_until(600_000, |w| w.state(1) == SectorState::Proving), "{}", world.describe());
    let of = |sector, data_bytes, tag| {
        let name = "f".to_owned();
        Request::Snap {
            sector,
            data: SectorData::one(PieceData { data_bytes, digest: [tag; 32], name }),
            priority: None,
        }
    };
    for (request, code, text) in [
        (of(0, 0, 1), ErrorCode::EmptyPiece, "empty"),
        (of(0, 4000, 1), ErrorCode::PieceTooLarge, "holds 2032"),
        (of(1, 10, 1), ErrorCode::WrongState, "only a CC sector"),
        (of(9, 10, 1), ErrorCode::UnknownSector, "no sector 9"),
        (Request::MarkForUpdate { sector: 1 }, ErrorCode::WrongState, "only a CC sector"),
        (Request::AbortUpgrade { sector: 1 }, ErrorCode::WrongState, "no update"),
        (Request::RegenSectorKey { sector: 1 }, ErrorCode::WrongState, "never updated"),
    ] {
        let before = world.database.clone();
        let (got, message) = refusal(&mut world, request.clone());
        assert_eq!(got, code, "{request:?}: {message}");
        assert!(message.contains(text), "{request:?}: {message}");
        assert!(world.database == before, "{request:?}");
    }
    world.answer(Request::AbortUpgrade { sector: 0 });
    let (_, message) = refusal(&mut world, snap());
    assert!(message.contains("`sp-ctl sectors mark-for-update 0`"), "{message}");
    world.answer(Request::MarkForUpdate { sector: 0 });
    world.answer(snap());
    assert_eq!(world.answer(snap()), Reply::Moved(SectorState::SnapDealsAddPiece), "the same again goes on");
    let (_, message) = refusal(&mut world, of(0, 10, 1));
    assert!(message.contains("another piece"), "{message}");
    let (_, message) = refusal(&mut world, Request::Unseal { sector: 0 });
    assert!(message.contains("SnapDealsAddPiece"), "{message}");
}

#[test]
fn force_never_loses_an_update_that_counts_and_leaves_nothing_of_one_that_does_not() {
    let mut world = updatable(14);
    let force = |state| Request::ForceState { sector: 0, state };
    world.answer(snap());
    let proving = |w: &World| w.core().sector(0).is_some_and(|s| s.files.iter().any(|f| f.kind == FileKind::Vanilla));
    assert!(world.run_until(600_000, proving), "{}", world.describe());
    world.answer(force(SectorState::Available));
    let name = "cat.jpg".to_owned();
    world.answer(Request::Snap {
        sector: 0,
        data: SectorData::one(PieceData { data_bytes: 99, digest: [7; 32], name }),
        priority: None,
    });
    assert!(world.run_until(600_000, updated), "{}", world.describe());
    for kind in [TaskKind::ReplicaUpdate, TaskKind::ProveReplicaUpdate1] {
        let runs: u32 = world.workers.values().filter_map(|w| w.computed.get(&(kind, 0))).sum();
        assert_eq!(runs, 2, "{kind}: what was made of the first update says nothing about the second");
    }

    for state in [SectorState::UpdateReplica, SectorState::AbortUpgrade] {
        let (code, message) = refusal(&mut world, force(state));
        assert_eq!(code, ErrorCode::WrongState, "{state}: {message}");
    }
    assert_eq!(world.database.sectors[&0].stored_data().map(|d| d.name()), Some("cat.jpg".to_owned()));
}

#[test]
fn the_limit_on_updates_stops_the_intake() {
    let mut world = updatable(11);
    world.config.max_upgrading_sectors = 1;
    world.kill_scheduler();
    world.start_scheduler();
    world.answer(Request::Pledge { count: 1, priority: None });
    assert_eq!(refusal(&mut world, snap()).1, "too many sectors sealing (curSealing: 1, max: 1)");
    assert!(world.run_until(600_000, |w| w.state(1) == SectorState::Proving), "{}", world.describe());
    assert_eq!(world.answer(snap()), Reply::Moved(SectorState::SnapDealsAddPiece));
}

#[test]
fn a_sector_that_was_sealed_with_the_option_needs_no_mark() {
    let mut world = updatable(12);
    world.config.make_cc_sectors_available = true;
    world.kill_scheduler();
    world.start_scheduler();
    world.answer(Request::Pledge { count: 1, priority: None });
    assert!(world.run_until(600_000, |w| w.state(1) == SectorState::Available), "{}", world.describe());
    world.answer(snap());
    assert!(world.run_until(600_000, updated), "an updated sector is Proving: {}", world.describe());
}

// === faults ===

fn misfortune(world: &mut World) {
    let at = world.dice.below(2);
    let worker = WorkerId::new(["w1", "w2"][at as usize]).unwrap();
    let ms = 10 + world.dice.below(20_000);
    match world.dice.below(5) {
        0 | 1 if world.workers[&worker].up => {
            world.kill_worker(&worker);
            world.after(ms, Happening::StartWorker(worker));
        }
        2 | 3 => {
            world.kill_scheduler();
            world.after(ms, Happening::StartScheduler);
        }
        _ => world.lose_index(ms),
    }
}

#[test]
fn an_update_comes_through_crashes_of_everybody() {
    for seed in 0..60 {
        let mut world = updatable(100 + seed);
        world.faults = Faults { refuse_space: 10, task_fails: 5, result_twice: 20, forgets: 50, ..Faults::default() };
        world.answer(snap());
        for _ in 0..6 {
            let ms = world.dice.below(8_000);
            world.run_for(ms);
            misfortune(&mut world);
        }
        world.faults = Faults::default();
        world.run_for(30_000);
        world.start_scheduler();
        assert!(world.run_until(5_000_000, updated), "seed {seed}: {}", world.describe());
        world.run_for(200_000);
        let sector = &world.database.sectors[&0];
        let files: Vec<_> = sector.files.iter().map(|f| (f.kind, f.root)).collect();
        assert_eq!(files, world.index.of_sector(0).into_iter().collect::<Vec<_>>(), "seed {seed}");
        assert!(world.index.holds_nothing() && world.database.tasks.is_empty(), "seed {seed}");
        assert!(world.workers.values().all(|w| w.attempts.is_empty() && w.results.is_empty()), "seed {seed}");
    }
}

#[test]
fn a_restart_between_any_two_batches_of_an_update_repeats_nothing() {
    let begun = updatable(13).trace.len();
    for batch in 0..60 {
        let mut world = updatable(13);
        world.ask(snap());
        assert!(world.run_until(600_000, |w| w.trace.len() >= begun + 1 + batch), "{}", world.describe());
        world.kill_scheduler();
        world.after(200, Happening::StartScheduler);
        world.run_for(1_000);
        if !world.database.sectors[&0].state.is_update() && !updated(&world) {
            // The request died with the scheduler, as its caller noticed.
            world.answer(snap());
        }
        assert!(world.run_until(600_000, updated), "batch {batch}: {}", world.describe());
        for kind in [TaskKind::ReplicaUpdate, TaskKind::ProveReplicaUpdate2, TaskKind::FinalizeReplicaUpdate] {
            let runs: u32 = world.workers.values().filter_map(|w| w.computed.get(&(kind, 0))).sum();
            assert_eq!(runs, 1, "batch {batch}: {kind}");
        }
    }
}
