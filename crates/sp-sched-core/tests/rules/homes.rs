//! Finished files go to paths that store, by GET, and what they leave behind goes once nobody needs it.

use sp_sched_core::effect::Reply;
use sp_sched_core::event::{Event, Failure, Request};
use sp_types::SectorState::{Available, Committing2, FinalizeSector, Proving};
use sp_types::{DeadlineIndex, ErrorCode, FileKind, Randomness, ReplicaId, SectorId, TaskKind};

use crate::desk::{Desk, GIB, lotus_machine, store};

const GET: &[TaskKind] = &[TaskKind::Finalize, TaskKind::Fetch];

fn replica(desk: &Desk, number: u64, kind: FileKind, name: &str) -> ReplicaId {
    let root = desk.core.sector(number).unwrap().files.iter().find(|f| f.kind == kind).unwrap().root;
    ReplicaId { sector: SectorId { miner: 1000, number }, kind, store: store(name), root }
}

/// One sector in this state, made on the path of `a` that only seals; `b` has a path that only stores.
fn sealed_on_a(state: sp_types::SectorState, change: impl FnOnce(&mut sp_sched_core::Config)) -> Desk {
    let mut desk = Desk::proving(change, &[state], &[(0, 0, 0)]);
    for name in ["a", "b"] {
        desk.join(name, GET, lotus_machine());
    }
    desk.index(&[], &[(0, "a")]);
    desk.attach_with("a", "a", |fact| fact.can_store = false);
    desk
}

fn store_at_b(desk: &mut Desk) {
    desk.attach_with("b", "b", |fact| fact.can_seal = false);
    desk.pass(100, &["a", "b"]);
}

/// Kinds that the GET of sector 0 moves, and the stores that they go to.
fn moves(desk: &Desk) -> Vec<(FileKind, String)> {
    let attempt = desk.attempt(TaskKind::Fetch, 0);
    desk.given[&attempt].1.outputs.iter().map(|o| (o.kind, o.store.to_string())).collect()
}

#[test]
fn what_is_finished_goes_to_a_path_that_stores_and_leaves_nothing_behind() {
    let mut desk = sealed_on_a(FinalizeSector, |_| {});
    store_at_b(&mut desk);
    assert_eq!(desk.news(), ["FIN 0 on a"], "FIN stays where the files are");
    desk.finish(TaskKind::Finalize, 0, 0, 10);
    assert_eq!(desk.core.sector(0).unwrap().state, Proving, "it is proven from wherever it lies");
    desk.pass(100, &["a", "b"]);
    assert_eq!(desk.news(), ["GET 0 on b"]);
    let home = |kind| (kind, "store-b".to_owned());
    assert_eq!(moves(&desk), [home(FileKind::Sealed), home(FileKind::Cache)]);
    let before = desk.deletes.len();
    desk.finish(TaskKind::Fetch, 0, 1_000, 0);
    let gone = [replica(&desk, 0, FileKind::Sealed, "a"), replica(&desk, 0, FileKind::Cache, "a")];
    assert_eq!(desk.deletes[before..], gone);
    gone.into_iter().for_each(|id| desk.step(Event::ReplicaGone(id)));
    desk.pass(60_000, &["a", "b"]);
    assert!(desk.news().is_empty(), "it is at home");
}

#[test]
fn a_path_that_stores_is_waited_for_without_a_task() {
    let mut desk = sealed_on_a(Available, |_| {});
    desk.pass(60_000, &["a", "b"]);
    assert_eq!(desk.why(0), "", "nobody could do it");
    store_at_b(&mut desk);
    assert_eq!(desk.news(), ["GET 0 on b"]);
}

#[test]
fn files_that_nobody_can_hand_out_are_moved_when_somebody_can() {
    let mut desk = sealed_on_a(Proving, |_| {});
    desk.attach_with("a", "a", |fact| {
        fact.can_store = false;
        fact.holders.clear();
    });
    store_at_b(&mut desk);
    assert!(desk.news().is_empty());
    desk.attach_with("a", "a", |fact| fact.can_store = false);
    assert_eq!(desk.news(), ["GET 0 on b"]);
}

