//! Placement: Lotus's scheduler scenarios (`spec/lotus.md` 11), and what is better here.

use sp_sched_core::Assigner;
use sp_sched_core::effect::Reply;
use sp_sched_core::event::{Event, Failure, Request};
use sp_sched_core::model::UnixMs;
use sp_sched_core::view::Where;
use sp_types::SectorState::{Committing1, Committing2, FinalizeSector, Packing, PreCommit1, PreCommit2};
use sp_types::{AttemptId, ErrorCode, HostCapacity, HostId, Phase, ResourceTable, SessionId, TaskId, TaskKind};

use crate::desk::{self, Desk, GIB, SIZE, lotus_machine};

const PC1: TaskKind = TaskKind::PreCommit1;
const PC2: TaskKind = TaskKind::PreCommit2;

fn table(vars: &[(&str, &str)]) -> ResourceTable {
    ResourceTable::with_env(vars.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))).unwrap()
}

// === Lotus's scenarios ===

#[test]
fn one_pc1_goes_to_the_pc1_worker_whoever_registers_first() {
    for names in [["a", "b"], ["b", "a"]] {
        let mut desk = Desk::new(|_| {}, &[PreCommit1]);
        for name in names {
            desk.join(name, if name == "a" { &[PC1] } else { &[PC2] }, lotus_machine());
        }
        desk.index(&["a", "b"], &[(0, "b")]);
        assert_eq!(desk.news(), ["PC1 0 on a"]);
    }
}

#[test]
fn pc2_with_all_cores_and_pc1_exclude_each_other() {
    let all_cores = table(&[("PC2_32G_MAX_PARALLELISM", "32")]);
    for (first, second) in [(PreCommit2, PreCommit1), (PreCommit1, PreCommit2)] {
        let mut desk = Desk::new(|_| {}, &[first, second]);
        desk.join_with("a", &[PC1, PC2], lotus_machine(), all_cores.clone(), |_| {});
        desk.index(&["a"], &[(0, "a"), (1, "a")]);
        // PC2 goes first in either order: its order number is lower.
        let pc2 = u64::from(first == PreCommit1);
        assert_eq!(desk.news(), [format!("PC2 {pc2} on a")]);
        assert!(desk.why(1 - pc2).contains("needs 1 core, 0 of 32 free"), "{}", desk.why(1 - pc2));
        desk.finish(PC2, pc2, 0, 1);
        assert_eq!(desk.news(), [format!("PC1 {} on a", 1 - pc2)]);
    }
}

#[test]
fn of_four_pc1_two_run_and_two_wait() {
    let mut desk = Desk::new(|_| {}, &[PreCommit1; 4]);
    desk.join("a", &[PC1], lotus_machine());
    desk.index(&["a"], &[(0, "a"), (1, "a"), (2, "a"), (3, "a")]);
    assert_eq!(desk.news(), ["PC1 0 on a", "PC1 1 on a"]);
    assert!(desk.why(2).contains("needs 56.01 GiB of memory, 16 GiB of 128 GiB free"), "{}", desk.why(2));
    desk.finish(PC1, 1, 0, 1);
    assert_eq!(desk.news(), ["PC1 2 on a"]);
    desk.finish(PC1, 0, 0, 1);
    assert_eq!(desk.news(), ["PC1 3 on a"]);
}

#[test]
fn pc2_goes_first_when_windows_free_up() {
    // Six PC1: two run, two windows hold two each. Then PC1, PC1, PC2 wait in the queue.
    let states = [[PreCommit1; 8].as_slice(), &[PreCommit2]].concat();
    let mut desk = Desk::new(|c| c.pc2_backlog = 100, &states);
    let holders: Vec<(u64, &str)> = (0..9).map(|n| (n, "a")).collect();
    desk.join("a", &[PC1], lotus_machine());
    desk.index(&["a"], &holders);
    assert_eq!(desk.news(), ["PC1 0 on a", "PC1 1 on a"]);
    let windows = desk.core.workers(UnixMs(desk.now))[0].windows.clone();
    assert_eq!(windows.iter().map(Vec::len).collect::<Vec<_>>(), [2, 2]);
    // Now it takes PC2 as well; what is bound stays bound no longer than its session.
    desk.join("a", &[PC1, PC2], lotus_machine());
    desk.finish(PC1, 0, 0, 1);
    let first = desk.core.jobs(UnixMs(desk.now)).into_iter().find(|j| j.task == PC2 && j.state.starts_with("assigned"));
    assert!(first.is_some(), "PC2 is bound before the PC1 that wait in the queue");
}

