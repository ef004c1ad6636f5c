//! Every wait is bounded, and every retry has a limit and a reason that operators see.

use sp_sched_core::effect::Reply;
use sp_sched_core::event::{Event, Request};
use sp_sched_core::model::UnixMs;
use sp_sched_core::view::JobView;
use sp_types::{ChainEpoch, DeadlineIndex, ErrorCode, Randomness, SectorState, TaskKind};

use crate::world::{Faults, Role, World};

const HOUR: u64 = 3_600_000;
const ALL: [TaskKind; 6] = [
    TaskKind::AddPiece,
    TaskKind::PreCommit1,
    TaskKind::PreCommit2,
    TaskKind::Commit1,
    TaskKind::Commit2,
    TaskKind::Finalize,
];

/// One worker that does everything, and one sector to be made.
fn one_sector(seed: u64, change: impl FnOnce(&mut World)) -> World {
    let mut world = World::new(seed);
    world.add_worker("w", Role::Sealing(ALL.to_vec()), |_| {});
    world.run_for(1_000);
    change(&mut world);
    world.answer(Request::Pledge { count: 1, priority: None });
    world
}

fn job(world: &World) -> JobView {
    world.core().jobs(UnixMs(world.now)).remove(0)
}

fn failures(world: &World) -> u32 {
    world.database.tasks.values().next().unwrap().failures
}

#[test]
fn space_that_is_refused_again_and_again_counts_as_a_failure() {
    let refuse = |world: &mut World| {
        world.config.soft_retry_limit = 5;
        world.kill_scheduler();
        world.start_scheduler();
        world.faults = Faults { refuse_space: 100, ..Faults::default() };
        world.run_for(1_000);
    };
    let mut world = one_sector(1, refuse);
    let asked_before = |w: &World| job(w).state == "reserving" && !job(w).detail.is_empty();
    assert!(world.run_until(HOUR, asked_before), "{}", world.describe());
    assert_eq!(job(&world).detail, "asked 2 times, last: w: space refused: the store is full");
    assert!(world.run_until(HOUR, |w| failures(w) == 1), "{}", world.describe());
    assert!(world.database.sectors[&0].last_error.contains("(5 times in a row)"));
    assert!(world.run_until(24 * HOUR, |w| w.state(0) == SectorState::FailedUnrecoverable), "{}", world.describe());
    assert!(world.database.sectors[&0].last_error.contains("space refused: the store is full"));
}

#[test]
fn an_index_that_never_answers_is_not_asked_for_ever() {
    let silent = |world: &mut World| world.index.silent = true;
    let mut world = one_sector(2, silent);
    world.run_for(3 * 60_000);
    assert_eq!((job(&world).state, job(&world).detail.as_str()), ("reserving", "asked 4 times, no answer"));
    // A worker that is away for a moment would end the attempt; this one is there all the time.
    assert!(world.run_until(4 * HOUR, |w| failures(w) == 1), "{}", world.describe());
    let task = world.database.tasks.values().next().unwrap();
    assert!(task.last_error.contains("did not answer 100 requests"), "{}", task.last_error);
}

#[test]
fn a_silent_chain_is_a_chain_that_fails() {
    let mut world = one_sector(3, |world| world.outside.silent = true);
    assert!(world.run_until(HOUR, |w| w.state(0) == SectorState::PreCommit1));
    world.run_for(5 * 60_000);
    let waits = world.core().waiting_for(0, UnixMs(world.now));
    assert!(waits.starts_with("the chain: ticket; asked ") && waits.ends_with("no answer within 60 s"), "{waits}");
    assert!(world.run_until(24 * HOUR, |w| w.state(0) == SectorState::FailedUnrecoverable), "{}", world.describe());
    assert!(world.database.sectors[&0].last_error.contains("asked 100 times in vain"));
}

#[test]
fn waiting_for_the_epoch_of_a_seed_is_no_failure() {
    let mut world = one_sector(4, |_| {});
    let seed_epoch = |w: &World| w.database.sectors[&0].seed_epoch;
    assert!(world.run_until(HOUR, |w| seed_epoch(w).is_some()), "{}", world.describe());
    // The chain stands still before the epoch, for hours.
    world.outside.silent = true;
    let far = ChainEpoch(seed_epoch(&world).unwrap().0 - 1);
    let mut core = world.core.take().unwrap();
    let mut now = world.now;
    core.step(UnixMs(now), Event::Epoch(far));
    for _ in 0..600 {
        now += 60_000;
        core.step(UnixMs(now), Event::Wake);
    }
    let waits = core.waiting_for(0, UnixMs(now));
    assert!(waits.starts_with("the chain: seed at epoch") && !waits.contains("asked"), "{waits}");
}

#[test]
fn a_delete_that_cannot_be_done_is_given_up_and_the_log_says_why() {
    let mut world = one_sector(5, |world| world.index.keeps_all = true);
    let logged = |event: &'static str| {
        move |w: &World| w.database.sectors[&0].log.iter().any(|e| e.event == event && e.message.contains("read-only"))
    };
    assert!(world.run_until(2 * HOUR, logged("delete failed")), "{}", world.describe());
    assert!(world.run_until(48 * HOUR, logged("delete given up")), "{}", world.describe());
    let times = world.edges(0, "delete failed");
    world.run_for(24 * HOUR);
    assert_eq!(world.edges(0, "delete failed"), times, "the same reason is told once");
    let orders = |w: &World| w.trace.iter().filter(|batch| batch.contains("DeleteReplica")).count();
    let before = orders(&world);
    world.run_for(24 * HOUR);
    assert_eq!(orders(&world), before, "nothing is ordered any more");
    // Another holder of the store is another chance.
    world.index.keeps_all = false;
    let worker = world.workers.keys().next().unwrap().clone();
    world.kill_worker(&worker);
    world.run_for(1_000);
    world.start_worker(&worker);
    world.run_for(120_000);
    let files = world.database.sectors[&0].files.len();
    assert_eq!(world.index.of_sector(0).len(), files, "nothing is left over");
}

#[test]
fn a_verifier_that_cannot_decide_says_why_while_it_is_asked_and_in_the_end() {
    let mut world = one_sector(6, |_| {});
    assert!(world.run_until(HOUR, |w| w.all_proving(1)), "{}", world.describe());
    world.add_worker("p", Role::WindowPost, |_| {});
    world.faults.verifier_undecided = 100;
    let ask = Request::ComputeWindowPost { deadline: DeadlineIndex(0), randomness: Randomness::new([9; 32]) };
    let request = world.ask(ask);
    let undecided = |w: &World| {
        let jobs = w.core().jobs(UnixMs(w.now));
        jobs.iter().any(|j| j.state == "verifying" && j.detail.contains("could not decide, asked 2 times"))
    };
    assert!(world.run_until(HOUR, undecided), "{}", world.describe());
    assert!(job(&world).detail.ends_with("last: the verifier was killed"), "{:?}", job(&world));
    assert!(world.run_until(HOUR, |w| w.replies.contains_key(&request)), "{}", world.describe());
    let Reply::Failed { code, message } = world.replies.remove(&request).unwrap() else { panic!("it was proven") };
    assert_eq!(code, ErrorCode::TimedOut);
    assert!(message.contains("the verifier was killed"), "{message}");
}
