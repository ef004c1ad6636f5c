//! The proving day: what is to be proven is proven by itself, handed in once, and again when the chain has forgotten it.

use std::collections::BTreeSet;

use sp_chain::Verdict;
use sp_sched_core::event::Request;
use sp_sched_core::model::{Finished, Outcome, UnixMs};
use sp_types::{DeadlineIndex, TaskKind, WorkerId};

use crate::world::{BEGAN, Role, World};

/// Epochs of a period, each of a second.
pub(crate) const DAY: i64 = 2880;
pub(crate) const SECOND: u64 = 1_000;

/// Three sectors in two partitions of deadline 0, which opens at each multiple of a day; two window workers.
pub(crate) fn world(seed: u64) -> World {
    let mut world = sealed(seed, 3);
    for name in ["p1", "p2"] {
        world.add_worker(name, Role::WindowPost, |_| {});
    }
    world
}

/// So many sectors, and workers that take one partition at a time.
pub(crate) fn busy_world(seed: u64, sectors: u32, workers: &[&str]) -> World {
    let mut world = sealed(seed, sectors);
    for name in workers {
        world.add_worker(name, Role::WindowPost, |w| w.cpus = 1);
    }
    world
}

fn sealed(seed: u64, sectors: u32) -> World {
    let mut world = World::new(seed);
    let kinds = [TaskKind::AddPiece, TaskKind::PreCommit1, TaskKind::PreCommit2, TaskKind::Commit1];
    let kinds = kinds.into_iter().chain([TaskKind::Commit2, TaskKind::Finalize]).collect();
    world.add_worker("sealer", Role::Sealing(kinds), |_| {});
    world.answer(Request::Pledge { count: sectors, priority: None });
    assert!(world.run_until(2 * 2880 * SECOND, |w| w.all_proving(sectors as usize)), "{}", world.describe());
    world
}

/// First epoch of the next opening.
pub(crate) fn next(world: &World) -> i64 {
    (world.outside.epoch + 20) / DAY * DAY + DAY
}

/// Who has proven what for this opening, from when to when.
pub(crate) fn tries(world: &World, open: i64) -> Vec<&Finished> {
    let began = BEGAN + (open as u64 - 20) * SECOND;
    let tries = world.database.history.iter().filter(|f| f.kind == TaskKind::GenerateWindowPost);
    tries.filter(|f| f.started.0 >= began).collect()
}

pub(crate) fn id(name: &str) -> WorkerId {
    WorkerId::new(name).unwrap()
}

/// Sectors of the two partitions: which they are depends on who was sealed first.
fn partitions(world: &World) -> [Vec<u64>; 2] {
    let partitions = world.core().deadlines().remove(&DeadlineIndex(0)).unwrap();
    partitions.try_into().unwrap()
}

pub(crate) fn at(world: &mut World, epoch: i64) {
    assert!(world.run_until(3 * 2880 * SECOND, |w| w.outside.epoch >= epoch));
    // What the epoch has set going arrives.
    world.run_for(100);
}

/// Verdicts of the partitions of the newest opening that has closed.
pub(crate) fn verdicts(world: &World) -> Vec<(u32, Verdict, Vec<u64>)> {
    let record = world.records().into_iter().find(|record| record.closed).expect("a deadline has closed");
    record.partitions.into_iter().map(|(index, p)| (index, p.verdict, p.skipped)).collect()
}

pub(crate) fn all_proven(world: &World) -> bool {
    verdicts(world) == [(0, Verdict::Proven, vec![]), (1, Verdict::Proven, vec![])]
}

/// Submissions that the chain has not taken.
pub(crate) fn refused(world: &World) -> u32 {
    world.records().iter().map(|record| record.refused + record.late).sum()
}

fn faulty(world: &World) -> Vec<(u64, bool)> {
    let sectors = world.outside.ledger.sectors();
    sectors.filter(|(_, s)| s.faulty_since.is_some()).map(|(number, s)| (number, s.recovering)).collect()
}

/// No worker can read these sectors, and each can read the others.
fn damage(world: &mut World, numbers: &[u64]) {
    for name in ["p1", "p2"] {
        world.workers.get_mut(&id(name)).unwrap().skips = numbers.to_vec();
    }
}

#[test]
fn every_partition_is_proven_at_once_after_the_challenge_and_handed_in_when_it_opens() {
    let mut world = world(1);
    at(&mut world, DAY - 20);
    assert!(world.core().jobs(UnixMs(world.now)).is_empty(), "one epoch passes before the randomness is trusted");
    at(&mut world, DAY - 19);
    let jobs = world.core().jobs(UnixMs(world.now));
    assert_eq!(jobs.iter().filter(|job| job.attempt.is_some()).count(), 2, "both partitions at once");
    at(&mut world, DAY - 1);
    assert!(world.core().jobs(UnixMs(world.now)).is_empty(), "proven");
    assert_eq!(world.outside.submitted.len(), 0, "nothing is handed in before it opens");
    at(&mut world, DAY + 59);
    let handed: Vec<_> = world.outside.submitted.iter().map(|(epoch, s)| (*epoch, s.partition)).collect();
    assert_eq!(handed, [(DAY, 0), (DAY, 1)]);
    at(&mut world, DAY + 60);
    assert!(all_proven(&world) && world.alerts.is_empty() && refused(&world) == 0);
    at(&mut world, 2 * DAY + 60);
    assert!(all_proven(&world), "and the next day again");
    assert_eq!(world.outside.submitted.len(), 4);
}

