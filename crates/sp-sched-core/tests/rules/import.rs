//! Sectors that were sealed elsewhere: taken over as they lie, known by their roots once somebody has read them whole.

use sp_sched_core::effect::Reply;
use sp_sched_core::event::{Event, Import, Request};
use sp_types::{Commitment, DeadlineIndex, ErrorCode, FileKind, ReplicaId, SectorId, SectorState, TaskKind};

use crate::desk::{Desk, GIB, SIZE, lotus_machine, store};

const NUMBER: u64 = 7;
const UNREAD: [u8; 32] = [0; 32];

fn id(kind: FileKind, name: &str, root: [u8; 32]) -> ReplicaId {
    ReplicaId { sector: SectorId { miner: 1000, number: NUMBER }, kind, store: store(name), root }
}

fn lies(desk: &mut Desk, kind: FileKind, name: &str, root: [u8; 32]) {
    let size_bytes = if kind == FileKind::Cache { GIB } else { SIZE.bytes() };
    desk.step(Event::Replica { id: id(kind, name, root), size_bytes, primary: true, origin: None });
}

/// A path of Lotus with one finished sector.
fn lotus_path() -> Desk {
    let mut desk = Desk::new(|_| {}, &[]);
    for name in ["a", "b"] {
        desk.join(name, &[TaskKind::Fetch], lotus_machine());
    }
    desk.index(&["a", "b"], &[]);
    for kind in [FileKind::Sealed, FileKind::Cache, FileKind::Unsealed] {
        lies(&mut desk, kind, "a", UNREAD);
    }
    desk
}

fn import(desk: &mut Desk, comm_r: u8) -> Reply {
    let comm_r = Commitment([comm_r; 32]);
    let import = Import { number: NUMBER, comm_r, deadline: DeadlineIndex(3), record: None };
    desk.ask(Request::Import(Box::new(import)))
}

fn refused(desk: &mut Desk) -> (ErrorCode, String) {
    match import(desk, 1) {
        Reply::Failed { code, message } => (code, message),
        other => panic!("{other:?}"),
    }
}

fn roots(desk: &Desk) -> Vec<(FileKind, u8)> {
    desk.core.sector(NUMBER).unwrap().files.iter().map(|f| (f.kind, f.root[0])).collect()
}

#[test]
fn a_foreign_sector_is_taken_over_as_it_lies() {
    let mut desk = lotus_path();
    assert_eq!(desk.core.foreign_sectors(), [NUMBER]);
    assert_eq!(import(&mut desk, 1), Reply::Moved(SectorState::Proving));
    assert!(desk.core.foreign_sectors().is_empty());
    let sector = desk.core.sector(NUMBER).unwrap();
    assert_eq!(sector.location.map(|(deadline, _)| deadline), Some(DeadlineIndex(3)));
    assert_eq!(roots(&desk), [(FileKind::Unsealed, 0), (FileKind::Sealed, 0), (FileKind::Cache, 0)]);
    desk.pass(60_000, &["a", "b"]);
    assert!(desk.deletes.is_empty() && desk.news().is_empty(), "nothing of it is touched");
    assert_eq!(import(&mut desk, 1), Reply::Moved(SectorState::Proving), "asked again it changes nothing");
    assert_eq!(refused(&mut { lotus_path_with(2) }).0, ErrorCode::WrongState, "another replica of a known sector");
    assert_eq!(desk.ask(Request::Pledge { count: 1, priority: None }), Reply::Sectors(vec![NUMBER + 1]));
}

fn lotus_path_with(comm_r: u8) -> Desk {
    let mut desk = lotus_path();
    import(&mut desk, comm_r);
    desk
}

#[test]
fn what_cannot_be_proven_is_not_taken_over() {
    let mut desk = lotus_path();
    desk.step(Event::ReplicaGone(id(FileKind::Cache, "a", UNREAD)));
    assert_eq!(refused(&mut desk), (ErrorCode::FileMissing, "no path has the cache of sector 7".to_owned()));
    let mut desk = lotus_path();
    lies(&mut desk, FileKind::Sealed, "b", [9; 32]);
    assert!(refused(&mut desk).1.contains("two different sealed files"));
    let mut desk = lotus_path();
    lies(&mut desk, FileKind::Update, "a", UNREAD);
    assert!(refused(&mut desk).1.contains("updated sectors cannot be imported yet"));
    let mut desk = lotus_path();
    let sealed = id(FileKind::Sealed, "a", UNREAD);
    desk.step(Event::Replica { id: sealed, size_bytes: 2048, primary: true, origin: None });
    assert!(refused(&mut desk).1.contains("has 2048 bytes"));
    let mut desk = lotus_path();
    desk.step(Event::IndexLost);
    assert_eq!(refused(&mut desk).0, ErrorCode::Unavailable);
}

#[test]
fn a_file_that_is_read_whole_is_known_by_its_root_from_then_on() {
    let mut desk = lotus_path();
    lies(&mut desk, FileKind::Sealed, "b", UNREAD);
    import(&mut desk, 1);
    desk.pass(60_000, &["a", "b"]);
    assert!(desk.deletes.is_empty(), "copies that nobody has read may differ");
    desk.step(Event::ReplicaGone(id(FileKind::Sealed, "a", UNREAD)));
    lies(&mut desk, FileKind::Sealed, "a", [5; 32]);
    assert_eq!(roots(&desk), [(FileKind::Unsealed, 0), (FileKind::Sealed, 5), (FileKind::Cache, 0)]);
    desk.step(Event::ReplicaGone(id(FileKind::Sealed, "b", UNREAD)));
    lies(&mut desk, FileKind::Sealed, "b", [5; 32]);
    assert_eq!(desk.deletes.len(), 1, "one of two that are the same");
    // Also what was read while the scheduler was away.
    desk.restart();
    desk.step(Event::IndexSnapshotBegin);
    desk.attach("a", true);
    for (kind, root) in [(FileKind::Sealed, 5), (FileKind::Cache, 6), (FileKind::Unsealed, 0)] {
        lies(&mut desk, kind, "a", [root; 32]);
    }
    desk.step(Event::IndexSnapshotEnd);
    assert_eq!(roots(&desk), [(FileKind::Unsealed, 0), (FileKind::Sealed, 5), (FileKind::Cache, 6)]);
}

#[test]
fn a_move_reads_a_foreign_sector_whole() {
    let mut desk = lotus_path();
    import(&mut desk, 1);
    assert_eq!(desk.ask(Request::MoveFiles { sector: NUMBER, store: store("b") }), Reply::Moving { files: 3 });
    let attempt = desk.attempt(TaskKind::Fetch, NUMBER);
    let inputs = &mut desk.given.get_mut(&attempt).unwrap().1.inputs;
    assert!(inputs.iter().all(|input| input.root == UNREAD));
    // What the worker has found while it read.
    inputs.iter_mut().for_each(|input| input.root = [4; 32]);
    desk.finish(TaskKind::Fetch, NUMBER, 10, 0);
    assert!(roots(&desk).iter().all(|(_, root)| *root == 4));
    // The sources are known by their roots, too, and go.
    for kind in [FileKind::Sealed, FileKind::Cache, FileKind::Unsealed] {
        desk.step(Event::ReplicaGone(id(kind, "a", UNREAD)));
        lies(&mut desk, kind, "a", [4; 32]);
    }
    assert_eq!(desk.deletes.len(), 3);
    assert!(desk.deletes.iter().all(|gone| gone.store == store("a")));
}