#[test]
fn a_path_that_stores_no_more_gives_its_files_away() {
    let mut desk = Desk::new(|_| {}, &[Proving]);
    for name in ["a", "b"] {
        desk.join(name, GET, lotus_machine());
    }
    desk.index(&["a", "b"], &[(0, "a")]);
    assert!(desk.news().is_empty());
    desk.attach_with("a", "a", |fact| fact.can_store = false);
    desk.pass(100, &["a", "b"]);
    assert_eq!(desk.news(), ["GET 0 on b"]);
}

#[test]
fn disallow_remote_finalize_leaves_it_to_whoever_has_the_files() {
    let mut desk = sealed_on_a(Proving, |config| config.disallow_remote_finalize = true);
    store_at_b(&mut desk);
    desk.pass(60_000, &["a", "b"]);
    assert!(desk.news().is_empty());
    let why = desk.why(0);
    assert!(
        why.contains("b: does not have the files, and DisallowRemoteFinalize keeps it from fetching them"),
        "{why}"
    );
    assert!(why.contains("a: no healthy store that keeps sealed, cache"), "{why}");
    desk.attach_with("a", "a-shelf", |fact| fact.can_seal = false);
    desk.pass(100, &["a", "b"]);
    assert_eq!(desk.news(), ["GET 0 on a"]);
    assert!(moves(&desk).iter().all(|(_, store)| store == "store-a-shelf"));
}

#[test]
fn files_go_beside_those_that_are_at_home_and_filters_are_kept() {
    let mut desk = sealed_on_a(Proving, |_| {});
    desk.join("c", GET, lotus_machine());
    let cache = replica(&desk, 0, FileKind::Cache, "b");
    desk.attach_with("b", "b", |fact| (fact.can_seal, fact.can_store) = (false, false));
    desk.appears(cache, GIB);
    // c has the more room, b has the cache already.
    desk.attach_with("b", "b", |fact| fact.can_seal = false);
    desk.attach_with("c", "c", |fact| (fact.can_seal, fact.available_bytes) = (false, 900_000 * GIB));
    desk.pass(100, &["a", "b", "c"]);
    assert_eq!(desk.news(), ["GET 0 on b"]);
    assert_eq!(moves(&desk), [(FileKind::Sealed, "store-b".to_owned())]);

    let mut desk = sealed_on_a(Proving, |_| {});
    desk.attach_with("b", "b", |fact| (fact.can_seal, fact.filters.deny_types) = (false, vec!["sealed".to_owned()]));
    desk.attach_with("b", "b2", |fact| (fact.can_seal, fact.filters.allow_types) = (false, vec!["sealed".to_owned()]));
    desk.pass(100, &["a", "b"]);
    // What it keeps is on its way already when b2 comes; the rest follows.
    assert_eq!(moves(&desk), [(FileKind::Cache, "store-b".to_owned())]);
    desk.finish(TaskKind::Fetch, 0, 10, 0);
    desk.pass(100, &["a", "b"]);
    assert_eq!(moves(&desk), [(FileKind::Sealed, "store-b2".to_owned())]);
}

#[test]
fn no_proof_loses_the_copy_that_it_was_sent_to() {
    let mut desk = sealed_on_a(Proving, |_| {});
    desk.join("prover", &[TaskKind::GenerateWindowPost], lotus_machine());
    let randomness = Randomness::new([5; 32]);
    desk.ask_later(Request::ComputeWindowPost { deadline: DeadlineIndex(0), randomness });
    store_at_b(&mut desk);
    desk.pass(100, &["a", "b", "prover"]);
    desk.finish(TaskKind::Fetch, 0, 10, 0);
    desk.pass(10_000, &["a", "b", "prover"]);
    assert!(desk.deletes.is_empty(), "the proof reads them at a");
    desk.prove(0, 10);
    assert_eq!(desk.deletes.len(), 2);
    assert!(desk.deletes.iter().all(|id| id.store == store("a")));
}

