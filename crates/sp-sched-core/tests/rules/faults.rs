//! One fault each: what is lost, late, repeated or aborted changes what it must and nothing else.

use sp_sched_core::effect::Reply;
use sp_sched_core::event::{Event, Request, StoreFact};
use sp_sched_core::model::UnixMs;
use sp_sched_core::view::WorkerView;
use sp_types::SectorState::{Packing, PreCommit1, PreCommit2};
use sp_types::{ErrorCode, FileKind, Filters, HostCapacity, HostId, ResourceTable, SessionId, TaskId, TaskKind};

use crate::desk::{self, Desk, GIB, SIZE, lotus_machine};
use crate::world::{Role, World};

const PC1: TaskKind = TaskKind::PreCommit1;
const PC2: TaskKind = TaskKind::PreCommit2;

fn table(name: &str, value: &str) -> ResourceTable {
    ResourceTable::with_env([(name.to_owned(), value.to_owned())]).unwrap()
}

fn view(desk: &Desk, name: &str) -> WorkerView {
    desk.core.workers(UnixMs(desk.now)).into_iter().find(|v| v.name == name).unwrap()
}

fn sealer(world: &mut World) -> sp_types::WorkerId {
    let kinds = [TaskKind::AddPiece, PC1, PC2, TaskKind::Commit1, TaskKind::Commit2, TaskKind::Finalize];
    world.add_worker("w", Role::Sealing(kinds.to_vec()), |_| {})
}

// === leases ===

#[test]
fn a_heartbeat_keeps_the_lease() {
    let mut desk = Desk::new(|_| {}, &[PreCommit1]);
    desk.join("a", &[PC1], lotus_machine());
    desk.index(&["a"], &[(0, "a")]);
    desk.pass(60_000, &["a"]);
    assert!(view(&desk, "a").connected);
    assert_eq!(desk.core.jobs(UnixMs(desk.now))[0].state, "running");
}

#[test]
fn a_lease_that_ends_is_noticed_though_every_lease_had_ended_before() {
    // The host computes for a; what is bound to b waits for its cores, and b has no attempt that would be missed.
    let mut desk = Desk::new(|_| {}, &[PreCommit2; 2]);
    for name in ["a", "b"] {
        let host = HostId::new("machine-boot").unwrap();
        desk.join_with(name, &[PC2], lotus_machine(), table("PC2_32G_MAX_CONCURRENT", "1"), |r| r.host = host);
    }
    desk.index(&["a", "b"], &[(0, "a"), (1, "b")]);
    let bound = |desk: &Desk| view(desk, "b").windows.len();
    assert_eq!((desk.news(), bound(&desk)), (vec!["PC2 0 on a".to_owned()], 1));
    desk.pass(17_000, &[]);
    assert_eq!(bound(&desk), 0, "both are away");
    desk.pass(1_000, &["a", "b"]);
    assert_eq!(bound(&desk), 1, "both are back");
    desk.pass(17_000, &["a"]);
    assert_eq!(bound(&desk), 0, "b is away");
}

#[test]
fn space_of_an_attempt_whose_lease_ends_is_given_back_once() {
    // Both workers have the same store, which has room for two sectors and a half.
    let mut desk = Desk::new(|_| {}, &[Packing; 4]);
    desk.silent = true;
    let unit = FileKind::Unsealed.sealing_bytes(SIZE.bytes());
    let holders = ["a", "b"].map(|name| (desk::worker(name), format!("http://{name}")));
    desk.step(Event::IndexSnapshotBegin);
    desk.step(Event::Store(Box::new(StoreFact {
        id: desk::store("shared"),
        weight: 10,
        can_seal: true,
        can_store: true,
        available_bytes: 2 * unit + unit / 2,
        healthy: true,
        unhealthy_reason: String::new(),
        holders: holders.to_vec(),
        filters: Filters::default(),
        groups: vec![],
        allow_to: vec![],
    })));
    desk.step(Event::IndexSnapshotEnd);
    let one = table("AP_32G_MAX_CONCURRENT", "1");
    desk.join_with("a", &[TaskKind::AddPiece], lotus_machine(), one, |_| {});
    desk.join("b", &[TaskKind::AddPiece], lotus_machine());
    assert_eq!(desk.reserved.len(), 2, "{}", desk.why(2));
    // The worker a goes silent before its attempt was ever sent.
    desk.pass(17_000, &["b"]);
    assert!(!view(&desk, "a").connected);
    assert_eq!(desk.reserved.len(), 3, "room for one more, not for two: {:?}", desk.reserved);
}