#[test]
fn a_scheduler_that_starts_asks_the_chain_and_proves_what_is_missing() {
    for minute in [-15, -10, 0, 1, 5] {
        let mut world = world(2);
        // Only one partition is proven before the scheduler dies.
        world.workers.get_mut(&id("p2")).unwrap().hangs = true;
        at(&mut world, DAY + minute);
        world.kill_scheduler();
        world.workers.get_mut(&id("p2")).unwrap().hangs = false;
        world.run_for(2 * SECOND);
        world.start_scheduler();
        let before = world.outside.submitted.len();
        at(&mut world, DAY + 60);
        assert!(all_proven(&world), "{minute}: {:?}", verdicts(&world));
        assert_eq!((world.outside.submitted.len(), refused(&world)), (2, 0), "{minute}");
        assert_eq!(before, if minute < 0 { 0 } else { 1 }, "{minute}: what the chain has is not proven again");
    }
}

#[test]
fn other_randomness_means_other_proofs() {
    for epoch in [-17, -8, 3] {
        let mut world = world(3);
        at(&mut world, DAY + epoch);
        world.outside.reorganised += 1;
        if epoch > 0 {
            // What was handed in is gone as well.
            world.outside.ledger = forgotten(&world);
        }
        at(&mut world, DAY + 60);
        assert!(all_proven(&world), "{epoch}: {:?}", verdicts(&world));
        let last = &world.outside.submitted[world.outside.submitted.len() - 2..];
        assert!(last.iter().all(|(_, s)| s.randomness.bytes()[20] == 1), "{epoch}: proven under what counts now");
        assert_eq!(world.outside.submitted.len(), if epoch > 0 { 4 } else { 2 }, "{epoch}");
    }
}

/// The books of the world without what was proven.
fn forgotten(world: &World) -> sp_chain::Ledger {
    use sp_chain::{Assignment, Change, Ledger};
    let mut ledger = Ledger::new(Assignment::Pack(DeadlineIndex(0)), 2);
    for (number, sector) in world.outside.ledger.sectors() {
        ledger.load(Change::Sector(number, Some(*sector)));
    }
    ledger
}

#[test]
fn a_chain_that_fails_most_calls_gets_every_proof_all_the_same() {
    let mut world = world(4);
    world.faults.chain_fails = 60;
    at(&mut world, DAY + 60);
    assert!(all_proven(&world) && world.alerts.is_empty(), "{:?}", verdicts(&world));
    assert_eq!(refused(&world), 0, "what was taken is not handed in as something else");
}

#[test]
fn liars_and_the_lost_cost_time_and_no_partition() {
    let mut world = world(5);
    world.workers.get_mut(&id("p1")).unwrap().lies = true;
    at(&mut world, DAY - 18);
    world.kill_worker(&id("p2"));
    at(&mut world, DAY + 40);
    assert!(world.outside.submitted.is_empty(), "nobody honest is there");
    world.start_worker(&id("p2"));
    at(&mut world, DAY + 60);
    assert!(all_proven(&world), "{:?}", verdicts(&world));
}

#[test]
fn whoever_has_lied_is_asked_again_rather_than_nobody() {
    let mut world = world(11);
    world.kill_worker(&id("p2"));
    world.workers.get_mut(&id("p1")).unwrap().lies = true;
    at(&mut world, DAY + 5);
    assert!(world.outside.submitted.is_empty(), "nobody honest is there");
    let tried = tries(&world, DAY).len();
    assert!((4..20).contains(&tried), "more than once for each of two partitions, and seldom: {tried}");
    world.workers.get_mut(&id("p1")).unwrap().lies = false;
    at(&mut world, DAY + 60);
    assert!(all_proven(&world), "{:?}", verdicts(&world));
}

#[test]
fn whoever_has_lied_is_the_second_one_rather_than_nobody() {
    let mut world = world(12);
    for name in ["p1", "p2"] {
        world.workers.get_mut(&id(name)).unwrap().says_ms = 4 * SECOND;
    }
    world.workers.get_mut(&id("p1")).unwrap().lies = true;
    world.workers.get_mut(&id("p2")).unwrap().hangs = true;
    at(&mut world, DAY + 5);
    assert!(world.outside.submitted.is_empty(), "one lies, the other one hangs");
    world.workers.get_mut(&id("p1")).unwrap().lies = false;
    at(&mut world, DAY + 60);
    assert!(all_proven(&world), "{:?}", verdicts(&world));
}

