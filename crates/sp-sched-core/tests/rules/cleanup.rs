//! Files that nobody claims: shown, kept unless an operator says so, and then gone for good. Pins keep what they name.

use sp_sched_core::effect::Reply;
use sp_sched_core::event::{Event, Import, Request};
use sp_types::{
    Commitment, DeadlineIndex, ErrorCode, FileKind, Origin, PartitionIndex, ReplicaId, SectorId, SectorState,
    Soundness, TaskKind,
};

use crate::desk::{Desk, GIB, SIZE, lotus_machine, store};

fn id(number: u64, kind: FileKind, name: &str) -> ReplicaId {
    let root = [(number as u8).wrapping_add(1); 32];
    ReplicaId { sector: SectorId { miner: 1000, number }, kind, store: store(name), root }
}

fn lies(desk: &mut Desk, number: u64, kind: FileKind, name: &str) {
    let size_bytes = if kind == FileKind::Cache { GIB } else { SIZE.bytes() };
    desk.step(Event::Replica {
        id: id(number, kind, name),
        size_bytes,
        primary: true,
        origin: None,
        soundness: Soundness::Unknown,
    });
}

/// The sector that lies there is taken over.
fn import(desk: &mut Desk, number: u64) {
    let place = (DeadlineIndex(3), PartitionIndex(0));
    let import = Import { number, comm_r: Commitment([1; 32]), updated: false, place, record: None };
    assert_eq!(desk.ask(Request::Import(Box::new(import))), Reply::Moved(SectorState::Proving));
}

/// Two paths; on them sealed file and cache of sector 7, and a sealed file of sector 2. Nobody knows either.
fn leftovers() -> Desk {
    let mut desk = Desk::new(|_| {}, &[]);
    for name in ["a", "b"] {
        desk.join(name, &[TaskKind::Fetch], lotus_machine());
    }
    desk.index(&["a", "b"], &[]);
    lies(&mut desk, 7, FileKind::Sealed, "a");
    lies(&mut desk, 7, FileKind::Cache, "b");
    lies(&mut desk, 2, FileKind::Sealed, "b");
    desk
}

fn unclaimed(desk: &Desk) -> Vec<u64> {
    desk.core.unclaimed().into_iter().map(|found| found.sector).collect()
}

fn pin(desk: &mut Desk, sector: u64, reason: &str) -> Reply {
    desk.ask(Request::Pin { sector, reason: reason.to_owned() })
}