#[test]
fn a_constrained_worker_is_passed_over_unless_it_ignores_resources() {
    let small = HostCapacity { memory_bytes: 16 * GIB, cpus: 32, ..HostCapacity::default() };
    for filter in [true, false] {
        let mut desk = Desk::new(|c| c.filter_builtin_resources = filter, &[PreCommit1]);
        desk.join_with("a", &[PC1], small.clone(), ResourceTable::default(), |r| r.builtin = true);
        desk.index(&["a"], &[(0, "a")]);
        assert_eq!(desk.news().len(), usize::from(!filter));
        if filter {
            assert!(desk.why(0).contains("even idle it needs 56.01 GiB of memory"), "{}", desk.why(0));
        }
    }
}

// === windows ===

#[test]
fn a_big_task_at_the_head_is_not_starved_by_small_ones() {
    // PC2 needs 29 of 32 cores; eight AP hold eight cores and more AP keep coming.
    let states = [[Packing; 8].as_slice(), &[PreCommit2], &[Packing; 8]].concat();
    let mut desk = Desk::new(|_| {}, &states);
    let machine = HostCapacity { memory_bytes: 512 * GIB, cpus: 32, ..HostCapacity::default() };
    desk.join_with("a", &[TaskKind::AddPiece, PC2], machine, table(&[("AP_MAX_PARALLELISM", "4")]), |_| {});
    desk.index(&["a"], &[(8, "a")]);
    // PC2 has the lower order number and starts at once; every AP waits for it or fits beside it.
    assert_eq!(desk.news()[0], "PC2 8 on a");
    desk.finish(PC2, 8, 0, 1);
    assert_eq!(desk.news().len(), 8, "then AP fill all cores");
}

#[test]
fn finalize_passes_tasks_that_wait_for_room() {
    let mut desk = Desk::new(|_| {}, &[PreCommit1, PreCommit1, PreCommit1, FinalizeSector]);
    desk.join("a", &[PC1, TaskKind::Finalize], lotus_machine());
    desk.index(&["a"], &[(0, "a"), (1, "a"), (2, "a"), (3, "a")]);
    assert_eq!(desk.news(), ["FIN 3 on a", "PC1 0 on a", "PC1 1 on a"]);
}

#[test]
fn finalize_does_not_wait_for_a_window() {
    // Two C2 compute, four are bound in both windows; then FIN comes.
    let mut desk = Desk::new(|_| {}, &[[Committing2; 6].as_slice(), &[FinalizeSector]].concat());
    let kinds = [TaskKind::Commit2, TaskKind::Finalize];
    let machine = HostCapacity { memory_bytes: 1_024 * GIB, cpus: 2, ..HostCapacity::default() };
    desk.join_with("a", &kinds, machine, table(&[("C2_MAX_PARALLELISM", "1")]), |_| {});
    let holders: Vec<(u64, &str)> = (0..6).map(|n| (n, "a")).collect();
    desk.index(&["a"], &holders);
    assert_eq!(desk.news(), ["C2 0 on a", "C2 1 on a"]);
    assert_eq!(desk.core.workers(UnixMs(desk.now))[0].windows.len(), 2, "both windows are full");
    desk.index(&["a"], &[holders, vec![(6, "a")]].concat());
    assert_eq!(desk.news(), ["FIN 6 on a"]);
}

#[test]
fn inputs_are_brought_while_others_compute() {
    let mut desk = Desk::new(|_| {}, &[PreCommit2, PreCommit2]);
    desk.join("a", &[PC1], lotus_machine());
    desk.join("b", &[PC2], lotus_machine());
    desk.index(&["a", "b"], &[(0, "a"), (1, "a")]);
    assert_eq!(desk.news(), ["PC2 0 on b"]);
    let held = desk.attempt(PC2, 1);
    assert!(desk.given[&held].1.hold, "the second one brings its inputs and waits");
    let explained = desk.core.explain(TaskId(2), UnixMs(desk.now)).unwrap();
    assert!(matches!(explained.place, Where::Attempt { state: "held", .. }), "{:?}", explained.place);
    desk.finish(PC2, 0, 1, 1);
    assert_eq!(desk.news(), ["PC2 1 on b"], "it starts as soon as there is room");
}

