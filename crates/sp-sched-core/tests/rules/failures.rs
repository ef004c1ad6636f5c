//! What follows when a phase fails: its failure state, a growing wait, a step back, and at last a stop for the operator.

use sp_sched_core::effect::Reply;
use sp_sched_core::event::Request;
use sp_sched_core::model::UnixMs;
use sp_types::{FileKind, SectorState, TaskKind, WorkerId};

use crate::world::{Faults, Happening, Role, World};

const SEALING: [TaskKind; 6] = [
    TaskKind::AddPiece,
    TaskKind::PreCommit1,
    TaskKind::PreCommit2,
    TaskKind::Commit1,
    TaskKind::Commit2,
    TaskKind::Finalize,
];

fn sealer(seed: u64, fails: &[(TaskKind, u32)]) -> (World, WorkerId) {
    let mut world = World::new(seed);
    let worker = world.add_worker("w", Role::Sealing(SEALING.to_vec()), |w| w.fails = fails.iter().copied().collect());
    (world, worker)
}

fn pledge(world: &mut World) {
    assert_eq!(world.answer(Request::Pledge { count: 1, priority: None }), Reply::Sectors(vec![0]));
}

fn proves(world: &mut World) {
    assert!(world.run_until(4_000_000, |w| w.all_proving(1)), "{}", world.describe());
    assert!(world.database.sectors[&0].trouble == Default::default(), "what is over is forgotten");
}

#[test]
fn each_phase_has_its_failure_state_and_goes_on_by_itself() {
    for (kind, at_work, failure) in [
        (TaskKind::AddPiece, "Packing", "AddPieceFailed"),
        (TaskKind::PreCommit1, "PreCommit1", "SealPreCommit1Failed"),
        (TaskKind::PreCommit2, "PreCommit2", "SealPreCommit2Failed"),
        (TaskKind::Commit1, "Committing1", "ComputeProofFailed"),
        (TaskKind::Commit2, "Committing2", "ComputeProofFailed"),
        (TaskKind::Finalize, "FinalizeSector", "FinalizeFailed"),
    ] {
        let (mut world, worker) = sealer(1, &[(kind, 3)]);
        pledge(&mut world);
        proves(&mut world);
        assert_eq!(world.edges(0, &format!("{at_work} -> {failure}")), 3, "{kind}");
        assert_eq!(world.edges(0, &format!("{failure} -> {at_work}")), 3, "{kind}");
        assert_eq!(world.workers[&worker].computed[&(kind, 0)], 1, "{kind}");
    }
}

#[test]
fn the_wait_grows_is_bounded_and_says_what_comes() {
    let (mut world, _) = sealer(2, &[(TaskKind::PreCommit1, u32::MAX)]);
    world.config.retry_limit = 20;
    world.kill_scheduler();
    world.start_scheduler();
    pledge(&mut world);
    assert!(world.run_until(600_000, |w| w.state(0) == SectorState::SealPreCommit1Failed));
    let waits = world.core().waiting_for(0, UnixMs(world.now));
    assert!(waits.starts_with("goes on with PreCommit1 in 1 s, after: w: the executor was killed"), "{waits}");
    assert!(world.run_until(9_000_000, |w| w.state(0) == SectorState::FailedUnrecoverable), "{}", world.describe());
    let log = &world.database.sectors[&0].log;
    let failed = log.iter().filter(|e| e.event == "PreCommit1 -> SealPreCommit1Failed").map(|e| e.at.0);
    let again = log.iter().filter(|e| e.event == "SealPreCommit1Failed -> PreCommit1").map(|e| e.at.0);
    let waited: Vec<u64> = again.zip(failed).map(|(again, failed)| again - failed).collect();
    assert_eq!(waited[..4], [1_000, 2_000, 4_000, 8_000]);
    assert_eq!((waited.len(), waited[18]), (19, 300_000), "never more than five minutes");
}

#[test]
fn counters_and_waits_survive_a_restart() {
    let (mut world, _) = sealer(3, &[(TaskKind::PreCommit1, 5)]);
    pledge(&mut world);
    for round in 1..=5 {
        let failed = |w: &World| {
            let sector = &w.database.sectors[&0];
            sector.state == SectorState::SealPreCommit1Failed && sector.failures == round
        };
        assert!(world.run_until(600_000, failed), "{}", world.describe());
        let counts = world.database.sectors[&0].trouble.counts.clone();
        assert_eq!(counts.into_iter().collect::<Vec<_>>(), [(SectorState::SealPreCommit1Failed, round)]);
        world.kill_scheduler();
        world.after(100, Happening::StartScheduler);
        world.run_for(200);
    }
    proves(&mut world);
}

