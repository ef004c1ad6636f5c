//! Work that a worker finds in its paths and that is not its own: what is over, of workers that are gone, goes.

use sp_sched_core::event::Event;
use sp_types::SectorState::PreCommit1;
use sp_types::{AttemptId, TaskKind};

use crate::desk::{Desk, lotus_machine, worker};

const MINUTE: u64 = 60_000;

/// PC1 of sector 0 runs on a; b has the path too, and finds a's work.
fn desk() -> (Desk, AttemptId) {
    let mut desk = Desk::new(|_| {}, &[PreCommit1]);
    for name in ["a", "b"] {
        desk.join(name, if name == "a" { &[TaskKind::PreCommit1] } else { &[TaskKind::AddPiece] }, lotus_machine());
    }
    desk.index(&["a", "b"], &[(0, "a")]);
    let attempt = desk.attempt(TaskKind::PreCommit1, 0);
    (desk, attempt)
}

fn found(desk: &mut Desk, attempt: AttemptId, owner: &str) -> Vec<AttemptId> {
    desk.swept.clear();
    desk.step(Event::StrayWork { worker: worker("b"), work: vec![(attempt, worker(owner))] });
    desk.swept.clone()
}

#[test]
fn work_of_a_worker_that_is_gone_goes_when_it_is_over() {
    let (mut desk, live) = desk();
    let over = AttemptId { number: live.number + 7, ..live };
    desk.pass(20 * MINUTE, &["a", "b"]);
    assert_eq!(found(&mut desk, over, "a"), [], "a is there, and tidies up by itself");
    assert_eq!(found(&mut desk, over, "nobody"), [], "one that was never heard of may work for another scheduler");
    let session = sp_types::SessionId::new("one").unwrap();
    desk.step(Event::WorkerDisconnected { worker: worker("a"), session, reason: "reset".to_owned() });
    desk.pass(9 * MINUTE, &["b"]);
    assert_eq!(found(&mut desk, over, "a"), [], "it may be on its way back");
    desk.pass(2 * MINUTE, &["b"]);
    assert_eq!(found(&mut desk, over, "a"), [over]);
    assert_eq!(found(&mut desk, live, "a"), [], "an orphan that nobody has succeeded is no leftover");
}

#[test]
fn a_scheduler_that_has_just_started_knows_nobody_and_takes_nothing() {
    let (mut desk, live) = desk();
    let over = AttemptId { number: live.number + 7, ..live };
    desk.restart();
    desk.join("b", &[TaskKind::AddPiece], lotus_machine());
    desk.pass(20 * MINUTE, &["b"]);
    assert_eq!(found(&mut desk, over, "a"), []);
}