#[test]
fn get_limits_how_much_is_brought_ahead() {
    let mut desk = Desk::new(|_| {}, &[PreCommit2; 4]);
    desk.join("a", &[PC1], lotus_machine());
    desk.join_with("b", &[PC2], lotus_machine(), table(&[("GET_32G_MAX_CONCURRENT", "1")]), |_| {});
    desk.index(&["a", "b"], &[(0, "a"), (1, "a"), (2, "a"), (3, "a")]);
    assert_eq!(desk.given.len(), 2, "one computes, one fetches");
}

#[test]
fn an_idle_worker_takes_over_what_waits_elsewhere() {
    let mut desk = Desk::new(|_| {}, &[PreCommit1; 4]);
    desk.join("a", &[PC1], lotus_machine());
    desk.index(&["a", "b"], &[(0, "a"), (1, "a"), (2, "a"), (3, "a")]);
    assert_eq!(desk.news(), ["PC1 0 on a", "PC1 1 on a"]);
    desk.join("b", &[PC1], lotus_machine());
    assert_eq!(desk.news(), ["PC1 2 on b", "PC1 3 on b"]);
}

#[test]
fn a_limit_counts_what_is_bound_too() {
    let mut desk = Desk::new(|_| {}, &[PreCommit1; 6]);
    let machine = HostCapacity { memory_bytes: 2_000 * GIB, cpus: 64, ..HostCapacity::default() };
    desk.join_with("a", &[PC1], machine, table(&[("PC1_32G_MAX_CONCURRENT", "3")]), |_| {});
    let holders: Vec<(u64, &str)> = (0..6).map(|n| (n, "a")).collect();
    desk.index(&["a"], &holders);
    assert_eq!(desk.news().len(), 3);
    let counts = &desk.core.workers(UnixMs(desk.now))[0].counts;
    assert_eq!((counts[0].2, counts[0].3), (3, 3));
    assert!(desk.why(5).contains("has 3 PC1 already, its limit is 3"), "{}", desk.why(5));
}

// === assigners ===

#[test]
fn spreading_assigners_spread_and_utilization_evens_out() {
    for assigner in Assigner::ALL {
        let mut desk = Desk::new(|c| c.assigner = assigner, &[Packing; 12]);
        for name in ["a", "b", "c"] {
            desk.join(name, &[TaskKind::AddPiece], lotus_machine());
        }
        desk.index(&["a", "b", "c"], &[]);
        let on = |name: &str| desk.begun.iter().filter(|(_, _, w)| w.as_str() == name).count();
        let counts = [on("a"), on("b"), on("c")];
        assert_eq!(counts.iter().sum::<usize>(), 12, "{}", assigner.name());
        match assigner {
            Assigner::Random => assert!(counts.iter().all(|n| *n > 0), "{counts:?}"),
            _ => assert_eq!(counts, [4; 3], "{}", assigner.name()),
        }
    }
}

// === what was learned ===

