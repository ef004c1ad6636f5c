//! Rehearsals: what would be skipped is known hours before, in idle time only, and nothing of it reaches the chain.

use sp_sched_core::effect::Reply;
use sp_sched_core::event::Request;
use sp_sched_core::model::{Finished, Outcome};
use sp_sched_core::proving::rehearsal::Rehearsal;
use sp_types::{DeadlineIndex, Randomness, TaskKind, WorkerId};

use crate::world::{BEGAN, Role, World};

/// Epochs of a period, each of a second. Deadline 0 opens at each multiple of it.
const DAY: i64 = 2880;
const SECOND: u64 = 1_000;

/// So many sectors in partitions of two, and window workers on hosts of their own that rehearse half of their time.
fn world(sectors: u32, workers: &[&str]) -> World {
    let mut world = World::new(1);
    world.config.rehearse_percent = 50;
    world.kill_scheduler();
    world.start_scheduler();
    let kinds = [TaskKind::AddPiece, TaskKind::PreCommit1, TaskKind::PreCommit2, TaskKind::Commit1];
    let kinds = kinds.into_iter().chain([TaskKind::Commit2, TaskKind::Finalize]).collect();
    world.add_worker("sealer", Role::Sealing(kinds), |_| {});
    world.answer(Request::Pledge { count: sectors, priority: None });
    assert!(world.run_until(1_000 * SECOND, |w| w.all_proving(sectors as usize)), "{}", world.describe());
    for name in workers {
        world.add_worker(name, Role::WindowPost, |w| {
            (w.cpus, w.compute_ms, w.says_ms) = (1, 10 * SECOND, 10 * SECOND);
            w.host = (*name).to_owned();
        });
    }
    world
}

fn id(name: &str) -> WorkerId {
    WorkerId::new(name).unwrap()
}

fn at(world: &mut World, epoch: i64) {
    assert!(world.run_until(2 * DAY as u64 * SECOND, |w| w.outside.epoch >= epoch));
    world.run_for(100);
}

/// Everything that was tried before this epoch.
fn tries(world: &World, before: i64) -> Vec<&Finished> {
    let end = BEGAN + before as u64 * SECOND;
    let tries = world.database.history.iter().filter(|f| f.kind == TaskKind::GenerateWindowPost);
    tries.filter(|f| f.started.0 < end).collect()
}

fn rehearsals(world: &World) -> Vec<&Rehearsal> {
    world.core().rehearsals().collect()
}

#[test]
fn each_partition_is_rehearsed_once_in_the_hours_before_it_opens_and_proven_in_earnest_then() {
    let mut world = world(5, &["p"]);
    at(&mut world, DAY - 8 * 60 - 1);
    assert!(rehearsals(&world).is_empty(), "that is too far away");
    at(&mut world, DAY - 60);
    let done: Vec<_> = rehearsals(&world).iter().map(|r| (r.deadline.0, r.open.0, r.partition)).collect();
    assert_eq!(done, [(0, DAY, 0), (0, DAY, 1), (0, DAY, 2)]);
    for rehearsal in rehearsals(&world) {
        assert!((5 * SECOND..20 * SECOND).contains(&rehearsal.took_ms), "{rehearsal:?}");
        assert_eq!((&*rehearsal.worker, rehearsal.trouble()), ("p", None));
    }
    assert_eq!((tries(&world, DAY - 60).len(), world.outside.submitted.len()), (3, 0));
    at(&mut world, DAY + 60);
    assert_eq!((world.outside.submitted.len(), world.alerts.len()), (3, 0), "{:?}", world.alerts);
    assert_eq!(tries(&world, DAY + 60).len(), 6, "each once more, in earnest");
}