#[test]
fn an_orphan_keeps_its_room_on_its_host() {
    let mut desk = Desk::new(|_| {}, &[PreCommit2; 2]);
    for name in ["a", "b"] {
        let host = HostId::new("machine-boot").unwrap();
        desk.join_with(name, &[PC2], lotus_machine(), table("PC2_32G_MAX_CONCURRENT", "1"), |r| r.host = host);
    }
    desk.index(&["a", "b"], &[(0, "a"), (1, "b")]);
    assert_eq!(desk.news(), ["PC2 0 on a"], "the host has cores for one");
    desk.pass(60_000, &["a", "b"]);
    desk.pass(120_000, &["b"]);
    assert_eq!(desk.core.jobs(UnixMs(desk.now))[0].state, "orphaned");
    assert!(desk.news().is_empty(), "it may still compute there");
    assert!(desk.why(1).contains("cores"), "{}", desk.why(1));
}

#[test]
fn an_attempt_that_comes_back_with_its_worker_is_not_given_away_as_well() {
    let mut desk = Desk::new(|_| {}, &[PreCommit2; 2]);
    let one = table("PC2_32G_MAX_CONCURRENT", "1");
    desk.join_with("a", &[PC2], lotus_machine(), one.clone(), |_| {});
    desk.index(&["a", "b"], &[(0, "b"), (1, "b")]);
    assert_eq!(desk.news(), ["PC2 0 on a"]);
    // The worker a goes silent; b takes the other task, and the orphan's waits in its window.
    desk.join("b", &[PC2], lotus_machine());
    desk.pass(120_000, &["b"]);
    assert_eq!(desk.news(), ["PC2 1 on b"]);
    assert_eq!(view(&desk, "b").windows.len(), 1);
    let held = vec![desk.attempt(PC2, 0)];
    desk.join_with("a", &[PC2], lotus_machine(), one, |r| {
        (r.session, r.held) = (SessionId::new("two").unwrap(), held);
    });
    desk.finish(PC2, 1, 0, 1);
    assert!(desk.news().is_empty(), "a still works on it");
    assert!(view(&desk, "b").windows.is_empty() && view(&desk, "b").empty);
}

#[test]
fn an_attempt_that_its_worker_does_not_list_is_sent_again() {
    let mut desk = Desk::new(|_| {}, &[PreCommit2]);
    desk.join("a", &[PC2], lotus_machine());
    desk.index(&["a"], &[(0, "a")]);
    assert_eq!(desk.news(), ["PC2 0 on a"]);
    desk.pass(20_000, &["a"]);
    let attempt = desk.attempt(PC2, 0);
    desk.given.remove(&attempt);
    desk.pass(29_000, &["a"]);
    assert!(desk.news().is_empty(), "it may be on its way");
    desk.pass(3_000, &["a"]);
    assert_eq!((desk.news(), desk.attempt(PC2, 0)), (vec!["PC2 0 on a".to_owned()], attempt));
    // A worker that drops it whenever it comes is at fault: it was sent five times more, every 30 s.
    let given_up = |desk: &Desk| {
        let mut log = desk.core.sector(0).unwrap().log.iter();
        log.any(|entry| entry.message.contains("the worker never took it up"))
    };
    let seconds = (0..300).take_while(|_| {
        desk.given.remove(&attempt);
        desk.pass(1_000, &["a"]);
        !given_up(&desk)
    });
    let seconds = seconds.count();
    assert!((140..200).contains(&seconds), "given up after {seconds} s");
}

// === sessions ===

#[test]
fn a_second_session_binds_everything_anew() {
    let mut desk = Desk::new(|_| {}, &[PreCommit1; 8]);
    let holders: Vec<(u64, &str)> = (0..8).map(|n| (n, "a")).collect();
    desk.join("a", &[PC1], lotus_machine());
    desk.index(&["a"], &holders);
    assert_eq!(desk.news().len(), 2);
    let bound = view(&desk, "a").windows;
    assert_eq!(bound.iter().map(Vec::len).collect::<Vec<_>>(), [2, 2]);
    let held = desk.given.keys().copied().collect::<Vec<_>>();
    desk.join_with("a", &[PC1], lotus_machine(), ResourceTable::default(), |r| {
        (r.session, r.held) = (SessionId::new("two").unwrap(), held);
    });
    assert_eq!(view(&desk, "a").windows, bound);
    assert!(desk.news().is_empty(), "what it holds goes on, and nothing begins twice");
}

