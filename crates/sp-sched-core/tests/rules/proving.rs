//! PoSt: partitions in parallel, the next worker at the first trouble, and no proof that the verifier has not seen.

use sp_sched_core::effect::{PostReply, Reply};
use sp_sched_core::event::Request;
use sp_sched_core::model::UnixMs;
use sp_types::{DeadlineIndex, ErrorCode, Randomness, TaskKind, WorkerId};

use crate::world::{self, Role, World};

/// Three sectors, Proving, in two partitions of deadline 0; two window workers and the built-in ones.
fn proving_world(seed: u64) -> World {
    let mut world = World::new(seed);
    let kinds = [TaskKind::AddPiece, TaskKind::PreCommit1, TaskKind::PreCommit2, TaskKind::Commit1];
    let kinds = kinds.into_iter().chain([TaskKind::Commit2, TaskKind::Finalize]).collect();
    world.add_worker("sealer", Role::Sealing(kinds), |_| {});
    world.answer(Request::Pledge { count: 3, priority: None });
    assert!(world.run_until(600_000, |w| w.all_proving(3)), "{}", world.describe());
    for name in ["p1", "p2"] {
        world.add_worker(name, Role::WindowPost, |_| {});
    }
    world.add_worker("built-in", Role::WindowPost, |w| w.builtin = true);
    world.run_for(100);
    world
}

fn window() -> Request {
    Request::ComputeWindowPost { deadline: DeadlineIndex(0), randomness: Randomness::new([9; 32]) }
}

fn id(name: &str) -> WorkerId {
    WorkerId::new(name).unwrap()
}

fn proven(reply: Reply) -> PostReply {
    let Reply::Post(post) = reply else { panic!("{reply:?}") };
    assert!(post.partitions.iter().all(|p| p.sectors.is_empty() == p.proof.is_empty()));
    assert!(post.partitions.iter().all(|p| p.proof.is_empty() || p.proof == b"good"));
    post
}

fn workers(post: &PostReply) -> Vec<&str> {
    post.partitions.iter().map(|p| p.worker.as_str()).collect()
}

#[test]
fn two_partitions_are_proven_at_once_on_two_workers() {
    let mut world = proving_world(1);
    let post = proven(world.answer(window()));
    let mut by = workers(&post);
    by.sort();
    assert_eq!(by, ["p1", "p2"]);
    assert_eq!(post.proof_type.to_string(), "StackedDrgWindow2KiBV1_2");
    assert_eq!(post.partitions.iter().map(|p| p.sectors.len()).collect::<Vec<_>>(), [2, 1]);
    assert!(post.partitions.iter().all(|p| p.retries.is_empty() && !p.builtin));
    assert!(post.took_ms < 7_000, "in parallel: {} ms", post.took_ms);
    assert!(world.workers[&id("p1")].results.is_empty());
}

#[test]
fn the_challenged_sector_is_picked_by_the_draw() {
    let mut world = proving_world(2);
    world.add_worker("w", Role::WinningPost, |_| {});
    let post = proven(world.answer(Request::ComputeWinningPost { randomness: Randomness::new([1; 32]), pick: 7 }));
    assert_eq!(post.partitions[0].sectors[0].0, 1);
    assert_eq!((post.proof_type.to_string().as_str(), workers(&post)[0]), ("StackedDrgWinning2KiBV1", "w"));
}

#[test]
fn a_winning_post_is_given_to_two_workers_and_the_first_right_answer_wins() {
    let winning = |byte| Request::ComputeWinningPost { randomness: Randomness::new([byte; 32]), pick: 7 };
    let mut world = proving_world(2);
    world.add_worker("v", Role::WinningPost, |w| w.hangs = true);
    world.add_worker("w", Role::WinningPost, |_| {});
    let post = proven(world.answer(winning(1)));
    assert_eq!((workers(&post), post.partitions[0].retries.len()), (vec!["w"], 0));
    world.run_for(1_000);
    assert!(world.workers[&id("v")].attempts.is_empty(), "it is told to stop");
    // Whoever is first with a wrong proof has not won.
    let v = world.workers.get_mut(&id("v")).unwrap();
    (v.hangs, v.lies, v.compute_ms) = (false, true, 100);
    let post = proven(world.answer(winning(2)));
    assert_eq!(workers(&post), ["w"]);
    assert_eq!(post.partitions[0].retries, ["v: proof refused by the verifier"]);
}

#[test]
fn one_worker_dies_and_the_other_proves_both() {
    let mut world = proving_world(3);
    let request = world.ask(window());
    assert!(world.run_until(1_000, |w| w.workers[&id("p1")].given + w.workers[&id("p2")].given == 2));
    world.kill_worker(&id("p1"));
    assert!(world.run_until(30_000, |w| w.replies.contains_key(&request)));
    let post = proven(world.replies.remove(&request).unwrap());
    assert_eq!(workers(&post), ["p2", "p2"]);
    let retries: Vec<&String> = post.partitions.iter().flat_map(|p| &p.retries).collect();
    assert_eq!(retries, ["p1: connection lost: connection reset"]);
    // Not after a lease, but at once: one computation each, one after the other at the worst.
    assert!(post.took_ms < 13_000, "{} ms", post.took_ms);
}