#[test]
fn placement_follows_measured_durations_and_follows_again_when_they_swap() {
    // One PC1 at a time: both workers are always idle when the next one comes.
    let mut desk = Desk::new(|c| c.pc2_backlog = 1_000, &[PreCommit1; 40]);
    let holders: Vec<(u64, &str)> = (0..40).map(|n| (n, "c")).collect();
    let one = table(&[("PC1_32G_MAX_CONCURRENT", "1")]);
    desk.index(&["a", "b", "c"], &holders);
    desk.join("c", &[PC2], HostCapacity { cpus: 1, ..HostCapacity::default() });
    for name in ["a", "b"] {
        desk.join_with(name, &[PC1], lotus_machine(), one.clone(), |_| {});
    }
    let running =
        |desk: &Desk| desk.given.iter().map(|(id, (w, a))| (*id, w.to_string(), a.sector)).collect::<Vec<_>>();
    let ran = |desk: &mut Desk, rounds: usize, slow: &str| -> Vec<String> {
        let mut finished = Vec::new();
        for _ in 0..rounds {
            // Whoever is faster is done first: three on the fast one for one on the slow one.
            let jobs = running(desk);
            let (_, name, number) = jobs.iter().find(|(_, name, _)| name != slow).unwrap_or(&jobs[0]).clone();
            desk.finish(PC1, number, 0, if name == slow { 30_000 } else { 10_000 });
            finished.push(name);
        }
        finished
    };
    ran(&mut desk, 5, "b");
    let explained = desk.core.explain(TaskId(40), UnixMs(desk.now)).unwrap();
    let expected = |name: &str| explained.verdicts.iter().find(|v| v.name == name).unwrap().expected_ms;
    assert_eq!(expected("a"), 10_000);
    // b has one that runs; let it finish, slowly.
    let number = running(&desk).iter().find(|(_, n, _)| n == "b").unwrap().2;
    desk.finish(PC1, number, 0, 30_000);
    let explained = desk.core.explain(TaskId(40), UnixMs(desk.now)).unwrap();
    let verdict = |name: &str| explained.verdicts.iter().find(|v| v.name == name).unwrap().clone();
    assert_eq!((verdict("a").expected_ms, verdict("b").expected_ms), (10_000, 30_000));
    assert!(verdict("a").samples >= 5 && verdict("b").samples == 1);
    assert!(verdict("a").score < verdict("b").score, "{explained:?}");
    // The hosts swap: after ten samples of a its estimate has followed.
    for _ in 0..10 {
        let number = running(&desk).iter().find(|(_, n, _)| n == "a").unwrap().2;
        desk.finish(PC1, number, 0, 30_000);
    }
    let number = running(&desk).iter().find(|(_, n, _)| n == "b").unwrap().2;
    (0..1).for_each(|_| desk.finish(PC1, number, 0, 10_000));
    let explained = desk.core.explain(TaskId(40), UnixMs(desk.now)).unwrap();
    let score = |name: &str| explained.verdicts.iter().find(|v| v.name == name).unwrap().expected_ms;
    assert!(score("a") > 29_000 && score("b") < 25_000, "{} {}", score("a"), score("b"));
}

#[test]
fn memory_that_was_measured_takes_the_place_of_the_table_s_and_rises_above_it_only_if_told_to() {
    // By the table (56 GiB and a base of 10 MiB) two PC1 fit 128 GiB.
    for (peak, may_rise, at_once) in
        [(30 * GIB, false, 3), (30 * GIB, true, 3), (100 * GIB, false, 2), (100 * GIB, true, 1), (200 * GIB, true, 2)]
    {
        let config = |c: &mut sp_sched_core::Config| (c.pc2_backlog, c.measured_above_table) = (1_000, may_rise);
        let mut desk = Desk::new(config, &[PreCommit1; 20]);
        desk.peak_memory_bytes = peak;
        desk.join("a", &[PC1], lotus_machine());
        desk.index(&["a"], &(0..20).map(|n| (n, "a")).collect::<Vec<_>>());
        let counts: Vec<usize> = (0..8)
            .map(|_| {
                let number = desk.given.values().map(|(_, a)| a.sector).min().unwrap();
                desk.finish(PC1, number, 0, 1_000);
                desk.given.len()
            })
            .collect();
        assert_eq!(counts[..4], [2; 4], "four are too few to go by");
        assert_eq!(counts[7], at_once, "{peak} {may_rise}: {counts:?}");
        let rows = desk.core.resource_table(Some("a")).unwrap();
        let row = rows.iter().find(|view| (view.kind, view.size) == (PC1, SIZE)).unwrap();
        assert_eq!(row.from, if at_once == 2 { "lotus" } else { "measured" });
        // A session later the host is the same.
        desk.join("a", &[PC1], lotus_machine());
        assert_eq!(desk.core.resource_table(Some("a")).unwrap(), rows);
    }
}

// === faults and decisions ===