#[test]
fn other_files_than_those_that_count_are_not_taken_home() {
    let mut desk = sealed_on_a(Proving, |_| {});
    store_at_b(&mut desk);
    let attempt = desk.attempt(TaskKind::Fetch, 0);
    desk.given.get_mut(&attempt).unwrap().1.inputs.iter_mut().for_each(|input| input.root = [8; 32]);
    desk.finish(TaskKind::Fetch, 0, 10, 0);
    let file = |kind| desk.core.sector(0).unwrap().files.iter().find(|f| f.kind == kind).unwrap().root;
    assert!([FileKind::Sealed, FileKind::Cache].into_iter().all(|kind| file(kind) != [8; 32]));
    assert!(desk.deletes.iter().all(|id| id.root == [8; 32]), "{:?}", desk.deletes);
}

#[test]
fn it_is_tried_for_ever_and_harms_nothing() {
    let mut desk = sealed_on_a(Proving, |config| config.retry_wait_max_ms = 1_000);
    store_at_b(&mut desk);
    for _ in 0..20 {
        let failure = Failure { code: ErrorCode::BadRequest, message: "its path is read-only".to_owned() };
        desk.fail(TaskKind::Fetch, 0, failure);
        desk.pass(700_000, &["a", "b"]);
    }
    assert_eq!(desk.core.sector(0).unwrap().state, Proving);
    desk.ask(Request::Abort { id: "2".to_owned(), reason: String::new() });
    assert!(desk.given.is_empty(), "an operator may stop it for a while");
    desk.pass(700_000, &["a", "b"]);
    let reply = desk.ask(Request::ReleaseUnsealed { sector: 0 });
    assert!(matches!(reply, Reply::Released { .. }), "it keeps nobody from the sector: {reply:?}");
    desk.pass(100, &["a", "b"]);
    desk.finish(TaskKind::Fetch, 0, 10, 0);
}

fn move_to(desk: &mut Desk, name: &str) -> Reply {
    desk.ask(Request::MoveFiles { sector: 0, store: store(name) })
}

/// One proven sector at home at `a`; `b` has a path that stores, too.
fn at_home_with_a() -> Desk {
    let mut desk = Desk::new(|_| {}, &[Proving]);
    for name in ["a", "b"] {
        desk.join(name, GET, lotus_machine());
    }
    desk.index(&["a", "b"], &[(0, "a")]);
    assert!(desk.news().is_empty());
    desk
}

#[test]
fn what_an_operator_has_left_of_a_proof_is_no_file_to_move() {
    let mut desk = Desk::new(|_| {}, &[Committing2]);
    for name in ["a", "b"] {
        desk.join(name, GET, lotus_machine());
    }
    desk.index(&["a", "b"], &[(0, "a")]);
    assert!(desk.core.sector(0).unwrap().files.iter().any(|file| file.kind == FileKind::Vanilla));
    desk.ask(Request::ForceState { sector: 0, state: FinalizeSector });
    desk.finish(TaskKind::Finalize, 0, 10, 0);
    assert_eq!(desk.core.sector(0).unwrap().state, Proving);
    assert_eq!(move_to(&mut desk, "b"), Reply::Moving { files: 2 });
    desk.finish(TaskKind::Fetch, 0, 10, 0);
    assert_eq!(move_to(&mut desk, "b"), Reply::Moving { files: 0 });
}