#[test]
fn both_die_and_the_built_in_worker_proves_until_they_are_back() {
    let mut world = proving_world(4);
    let request = world.ask(window());
    world.run_for(500);
    world.kill_worker(&id("p1"));
    world.kill_worker(&id("p2"));
    assert!(world.run_until(60_000, |w| w.replies.contains_key(&request)));
    let post = proven(world.replies.remove(&request).unwrap());
    assert_eq!(workers(&post), ["built-in", "built-in"]);
    // The first one killed may have handed its partition to the second.
    assert!(post.partitions.iter().all(|p| p.builtin && matches!(p.retries.len(), 1 | 2)));
    assert_eq!(workers(&proven(world.answer(window()))), ["built-in", "built-in"]);

    world.start_worker(&id("p1"));
    world.start_worker(&id("p2"));
    world.run_for(100);
    let given = world.workers[&id("built-in")].given;
    let post = proven(world.answer(window()));
    assert!(post.partitions.iter().all(|p| !p.builtin));
    assert_eq!(world.workers[&id("built-in")].given, given);
}

#[test]
fn a_wrong_proof_never_leaves_and_its_worker_is_out_for_the_request() {
    let mut world = proving_world(5);
    world.workers.get_mut(&id("p1")).unwrap().lies = true;
    let post = proven(world.answer(window()));
    assert_eq!(workers(&post), ["p2", "p2"]);
    let retries: Vec<&String> = post.partitions.iter().flat_map(|p| &p.retries).collect();
    assert_eq!(retries, ["p1: proof refused by the verifier"]);
}

#[test]
fn when_everybody_lies_the_request_fails_and_names_them() {
    let mut world = proving_world(6);
    for name in ["p1", "p2", "built-in"] {
        world.workers.get_mut(&id(name)).unwrap().lies = true;
    }
    let Reply::Failed { code, message } = world.answer(window()) else { panic!() };
    assert_eq!(code, ErrorCode::Unavailable);
    for name in ["p1", "p2", "built-in"] {
        assert!(message.contains(&format!("{name}: proof refused by the verifier")), "{message}");
    }
    assert!(message.contains("start `sp-post-worker run --windowpost`"), "{message}");
    world.run_for(20_000);
    assert!(world.core().jobs(UnixMs(world.now)).is_empty());
}

#[test]
fn nobody_there_is_said_after_a_bounded_wait() {
    let mut world = proving_world(7);
    let Reply::Failed { code, message } =
        world.answer(Request::ComputeWinningPost { randomness: Randomness::new([1; 32]), pick: 0 })
    else {
        panic!()
    };
    assert_eq!(code, ErrorCode::Unavailable);
    assert_eq!(message, "winning PoSt: no worker for WNP connected for 30 s; start `sp-post-worker run --winningpost`");
}

#[test]
fn a_hanging_worker_is_given_up_after_its_time_limit() {
    let mut world = proving_world(8);
    world.workers.get_mut(&id("p1")).unwrap().hangs = true;
    let post = proven(world.answer(window()));
    assert_eq!(workers(&post), ["p2", "p2"]);
    let retries: Vec<&String> = post.partitions.iter().flat_map(|p| &p.retries).collect();
    assert_eq!(retries, ["p1: no result within its time limit"]);
    assert!(post.took_ms < world.config.window_post_limit_ms);
}

#[test]
fn unreadable_sectors_are_skipped_and_the_others_proven() {
    let mut world = proving_world(9);
    for name in ["p1", "p2"] {
        world.workers.get_mut(&id(name)).unwrap().skips = vec![0, 2];
    }
    let post = proven(world.answer(window()));
    let skipped: Vec<u64> = post.partitions.iter().flat_map(|p| &p.skipped).map(|(n, _)| *n).collect();
    let mut sorted = skipped.clone();
    sorted.sort();
    assert_eq!(sorted, [0, 2]);
    let proven: Vec<u64> = post.partitions.iter().flat_map(|p| &p.sectors).map(|(n, ..)| *n).collect();
    assert_eq!(proven, [1]);

    let check = Request::CheckDeadline { deadline: DeadlineIndex(0), randomness: Randomness::new([3; 32]) };
    let Reply::Checked(mut sectors) = world.answer(check) else { panic!() };
    sectors.sort_by_key(|(_, n, _)| *n);
    let problems: Vec<&str> = sectors.iter().map(|(_, _, problem)| problem.as_str()).collect();
    assert_eq!(problems, ["sealed is damaged", "", "sealed is damaged"]);
}