#[test]
fn a_host_is_not_put_aside_for_what_only_it_can_do() {
    const C1: TaskKind = TaskKind::Commit1;
    let mut desk = Desk::new(|_| {}, &[Committing1; 4]);
    for name in ["a", "b"] {
        desk.join_with(name, &[C1], lotus_machine(), table(&[("C1_32G_MAX_CONCURRENT", "1")]), |_| {});
    }
    desk.index(&["a", "b"], &[(0, "a"), (1, "a"), (2, "a"), (3, "a")]);
    let failure = Failure { code: ErrorCode::ExecutorFailed, message: "the disk was full".to_owned() };
    for _ in 0..3 {
        let number = desk.given.values().next().unwrap().1.sector;
        desk.fail(C1, number, failure.clone());
    }
    // Its inputs lie there, and nobody else may read them.
    assert_eq!(desk.given.len(), 1, "{}", desk.why(3));
}

#[test]
fn a_task_whose_inputs_come_back_is_offered_to_who_came_meanwhile() {
    let mut desk = Desk::new(|_| {}, &[PreCommit2]);
    desk.join("a", &[PC1], lotus_machine());
    desk.index(&["a", "b"], &[(0, "a")]);
    desk.attach("a", false);
    desk.join("b", &[PC2], lotus_machine());
    assert!(desk.news().is_empty(), "nobody has its inputs");
    desk.attach("a", true);
    assert_eq!(desk.news(), ["PC2 0 on b"]);
}

#[test]
fn a_host_that_keeps_failing_is_put_aside_where_others_can_do_it() {
    let mut desk = Desk::new(|_| {}, &[Committing2; 6]);
    let c2 = TaskKind::Commit2;
    let machine = HostCapacity { memory_bytes: 1_024 * GIB, cpus: 400, ..HostCapacity::default() };
    let one = table(&[("C2_32G_MAX_CONCURRENT", "1")]);
    for name in ["a", "b"] {
        desk.join_with(name, &[c2], machine.clone(), one.clone(), |_| {});
    }
    let holders: Vec<(u64, &str)> = (0..6).map(|n| (n, "a")).collect();
    desk.index(&["a", "b"], &holders);
    let failure = Failure { code: ErrorCode::ExecutorFailed, message: "the driver died".to_owned() };
    for _ in 0..3 {
        let number = desk.given.values().find(|(w, _)| w.as_str() == "a").unwrap().1.sector;
        desk.fail(c2, number, failure.clone());
    }
    assert!(desk.given.values().all(|(w, _)| w.as_str() == "b"), "a gets no more C2");
    let explained = desk.core.explain(TaskId(6), UnixMs(desk.now)).unwrap();
    let verdict = explained.verdicts.iter().find(|v| v.name == "a").unwrap();
    assert_eq!(verdict.code, "aside");
    assert!(verdict.reason.contains("after 3 failures, last: a: the driver died"), "{}", verdict.reason);
}

#[test]
fn a_host_put_aside_works_again_when_the_others_leave() {
    let mut desk = Desk::new(|_| {}, &[Committing2; 8]);
    let c2 = TaskKind::Commit2;
    let machine = HostCapacity { memory_bytes: 1_024 * GIB, cpus: 400, ..HostCapacity::default() };
    let one = table(&[("C2_32G_MAX_CONCURRENT", "1")]);
    for name in ["a", "b"] {
        desk.join_with(name, &[c2], machine.clone(), one.clone(), |_| {});
    }
    let holders: Vec<(u64, &str)> = (0..8).map(|n| (n, "a")).collect();
    desk.index(&["a", "b"], &holders);
    for _ in 0..3 {
        let number = desk.given.values().find(|(w, _)| w.as_str() == "a").unwrap().1.sector;
        desk.fail(c2, number, Failure { code: ErrorCode::ExecutorFailed, message: "died".to_owned() });
    }
    desk.news();
    assert!(desk.given.values().all(|(w, _)| w.as_str() == "b"));
    // b falls silent; a renews without any change that could wake the scheduler up.
    desk.pass(20_000, &["a"]);
    assert!(desk.news().iter().any(|line| line.ends_with(" on a")), "nobody else could do it now");
}