#[test]
fn the_end_of_an_older_session_changes_nothing() {
    let mut desk = Desk::new(|_| {}, &[PreCommit1; 4]);
    let holders: Vec<(u64, &str)> = (0..4).map(|n| (n, "a")).collect();
    desk.join("a", &[PC1], lotus_machine());
    desk.index(&["a"], &holders);
    let held = desk.given.keys().copied().collect::<Vec<_>>();
    desk.join_with("a", &[PC1], lotus_machine(), ResourceTable::default(), |r| {
        (r.session, r.held) = (SessionId::new("two").unwrap(), held);
    });
    let before = view(&desk, "a");
    let (worker, session) = (desk::worker("a"), SessionId::new("one").unwrap());
    desk.step(Event::WorkerDisconnected { worker, session, reason: "reset".to_owned() });
    assert_eq!(view(&desk, "a"), before);
    assert!(before.connected && before.windows.len() == 1);
}

#[test]
fn a_worker_that_brings_inputs_is_not_empty() {
    // The host has cores for one PC2; the second one brings its inputs from a meanwhile.
    let mut desk = Desk::new(|_| {}, &[PreCommit2; 2]);
    desk.join("a", &[PC1], HostCapacity { cpus: 1, memory_bytes: GIB, ..HostCapacity::default() });
    desk.index(&["a", "b", "c"], &[(0, "a"), (1, "a")]);
    for name in ["b", "c"] {
        let host = HostId::new("machine-boot").unwrap();
        desk.join_with(name, &[PC2], lotus_machine(), table("PC2_32G_MAX_CONCURRENT", "1"), |r| r.host = host);
    }
    assert_eq!(desk.news(), ["PC2 0 on b"]);
    let (holder, assignment) = desk.given[&desk.attempt(PC2, 1)].clone();
    assert!(assignment.hold && holder.as_str() == "c");
    let refused = desk.ask(Request::StopWorker { worker: "c".to_owned() });
    assert!(matches!(refused, Reply::Failed { code: ErrorCode::WrongState, .. }), "{refused:?}");
    assert!(!view(&desk, "c").empty && desk.stopped.is_empty());
}

// === decisions ===

#[test]
fn a_limit_counts_what_runs_and_what_is_bound_together() {
    // Memory for two; the third one is bound, and no fourth one.
    let mut desk = Desk::new(|_| {}, &[PreCommit1; 6]);
    desk.join_with("a", &[PC1], lotus_machine(), table("PC1_32G_MAX_CONCURRENT", "3"), |_| {});
    desk.index(&["a"], &(0..6).map(|n| (n, "a")).collect::<Vec<_>>());
    assert_eq!(desk.news().len(), 2);
    assert_eq!(view(&desk, "a").windows.iter().map(Vec::len).collect::<Vec<_>>(), [1]);
}

#[test]
fn what_is_bound_goes_back_when_its_kind_is_disabled() {
    let mut desk = Desk::new(|_| {}, &[PreCommit1; 4]);
    desk.join("a", &[PC1], lotus_machine());
    desk.index(&["a"], &(0..4).map(|n| (n, "a")).collect::<Vec<_>>());
    assert_eq!((desk.news().len(), view(&desk, "a").windows.len()), (2, 1));
    desk.ask(Request::EnableTasks { worker: "a".to_owned(), tasks: vec![PC1], enabled: false });
    assert!(view(&desk, "a").windows.is_empty());
    desk.finish(PC1, 0, 0, 1);
    assert!(desk.news().is_empty(), "nothing of the kind begins any more");
}

#[test]
fn a_worker_that_finishes_its_pipelines_begins_no_sector_that_was_bound_to_it() {
    let mut desk = Desk::new(|_| {}, &[Packing; 4]);
    let two_cores = HostCapacity { cpus: 2, ..lotus_machine() };
    desk.join("a", &[TaskKind::AddPiece], two_cores);
    desk.index(&["a"], &[]);
    assert_eq!((desk.news().len(), view(&desk, "a").windows.len()), (2, 1));
    desk.ask(Request::Drain { worker: "a".to_owned(), finish_pipelines: true });
    assert!(view(&desk, "a").windows.is_empty());
    desk.finish(TaskKind::AddPiece, 0, 0, 1);
    assert!(desk.news().is_empty(), "what it has begun it finishes, and nothing else");
}

