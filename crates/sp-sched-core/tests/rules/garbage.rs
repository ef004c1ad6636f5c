//! What is deleted, and that the last copy of what counts never is, whatever is under way.

use sp_sched_core::event::{Event, Failure, Request};
use sp_types::SectorState::{Committing1, FailedUnrecoverable, PreCommit1, PreCommit2, Proving};
use sp_types::{ErrorCode, FileKind, ReplicaId, SectorId, Soundness, TaskKind};

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

/// A proven sector with its sealed file on `a`, where its cache is too, and on `b`; what scrubs of the two have found.
fn two_copies(found: [Soundness; 2]) -> Desk {
    let mut desk = Desk::new(|_| {}, &[Proving]);
    for name in ["a", "b"] {
        desk.join(name, &[TaskKind::Commit1, TaskKind::Fetch], lotus_machine());
    }
    desk.index(&["a", "b"], &[(0, "a")]);
    let [a, b] = ["a", "b"].map(|name| sealed(&desk, name));
    desk.scrubbed(a, GIB, found[0]);
    desk.scrubbed(b, GIB, found[1]);
    desk
}

#[test]
fn a_copy_with_a_fault_never_stays_in_place_of_another() {
    use Soundness::{Faulty, Sound, Unknown};
    for (found, gone) in
        [([Unknown, Unknown], "b"), ([Sound, Unknown], "b"), ([Faulty, Unknown], "a"), ([Faulty, Sound], "a")]
    {
        let desk = two_copies(found);
        assert_eq!(desk.deletes, [sealed(&desk, gone)], "{found:?}");
    }
    let mut desk = two_copies([Faulty, Faulty]);
    assert_eq!(desk.deletes, [], "what is wrong in one may be right in the other");
    let b = sealed(&desk, "b");
    desk.scrubbed(b, GIB, Sound);
    assert_eq!(desk.deletes, [sealed(&desk, "a")]);
}

#[test]
fn files_are_read_from_copies_without_a_fault() {
    let both_have = |task: TaskKind, state, others: &[TaskKind]| {
        let mut desk = Desk::new(|_| {}, &[state]);
        for name in ["a", "b"] {
            desk.join(name, others, lotus_machine());
        }
        desk.index(&["a", "b"], &[(0, "a"), (0, "b")]);
        let a = sealed(&desk, "a");
        desk.scrubbed(a, GIB, Soundness::Faulty);
        desk.join("c", &[task], lotus_machine());
        desk.attach("c", true);
        desk.pass(100, &["a", "b", "c"]);
        desk
    };
    // C1 runs where its files are.
    let mut desk = both_have(TaskKind::Commit1, Committing1, &[]);
    for name in ["a", "b"] {
        desk.join(name, &[TaskKind::Commit1], lotus_machine());
    }
    desk.pass(100, &["a", "b", "c"]);
    assert_eq!(desk.news(), ["C1 0 on b"]);
    // Whoever fetches them is told of the good ones first.
    let desk = both_have(TaskKind::PreCommit2, PreCommit2, &[]);
    let inputs = &desk.given[&desk.attempt(TaskKind::PreCommit2, 0)].1.inputs;
    let of_sealed = inputs.iter().find(|input| input.kind == FileKind::Sealed).unwrap();
    let stores: Vec<String> = of_sealed.sources.iter().map(|(store, _)| store.to_string()).collect();
    assert_eq!(stores, ["store-b", "store-a"]);
}
