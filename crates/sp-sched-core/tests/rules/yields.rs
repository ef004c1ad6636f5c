//! Time-critical work first: sealing makes way for a PoSt that could be late, and only then.

use sp_sched_core::Config;
use sp_sched_core::effect::Reply;
use sp_sched_core::event::{Failure, Phase, Request};
use sp_sched_core::model::UnixMs;
use sp_types::SectorState::{PreCommit1, Proving};
use sp_types::{DeadlineIndex, ErrorCode, HostId, Randomness, ResourceTable, TaskKind};

use crate::desk::{Desk, lotus_machine, worker};

const PC1: TaskKind = TaskKind::PreCommit1;
const WDP: TaskKind = TaskKind::GenerateWindowPost;
const MINUTE: u64 = 60_000;
const ALL: &[&str] = &["a", "b", "w"];

fn randomness() -> Randomness {
    Randomness::new([3; 32])
}

fn window() -> Request {
    Request::ComputeWindowPost { deadline: DeadlineIndex(0), randomness: randomness() }
}

/// Sector 0 is proven; PC1 of two others runs on `a`, whose host also proves (`w`), and that of two more on `b`.
fn desk() -> Desk {
    let patient = |c: &mut Config| {
        // One try may take all the time there is, so that nothing but its slack matters.
        c.pc2_backlog = 1_000;
        c.time_limits_ms = vec![(WDP, 60 * MINUTE), (TaskKind::GenerateWinningPost, 60 * MINUTE)];
    };
    let mut desk = Desk::proving(patient, &[Proving, PreCommit1, PreCommit1, PreCommit1, PreCommit1], &[(0, 0, 0)]);
    let shared = HostId::new("machine-boot").unwrap();
    desk.join_with("a", &[PC1], lotus_machine(), ResourceTable::default(), |r| r.host = shared.clone());
    desk.join("b", &[PC1], lotus_machine());
    desk.join_with("w", &[WDP], lotus_machine(), ResourceTable::default(), |r| {
        (r.host, r.stores) = (shared, vec![]);
    });
    desk.index(&["a", "b"], &[(0, "a"), (1, "a"), (2, "a"), (3, "b"), (4, "b")]);
    desk.news();
    desk
}

/// So many minutes for one partition have been measured.
fn taught(minutes: u64) -> Desk {
    let mut desk = desk();
    let id = desk.ask_later(window());
    desk.prove(0, minutes * MINUTE);
    assert!(matches!(desk.replies.remove(&id), Some(Reply::Post(_))));
    desk
}

/// Sectors whose PC1 computes on this worker.
fn on(desk: &Desk, name: &str) -> Vec<u64> {
    let mine = desk.given.values().filter(|(w, a)| a.task == PC1 && w.as_str() == name && !a.hold);
    mine.map(|(_, a)| a.sector).collect()
}

/// How many PC1 compute on `a` and on `b`.
fn sealing(desk: &Desk) -> [usize; 2] {
    [on(desk, "a").len(), on(desk, "b").len()]
}

#[test]
fn sealing_makes_way_when_the_slack_is_gone_and_not_before() {
    // 20 of 30 minutes are needed and 3 are kept back. At 20 minutes it is not done: it may need a quarter more, and
    // 22 minutes is the last moment at which 5 more would do.
    let mut desk = taught(20);
    let id = desk.ask_later(window());
    desk.pass(21 * MINUTE + 59_000, ALL);
    assert_eq!((sealing(&desk), desk.yielded.len()), ([2, 2], 0));
    let both = on(&desk, "a");
    desk.pass(2_000, ALL);
    assert_eq!(sealing(&desk), [0, 2], "{:?}", desk.yielded);
    assert_eq!(desk.yielded.len(), 2);
    // One of them is brought to `b` meanwhile.
    let waits = |sector: &u64| !desk.given.values().any(|(_, a)| a.sector == *sector);
    let one = both.into_iter().find(waits).unwrap();
    let (who, reason) = desk.yielded[0].clone();
    assert_eq!(who, worker("a"));
    let seconds = 22 * 60;
    assert!(reason.contains(&format!("yielded, {seconds} s of work lost: window PoSt of deadline 0")), "{reason}");
    assert!(reason.contains("needs 300 s by measured times, has 300 s"), "{reason}");
    // It is nobody's failure, and its reason is shown wherever somebody looks.
    let sector = desk.core.sector(one).unwrap();
    assert_eq!((sector.failures, &sector.log.last().unwrap().event[..]), (0, "PC1 yielded"));
    let why = desk.why(one);
    assert!(why.contains("of work lost"), "{why}");
    let task = desk.core.jobs(UnixMs(desk.now)).into_iter().find(|j| j.sector == Some(one)).unwrap().task_id;
    let explained = desk.core.explain(task, UnixMs(desk.now)).unwrap();
    assert_eq!((explained.failures, explained.verdicts[0].code), (0, "proving"));
    let reason = &explained.verdicts[0].reason;
    assert!(reason.starts_with("its host makes way: window PoSt of deadline 0"), "{reason}");
    assert!(explained.last_error.contains("window PoSt of deadline 0"), "{}", explained.last_error);
    // Proven: one starts again at once; the other one has been brought to `b` meanwhile, and waits for room there.
    desk.news();
    desk.prove(0, 23 * MINUTE);
    desk.pass(1_000, ALL);
    assert!(matches!(desk.replies.remove(&id), Some(Reply::Post(_))));
    assert_eq!((desk.news().len(), sealing(&desk)), (1, [1, 2]));
}

#[test]
fn a_proof_that_cannot_be_in_time_gets_the_host_at_once() {
    let mut desk = taught(28);
    desk.ask_later(window());
    assert_eq!(sealing(&desk), [0, 2]);
}