#[test]
fn what_nobody_proves_is_missed_alerted_and_recovers_once_it_can_be_read() {
    let mut world = world(6);
    world.kill_worker(&id("p1"));
    world.kill_worker(&id("p2"));
    at(&mut world, DAY + 60);
    let [pair, single] = partitions(&world);
    assert_eq!(verdicts(&world), [(0, Verdict::Missed, pair), (1, Verdict::Missed, single)]);
    let [warning, alert] = &world.alerts[..] else { panic!("{:?}", world.alerts) };
    let expected = "window PoSt of deadline 0 has no slack left: nobody proves, it has ";
    assert!(warning.starts_with(expected) && warning.ends_with("start another `sp-post-worker run --windowpost`"));
    assert!(alert.starts_with("deadline 0, partitions 0, 1: window PoSt: the deadline has closed"), "{alert}");
    assert!(world.core().jobs(UnixMs(world.now)).is_empty());
    world.start_worker(&id("p1"));
    world.start_worker(&id("p2"));
    // Sector 1 is damaged: it is not declared.
    damage(&mut world, &[1]);
    at(&mut world, 2 * DAY - 121);
    assert_eq!(faulty(&world), [(0, false), (1, false), (2, false)]);
    at(&mut world, 2 * DAY - 105);
    assert_eq!(faulty(&world), [(0, true), (1, false), (2, true)], "declared two deadlines ahead");
    at(&mut world, 2 * DAY + 60);
    assert_eq!(faulty(&world), [(1, false)]);
    // It is mended, and found to be at the third look.
    at(&mut world, 3 * DAY - 95);
    assert_eq!(faulty(&world), [(1, false)]);
    damage(&mut world, &[]);
    at(&mut world, 3 * DAY + 60);
    assert_eq!((faulty(&world), world.alerts.len()), (vec![], 2));
}

#[test]
fn a_sector_that_cannot_be_read_is_skipped_and_faulty_and_a_whole_partition_is_tried_to_the_end() {
    let mut world = world(7);
    let [pair, single] = partitions(&world);
    damage(&mut world, &[pair[1], single[0]]);
    at(&mut world, DAY + 50);
    assert_eq!(faulty(&world), [(pair[1], false)]);
    // The sector that is alone in its partition comes back in time.
    damage(&mut world, &[]);
    at(&mut world, DAY + 60);
    assert_eq!(verdicts(&world), [(0, Verdict::Proven, vec![pair[1]]), (1, Verdict::Proven, vec![])]);
}

#[test]
fn four_partitions_are_proven_at_once_by_four_workers_and_by_three_when_one_dies() {
    let mut world = busy_world(9, 8, &["p1", "p2", "p3", "p4"]);
    let open = next(&world);
    at(&mut world, open - 1);
    let all = tries(&world, open);
    let workers: BTreeSet<&str> = all.iter().map(|f| f.worker_name.as_str()).collect();
    assert_eq!((all.len(), workers.len()), (4, 4), "Lotus's example: all at once");
    let (last_start, first_end) = (all.iter().map(|f| f.started).max(), all.iter().map(|f| f.ended).min());
    assert!(last_start < first_end, "their intervals overlap");

    let open = open + DAY;
    at(&mut world, open - 19);
    world.kill_worker(&id("p4"));
    at(&mut world, open - 1);
    let done: Vec<&Finished> = tries(&world, open).into_iter().filter(|f| f.outcome == Outcome::Done).collect();
    let workers: BTreeSet<&str> = done.iter().map(|f| f.worker_name.as_str()).collect();
    assert_eq!((done.len(), workers.len()), (4, 3));
    let fourth = done.iter().map(|f| f.started).max().unwrap();
    let first_end = done.iter().map(|f| f.ended).min().unwrap();
    assert!(fourth.0.abs_diff(first_end.0) < SECOND, "by the first one to finish");
}

#[test]
fn twelve_partitions_keep_three_workers_busy_to_the_end() {
    let mut world = busy_world(10, 24, &["p1", "p2", "p3"]);
    let (open, takes) = (next(&world), world.workers[&id("p1")].compute_ms);
    at(&mut world, open + 59);
    let all: Vec<&Finished> = tries(&world, open).into_iter().filter(|f| f.outcome == Outcome::Done).collect();
    assert_eq!(all.len(), 12);
    let took = all.iter().map(|f| f.ended.0).max().unwrap() - all.iter().map(|f| f.started.0).min().unwrap();
    assert!(took < 4 * takes * 110 / 100, "{took} ms for four rounds of {takes} ms");
    assert_eq!(refused(&world), 0);
}

#[test]
fn a_removed_sector_is_terminated_and_no_fault() {
    let mut world = world(8);
    let [_, single] = partitions(&world);
    world.answer(Request::Remove { sector: single[0] });
    at(&mut world, DAY + 60);
    assert_eq!(verdicts(&world), [(0, Verdict::Proven, vec![])]);
    assert_eq!(world.outside.ledger.sectors().count(), 2);
}