#[test]
fn what_would_be_skipped_is_said_while_it_can_be_mended() {
    let mut world = world(3, &["p"]);
    let sector = world.outside.ledger.sectors().next().unwrap().0;
    world.workers.get_mut(&id("p")).unwrap().skips = vec![sector];
    at(&mut world, DAY - 6 * 60);
    let told = |world: &World| world.alerts.iter().filter(|a| a.contains("would be skipped")).count();
    assert_eq!(told(&world), 1, "{:?}", world.alerts);
    assert!(world.alerts[0].contains(&format!("sectors {sector} (")), "{:?}", world.alerts);
    let skipped: Vec<u64> = rehearsals(&world).iter().flat_map(|r| r.skipped.iter().map(|(n, _)| *n)).collect();
    assert_eq!(skipped, [sector]);
    world.workers.get_mut(&id("p")).unwrap().skips = vec![];
    at(&mut world, DAY + 60);
    assert_eq!(told(&world), 1, "and once only");
    assert!(world.outside.submitted.iter().all(|(_, s)| s.skipped.is_empty()), "mended in time");
}

#[test]
fn a_proof_that_the_verifier_refuses_is_news() {
    let mut world = world(2, &["p"]);
    world.workers.get_mut(&id("p")).unwrap().lies = true;
    at(&mut world, DAY - 6 * 60);
    assert!(world.alerts.iter().any(|a| a.contains("no proof: proof refused by the verifier")), "{:?}", world.alerts);
    assert!(rehearsals(&world)[0].failure.is_some());
}

#[test]
fn a_worker_spends_no_more_than_its_part() {
    let mut world = world(8, &["p"]);
    at(&mut world, DAY - 60);
    let ended = tries(&world, DAY - 60);
    assert_eq!(ended.len(), 4);
    for pair in ended.windows(2) {
        let (took_ms, rest_ms) = (pair[0].ended.0 - pair[0].started.0, pair[1].started.0 - pair[0].ended.0);
        assert!(rest_ms >= took_ms, "half of its time: {took_ms} ms, then {rest_ms} ms of rest");
    }
}

#[test]
fn whoever_asks_for_a_proof_gets_the_worker_at_once() {
    let mut world = world(2, &["p"]);
    let rehearses = |w: &World| w.workers[&id("p")].attempts.len() == 1;
    assert!(world.run_until(DAY as u64 * SECOND, rehearses));
    let before = world.now;
    let randomness = Randomness::new([9; 32]);
    let reply = world.answer(Request::ComputeWindowPost { deadline: DeadlineIndex(0), randomness });
    assert!(matches!(reply, Reply::Post(_)), "{reply:?}");
    assert!(world.now - before < 12 * SECOND, "it waited for the rehearsal: {} ms", world.now - before);
    let first = world.database.history.iter().find(|f| f.kind == TaskKind::GenerateWindowPost).unwrap();
    assert_eq!((first.outcome, &*first.reason), (Outcome::Ended, "its worker is needed"));
    let now = world.outside.epoch;
    at(&mut world, now + 60);
    assert_eq!(rehearsals(&world).len(), 1, "later");
}

#[test]
fn what_a_lost_worker_rehearsed_is_rehearsed_by_another() {
    let mut world = world(2, &["p", "q"]);
    let busy = |w: &World| ["p", "q"].into_iter().find(|name| !w.workers[&id(name)].attempts.is_empty());
    assert!(world.run_until(DAY as u64 * SECOND, |w| busy(w).is_some()));
    let lost = busy(&world).unwrap();
    world.kill_worker(&id(lost));
    let now = world.outside.epoch;
    at(&mut world, now + 60);
    assert_eq!(rehearsals(&world).len(), 1);
    assert!(rehearsals(&world)[0].worker != lost && world.alerts.is_empty(), "{:?}", world.alerts);
}

#[test]
fn nobody_rehearses_when_the_day_calls() {
    let mut world = world(2, &["p"]);
    // So slow that a rehearsal would not be over by the challenge.
    for _ in 0..2 {
        world.answer(Request::ComputeWindowPost { deadline: DeadlineIndex(0), randomness: Randomness::new([9; 32]) });
    }
    at(&mut world, DAY - 8 * 60 - 10);
    world.cut_off(&id("p"), true);
    at(&mut world, DAY - 25);
    world.cut_off(&id("p"), false);
    at(&mut world, DAY + 60);
    assert!(rehearsals(&world).is_empty());
    assert_eq!((world.outside.submitted.len(), tries(&world, DAY + 60).len()), (1, 3), "{:?}", tries(&world, DAY + 60));
}
