//! Everything goes wrong for a while, from a seed; then it stops, and every sector must be Proving in bounded time.

use proptest::prelude::*;
use sp_sched_core::data::{PieceData, SectorData};
use sp_sched_core::event::Request;
use sp_types::{TaskKind, WorkerId};

use crate::world::{self, Faults, Happening, Role, World};

/// Two workers that together do everything, as in the demo, and a third that can replace either; sometimes with paths
/// that only seal, and one that only stores.
fn cluster(seed: u64) -> World {
    let mut world = World::new(seed);
    let with = |kinds: &[TaskKind]| {
        let always = [TaskKind::Commit1, TaskKind::Finalize, TaskKind::Fetch];
        Role::Sealing(kinds.iter().chain(&always).copied().collect())
    };
    let (first, second) = ([TaskKind::AddPiece, TaskKind::PreCommit1], [TaskKind::PreCommit2, TaskKind::Commit2]);
    let apart = stores_apart(seed);
    world.add_worker("w1", with(&first), |w| w.uses = (true, !apart));
    world.add_worker("w2", with(&second), |w| w.uses = (true, !apart));
    if apart {
        world.add_worker("shelf", with(&[]), |w| w.uses = (false, true));
    }
    if seed.is_multiple_of(2) {
        world.add_worker("w3", with(&[first, second].concat()), |w| (w.builtin, w.uses.1) = (true, !apart));
    }
    world.answer(Request::Pledge { count: 2, priority: None });
    world.answer(Request::AddPiece {
        data: SectorData::one(PieceData { data_bytes: 1000, digest: [1; 32], name: "piece".to_owned() }),
        priority: None,
    });
    world
}

/// Do finished files have to leave the paths that they are made on?
fn stores_apart(seed: u64) -> bool {
    seed.is_multiple_of(3)
}

fn pick(world: &mut World) -> WorkerId {
    let at = world.dice.below(world.workers.len() as u64) as usize;
    world.workers.keys().nth(at).unwrap().clone()
}

/// One thing goes wrong.
fn misfortune(world: &mut World) {
    let worker = pick(world);
    match world.dice.below(7) {
        0 => {
            world.kill_worker(&worker);
            let ms = 100 + world.dice.below(60_000);
            world.after(ms, Happening::StartWorker(worker));
        }
        1 => {
            world.kill_worker(&worker);
            world.workers.get_mut(&worker).unwrap().boot += 1;
            world.after(5_000, Happening::StartWorker(worker));
        }
        2 => {
            world.kill_scheduler();
            let ms = 10 + world.dice.below(30_000);
            world.after(ms, Happening::StartScheduler);
        }
        3 => {
            let ms = 10 + world.dice.below(30_000);
            world.lose_index(ms);
        }
        4 if world.workers[&worker].up => world.cut_off(&worker, true),
        5 if world.workers[&worker].up => world.cut_off(&worker, false),
        _ => {}
    }
}

fn heal(world: &mut World) {
    world.faults = Faults::default();
    world.start_scheduler();
    for worker in world.workers.keys().cloned().collect::<Vec<_>>() {
        world.start_worker(&worker);
        if world.workers[&worker].cut_off {
            world.cut_off(&worker, false);
        }
    }
    world.connect_index();
}

fn trouble(seed: u64, faults: Faults, misfortunes: u64) -> World {
    let mut world = cluster(seed);
    world.faults = faults;
    for _ in 0..misfortunes {
        let ms = world.dice.below(8_000);
        world.run_for(ms);
        misfortune(&mut world);
    }
    heal(&mut world);
    world
}

fn check_end(world: &mut World) {
    // 30 minutes are the longest wait there is: for inputs that nobody has.
    assert!(world.run_until(5_000_000, |w| w.all_proving(3)), "{}", world.describe());
    world.run_for(200_000);
    if world.workers.keys().any(|id| id.as_str() == "shelf") {
        let away = world.index.replicas.keys().filter(|id| id.store.to_string() != "store-shelf");
        assert_eq!(away.count(), 0, "finished files go where they belong: {:?}", world.index.replicas);
    }
    for number in 0..3 {
        let sector = &world.database.sectors[&number];
        // Each phase is accepted once, and once more for each time that its files were lost.
        let ways_back = ["PreCommit2", "Committing1", "SealPreCommit2Failed", "ComputeProofFailed"];
        let back: usize = ways_back.iter().map(|from| world.edges(number, &format!("{from} -> PreCommit1"))).sum();
        assert_eq!(world.edges(number, "Packing -> PreCommit1"), 1);
        assert_eq!(world.edges(number, "PreCommit1 -> PreCommit2"), 1 + back);
        assert_eq!(world.edges(number, "C2 accepted"), 1);
        assert_eq!(world.edges(number, "FinalizeSector -> Proving"), 1);
        for file in &sector.files {
            let held = world.index.of_sector(number).contains(&(file.kind, file.root));
            assert!(held, "L1: sector {number} has lost its {} file", file.kind);
        }
        assert_eq!(world.index.of_sector(number).len(), sector.files.len(), "nothing is left over");
    }
    assert!(world.index.holds_nothing(), "L5: {:?} {:?}", world.index.reservations, world.index.locks);
    assert!(world.database.tasks.is_empty());
    for worker in world.workers.values() {
        assert!(worker.attempts.is_empty(), "{} still works on {:?}", worker.id, worker.attempts.keys());
        assert!(worker.results.is_empty(), "{} still keeps {:?}", worker.id, worker.results.keys());
    }
}

fn any_faults() -> impl Strategy<Value = Faults> {
    (0u64..30, 0u64..30, 0u64..30, 0u64..10, 0u64..50, 0u64..100).prop_map(
        |(refuse_space, chain_fails, verifier_undecided, task_fails, result_twice, forgets)| Faults {
            refuse_space,
            chain_fails,
            verifier_undecided,
            task_fails,
            result_twice,
            forgets,
        },
    )
}

proptest! {
    #![proptest_config(world::cases(200))]

    #[test]
    fn once_trouble_stops_every_sector_reaches_proving(seed in 0u64.., faults in any_faults(), n in 0u64..40) {
        check_end(&mut trouble(seed, faults, n));
    }
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    let faults = Faults { refuse_space: 10, chain_fails: 10, task_fails: 5, result_twice: 20, ..Faults::default() };
    let run = |seed| {
        let mut world = trouble(seed, faults, 25);
        world.run_for(100_000);
        world.trace
    };
    for seed in 0..4 {
        assert!(run(seed) == run(seed), "seed {seed}");
    }
    assert!(run(1) != run(2));
}

#[test]
fn a_restart_between_any_two_batches_loses_nothing() {
    // The scheduler dies after its n-th batch of rows and effects, once per run.
    for batch in (0..120).step_by(3) {
        let mut world = cluster(batch);
        let reached = world.run_until(600_000, |w| w.trace.len() as u64 >= 10 + batch);
        assert!(reached);
        world.kill_scheduler();
        world.after(200, Happening::StartScheduler);
        check_end(&mut world);
        let runs = world.workers.values().flat_map(|w| &w.computed);
        assert!(runs.clone().all(|(_, times)| *times == 1), "batch {batch}: a phase ran again");
        assert_eq!(runs.count(), if stores_apart(batch) { 3 * 7 } else { 3 * 6 });
    }
}