#[test]
fn a_task_that_failed_somewhere_is_not_kept_from_there_for_ever() {
    // b could take C2 by its kind, but has no store for what it would fetch; a failed once and is full for a while.
    let mut desk = Desk::new(|c| c.windows = 1, &[PreCommit2, PreCommit2]);
    desk.join_with("a", &[PC2], lotus_machine(), table(&[("PC2_32G_MAX_CONCURRENT", "1")]), |_| {});
    desk.join("b", &[PC2], lotus_machine());
    desk.index(&["a"], &[(0, "a"), (1, "a")]);
    assert_eq!(desk.news(), ["PC2 0 on a"]);
    desk.fail(PC2, 0, Failure { code: ErrorCode::ExecutorFailed, message: "died".to_owned() });
    assert_eq!(desk.news(), ["PC2 1 on a"]);
    desk.pass(2_000, &["a", "b"]);
    desk.finish(PC2, 1, 0, 1);
    assert!(desk.news().is_empty(), "left to b for a minute");
    desk.pass(70_000, &["a", "b"]);
    assert_eq!(desk.news(), ["PC2 0 on a"]);
}

#[test]
fn a_worker_not_seen_since_the_restart_can_be_forgotten_by_its_id() {
    let mut desk = Desk::new(|_| {}, &[PreCommit1]);
    desk.join("a", &[PC1], lotus_machine());
    desk.index(&["a", "b"], &[(0, "b")]);
    assert_eq!(desk.news(), ["PC1 0 on a"]);
    desk.restart();
    desk.join("b", &[PC1], lotus_machine());
    desk.index(&["a", "b"], &[(0, "b")]);
    assert!(desk.news().is_empty(), "a may come back");
    assert!(matches!(desk.ask(Request::ForgetWorker { worker: "a".to_owned() }), Reply::Worker { .. }));
    assert_eq!(desk.news(), ["PC1 0 on b"]);
}

#[test]
fn after_a_restart_absent_workers_keep_their_part_of_the_host() {
    const C2: TaskKind = TaskKind::Commit2;
    let mut desk = Desk::new(|_| {}, &[Committing2, PreCommit2]);
    let join = |desk: &mut Desk, name: &str, kind| {
        let host = HostId::new("shared-boot").unwrap();
        desk.join_with(name, &[kind], lotus_machine(), ResourceTable::default(), |r| r.host = host);
    };
    join(&mut desk, "c", C2);
    let holders = [(0, "c"), (1, "b")];
    desk.index(&["b", "c"], &holders);
    assert_eq!(desk.news(), ["C2 0 on c"]);
    desk.restart();
    // Both want 29 of 32 cores, and c may be at work though it has not said so yet.
    join(&mut desk, "b", PC2);
    desk.index(&["b", "c"], &holders);
    assert!(desk.news().is_empty(), "the host is full");
    assert!(desk.why(1).contains("cores, 3 of 32 free"), "{}", desk.why(1));
    join(&mut desk, "c", C2);
    assert_eq!(desk.news(), ["C2 0 on c"], "sent once more");
    desk.finish(C2, 0, 0, 1);
    assert_eq!(desk.news(), ["PC2 1 on b"]);
}

#[test]
fn what_was_nearly_done_before_a_boot_takes_its_whole_room_after_it() {
    let mut desk = Desk::new(|_| {}, &[PreCommit1]);
    let join = |desk: &mut Desk, boot: &str, held: Vec<AttemptId>| {
        let host = HostId::new(format!("machine-{boot}")).unwrap();
        let table = ResourceTable::default();
        desk.join_with("c", &[PC1], lotus_machine(), table, |r| {
            (r.host, r.session, r.held) = (host, SessionId::new(boot).unwrap(), held);
        });
    };
    join(&mut desk, "one", vec![]);
    desk.index(&["c"], &[(0, "c")]);
    desk.report(PC1, 0, Phase::Publishing);
    let old = desk.attempt(PC1, 0);
    join(&mut desk, "two", vec![old]);
    // The desk checks after every step that what is kept of a host is what a new sum gives.
    assert_eq!(desk.attempt(PC1, 0), old);
}

