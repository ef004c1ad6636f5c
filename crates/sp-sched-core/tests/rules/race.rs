//! What could be late goes to a second worker, and the first right answer wins.

use sp_sched_core::Config;
use sp_sched_core::effect::Reply;
use sp_sched_core::event::Request;
use sp_sched_core::model::UnixMs;
use sp_types::SectorState::Proving;
use sp_types::{DeadlineIndex, Randomness, ResourceTable, TaskKind};

use crate::desk::{Desk, lotus_machine};

const WDP: TaskKind = TaskKind::GenerateWindowPost;
const MINUTE: u64 = 60_000;
const ALL: &[&str] = &["a", "v", "w"];

fn window() -> Request {
    Request::ComputeWindowPost { deadline: DeadlineIndex(0), randomness: Randomness::new([3; 32]) }
}

/// 10 minutes have been measured for a partition.
fn desk() -> Desk {
    desk_that_measured(10 * MINUTE)
}

/// Sector 0 is proven; `v` and `w` prove, on hosts of their own. A partition took `v` so long.
fn desk_that_measured(ms: u64) -> Desk {
    let patient = |c: &mut Config| c.time_limits_ms = vec![(WDP, 60 * MINUTE)];
    let mut desk = Desk::proving(patient, &[Proving], &[(0, 0, 0)]);
    desk.join("a", &[TaskKind::PreCommit1], lotus_machine());
    for name in ["v", "w"] {
        desk.join_with(name, &[WDP], lotus_machine(), ResourceTable::default(), |r| r.stores = vec![]);
    }
    desk.index(&["a"], &[(0, "a")]);
    let id = desk.ask_later(window());
    desk.prove(0, ms);
    assert!(matches!(desk.replies.remove(&id), Some(Reply::Post(_))));
    desk
}

/// Who has a window PoSt.
fn provers(desk: &Desk) -> Vec<String> {
    desk.given.values().filter(|(_, a)| a.task == WDP).map(|(worker, _)| worker.to_string()).collect()
}

#[test]
fn a_second_worker_is_tried_once_less_than_twice_the_measured_time_is_left() {
    let mut desk = desk();
    let id = desk.ask_later(window());
    assert_eq!(provers(&desk), ["v"]);
    // 30 minutes, of which 3 are kept back: twice 10 minutes are left after 7.
    desk.pass(7 * MINUTE - 1_000, ALL);
    assert_eq!(provers(&desk), ["v"]);
    desk.pass(2_000, ALL);
    assert_eq!(provers(&desk), ["v", "w"]);
    let jobs = desk.core.jobs(UnixMs(desk.now));
    assert_eq!(jobs.iter().filter(|job| job.task == WDP && job.attempt.is_some()).count(), 2, "both are shown");
    desk.prove_on("w", MINUTE);
    let Some(Reply::Post(post)) = desk.replies.remove(&id) else { panic!("not answered") };
    assert_eq!((post.partitions[0].worker.as_str(), post.partitions[0].retries.len()), ("w", 0));
    assert_eq!(provers(&desk), [""; 0], "the other one is stopped");
}

#[test]
fn a_second_worker_is_tried_once_the_first_one_takes_longer_than_ever() {
    let mut desk = desk_that_measured(2 * MINUTE);
    desk.ask_later(window());
    desk.pass(2 * MINUTE - 1_000, ALL);
    assert_eq!(provers(&desk), ["v"]);
    desk.pass(2_000, ALL);
    assert_eq!(provers(&desk), ["v", "w"], "though there is time for many more tries");
}

#[test]
fn the_first_one_may_still_win_and_one_that_is_lost_is_no_loss() {
    let mut desk = desk();
    let id = desk.ask_later(window());
    desk.pass(8 * MINUTE, ALL);
    assert_eq!(provers(&desk), ["v", "w"]);
    // Only `v` renews: `w` loses its lease, and it is not the last one.
    desk.pass(MINUTE, &["a", "v"]);
    assert!(desk.replies.is_empty());
    assert_eq!(provers(&desk)[0], "v");
    desk.prove_on("v", 9 * MINUTE);
    let Some(Reply::Post(post)) = desk.replies.remove(&id) else { panic!("not answered") };
    assert_eq!(post.partitions[0].worker, "v");
    assert_eq!(post.partitions[0].retries, ["w: lease lost"]);
}

#[test]
fn nobody_is_second_who_should_not_prove_and_a_check_has_no_second() {
    let mut cordoned = desk();
    cordoned.ask(Request::Cordon { worker: "w".to_owned(), cordoned: true });
    cordoned.ask_later(window());
    cordoned.pass(20 * MINUTE, ALL);
    assert_eq!(provers(&cordoned), ["v"]);

    let mut checked = desk();
    checked.ask_later(Request::CheckDeadline { deadline: DeadlineIndex(0), randomness: Randomness::new([3; 32]) });
    checked.pass(20 * MINUTE, ALL);
    assert_eq!(provers(&checked), ["v"]);
}