#[test]
fn a_prover_that_reads_nothing_is_not_the_last_word() {
    let mut world = proving_world(11);
    world.workers.get_mut(&id("p1")).unwrap().skips = vec![0, 1, 2];
    let post = proven(world.answer(window()));
    assert_eq!(workers(&post), ["p2", "p2"]);
    assert!(post.partitions.iter().all(|p| p.skipped.is_empty()));
    let retries: Vec<&String> = post.partitions.iter().flat_map(|p| &p.retries).collect();
    assert_eq!(retries, ["p1: it could read no sector: sealed is damaged"]);
}

#[test]
fn proving_waits_neither_for_the_index_nor_for_sealing() {
    let mut world = proving_world(10);
    // The sealing worker shares the host with a prover, and is full.
    world.workers.get_mut(&id("sealer")).unwrap().compute_ms = 600_000;
    world.answer(Request::Pledge { count: 20, priority: None });
    world.run_for(1_000);
    world.lose_index(600_000);
    world.run_for(100);
    let post = proven(world.answer(window()));
    assert_eq!(post.partitions.len(), 2);
    assert!(post.took_ms < 7_000);
}

#[test]
fn after_a_restart_without_the_index_provers_are_sent_to_every_data_plane() {
    let mut world = proving_world(11);
    world.kill_scheduler();
    world.start_scheduler();
    world.lose_index(10_000_000);
    // The index does connect after the start; that its snapshot is empty is the same to the core as no index at all.
    world.index.replicas.clear();
    world.run_for(1_000);
    let request = world.ask(window());
    assert!(world.run_until(60_000, |w| w.replies.contains_key(&request)));
    proven(world.replies.remove(&request).unwrap());
    let named =
        |w: &World| w.trace.iter().filter(|line| line.contains("WindowPost") && line.contains("store-sealer")).count();
    assert!(named(&world) > 0);
}

#[test]
fn the_verifier_may_fail_to_decide_and_is_asked_again() {
    let mut world = proving_world(12);
    world.faults.verifier_undecided = 60;
    let post = proven(world.answer(window()));
    assert_eq!(post.partitions.len(), 2);
    assert!(post.partitions.iter().all(|p| p.retries.is_empty()));
}

#[test]
fn more_partitions_than_workers_wait_for_a_free_one() {
    let mut world = proving_world(13);
    world.answer(Request::Pledge { count: 9, priority: None });
    assert!(world.run_until(4_000_000, |w| w.all_proving(12)), "{}", world.describe());
    for name in ["p1", "p2"] {
        // One core takes one proof at a time.
        let host = |w: &mut world::SimWorker| w.cpus = 1;
        world.kill_worker(&id(name));
        host(world.workers.get_mut(&id(name)).unwrap());
        world.start_worker(&id(name));
    }
    world.run_for(100);
    let request = world.ask(window());
    world.run_for(200);
    let jobs = world.core().jobs(UnixMs(world.now));
    assert_eq!(jobs.iter().filter(|j| j.attempt.is_some()).count(), 2);
    let waiting = jobs.iter().find(|j| j.attempt.is_none()).unwrap();
    assert_eq!(waiting.reasons, ["every worker of this kind is busy"]);
    assert!(world.run_until(120_000, |w| w.replies.contains_key(&request)));
    assert_eq!(proven(world.replies.remove(&request).unwrap()).partitions.len(), 6);
}

#[test]
fn a_worker_that_proves_is_neither_empty_nor_stopped() {
    let mut world = proving_world(20);
    world.ask(window());
    assert!(world.run_until(5_000, |w| !w.workers[&id("p1")].attempts.is_empty()));
    let view = |w: &World| w.core().workers(UnixMs(w.now)).into_iter().find(|v| v.name == "p1").unwrap();
    assert!(!view(&world).empty, "it proves");
    let refused = world.answer(Request::StopWorker { worker: "p1".to_owned() });
    assert!(matches!(refused, Reply::Failed { code: ErrorCode::WrongState, .. }), "{refused:?}");
}

#[test]
fn a_built_in_worker_is_not_stopped_for_it_would_be_started_again() {
    let mut world = proving_world(21);
    let refused = world.answer(Request::StopWorker { worker: "built-in".to_owned() });
    let Reply::Failed { code: ErrorCode::WrongState, message } = refused else { panic!("{refused:?}") };
    assert!(message.contains("built-in") && message.contains("DisableBuiltin"), "{message}");
}

#[test]
fn a_drained_prover_proves_only_when_nobody_else_can() {
    let mut world = proving_world(22);
    world.answer(Request::Drain { worker: "p1".to_owned(), finish_pipelines: false });
    let post = proven(world.answer(window()));
    assert_eq!(workers(&post), ["p2", "p2"], "p1 is left alone while p2 is there");
    world.kill_worker(&id("p2"));
    world.kill_worker(&id("built-in"));
    world.run_for(100);
    let post = proven(world.answer(window()));
    assert_eq!(workers(&post), ["p1", "p1"], "a proof is not missed for an operator's wish");
}