#[test]
fn work_of_before_a_boot_goes_on_only_where_there_is_still_room() {
    let join = |desk: &mut Desk, name: &str, kind, boot: &str, held: Vec<AttemptId>| {
        let host = HostId::new(format!("machine-{boot}")).unwrap();
        let one_core = HostCapacity { cpus: 1, ..lotus_machine() };
        desk.join_with(name, &[kind], one_core, ResourceTable::default(), |r| (r.host, r.held) = (host, held));
    };
    for (is_taken, is_granted) in [(false, true), (true, true), (true, false)] {
        let states = if is_taken { vec![PreCommit1, PreCommit2] } else { vec![PreCommit1] };
        let mut desk = Desk::new(|c| c.pc2_backlog = 100, &states);
        desk.silent = !is_granted;
        join(&mut desk, "c", PC1, "one", vec![]);
        let holders: Vec<(u64, &str)> = [(0, "c"), (1, "b")].into_iter().take(states.len()).collect();
        desk.index(&["b", "c"], &holders);
        assert_eq!(desk.news().len(), usize::from(is_granted));
        let attempts = |desk: &Desk| -> Vec<AttemptId> {
            desk.core.jobs(UnixMs(desk.now)).into_iter().filter_map(|job| job.attempt).collect()
        };
        let old = attempts(&desk)[0];
        desk.silent = false;
        let (worker, session) = (desk::worker("c"), SessionId::new("one").unwrap());
        desk.step(Event::WorkerDisconnected { worker, session, reason: "no power".to_owned() });
        // Nothing of before the boot computes any more, so b gets the whole machine; then c is back as well.
        join(&mut desk, "b", PC2, "two", vec![]);
        assert_eq!(desk.news().len(), usize::from(is_taken));
        join(&mut desk, "c", PC1, "two", if is_granted { vec![old] } else { vec![] });
        assert_eq!(attempts(&desk).contains(&old), !is_taken, "granted: {is_granted}");
        if is_taken {
            desk.finish(PC2, 1, 0, 1);
            assert_eq!(desk.news(), ["PC1 0 on c"], "it has waited for its turn");
        }
    }
}

#[test]
fn cordon_drain_disable_and_stop() {
    let mut desk = Desk::new(|_| {}, &[PreCommit1, PreCommit1, Committing1]);
    desk.join("a", &[PC1, PC2, TaskKind::Commit1], lotus_machine());
    let named = || "a".to_owned();
    assert!(matches!(desk.ask(Request::Cordon { worker: named(), cordoned: true }), Reply::Worker { .. }));
    desk.index(&["a"], &[(0, "a"), (1, "a"), (2, "a")]);
    assert!(desk.news().is_empty());
    assert!(desk.why(0).contains("a: is cordoned"), "{}", desk.why(0));
    desk.ask(Request::EnableTasks { worker: named(), tasks: vec![PC1], enabled: false });
    desk.ask(Request::Cordon { worker: named(), cordoned: false });
    assert_eq!(desk.news(), ["C1 2 on a"]);
    assert!(desk.why(0).contains("a: PC1 is disabled there"), "{}", desk.why(0));
    let refused = desk.ask(Request::EnableTasks { worker: named(), tasks: vec![TaskKind::Commit1], enabled: false });
    assert!(matches!(refused, Reply::Failed { code: ErrorCode::BadRequest, .. }), "{refused:?}");
    let refused = desk.ask(Request::StopWorker { worker: named() });
    assert!(matches!(refused, Reply::Failed { code: ErrorCode::WrongState, .. }), "{refused:?}");
    desk.finish(TaskKind::Commit1, 2, 0, 1);
    desk.ask(Request::EnableTasks { worker: named(), tasks: vec![PC2, TaskKind::Unseal], enabled: false });
    assert!(matches!(desk.ask(Request::StopWorker { worker: named() }), Reply::Worker { .. }));
    assert_eq!(desk.stopped, [desk::worker("a")]);
    assert!(desk.core.workers(UnixMs(desk.now))[0].windows.is_empty());
}

#[test]
fn a_drained_worker_gives_back_what_is_bound_and_says_when_it_is_empty() {
    let mut desk = Desk::new(|_| {}, &[PreCommit1; 4]);
    desk.join("a", &[PC1], lotus_machine());
    desk.index(&["a"], &[(0, "a"), (1, "a"), (2, "a"), (3, "a")]);
    desk.ask(Request::Drain { worker: "a".to_owned(), finish_pipelines: false });
    let view = |desk: &Desk| desk.core.workers(UnixMs(desk.now))[0].clone();
    assert!(view(&desk).windows.is_empty() && !view(&desk).empty);
    desk.finish(PC1, 0, 0, 1);
    desk.finish(PC1, 1, 0, 1);
    assert!(view(&desk).empty && desk.given.is_empty());
}