fn refusal(reply: Reply) -> (ErrorCode, String) {
    match reply {
        Reply::Failed { code, message } => (code, message),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_nobody_claims_is_shown_and_left_alone() {
    let mut desk = leftovers();
    desk.pass(600_000, &["a", "b"]);
    assert!(desk.deletes.is_empty());
    let found = desk.core.unclaimed();
    assert_eq!(unclaimed(&desk), [2, 7]);
    assert_eq!(found[1].kinds, [FileKind::Sealed, FileKind::Cache]);
    assert_eq!(found[1].stores, [(store("a"), SIZE.bytes()), (store("b"), GIB)]);
    desk.step(Event::ReplicaGone(id(2, FileKind::Sealed, "b")));
    assert_eq!(unclaimed(&desk), [7]);
}

#[test]
fn a_sector_that_may_go_goes_whole_and_for_good() {
    let mut desk = leftovers();
    assert_eq!(desk.ask(Request::CleanUp { sector: 7 }), Reply::Moved(SectorState::Removing));
    assert_eq!(desk.deletes, [id(7, FileKind::Sealed, "a"), id(7, FileKind::Cache, "b")]);
    assert_eq!(unclaimed(&desk), [2], "the other one stays");
    // The word is durable: a scheduler that starts anew goes on with it.
    desk.restart();
    desk.deletes.clear();
    desk.index(&["a", "b"], &[]);
    lies(&mut desk, 7, FileKind::Sealed, "a");
    assert_eq!(desk.deletes, [id(7, FileKind::Sealed, "a")]);
    desk.step(Event::ReplicaGone(id(7, FileKind::Sealed, "a")));
    assert_eq!(desk.core.sector(7).map(|s| s.state), Some(SectorState::Removed));
    // A path that comes back later loses its files of it, too.
    desk.deletes.clear();
    lies(&mut desk, 7, FileKind::Cache, "b");
    assert_eq!(desk.deletes, [id(7, FileKind::Cache, "b")]);
    assert_eq!(desk.ask(Request::CleanUp { sector: 7 }), Reply::Moved(SectorState::Removed), "again: nothing changes");
}

#[test]
fn what_is_known_or_not_there_is_not_cleaned_up() {
    let mut desk = leftovers();
    import(&mut desk, 7);
    let (code, message) = refusal(desk.ask(Request::CleanUp { sector: 7 }));
    assert_eq!(code, ErrorCode::WrongState);
    assert!(message.contains("sector 7 is known and Proving"), "{message}");
    assert_eq!(refusal(desk.ask(Request::CleanUp { sector: 9 })).0, ErrorCode::UnknownSector);
    assert!(desk.deletes.is_empty());
}

#[test]
fn a_new_sector_never_takes_the_place_of_files_that_lie_there() {
    let mut desk = leftovers();
    let made = desk.ask(Request::Pledge { count: 8, priority: None });
    assert_eq!(made, Reply::Sectors(vec![0, 1, 3, 4, 5, 6, 8, 9]), "2 and 7 lie on paths");
    // Numbers that no chain has do not move the count.
    lies(&mut desk, u64::MAX, FileKind::Sealed, "a");
    assert_eq!(desk.ask(Request::CleanUp { sector: u64::MAX }), Reply::Moved(SectorState::Removing));
    assert_eq!(desk.ask(Request::Pledge { count: 1, priority: None }), Reply::Sectors(vec![10]));
}

#[test]
fn a_pin_keeps_files_until_it_is_taken_off() {
    let mut desk = leftovers();
    assert_eq!(refusal(pin(&mut desk, 9, "")).0, ErrorCode::UnknownSector);
    assert_eq!(pin(&mut desk, 7, "of the old cluster"), Reply::Done);
    let (code, message) = refusal(desk.ask(Request::CleanUp { sector: 7 }));
    assert_eq!((code, message.contains("pinned (of the old cluster)")), (ErrorCode::WrongState, true));
    desk.restart();
    desk.index(&["a", "b"], &[]);
    lies(&mut desk, 7, FileKind::Sealed, "a");
    lies(&mut desk, 7, FileKind::Cache, "b");
    assert_eq!(desk.core.unclaimed()[0].pin.as_ref().map(|pin| pin.reason.as_str()), Some("of the old cluster"));
    import(&mut desk, 7);
    // Whatever way an operator takes.
    for ask in [
        Request::Remove { sector: 7 },
        Request::ForceState { sector: 7, state: SectorState::Removing },
        Request::ReleaseUnsealed { sector: 7 },
    ] {
        assert!(refusal(desk.ask(ask)).1.contains("is pinned"));
    }
    assert_eq!(desk.ask(Request::Unpin { sector: 7 }), Reply::Done);
    assert_eq!(refusal(desk.ask(Request::Unpin { sector: 7 })).0, ErrorCode::NotFound);
    assert_eq!(desk.ask(Request::Remove { sector: 7 }), Reply::Moved(SectorState::Removing));
    assert_eq!(refusal(pin(&mut desk, 7, "too late")).0, ErrorCode::WrongState);
    assert_eq!(desk.deletes.len(), 2);
}

/// A proven sector 0 with its files on a; then comes b, with files that another sector 0 has left.
fn two_sectors_of_one_number() -> (Desk, [ReplicaId; 2]) {
    let mut desk = Desk::new(|_| {}, &[SectorState::Proving]);
    for name in ["a", "b"] {
        desk.join(name, &[TaskKind::Fetch], lotus_machine());
    }
    desk.index(&["a", "b"], &[(0, "a")]);
    let others = [FileKind::Sealed, FileKind::Cache].map(|kind| id(0, kind, "b"));
    for id in others.clone() {
        desk.step(Event::Replica {
            id,
            size_bytes: GIB,
            primary: true,
            origin: Origin::new(0xBEEF),
            soundness: Soundness::Unknown,
        });
    }
    (desk, others)
}

#[test]
fn files_of_an_earlier_sector_of_the_number_are_not_taken_for_leftovers() {
    let (mut desk, _) = two_sectors_of_one_number();
    desk.pass(600_000, &["a", "b"]);
    assert_eq!(desk.deletes, [], "they may be all that is left of it");
    let found = desk.core.unclaimed();
    assert_eq!((unclaimed(&desk), found[0].is_of_another), (vec![0], true));
    assert_eq!(found[0].stores, [(store("b"), 2 * GIB)]);
    // The sector's own leftovers go as ever.
    let own = ReplicaId { root: [99; 32], ..id(0, FileKind::Sealed, "b") };
    desk.step(Event::ReplicaGone(id(0, FileKind::Sealed, "b")));
    desk.appears(own.clone(), GIB);
    assert_eq!(desk.deletes, [own]);
}

#[test]
fn they_outlive_the_sector_and_go_when_an_operator_says_so() {
    let (mut desk, others) = two_sectors_of_one_number();
    assert_eq!(desk.ask(Request::Remove { sector: 0 }), Reply::Moved(SectorState::Removing));
    let own = std::mem::take(&mut desk.deletes);
    assert!(!own.is_empty() && own.iter().all(|id| id.store == store("a")), "{own:?}");
    own.into_iter().for_each(|id| desk.step(Event::ReplicaGone(id)));
    assert_eq!(desk.core.sector(0).map(|s| s.state), Some(SectorState::Removed));
    assert_eq!((unclaimed(&desk), desk.deletes.len()), (vec![0], 0));
    assert_eq!(desk.ask(Request::CleanUp { sector: 0 }), Reply::Moved(SectorState::Removed));
    assert_eq!(desk.deletes, others);
    // The word is durable.
    desk.restart();
    desk.deletes.clear();
    desk.index(&["a", "b"], &[]);
    let fact = |id: &ReplicaId, origin| Event::Replica {
        id: id.clone(),
        size_bytes: GIB,
        primary: true,
        origin,
        soundness: Soundness::Unknown,
    };
    desk.step(fact(&others[0], Origin::new(0xBEEF)));
    assert_eq!(desk.deletes, others[..1]);
    desk.step(fact(&others[1], Origin::new(0xCAFE)));
    assert_eq!((desk.deletes.len(), unclaimed(&desk)), (1, vec![0]), "a third one's are another matter");
}

#[test]
fn an_imported_sector_is_whose_its_files_are() {
    let mut desk = leftovers();
    let origin = Origin::new(0xBEEF);
    for (kind, name) in [(FileKind::Sealed, "a"), (FileKind::Cache, "b")] {
        let id = id(5, kind, name);
        let size_bytes = if kind == FileKind::Cache { GIB } else { SIZE.bytes() };
        desk.step(Event::Replica { id, size_bytes, primary: true, origin, soundness: Soundness::Unknown });
    }
    import(&mut desk, 5);
    assert_eq!(desk.core.sector(5).and_then(|sector| sector.origin), origin);
    assert_eq!(unclaimed(&desk), [2, 7]);
    assert_eq!(desk.ask(Request::Remove { sector: 5 }), Reply::Moved(SectorState::Removing));
    assert_eq!(desk.deletes.len(), 2);
}