#[test]
fn an_operator_moves_a_sector_and_it_stays_where_he_has_put_it() {
    let mut desk = at_home_with_a();
    assert_eq!(move_to(&mut desk, "b"), Reply::Moving { files: 2 });
    assert_eq!(desk.news(), ["GET 0 on b"]);
    assert!(moves(&desk).iter().all(|(_, store)| store == "store-b"));
    assert_eq!(move_to(&mut desk, "b"), Reply::Moving { files: 2 }, "asked again it goes on");
    let gone = [replica(&desk, 0, FileKind::Sealed, "a"), replica(&desk, 0, FileKind::Cache, "a")];
    desk.finish(TaskKind::Fetch, 0, 1_000, 0);
    assert_eq!(desk.deletes, gone);
    gone.into_iter().for_each(|id| desk.step(Event::ReplicaGone(id)));
    assert_eq!(move_to(&mut desk, "b"), Reply::Moving { files: 0 });
    // A copy elsewhere is one too many, though the path of `a` stores as well.
    let copy = replica(&desk, 0, FileKind::Sealed, "a");
    desk.appears(copy.clone(), GIB);
    desk.pass(60_000, &["a", "b"]);
    assert_eq!(desk.deletes.last(), Some(&copy));
    desk.restart();
    for name in ["a", "b"] {
        desk.join(name, GET, lotus_machine());
    }
    desk.index(&["a", "b"], &[(0, "b")]);
    assert_eq!(move_to(&mut desk, "a"), Reply::Moving { files: 2 }, "and back");
    assert_eq!(desk.news(), ["GET 0 on a"]);
}

#[test]
fn a_move_goes_on_when_its_path_is_back_and_after_a_restart() {
    let mut desk = at_home_with_a();
    move_to(&mut desk, "b");
    let lost = Failure { code: ErrorCode::Unavailable, message: "the path is put aside".to_owned() };
    desk.fail(TaskKind::Fetch, 0, lost);
    desk.attach_with("b", "b", |fact| fact.healthy = false);
    desk.pass(60_000, &["a", "b"]);
    assert_eq!(desk.news(), ["GET 0 on b"]);
    assert_eq!(desk.why(0), "", "at home where it is, for the time being");
    desk.restart();
    for name in ["a", "b"] {
        desk.join(name, GET, lotus_machine());
    }
    desk.index(&["a"], &[(0, "a")]);
    desk.attach_with("b", "b", |fact| fact.healthy = false);
    assert!(desk.news().is_empty());
    desk.attach("b", true);
    assert_eq!(desk.news(), ["GET 0 on b"]);
}

#[test]
fn moves_that_cannot_be_are_refused_with_the_reason() {
    let refused = |name: &str, change: &dyn Fn(&mut sp_sched_core::event::StoreFact)| {
        let mut desk = at_home_with_a();
        desk.attach_with("b", "b", change);
        match move_to(&mut desk, name) {
            Reply::Failed { code, message } => (code, message),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(refused("c", &|_| {}).0, ErrorCode::NotFound);
    assert_eq!(refused("b", &|fact| fact.can_store = false).0, ErrorCode::WrongState);
    assert_eq!(refused("b", &|fact| fact.healthy = false).0, ErrorCode::Unavailable);
    let (code, message) = refused("b", &|fact| fact.available_bytes = GIB);
    assert_eq!(code, ErrorCode::NoSpace);
    assert!(message.contains("take 2 GiB") && message.contains("has 1 GiB left"), "{message}");
    let (code, message) = refused("b", &|fact| fact.filters.allow_types = vec!["unsealed".to_owned()]);
    assert!(code == ErrorCode::WrongState && message.ends_with("sealed, cache"), "{message}");
    let mut desk = Desk::new(|_| {}, &[sp_types::SectorState::PreCommit2]);
    desk.join("a", &[], lotus_machine());
    desk.index(&["a"], &[(0, "a")]);
    let reply = move_to(&mut desk, "a");
    assert!(matches!(&reply, Reply::Failed { code: ErrorCode::WrongState, .. }), "{reply:?}");
}

#[test]
fn nothing_is_left_to_move_of_files_that_went_while_the_index_was_away() {
    let mut desk = sealed_on_a(Proving, |_| {});
    store_at_b(&mut desk);
    let lost = Failure { code: ErrorCode::FileMissing, message: "it is gone".to_owned() };
    desk.fail(TaskKind::Fetch, 0, lost);
    assert_ne!(desk.why(0), "");
    desk.step(Event::IndexLost);
    desk.index(&["a", "b"], &[]);
    desk.pass(1_000, &["a", "b"]);
    assert_eq!(desk.why(0), "", "no fact names the sector any more");
}
