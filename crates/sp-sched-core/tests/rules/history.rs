//! The history: every attempt that a worker had is in it once, with how it ended and why.

use std::collections::BTreeSet;

use sp_sched_core::event::Request;
use sp_sched_core::model::{Finished, Outcome};
use sp_types::{DeadlineIndex, Randomness, TaskKind};

use crate::world::{Faults, Happening, Role, World};

const SEALING: [TaskKind; 6] = [
    TaskKind::AddPiece,
    TaskKind::PreCommit1,
    TaskKind::PreCommit2,
    TaskKind::Commit1,
    TaskKind::Commit2,
    TaskKind::Finalize,
];

fn sealed(sectors: u32) -> World {
    let mut world = World::new(1);
    world.add_worker("w1", Role::Sealing(SEALING.to_vec()), |_| {});
    world.answer(Request::Pledge { count: sectors, priority: None });
    assert!(world.run_until(600_000, |w| w.all_proving(sectors as usize)), "{}", world.describe());
    world
}

fn ended_as(world: &World, outcome: Outcome) -> Vec<&Finished> {
    world.database.history.iter().filter(|f| f.outcome == outcome).collect()
}

#[test]
fn what_is_done_is_in_it_once() {
    let world = sealed(2);
    let history = &world.database.history;
    let done: BTreeSet<(Option<u64>, TaskKind)> = history.iter().map(|f| (f.sector, f.kind)).collect();
    assert_eq!((done.len(), history.len()), (12, 12));
    for finished in history {
        assert_eq!((finished.outcome, finished.reason.as_str()), (Outcome::Done, ""));
        assert!(finished.queued <= finished.started && finished.started < finished.ended, "{finished:?}");
        assert_eq!(finished.worker_name, world.core().workers(finished.ended)[0].name);
    }
}

#[test]
fn proofs_are_in_it_too() {
    let mut world = sealed(1);
    world.add_worker("p1", Role::WindowPost, |_| {});
    world.run_for(100);
    world.answer(Request::ComputeWindowPost { deadline: DeadlineIndex(0), randomness: Randomness::new([9; 32]) });
    let last = world.database.history.last().unwrap();
    assert_eq!((last.kind, last.sector, last.outcome), (TaskKind::GenerateWindowPost, Some(0), Outcome::Done));
}

#[test]
fn failed_lost_and_ended_say_why() {
    let mut world = World::new(3);
    world.faults = Faults { task_fails: 30, forgets: 100, ..Faults::default() };
    let worker = world.add_worker("w1", Role::Sealing(SEALING.to_vec()), |_| {});
    world.answer(Request::Pledge { count: 3, priority: None });
    for _ in 0..12 {
        world.run_for(2_500);
        if world.workers[&worker].up {
            world.kill_worker(&worker);
            world.after(300, Happening::StartWorker(worker.clone()));
        }
    }
    world.run_for(500);
    world.faults = Faults::default();
    assert!(world.run_until(600_000, |w| w.workers.values().any(|w| !w.attempts.is_empty())));
    let running = *world.workers[&worker].attempts.keys().next().unwrap();
    world.answer(Request::Abort { id: running.to_string(), reason: "wrong day".to_owned() });
    let aborted = ended_as(&world, Outcome::Ended);
    assert!(aborted.iter().any(|f| f.attempt == running && f.reason == "aborted: wrong day"), "{aborted:?}");
    for outcome in [Outcome::Failed, Outcome::Lost] {
        let found = ended_as(&world, outcome);
        assert!(!found.is_empty() && found.iter().all(|f| !f.reason.is_empty()), "{outcome:?}: {found:?}");
    }
    let ids: BTreeSet<_> = world.database.history.iter().map(|f| f.attempt).collect();
    assert_eq!(ids.len(), world.database.history.len(), "no attempt is there twice");
}
