//! A scheduler that dies costs nothing of what its workers prove, or have proven.

use sp_chain::Verdict;
use sp_sched_core::model::Outcome;

use crate::day::{DAY, SECOND, all_proven, at, busy_world, id, next, refused, tries, verdicts, world};
use crate::world::World;

/// Dies and is there again a moment later.
fn restart(world: &mut World) {
    world.kill_scheduler();
    world.run_for(SECOND);
    world.start_scheduler();
}

/// How often anybody was given a partition of the opening, and how many of those tries made a proof that counts.
fn given(world: &World, open: i64) -> (usize, usize) {
    let tries = tries(world, open);
    (tries.len(), tries.iter().filter(|f| f.outcome == Outcome::Done).count())
}

#[test]
fn what_workers_prove_when_it_dies_goes_on() {
    let mut world = world(1);
    at(&mut world, DAY - 19);
    assert_eq!(world.database.partitions.len(), 2, "both are given to somebody, and that is durable");
    restart(&mut world);
    at(&mut world, DAY - 1);
    assert_eq!(given(&world, DAY), (2, 2), "nobody began anew");
    at(&mut world, DAY + 60);
    assert!(all_proven(&world) && refused(&world) == 0);
    assert!(world.database.partitions.is_empty(), "the chain has them");
}

#[test]
fn what_workers_finish_while_it_is_away_counts() {
    let mut world = world(2);
    at(&mut world, DAY - 19);
    world.kill_scheduler();
    world.run_for(12 * SECOND);
    assert!(world.workers.values().any(|w| !w.results.is_empty()), "somebody is done");
    world.start_scheduler();
    at(&mut world, DAY - 1);
    assert_eq!(given(&world, DAY), (2, 2));
    at(&mut world, DAY + 60);
    assert!(all_proven(&world));
}

#[test]
fn what_is_verified_is_handed_in_and_not_proven_again() {
    let mut world = world(3);
    at(&mut world, DAY - 2);
    let proven = |w: &World| w.database.partitions.values().filter(|row| row.proven.is_some()).count();
    assert_eq!((proven(&world), given(&world, DAY)), (2, (2, 2)));
    restart(&mut world);
    for name in ["p1", "p2"] {
        world.kill_worker(&id(name));
    }
    at(&mut world, DAY + 60);
    assert!(all_proven(&world), "though nobody is there who proves");
    assert_eq!((given(&world, DAY).0, world.outside.submitted.len()), (2, 2));
}

#[test]
fn what_the_chain_has_taken_is_not_handed_in_again() {
    let mut world = world(4);
    assert!(world.run_until(2 * 2880 * SECOND, |w| w.outside.submitted.len() == 2));
    // Nobody has heard that the chain has taken them.
    assert_eq!(world.database.partitions.len(), 2);
    restart(&mut world);
    at(&mut world, DAY + 60);
    assert!(all_proven(&world));
    assert_eq!((given(&world, DAY).0, world.outside.submitted.len()), (2, 2));
    assert!(world.database.partitions.is_empty());
}

#[test]
fn what_was_proven_under_other_randomness_is_proven_again() {
    let mut world = world(5);
    at(&mut world, DAY - 2);
    world.kill_scheduler();
    world.outside.reorganised += 1;
    world.start_scheduler();
    at(&mut world, DAY + 60);
    assert!(all_proven(&world), "{:?}", verdicts(&world));
    assert!(world.outside.submitted.iter().all(|(_, s)| s.randomness.bytes()[20] == 1), "nothing stale is handed in");
}

#[test]
fn what_was_written_down_and_never_sent_is_sent_again() {
    let mut world = world(8);
    // It dies while the assignments are on their way.
    assert!(world.run_until(2 * 2880 * SECOND, |w| w.database.partitions.len() == 2));
    assert!(world.workers.values().all(|w| w.attempts.is_empty()));
    restart(&mut world);
    at(&mut world, DAY - 1);
    assert_eq!(given(&world, DAY), (2, 2), "neither is a failure");
    at(&mut world, DAY + 60);
    assert!(all_proven(&world));
}

#[test]
fn whoever_dies_with_it_is_missed_after_a_lease() {
    let mut world = busy_world(6, 2, &["p1", "p2"]);
    let open = next(&world);
    at(&mut world, open - 19);
    world.kill_scheduler();
    let holder = world.database.partitions.values().next().expect("somebody has it").tries[0].worker.clone();
    world.kill_worker(&holder);
    world.start_scheduler();
    at(&mut world, open + 59);
    let stories: Vec<(Outcome, &str)> =
        tries(&world, open).iter().map(|f| (f.outcome, f.worker_name.as_str())).collect();
    let other = if holder == id("p1") { "p2" } else { "p1" };
    assert_eq!(stories, [(Outcome::Failed, holder.as_str()), (Outcome::Done, other)]);
    at(&mut world, open + 60);
    assert_eq!(verdicts(&world)[0].1, Verdict::Proven);
}

#[test]
fn an_opening_that_closes_while_it_is_away_is_reported_and_forgotten() {
    let mut world = world(7);
    at(&mut world, DAY - 2);
    world.kill_scheduler();
    at(&mut world, DAY + 61);
    world.start_scheduler();
    world.run_for(5 * SECOND);
    assert!(world.database.partitions.is_empty());
    let alert = world.alerts.iter().find(|alert| alert.contains("the deadline has closed"));
    assert!(alert.is_some_and(|alert| alert.starts_with("deadline 0, partitions 0 (proven;")), "{:?}", world.alerts);
}