#[test]
fn a_forgotten_worker_loses_its_tasks_at_once() {
    let mut desk = Desk::new(|_| {}, &[PreCommit1]);
    desk.join("a", &[PC1], lotus_machine());
    desk.index(&["a", "b"], &[(0, "b")]);
    desk.join("b", &[PC1], lotus_machine());
    assert_eq!(desk.news(), ["PC1 0 on a"]);
    let refused = desk.ask(Request::ForgetWorker { worker: "a".to_owned() });
    assert!(matches!(refused, Reply::Failed { code: ErrorCode::WrongState, .. }), "it is connected");
    desk.pass(16_000, &["b"]);
    assert!(desk.news().is_empty(), "an orphan is waited for");
    assert!(matches!(desk.ask(Request::ForgetWorker { worker: "a".to_owned() }), Reply::Worker { .. }));
    assert_eq!(desk.news(), ["PC1 0 on b"]);
}

#[test]
fn a_priority_reorders_the_queue() {
    let mut desk = Desk::new(|c| (c.windows, c.pc2_backlog) = (1, 100), &[PreCommit1; 5]);
    desk.join("a", &[PC1], lotus_machine());
    let holders: Vec<(u64, &str)> = (0..5).map(|n| (n, "a")).collect();
    desk.index(&["a"], &holders);
    assert_eq!(desk.news().len(), 2);
    assert_eq!(desk.ask(Request::SetPriority { task: TaskId(5), priority: 9 }), Reply::Done);
    (0..2).for_each(|n| desk.finish(PC1, n, 0, 1));
    (2..4).for_each(|n| desk.finish(PC1, n, 0, 1));
    assert!(desk.begun.iter().any(|(_, n, _)| *n == 4));
    assert!(matches!(desk.ask(Request::SetPriority { task: TaskId(99), priority: 1 }), Reply::Failed { .. }));
}

#[test]
fn pc1_waits_while_pc2_is_full() {
    let states = [[PreCommit2; 3].as_slice(), &[PreCommit1]].concat();
    let mut desk = Desk::new(|c| c.pc2_backlog = 2, &states);
    desk.join("a", &[PC1], lotus_machine());
    desk.index(&["a", "b"], &[(0, "a"), (1, "a"), (2, "a"), (3, "a")]);
    assert!(desk.news().is_empty());
    assert_eq!(desk.why(3), "PC1 queued (3 sectors wait for PC2 already; PC1 goes on below 2)");
    desk.join("b", &[PC2], lotus_machine());
    // One computes, one brings its inputs, one waits: there is room behind PC1 again.
    assert_eq!(desk.news(), ["PC2 0 on b", "PC1 3 on a"]);
    assert_eq!(SIZE.bytes(), 32 * GIB);
}

#[test]
fn pc1_goes_on_when_a_waiting_pc2_is_put_off() {
    let mut desk = Desk::new(|c| c.pc2_backlog = 1, &[PreCommit2, PreCommit1]);
    desk.join("a", &[TaskKind::PreCommit1], lotus_machine());
    desk.join("b", &[TaskKind::PreCommit2], lotus_machine());
    desk.index(&["a", "b"], &[(0, "a"), (1, "a")]);
    let pc2 = desk.attempt(TaskKind::PreCommit2, 0);
    // b is silent: its attempt is an orphan, and the task waits for somebody else.
    let mut news = desk.news();
    desk.pass(100_000, &["a"]);
    news.extend(desk.news());
    assert!(news.contains(&"PC1 1 on a".to_owned()), "{news:?}");
    let failure = Failure { code: ErrorCode::Unavailable, message: "no room".to_owned() };
    desk.fail(TaskKind::PreCommit1, 1, failure);
    desk.pass(20_000, &["a"]);
    assert!(desk.why(1).contains("wait for PC2 already"), "{}", desk.why(1));
    desk.ask(Request::Abort { id: pc2.to_string(), reason: String::new() });
    assert_eq!(desk.news(), ["PC1 1 on a"]);
}