// === aborts ===

#[test]
fn a_result_after_an_abort_counts_for_nothing() {
    let mut world = World::new(31);
    let w = sealer(&mut world);
    world.answer(Request::Pledge { count: 1, priority: None });
    assert!(world.run_until(10_000, |world| world.workers[&w].attempts.len() == 1));
    // Its connection hangs: it works to the end, and the word to stop never arrives.
    world.workers.get_mut(&w).unwrap().cut_off = true;
    assert!(world.run_until(10_000, |world| world.workers[&w].results.len() == 1));
    let aborted = world.answer(Request::Abort { id: "1.1".to_owned(), reason: "wrong disk".to_owned() });
    assert!(matches!(aborted, Reply::Aborted { .. }), "{aborted:?}");
    world.cut_off(&w, false);
    world.run_for(500);
    assert!(world.workers[&w].results.is_empty(), "the worker may forget it");
    assert_eq!((world.state(0), world.edges(0, "Packing -> PreCommit1")), (Packing, 0));
    assert!(world.run_until(600_000, |w| w.all_proving(1)), "{}", world.describe());
    let first = world.database.sectors[&0].log.iter().find(|e| e.event == "Packing -> PreCommit1").unwrap();
    assert_eq!(first.attempt.map(|id| id.to_string()).as_deref(), Some("1.2"));
}

#[test]
fn an_aborted_attempt_gives_its_space_back() {
    let mut world = World::new(32);
    let w = sealer(&mut world);
    world.answer(Request::Pledge { count: 1, priority: None });
    assert!(world.run_until(10_000, |world| world.workers[&w].attempts.len() == 1));
    let attempt = *world.workers[&w].attempts.keys().next().unwrap();
    assert!(world.index.reservations.contains_key(&attempt));
    world.answer(Request::Abort { id: attempt.to_string(), reason: String::new() });
    world.run_for(100);
    assert!(world.index.holds_nothing(), "{:?} {:?}", world.index.reservations, world.index.locks);
    assert_eq!(world.index.fences.get(&attempt.task), Some(&1));
}

// === restarts ===

#[test]
fn a_task_made_after_a_restart_has_a_new_number() {
    let mut world = World::new(33);
    let w = sealer(&mut world);
    world.workers.get_mut(&w).unwrap().compute_ms = 20_000;
    world.answer(Request::Pledge { count: 1, priority: None });
    let pc1 = |world: &World| world.database.tasks.values().any(|t| t.kind == PC1);
    assert!(world.run_until(60_000, pc1));
    world.kill_scheduler();
    world.start_scheduler();
    world.run_for(100);
    world.answer(Request::Pledge { count: 1, priority: None });
    let tasks = world.database.tasks.values().map(|t| (t.id, t.kind)).collect::<Vec<_>>();
    assert_eq!(tasks, [(TaskId(2), PC1), (TaskId(3), TaskKind::AddPiece)]);
}

#[test]
fn what_runs_counts_on_its_host_before_its_worker_is_back() {
    // Two workers of one host with cores for one PC2; the scheduler starts again, and only the idle one is back.
    let mut desk = Desk::new(|_| {}, &[PreCommit2; 2]);
    let host = |r: &mut sp_sched_core::event::Registration| r.host = HostId::new("machine-boot").unwrap();
    for name in ["a", "b"] {
        desk.join_with(name, &[PC2], lotus_machine(), table("PC2_32G_MAX_CONCURRENT", "1"), host);
    }
    desk.index(&["a", "b"], &[(0, "a"), (1, "b")]);
    assert_eq!(desk.news(), ["PC2 0 on a"]);
    desk.restart();
    desk.join_with("b", &[PC2], lotus_machine(), table("PC2_32G_MAX_CONCURRENT", "1"), host);
    desk.index(&["a", "b"], &[(0, "a"), (1, "b")]);
    assert!(desk.news().is_empty(), "a still computes on all cores but three");
    assert!(desk.why(1).contains("cores"), "{}", desk.why(1));
}