#[test]
fn nothing_makes_way_where_it_would_not_help() {
    // A check of the sectors is nothing that could be late.
    let mut checked = taught(28);
    checked.ask_later(Request::CheckDeadline { deadline: DeadlineIndex(0), randomness: randomness() });
    checked.pass(25 * MINUTE, ALL);
    assert_eq!(sealing(&checked), [2, 2]);
    // Nor does a prover on a host of its own gain anything.
    let mut apart = taught(28);
    apart.join_with("w", &[WDP], lotus_machine(), ResourceTable::default(), |r| r.stores = vec![]);
    apart.ask_later(window());
    apart.pass(25 * MINUTE, ALL);
    assert_eq!(sealing(&apart), [2, 2]);
}

#[test]
fn nothing_makes_way_for_what_hangs_or_has_failed_there() {
    let mut hangs = taught(10);
    hangs.ask_later(window());
    hangs.pass(29 * MINUTE, ALL);
    assert_eq!(sealing(&hangs), [2, 2], "more than twice what it has ever taken");
    let mut failed = taught(10);
    failed.ask_later(window());
    failed.pass(20 * MINUTE, ALL);
    let failure = Failure { code: ErrorCode::ExecutorFailed, message: "the executor was killed".to_owned() };
    failed.fail(WDP, 0, failure);
    failed.pass(9 * MINUTE, ALL);
    assert_eq!(sealing(&failed), [2, 2], "{:?}", failed.yielded);
}

#[test]
fn not_every_round_is_the_worst_one() {
    let mut desk = taught(10);
    let id = desk.ask_later(window());
    desk.prove(0, 20 * MINUTE);
    assert!(matches!(desk.replies.remove(&id), Some(Reply::Post(_))));
    let now = desk.now;
    let needed = |unproven| {
        let slack = desk.core.slack(DeadlineIndex(0), unproven, UnixMs(now), UnixMs(now + 30 * MINUTE));
        slack.unwrap().needed_ms / MINUTE
    };
    assert_eq!([1, 2, 3].map(needed), [20, 35, 50]);
}

#[test]
fn what_has_computed_already_is_left_to_publish() {
    let mut desk = taught(28);
    let one = on(&desk, "a")[0];
    desk.report(PC1, one, Phase::Publishing);
    desk.ask_later(window());
    assert_eq!((on(&desk, "a"), sealing(&desk)), (vec![one], [1, 2]));
}

#[test]
fn a_task_that_yielded_may_run_elsewhere() {
    let mut desk = taught(28);
    on(&desk, "b").into_iter().for_each(|sector| desk.finish(PC1, sector, 0, 1));
    let both = on(&desk, "a");
    assert_eq!(sealing(&desk), [2, 0]);
    desk.ask_later(window());
    desk.pass(1_000, ALL);
    assert_eq!(on(&desk, "b"), both);
}

#[test]
fn a_prover_that_is_lost_gives_the_host_back() {
    let mut desk = taught(28);
    desk.ask_later(window());
    assert_eq!(sealing(&desk), [0, 2]);
    // The request fails when it is over; then nothing is owed to it any more.
    desk.pass(31 * MINUTE, &["a", "b"]);
    assert_eq!(sealing(&desk), [1, 2], "the other one has been brought to `b`");
}

#[test]
fn winning_comes_first_too() {
    let mut desk = desk();
    let shared = HostId::new("machine-boot").unwrap();
    desk.join_with("n", &[TaskKind::GenerateWinningPost], lotus_machine(), ResourceTable::default(), |r| {
        (r.host, r.stores) = (shared, vec![]);
    });
    desk.ask_later(Request::ComputeWinningPost { randomness: randomness(), pick: 0 });
    assert_eq!(sealing(&desk), [2, 2]);
    // Five minutes in all, half a minute kept back, six seconds usual: a quarter of those is left at the end.
    desk.pass(4 * MINUTE + 27_000, &["a", "b", "w", "n"]);
    assert_eq!(sealing(&desk), [2, 2]);
    desk.pass(2_000, &["a", "b", "w", "n"]);
    assert_eq!(sealing(&desk), [0, 2]);
}

#[test]
fn the_slack_of_a_deadline_is_arithmetic_on_measured_times() {
    let mut desk = taught(20);
    let now = desk.now;
    let slack =
        |desk: &Desk, unproven| desk.core.slack(DeadlineIndex(0), unproven, UnixMs(now), UnixMs(now + 30 * MINUTE));
    assert_eq!(slack(&desk, 0), None);
    let one = slack(&desk, 1).unwrap();
    assert_eq!((one.ms, one.needed_ms, one.provers, one.samples), (10 * MINUTE as i64, 20 * MINUTE, 1, 1));
    // One prover does one partition after the other.
    assert_eq!(slack(&desk, 2).unwrap().ms, -10 * MINUTE as i64);
    desk.join_with("x", &[WDP], lotus_machine(), ResourceTable::default(), |r| r.stores = vec![]);
    assert_eq!(slack(&desk, 2).unwrap().ms, 10 * MINUTE as i64);
    // One that is not open yet begins when it opens.
    let later = desk.core.slack(DeadlineIndex(0), 1, UnixMs(now + MINUTE), UnixMs(now + 31 * MINUTE)).unwrap();
    assert_eq!(later.ms, 10 * MINUTE as i64);
    // What is being proven counts from its start.
    desk.ask_later(window());
    desk.pass(5 * MINUTE, &["a", "b", "w", "x"]);
    assert_eq!(slack(&desk, 1).unwrap().ms, 10 * MINUTE as i64);
    // Nobody proves: there is nothing to say.
    desk.pass(2 * MINUTE, &["a", "b"]);
    assert_eq!(slack(&desk, 1), None);
}
