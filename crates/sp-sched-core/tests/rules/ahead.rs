//! Reading ahead: whoever proves reads the next partition meanwhile, unless somebody else is free.

use std::collections::BTreeSet;

use sp_sched_core::event::Request;
use sp_sched_core::model::Outcome;

use crate::day::{DAY, SECOND, at, busy_world, id, next, refused, tries, verdicts};
use crate::world::World;

/// Partitions that each of these workers has.
fn given(world: &World, names: &[&str]) -> Vec<usize> {
    names.iter().map(|name| world.workers[&id(name)].attempts.len()).collect()
}

fn reads_ahead(world: &World) -> usize {
    world.database.partitions.values().flat_map(|row| &row.tries).filter(|t| t.ahead).count()
}

fn all_proven(world: &World) -> bool {
    verdicts(world).iter().all(|(_, verdict, skipped)| *verdict == sp_chain::Verdict::Proven && skipped.is_empty())
}

#[test]
fn each_worker_has_one_to_prove_and_one_to_read_and_never_more() {
    let mut world = busy_world(1, 16, &["p1", "p2"]);
    let open = next(&world);
    at(&mut world, open - 19);
    assert_eq!(given(&world, &["p1", "p2"]), [1, 1], "they read what they will prove");
    let mut most = 0;
    while world.outside.epoch < open + 59 {
        world.run_for(100);
        let given = given(&world, &["p1", "p2"]);
        assert!(given.iter().all(|count| *count <= 2), "{given:?}");
        most = most.max(reads_ahead(&world));
    }
    assert_eq!(most, 2, "both read ahead");
    at(&mut world, open + 60);
    assert!(all_proven(&world) && refused(&world) == 0);
    let done = tries(&world, open).iter().filter(|f| f.outcome == Outcome::Done).count();
    assert_eq!(done, 8, "each partition once");
}

#[test]
fn what_is_read_behind_a_proof_that_hangs_goes_to_whoever_is_free() {
    let mut world = busy_world(2, 6, &["p1", "p2"]);
    let open = next(&world);
    world.workers.get_mut(&id("p1")).unwrap().hangs = true;
    at(&mut world, open + 60);
    let all = tries(&world, open);
    let handed: Vec<_> = all.iter().filter(|f| f.reason == "another worker is free").collect();
    let [handed] = handed[..] else { panic!("{all:?}") };
    assert_eq!((handed.worker_name.as_str(), handed.outcome), ("p1", Outcome::Ended));
    let again = all.iter().find(|f| f.attempt.task == handed.attempt.task && f.outcome == Outcome::Done);
    assert_eq!(again.map(|f| f.worker_name.as_str()), Some("p2"));
    assert_eq!(verdicts(&world).iter().filter(|(_, verdict, _)| *verdict == sp_chain::Verdict::Proven).count(), 3);
}

#[test]
fn what_is_read_goes_on_through_a_restart_and_dies_with_its_worker() {
    let mut world = busy_world(3, 8, &["p1", "p2"]);
    let open = next(&world);
    assert!(world.run_until(2 * DAY as u64 * SECOND, |w| reads_ahead(w) == 2));
    world.run_for(100);
    let before: BTreeSet<_> =
        world.database.partitions.values().flat_map(|row| &row.tries).map(|t| t.attempt).collect();
    world.kill_scheduler();
    world.run_for(50);
    world.start_scheduler();
    world.run_for(100);
    let after: BTreeSet<_> = world.database.partitions.values().flat_map(|row| &row.tries).map(|t| t.attempt).collect();
    assert_eq!((before, reads_ahead(&world)), (after, 2));
    world.kill_worker(&id("p1"));
    at(&mut world, open + 60);
    assert!(all_proven(&world), "{:?}", verdicts(&world));
}

#[test]
fn a_worker_that_is_drained_proves_no_more_than_what_it_has_begun_to_prove() {
    let mut world = busy_world(4, 8, &["p1", "p2"]);
    let open = next(&world);
    assert!(world.run_until(2 * DAY as u64 * SECOND, |w| reads_ahead(w) == 2));
    world.answer(Request::Cordon { worker: "p1".to_owned(), cordoned: true });
    world.run_for(100);
    assert_eq!((given(&world, &["p1"]), reads_ahead(&world)), (vec![1], 1));
    at(&mut world, open + 60);
    assert!(all_proven(&world), "{:?}", verdicts(&world));
    let by = |name| tries(&world, open).iter().filter(|f| f.outcome == Outcome::Done && f.worker_name == name).count();
    assert_eq!((by("p1"), by("p2")), (1, 3));
}
