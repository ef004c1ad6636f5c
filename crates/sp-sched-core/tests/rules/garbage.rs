//! What is deleted, and that the last copy of what counts never is, whatever is under way.

use sp_sched_core::event::{Event, Failure, Request};
use sp_types::SectorState::{FailedUnrecoverable, PreCommit1, Proving};
use sp_types::{ErrorCode, FileKind, ReplicaId, SectorId, TaskKind};

use crate::desk::{Desk, GIB, lotus_machine, store};

/// The sector's sealed file on the store of this worker.
fn sealed(desk: &Desk, name: &str) -> ReplicaId {
    let file = desk.core.sector(0).unwrap().files.iter().find(|f| f.kind == FileKind::Sealed).unwrap().clone();
    ReplicaId { sector: SectorId { miner: 1000, number: 0 }, kind: file.kind, store: store(name), root: file.root }
}

fn appears(desk: &mut Desk, id: ReplicaId) {
    desk.appears(id, GIB);
}

fn lost_index(desk: &mut Desk, holders: &[(u64, &str)]) {
    desk.step(Event::IndexLost);
    desk.index(&["a", "b", "c"], holders);
}

/// A proven sector with a second copy on b, which is being deleted; then a's copy is gone, and b's is the only one.
fn b_is_being_deleted() -> Desk {
    let mut desk = Desk::new(|_| {}, &[Proving]);
    for name in ["a", "b", "c"] {
        desk.join(name, &[TaskKind::Commit1], lotus_machine());
    }
    desk.index(&["a", "b", "c"], &[(0, "a")]);
    let (a, b) = (sealed(&desk, "a"), sealed(&desk, "b"));
    appears(&mut desk, b.clone());
    assert_eq!(desk.deletes, [b]);
    desk.step(Event::ReplicaGone(a));
    desk.deletes.clear();
    desk
}

#[test]
fn a_copy_that_is_being_deleted_is_none_to_rely_on() {
    let mut desk = b_is_being_deleted();
    let (b, c) = (sealed(&desk, "b"), sealed(&desk, "c"));
    assert!(desk.deletes.is_empty(), "it counts again");
    appears(&mut desk, c);
    assert_eq!(desk.deletes, std::slice::from_ref(&b), "what goes anyway goes");
    desk.step(Event::ReplicaGone(b));
    desk.wait(3_600_000);
    assert_eq!(desk.deletes.len(), 1);
}

#[test]
fn that_holds_when_the_index_was_away_meanwhile() {
    let mut desk = b_is_being_deleted();
    let (b, c) = (sealed(&desk, "b"), sealed(&desk, "c"));
    lost_index(&mut desk, &[(0, "b"), (0, "c")]);
    assert!(!desk.deletes.contains(&c), "{:?}", desk.deletes);
    assert!(desk.deletes.contains(&b));
}

#[test]
fn an_order_that_has_failed_is_over() {
    let mut desk = b_is_being_deleted();
    let (b, a) = (sealed(&desk, "b"), sealed(&desk, "a"));
    let failure = Failure { code: ErrorCode::Unavailable, message: "its disk refuses".to_owned() };
    desk.step(Event::DeleteFailed { id: b.clone(), failure });
    // a's other files are there: its copy is the better one again.
    appears(&mut desk, a);
    assert_eq!(desk.deletes, [b]);
}

#[test]
fn what_was_left_of_a_stopped_sector_goes_when_it_goes_on() {
    let mut desk = Desk::with(|_| {}, &[FailedUnrecoverable], |sector| sector.trouble.resume = Some(PreCommit1));
    desk.join("a", &[TaskKind::PreCommit1], lotus_machine());
    desk.index(&["a"], &[(0, "a")]);
    let left = ReplicaId { root: [9; 32], kind: FileKind::Vanilla, ..sealed(&desk, "a") };
    appears(&mut desk, left.clone());
    assert!(desk.deletes.is_empty(), "its operator is going to decide");
    desk.ask(Request::Retry { sector: 0 });
    assert!(desk.deletes.contains(&left), "{:?}", desk.deletes);
}

#[test]
fn what_was_kept_for_a_store_that_is_away_goes_when_it_is_back() {
    let mut desk = Desk::new(|_| {}, &[Proving]);
    desk.join("a", &[TaskKind::Commit1], lotus_machine());
    desk.join("b", &[TaskKind::Commit1], lotus_machine());
    desk.index(&["a", "b"], &[(0, "a")]);
    desk.attach("a", false);
    let other = ReplicaId { root: [9; 32], ..sealed(&desk, "b") };
    appears(&mut desk, other.clone());
    desk.attach("b", true);
    assert!(desk.deletes.is_empty(), "it may be all there is");
    desk.attach("a", true);
    assert_eq!(desk.deletes, [other]);
}