#[test]
fn after_the_limit_a_sector_waits_for_its_operator_and_keeps_its_files() {
    let (mut world, worker) = sealer(4, &[(TaskKind::PreCommit1, 8)]);
    pledge(&mut world);
    assert!(world.run_until(4_000_000, |w| w.state(0) == SectorState::FailedUnrecoverable), "{}", world.describe());
    world.run_for(100_000);
    let kinds: Vec<FileKind> = world.index.of_sector(0).into_iter().map(|(kind, _)| kind).collect();
    assert_eq!(kinds, [FileKind::Unsealed]);
    assert!(world.database.tasks.is_empty());
    let waits = world.core().waiting_for(0, UnixMs(world.now));
    for part in ["after 8 failures: w: the executor was killed", "`sp-ctl sectors retry 0`", "sectors remove 0"] {
        assert!(waits.contains(part), "{waits}");
    }
    assert_eq!(world.answer(Request::Retry { sector: 0 }), Reply::Moved(SectorState::PreCommit1));
    proves(&mut world);
    assert_eq!(world.workers[&worker].computed[&(TaskKind::AddPiece, 0)], 1, "what is done is not done again");
}

#[test]
fn pc2_that_keeps_failing_has_pc1_run_again() {
    let (mut world, worker) = sealer(5, &[(TaskKind::PreCommit2, 4)]);
    pledge(&mut world);
    proves(&mut world);
    assert_eq!(world.edges(0, "PreCommit2 -> SealPreCommit2Failed"), 4);
    assert_eq!(world.edges(0, "SealPreCommit2Failed -> PreCommit2"), 3);
    assert_eq!(world.edges(0, "SealPreCommit2Failed -> PreCommit1"), 1);
    assert_eq!(world.workers[&worker].computed[&(TaskKind::PreCommit1, 0)], 2);
}

#[test]
fn refused_proofs_have_the_replica_made_anew_and_a_liar_is_stopped_in_bounded_time() {
    let (mut world, worker) = sealer(6, &[]);
    world.workers.get_mut(&worker).unwrap().lies = true;
    pledge(&mut world);
    assert!(world.run_until(600_000, |w| w.edges(0, "ComputeProofFailed -> PreCommit1") == 1), "{}", world.describe());
    assert_eq!(world.edges(0, "C2 failed"), 2);
    world.workers.get_mut(&worker).unwrap().lies = false;
    proves(&mut world);
    assert_eq!(world.outside.pre_commits.len(), 1, "the same replica, the same pre-commit");

    let (mut world, worker) = sealer(7, &[]);
    world.workers.get_mut(&worker).unwrap().lies = true;
    pledge(&mut world);
    assert!(world.run_until(9_000_000, |w| w.state(0) == SectorState::FailedUnrecoverable), "{}", world.describe());
    assert!(world.edges(0, "ComputeProofFailed -> PreCommit1") <= 5);
    assert!(world.database.sectors[&0].proof.is_empty());
}

#[test]
fn a_chain_that_refuses_is_asked_again_in_a_state_that_says_so() {
    let (mut world, _) = sealer(8, &[]);
    world.faults = Faults { chain_fails: 60, ..Faults::default() };
    pledge(&mut world);
    proves(&mut world);
    let sector = &world.database.sectors[&0];
    let refused = sector.log.iter().filter(|e| e.event.ends_with("-> PreCommitFailed")).count();
    let refused_commits = world.edges(0, "Committing2 -> CommitFailed");
    assert!(refused + refused_commits > 0, "{:?}", sector.log);
    assert_eq!(world.edges(0, "CommitFailed -> Committing2"), refused_commits);
}

#[test]
fn a_late_result_of_an_orphan_counts_while_its_sector_waits_to_try_again() {
    let (mut world, worker) = sealer(9, &[]);
    world.workers.get_mut(&worker).unwrap().compute_ms = 40_000;
    pledge(&mut world);
    assert!(world.run_until(10_000, |w| !w.workers[&worker].attempts.is_empty()));
    world.cut_off(&worker, true);
    // Past its lease and the wait for an orphan: another worker gets the task, and fails at it.
    world.run_for(80_000);
    world.add_worker("other", Role::Sealing(vec![TaskKind::AddPiece]), |w| {
        w.fails = [(TaskKind::AddPiece, 9)].into();
    });
    assert!(world.run_until(60_000, |w| w.state(0) == SectorState::AddPieceFailed), "{}", world.describe());
    world.cut_off(&worker, false);
    assert!(world.run_until(900, |w| w.state(0) == SectorState::PreCommit1), "{}", world.describe());
    assert_eq!(world.edges(0, "AddPieceFailed -> Packing"), 1);
    proves(&mut world);
}

#[test]
fn a_sector_that_the_chain_counts_on_is_proven_though_fin_fails() {
    let (mut world, _) = sealer(10, &[(TaskKind::Finalize, u32::MAX)]);
    pledge(&mut world);
    let stopped = |w: &World| w.core().sector(0).is_some_and(|s| s.is_stopped());
    assert!(world.run_until(9_000_000, stopped), "{}", world.describe());
    assert_eq!(world.state(0), SectorState::FinalizeFailed);
    assert_eq!(world.core().deadlines().values().flatten().flatten().count(), 1);
    world.workers.values_mut().for_each(|w| w.fails.clear());
    world.answer(Request::Retry { sector: 0 });
    proves(&mut world);
}
