//! Sectors that were sealed elsewhere: taken over as they lie, known by their roots once somebody has read them whole.

use sp_sched_core::Held;
use sp_sched_core::data::{PieceData, SectorData};
use sp_sched_core::effect::Reply;
use sp_sched_core::event::{Event, Import, Request, SectorRecord, UpdateRecord};
use sp_types::{
    ChainEpoch, Commitment, DeadlineIndex, ErrorCode, FileKind, Origin, PartitionIndex, PieceInfo, RegisteredSealProof,
    ReplicaId, SectorId, SectorState, Soundness, TaskKind,
};

use crate::desk::{Desk, GIB, SIZE, lotus_machine, store};

use FileKind::{Cache, Sealed, Unsealed, Update, UpdateCache};

const NUMBER: u64 = 7;
const UNREAD: [u8; 32] = [0; 32];

fn id(kind: FileKind, name: &str, root: [u8; 32]) -> ReplicaId {
    ReplicaId { sector: SectorId { miner: 1000, number: NUMBER }, kind, store: store(name), root }
}

fn lies(desk: &mut Desk, kind: FileKind, name: &str, root: [u8; 32]) {
    let size_bytes = if kind.is_directory() { GIB } else { SIZE.bytes() };
    desk.step(Event::Replica {
        id: id(kind, name, root),
        size_bytes,
        primary: true,
        origin: None,
        soundness: Soundness::Unknown,
    });
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
    let import =
        Import { number: NUMBER, comm_r, updated: false, place: (DeadlineIndex(3), PartitionIndex(0)), record: None };
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
    let sealed = id(FileKind::Sealed, "a", UNREAD);
    desk.step(Event::Replica {
        id: sealed,
        size_bytes: 2048,
        primary: true,
        origin: None,
        soundness: Soundness::Unknown,
    });
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

/// A path of Lotus with an updated sector of which these files are there.
fn snapped_path(kinds: &[FileKind]) -> Desk {
    let mut desk = Desk::new(|_| {}, &[]);
    for name in ["a", "b"] {
        desk.join(name, &[TaskKind::Fetch, TaskKind::Unseal], lotus_machine());
    }
    desk.index(&["a", "b"], &[]);
    kinds.iter().for_each(|kind| lies(&mut desk, *kind, "a", UNREAD));
    desk
}

fn import_updated(desk: &mut Desk, record: Option<SectorRecord>) -> Reply {
    let import = Import {
        number: NUMBER,
        comm_r: Commitment([2; 32]),
        updated: true,
        place: (DeadlineIndex(3), PartitionIndex(0)),
        record,
    };
    desk.ask(Request::Import(Box::new(import)))
}

fn why(reply: Reply) -> String {
    match reply {
        Reply::Failed { message, .. } => message,
        other => panic!("{other:?}"),
    }
}

/// Of the sector before its update, and of that.
fn record() -> SectorRecord {
    let (digest, name) = ([8; 32], "dog.jpg".to_owned());
    let piece = PieceInfo { padded_bytes: SIZE.bytes(), commitment: Commitment([6; 32]) };
    let update = UpdateRecord {
        comm_r_old: Commitment([1; 32]),
        comm_d: Commitment([6; 32]),
        pieces: vec![piece],
        data: SectorData::one(PieceData { data_bytes: 1500, digest, name }),
        proof: vec![7],
    };
    SectorRecord {
        seal_proof: RegisteredSealProof::v1_1(SIZE),
        comm_d: Commitment([3; 32]),
        ticket: ([4; 32], ChainEpoch(-900)),
        seed: ([5; 32], ChainEpoch(150)),
        pieces: vec![piece],
        data: None,
        proof: vec![9],
        update: Some(update),
    }
}

#[test]
fn an_updated_sector_is_proven_by_its_update_and_keeps_its_key() {
    let mut desk = snapped_path(&[Sealed, Cache, Update, UpdateCache]);
    let record = record();
    assert_eq!(import_updated(&mut desk, Some(record)), Reply::Moved(SectorState::Proving));
    let sector = desk.core.sector(NUMBER).unwrap().clone();
    let update = sector.update.clone().unwrap();
    assert_eq!((sector.comm_r, sector.present_comm_r()), (Some(Commitment([1; 32])), Some(Commitment([2; 32]))));
    assert_eq!((sector.comm_d, sector.present_comm_d()), (Some(Commitment([3; 32])), Some(Commitment([6; 32]))));
    assert_eq!(sector.stored_data().map(|data| data.name()), Some("dog.jpg".to_owned()));
    assert_eq!(
        (sector.proof, update.proof, update.accepted.is_some(), update.key_awaited),
        (vec![9], vec![7], true, false)
    );
    let kinds: Vec<_> = sector.files.iter().map(|file| file.kind).collect();
    assert_eq!(kinds, [Sealed, Cache, Update, UpdateCache]);
    desk.pass(60_000, &["a", "b"]);
    assert!(desk.deletes.is_empty(), "nothing of it is touched");
    assert_eq!(import_updated(&mut desk, None), Reply::Moved(SectorState::Proving), "asked again it changes nothing");
    assert!(desk.core.sector(NUMBER).unwrap().stored_data().is_some());
    // The key is another replica of it.
    assert!(refused(&mut desk).1.contains("there is a sector 7 already"));
    // All that unsealing reads is there.
    assert_eq!(desk.ask(Request::Unseal { sector: NUMBER }), Reply::Unsealing { ready: false });
    desk.pass(1_000, &["a", "b"]);
    desk.attempt(TaskKind::Unseal, NUMBER);
}

#[test]
fn unsealing_has_room_for_the_layer_that_it_keeps_and_decoding_an_update_needs_none() {
    let data = record().update.map(|update| update.data);
    let plain = SectorRecord { update: None, data, ..record() };
    let cases =
        [(&[Sealed, Cache][..], false, plain, 2), (&[Sealed, Cache, Update, UpdateCache][..], true, record(), 1)];
    for (kinds, updated, record, sectors) in cases {
        let mut desk = snapped_path(kinds);
        // Whoever has the files has to fetch none.
        desk.ask(Request::Cordon { worker: "b".to_owned(), cordoned: true });
        let comm_r = Commitment([if updated { 2 } else { 1 }; 32]);
        let import = Import {
            number: NUMBER,
            comm_r,
            updated,
            place: (DeadlineIndex(3), PartitionIndex(0)),
            record: Some(record),
        };
        assert_eq!(desk.ask(Request::Import(Box::new(import))), Reply::Moved(SectorState::Proving));
        assert_eq!(desk.ask(Request::Unseal { sector: NUMBER }), Reply::Unsealing { ready: false });
        desk.pass(1_000, &["a", "b"]);
        let (worker, assignment) = &desk.given[&desk.attempt(TaskKind::Unseal, NUMBER)];
        let reserved: Vec<_> = assignment.outputs.iter().map(|output| (output.kind, output.reserved_bytes)).collect();
        assert_eq!((worker.as_str(), reserved), ("a", vec![(Unsealed, sectors * SIZE.bytes())]));
    }
}

/// An unsealed file of Lotus ends with a list of what is in it, which nobody here has read.
#[test]
fn an_unsealed_copy_that_may_hold_a_part_is_read_and_not_counted_on() {
    let mut desk = snapped_path(&[Sealed, Cache, Update, UpdateCache]);
    let size_bytes = SIZE.bytes() + 9;
    desk.step(Event::Replica {
        id: id(Unsealed, "a", UNREAD),
        size_bytes,
        primary: true,
        origin: None,
        soundness: Default::default(),
    });
    import_updated(&mut desk, Some(record()));
    let sector = desk.core.sector(NUMBER).unwrap();
    let piece = sector.stored_pieces()[0].commitment;
    assert_eq!(sector.unsealed_held(), Some(Held::Unknown));
    assert_eq!((sector.may_read(Some(&piece)), sector.may_read(None), sector.unsealed_pieces()), (true, false, 0));
    assert!(!sector.may_read(Some(&Commitment([0; 32]))), "that is no piece of it");
    desk.step(Event::ReplicaGone(id(Sealed, "a", UNREAD)));
    assert!(why(desk.ask(Request::RegenSectorKey { sector: NUMBER })).contains("only a part of its data"));
    lies(&mut desk, Sealed, "a", UNREAD);
    assert_eq!(desk.ask(Request::Unseal { sector: NUMBER }), Reply::Unsealing { ready: false });
    desk.pass(1_000, &["a", "b"]);
    desk.attempt(TaskKind::Unseal, NUMBER);
    assert!(desk.core.sector(NUMBER).unwrap().may_read(Some(&piece)), "until there is another one");
}

#[test]
fn an_updated_sector_without_record_is_proven_and_not_unsealed() {
    let mut desk = snapped_path(&[Sealed, Cache, Update, UpdateCache]);
    assert_eq!(import_updated(&mut desk, None), Reply::Moved(SectorState::Proving));
    let sector = desk.core.sector(NUMBER).unwrap();
    assert_eq!((sector.present_comm_r(), sector.comm_r), (Some(Commitment([2; 32])), None));
    assert!(sector.is_proven() && sector.is_updated());
    assert!(why(desk.ask(Request::Unseal { sector: NUMBER })).contains("imported without its record"));
    assert!(why(desk.ask(Request::MarkForUpdate { sector: NUMBER })).contains("only a CC sector"));
    desk.restart();
    assert_eq!(desk.core.sector(NUMBER).unwrap().present_comm_r(), Some(Commitment([2; 32])));
}

#[test]
fn an_update_that_is_not_whole_or_not_what_was_looked_at_is_not_taken_over() {
    let mut desk = snapped_path(&[Sealed, Cache, Update]);
    assert!(why(import_updated(&mut desk, None)).contains("no path has the update-cache; attach the path that has it"));
    assert!(refused(&mut desk).1.contains("no path has the update-cache"), "nor as if it had never been updated");
    let mut desk = snapped_path(&[Sealed, Cache, UpdateCache]);
    assert!(why(import_updated(&mut desk, None)).contains("no path has the update;"));
    let mut desk = snapped_path(&[Sealed, Cache]);
    assert!(why(import_updated(&mut desk, None)).contains("no path has the update of sector 7 any more"));
    let mut desk = snapped_path(&[Sealed, Cache, Update, UpdateCache]);
    assert!(refused(&mut desk).1.contains("what was looked at is the replica before"));
    let stale = SectorRecord { update: None, ..record() };
    assert!(why(import_updated(&mut desk, Some(stale))).contains("is not of the replica that lies there"));
    let of_update = record();
    let mut desk = snapped_path(&[Sealed, Cache]);
    let import = Import {
        number: NUMBER,
        comm_r: Commitment([1; 32]),
        updated: false,
        place: (DeadlineIndex(3), PartitionIndex(0)),
        record: Some(of_update),
    };
    assert!(why(desk.ask(Request::Import(Box::new(import)))).contains("is not of the replica that lies there"));
    let mut desk = snapped_path(&[UpdateCache]);
    let update = id(Update, "a", UNREAD);
    desk.step(Event::Replica {
        id: update,
        size_bytes: 2048,
        primary: true,
        origin: None,
        soundness: Soundness::Unknown,
    });
    assert!(why(import_updated(&mut desk, None)).contains("the update file of sector 7 has 2048 bytes"));
}

/// The path with the sealed file may be attached after the sector was imported: it is no garbage.
#[test]
fn a_key_that_comes_later_is_kept_and_counts_once_it_is_imported() {
    let mut desk = snapped_path(&[]);
    let ours = Origin::new(77);
    let comes = |desk: &mut Desk, kind: FileKind, name: &str| {
        let size_bytes = if kind.is_directory() { GIB } else { SIZE.bytes() };
        desk.step(Event::Replica {
            id: id(kind, name, [5; 32]),
            size_bytes,
            primary: true,
            origin: ours,
            soundness: Soundness::Unknown,
        });
    };
    [Update, UpdateCache].into_iter().for_each(|kind| comes(&mut desk, kind, "a"));
    assert_eq!(desk.core.foreign_sectors(), [NUMBER]);
    let record = record();
    assert_eq!(import_updated(&mut desk, Some(record)), Reply::Moved(SectorState::Proving));
    assert_eq!(desk.core.sector(NUMBER).unwrap().origin, ours, "of the update, where there is no sealed file");
    let unseal = Request::Unseal { sector: NUMBER };
    assert!(why(desk.ask(unseal.clone())).contains("no path had the sealed of that"));
    comes(&mut desk, Unsealed, "b");
    assert_eq!(desk.deletes.len(), 1, "what can be made again is garbage");
    for (kind, missing) in [(Sealed, "no path had the cache of that"), (Cache, "")] {
        comes(&mut desk, kind, "b");
        desk.pass(60_000, &["a", "b"]);
        assert!(desk.deletes.iter().all(|gone| gone.kind == Unsealed), "{:?}", desk.deletes);
        assert_eq!(import_updated(&mut desk, None), Reply::Moved(SectorState::Proving));
        assert!(desk.core.sector(NUMBER).unwrap().files.iter().any(|file| file.kind == kind));
        if !missing.is_empty() {
            assert!(why(desk.ask(unseal.clone())).contains(missing));
        }
    }
    assert!(!desk.core.sector(NUMBER).unwrap().update.as_ref().unwrap().key_awaited);
    assert_eq!(desk.ask(unseal), Reply::Unsealing { ready: false });
}
