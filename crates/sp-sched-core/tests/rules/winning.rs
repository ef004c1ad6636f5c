//! Epochs that were won: proven at once, one proof each, durable before it is handed in.

use sp_sched_core::event::Request;
use sp_types::{ChainEpoch, TaskKind, WorkerId};

use crate::world::{Role, World};

const SECOND: u64 = 1_000;

/// One sector, proven; two winning workers; elections, of which every tenth is won.
fn world(seed: u64) -> World {
    let mut world = World::new(seed);
    world.config.elections = true;
    world.kill_scheduler();
    world.start_scheduler();
    let kinds = [TaskKind::AddPiece, TaskKind::PreCommit1, TaskKind::PreCommit2, TaskKind::Commit1];
    let kinds = kinds.into_iter().chain([TaskKind::Commit2, TaskKind::Finalize]).collect();
    world.add_worker("sealer", Role::Sealing(kinds), |_| {});
    for name in ["v", "w"] {
        world.add_worker(name, Role::WinningPost, |w| w.compute_ms = 2 * SECOND);
    }
    world.answer(Request::Pledge { count: 1, priority: None });
    assert!(world.run_until(600 * SECOND, |w| w.all_proving(1)), "{}", world.describe());
    let after = next(&world) + 1;
    at(&mut world, after);
    world.outside.won.clear();
    world.alerts.clear();
    world
}

fn id(name: &str) -> WorkerId {
    WorkerId::new(name).unwrap()
}

fn at(world: &mut World, epoch: i64) {
    assert!(world.run_until(1_000 * SECOND, |w| w.outside.epoch >= epoch));
    world.run_for(100);
}

/// The next epoch that is won.
fn next(world: &World) -> i64 {
    world.outside.epoch / 10 * 10 + 10
}

/// In which epoch the proof of this one came.
fn came(world: &World, epoch: i64) -> Option<i64> {
    world.outside.won.get(&ChainEpoch(epoch)).map(|(at, _)| *at)
}

#[test]
fn what_is_won_is_proven_and_handed_in() {
    let mut world = world(1);
    let won = next(&world);
    at(&mut world, won + 25);
    for epoch in [won, won + 10, won + 20] {
        // A proof takes two seconds, an epoch one.
        assert!(came(&world, epoch).is_some_and(|at| at <= epoch + 2), "{epoch}: {:?}", came(&world, epoch));
    }
    assert!(world.alerts.is_empty(), "{:?}", world.alerts);
}

#[test]
fn a_proof_that_is_durable_is_the_one_that_is_handed_in_after_a_restart() {
    let mut world = world(2);
    let won = next(&world);
    // The chain hears nothing of it until the scheduler has died.
    assert!(world.run_until(30 * SECOND, |w| w.database.wins.contains_key(&ChainEpoch(won))));
    world.kill_scheduler();
    assert_eq!(came(&world, won), None);
    world.start_scheduler();
    // The world would stop at a second proof of this epoch.
    world.outside.epoch = won - 1;
    at(&mut world, won + 1);
    assert_eq!(came(&world, won), Some(won), "as it was, without being proven again");
}

#[test]
fn a_chain_that_does_not_answer_is_told_again() {
    let mut world = world(3);
    let won = next(&world);
    at(&mut world, won);
    world.outside.silent = true;
    at(&mut world, won + 6);
    assert_eq!(came(&world, won), None);
    world.outside.silent = false;
    at(&mut world, won + 8);
    assert!(came(&world, won).is_some() && world.alerts.is_empty());
}

#[test]
fn what_is_won_in_vain_is_an_alert_within_the_limit() {
    let mut world = world(4);
    for name in ["v", "w"] {
        world.workers.get_mut(&id(name)).unwrap().lies = true;
    }
    let won = next(&world);
    at(&mut world, won + 21);
    let alerts: Vec<&String> = world.alerts.iter().filter(|alert| alert.contains(&format!("epoch {won} "))).collect();
    let [alert] = &alerts[..] else { panic!("{:?}", world.alerts) };
    assert!(alert.contains("was won in vain: winning PoSt: not finished within its time limit"), "{alert}");
    assert!(alert.contains("v: proof refused by the verifier"), "{alert}");
    assert!(world.outside.won.is_empty());
}
