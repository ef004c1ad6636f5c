//! Sectors that are downloaded: placed on paths that store, counted once they are what was asked for, stopped when the source
//! says no.

use sp_sched_core::effect::{Reply, TaskParams};
use sp_sched_core::event::{Event, Failure, ReceiveOrder, Request, SectorRecord, TaskOutput};
use sp_sched_core::model::Receive;
use sp_types::SectorState::{Proving, ReceiveSector, ReceiveSectorFailed, Removed};
use sp_types::{
    ChainEpoch, Commitment, DeadlineIndex, ErrorCode, FileKind, FileKindSet, HttpHeader, PartitionIndex, PieceInfo,
    ReplicaId, SectorId, SectorState, TaskKind,
};

use crate::desk::{Desk, GIB, SIZE, lotus_machine, store};

const NUMBER: u64 = 7;
const DL: TaskKind = TaskKind::DownloadSector;
const PLAIN: [FileKind; 2] = [FileKind::Sealed, FileKind::Cache];
const URL: &str = "http://miner:2345/remote";

fn comm(byte: u8) -> Commitment {
    Commitment([byte; 32])
}

fn order(kinds: &[FileKind], record: Option<SectorRecord>) -> ReceiveOrder {
    let headers = vec![HttpHeader::new("Authorization", "Bearer secret").unwrap()];
    let receive = Receive {
        url: URL.to_owned(),
        headers,
        kinds: FileKindSet::of(kinds),
        place: (DeadlineIndex(3), PartitionIndex(0)),
    };
    ReceiveOrder { number: NUMBER, receive, record: record.map(|record| (comm(1), record)) }
}

fn record() -> SectorRecord {
    let pieces = vec![PieceInfo { padded_bytes: SIZE.bytes(), commitment: comm(5) }];
    SectorRecord {
        seal_proof: sp_sched_core::Config::new(1000, SIZE, [7; 32]).seal_proof(),
        comm_d: comm(2),
        ticket: ([3; 32], ChainEpoch(1)),
        seed: ([4; 32], ChainEpoch(2)),
        pieces,
        data: None,
        proof: vec![6],
        update: None,
    }
}

fn receive(desk: &mut Desk, order: ReceiveOrder) -> Reply {
    desk.ask(Request::Receive(Box::new(order)))
}

fn refused(reply: Reply) -> (ErrorCode, String) {
    match reply {
        Reply::Failed { code, message } => (code, message),
        other => panic!("{other:?}"),
    }
}

/// `a` downloads, with a path that only stores.
fn downloader() -> Desk {
    let mut desk = Desk::new(|_| {}, &[]);
    desk.join("a", &[DL, TaskKind::Fetch], lotus_machine());
    desk.index(&["a"], &[]);
    desk.attach_with("a", "a", |fact| fact.can_seal = false);
    desk
}

fn state(desk: &Desk) -> SectorState {
    desk.core.sector(NUMBER).unwrap().state
}

/// The download is done, with this commitment.
fn comes(desk: &mut Desk, comm_r: u8) {
    let output = TaskOutput::Download { comm_r: comm(comm_r), comm_r_old: None };
    desk.finish_with(DL, NUMBER, (1_000, 0), output, |kind| if kind.is_directory() { GIB } else { SIZE.bytes() });
}

fn fails(desk: &mut Desk, code: ErrorCode, message: &str) {
    desk.fail(DL, NUMBER, Failure { code, message: message.to_owned() });
}

#[test]
fn it_is_downloaded_to_a_path_that_stores_and_proven_from_then_on() {
    let mut desk = downloader();
    assert_eq!(receive(&mut desk, order(&PLAIN, None)), Reply::Moved(ReceiveSector));
    assert_eq!(desk.news(), ["DL 7 on a"]);
    let attempt = desk.attempt(DL, NUMBER);
    let assignment = &desk.given[&attempt].1;
    let slots: Vec<_> = assignment.outputs.iter().map(|o| (o.kind, o.store.clone(), o.reserved_bytes)).collect();
    let size = SIZE.bytes();
    assert_eq!(slots, [(FileKind::Sealed, store("a"), size), (FileKind::Cache, store("a"), size / 10)]);
    let TaskParams::Download { url, headers, comm_r, comm_d } = &assignment.params else { panic!("{assignment:?}") };
    assert_eq!((url.as_str(), headers[0].value.reveal(), comm_r, comm_d), (URL, "Bearer secret", &None, &None));
    assert!(!desk.core.sector(NUMBER).unwrap().is_proven(), "the chain has it, and nobody here could prove it");
    assert!(!desk.core.sector(NUMBER).unwrap().state.is_sealing());

    comes(&mut desk, 1);
    let sector = desk.core.sector(NUMBER).unwrap();
    assert_eq!((sector.state, sector.comm_r, sector.receive.is_none()), (Proving, Some(comm(1)), true));
    assert_eq!(sector.location.map(|(deadline, _)| deadline), Some(DeadlineIndex(3)));
    assert_eq!(sector.files.iter().map(|f| f.kind).collect::<Vec<_>>(), PLAIN);
    desk.pass(60_000, &["a"]);
    assert!(desk.deletes.is_empty() && desk.news().is_empty(), "it is at home");
    assert_eq!(desk.ask(Request::Pledge { count: 1, priority: None }), Reply::Sectors(vec![NUMBER + 1]));
}

#[test]
fn who_was_not_told_to_downloads_nothing_and_explain_says_how() {
    let mut desk = Desk::new(|_| {}, &[]);
    desk.join("a", &[TaskKind::Fetch], lotus_machine());
    desk.index(&["a"], &[]);
    receive(&mut desk, order(&PLAIN, None));
    assert!(desk.news().is_empty());
    assert!(desk.why(NUMBER).contains("a: does not take DL; start it with --download"), "{}", desk.why(NUMBER));
    desk.join("b", &[DL], lotus_machine());
    desk.attach_with("b", "b", |fact| fact.can_store = false);
    desk.pass(1_000, &["a", "b"]);
    assert!(desk.why(NUMBER).contains("b: no healthy path with --store that keeps sealed"), "{}", desk.why(NUMBER));
    desk.attach_with("b", "b", |fact| fact.available_bytes = GIB);
    desk.pass(1_000, &["a", "b"]);
    assert!(desk.why(NUMBER).contains("no store with 32 GiB free for sealed"), "{}", desk.why(NUMBER));
    desk.attach_with("b", "b", |_| {});
    assert_eq!(desk.news(), ["DL 7 on b"]);
}

#[test]
fn files_lie_apart_only_where_no_path_has_room_for_all() {
    let mut desk = downloader();
    desk.attach_with("a", "a2", |fact| fact.available_bytes = 40 * GIB);
    desk.attach_with("a", "a", |fact| fact.available_bytes = 33 * GIB);
    receive(&mut desk, order(&PLAIN, None));
    let stores = |desk: &Desk| -> Vec<_> {
        let attempt = desk.attempt(DL, NUMBER);
        desk.given[&attempt].1.outputs.iter().map(|o| o.store.clone()).collect()
    };
    assert_eq!(stores(&desk), [store("a2"), store("a2")]);
    let mut desk = downloader();
    desk.attach_with("a", "a2", |fact| fact.available_bytes = 33 * GIB);
    desk.attach_with("a", "a", |fact| fact.available_bytes = 32 * GIB);
    receive(&mut desk, order(&PLAIN, None));
    assert_eq!(stores(&desk), [store("a2"), store("a")], "33 GiB have no room for the cache, too");
}

#[test]
fn another_replica_than_that_of_the_record_does_not_count() {
    let mut desk = downloader();
    let record = record();
    receive(&mut desk, order(&PLAIN, Some(record.clone())));
    let attempt = desk.attempt(DL, NUMBER);
    let TaskParams::Download { comm_r, comm_d, .. } = desk.given[&attempt].1.params.clone() else { panic!() };
    assert_eq!(
        (comm_r, comm_d),
        (Some(comm(1)), Some(comm(2))),
        "its worker can refuse it before anything is published"
    );
    comes(&mut desk, 9);
    let sector = desk.core.sector(NUMBER).unwrap();
    assert_eq!((sector.state, sector.is_stopped(), sector.files.len()), (ReceiveSectorFailed, true, 0));
    assert!(sector.last_error.contains("the record is of the replica with comm_r"), "{}", sector.last_error);
    assert_eq!(desk.deletes.len(), 2, "what was published is not kept");
    for id in desk.deletes.clone() {
        desk.step(Event::ReplicaGone(id));
    }
    desk.ask(Request::Retry { sector: NUMBER });
    desk.pass(1_000, &["a"]);
    comes(&mut desk, 1);
    let sector = desk.core.sector(NUMBER).unwrap();
    assert_eq!((sector.state, sector.comm_d, sector.pieces.clone()), (Proving, Some(comm(2)), record.pieces));
}

#[test]
fn a_source_that_says_no_stops_it_and_one_that_is_away_is_tried_again() {
    let mut desk = downloader();
    receive(&mut desk, order(&PLAIN, None));
    fails(&mut desk, ErrorCode::Unavailable, "cannot connect to miner:2345");
    let sector = desk.core.sector(NUMBER).unwrap();
    assert_eq!((sector.state, sector.is_stopped()), (ReceiveSectorFailed, false), "its operator sees that at once");
    assert_eq!(sector.last_error, "a: cannot connect to miner:2345");
    desk.news();
    desk.pass(120_000, &["a"]);
    assert_eq!((state(&desk), desk.news()), (ReceiveSector, vec!["DL 7 on a".to_owned()]));
    for code in [ErrorCode::FileMissing, ErrorCode::BadRequest, ErrorCode::DigestMismatch] {
        fails(&mut desk, code, "no");
        assert!(desk.core.sector(NUMBER).unwrap().is_stopped(), "{code}");
        desk.pass(600_000, &["a"]);
        assert_eq!((state(&desk), desk.news()), (ReceiveSectorFailed, vec![]), "{code}");
        assert_eq!(desk.ask(Request::Retry { sector: NUMBER }), Reply::Moved(ReceiveSector));
        assert_eq!(desk.news().len(), 1);
    }
    // The same command with another token goes on with that.
    fails(&mut desk, ErrorCode::BadRequest, "401");
    let mut other = order(&PLAIN, None);
    other.receive.headers = vec![HttpHeader::new("Authorization", "Bearer other").unwrap()];
    assert_eq!(receive(&mut desk, other), Reply::Moved(ReceiveSector));
    desk.pass(1_000, &["a"]);
    let attempt = desk.attempt(DL, NUMBER);
    assert!(matches!(&desk.given[&attempt].1.params, TaskParams::Download { headers, .. }
        if headers[0].value.reveal() == "Bearer other"));
    comes(&mut desk, 1);
    assert_eq!((state(&desk), desk.core.sector(NUMBER).unwrap().failures), (Proving, 0));
}

#[test]
fn what_is_known_or_lies_there_is_not_downloaded() {
    let mut desk = downloader();
    let id = ReplicaId {
        sector: SectorId { miner: 1000, number: NUMBER },
        kind: FileKind::Sealed,
        store: store("a"),
        root: [0; 32],
    };
    desk.step(Event::Replica {
        id: id.clone(),
        size_bytes: 1,
        primary: true,
        origin: None,
        soundness: Default::default(),
    });
    let (code, message) = refused(receive(&mut desk, order(&PLAIN, None)));
    assert!(code == ErrorCode::WrongState && message.contains("import it without --from"), "{message}");
    desk.step(Event::ReplicaGone(id));
    let unsealed = [FileKind::Sealed, FileKind::Cache, FileKind::Unsealed];
    assert_eq!(refused(receive(&mut desk, order(&unsealed, None))).0, ErrorCode::BadRequest);
    assert!(desk.core.sector(NUMBER).is_none(), "a refusal leaves nothing");
    receive(&mut desk, order(&PLAIN, None));
    comes(&mut desk, 1);
    assert_eq!(refused(receive(&mut desk, order(&PLAIN, None))).0, ErrorCode::WrongState);
    desk.step(Event::IndexLost);
    let elsewhere = ReceiveOrder { number: NUMBER + 1, ..order(&PLAIN, None) };
    assert_eq!(refused(receive(&mut desk, elsewhere)).0, ErrorCode::Unavailable);
}

#[test]
fn it_is_removed_at_any_time_and_put_into_no_other_state() {
    let mut desk = downloader();
    receive(&mut desk, order(&PLAIN, None));
    let forced = Request::ForceState { sector: NUMBER, state: Proving };
    assert!(refused(desk.ask(forced)).1.contains("its files are not here yet"));
    desk.ask(Request::Remove { sector: NUMBER });
    assert!(desk.given.is_empty(), "its attempt is cancelled");
    desk.pass(1_000, &["a"]);
    assert_eq!((state(&desk), desk.core.sector(NUMBER).unwrap().receive.is_none()), (Removed, true));
}

#[test]
fn it_goes_on_after_a_restart() {
    let mut desk = downloader();
    receive(&mut desk, order(&PLAIN, None));
    let attempt = desk.attempt(DL, NUMBER);
    desk.restart();
    desk.join_with("a", &[DL], lotus_machine(), Default::default(), |registration| registration.held = vec![attempt]);
    desk.index(&["a"], &[]);
    desk.pass(1_000, &["a"]);
    comes(&mut desk, 1);
    assert_eq!(state(&desk), Proving);
}

#[test]
fn an_update_counts_with_the_replica_before_it() {
    let mut desk = downloader();
    let kinds = [FileKind::Sealed, FileKind::Cache, FileKind::Update, FileKind::UpdateCache];
    receive(&mut desk, order(&kinds, None));
    let output = TaskOutput::Download { comm_r: comm(8), comm_r_old: Some(comm(1)) };
    desk.finish_with(DL, NUMBER, (1, 0), output, |kind| if kind.is_directory() { GIB } else { SIZE.bytes() });
    let sector = desk.core.sector(NUMBER).unwrap();
    assert_eq!((sector.state, sector.is_updated(), sector.files.len()), (Proving, true, 4));
    assert_eq!((sector.present_comm_r(), sector.comm_r), (Some(comm(8)), Some(comm(1))));
}

#[test]
fn a_file_of_another_size_does_not_count() {
    let mut desk = downloader();
    receive(&mut desk, order(&PLAIN, None));
    desk.finish_with(DL, NUMBER, (1, 0), TaskOutput::Download { comm_r: comm(1), comm_r_old: None }, |_| 5);
    assert_eq!(state(&desk), ReceiveSectorFailed);
}

#[test]
fn a_secret_is_in_no_recording() {
    let event = Event::Request(sp_sched_core::event::RequestId(1), Request::Receive(Box::new(order(&PLAIN, None))));
    let written = serde_json::to_string(&event).unwrap();
    assert!(written.contains("Authorization") && !written.contains("secret"), "{written}");
    assert!(!format!("{event:?}").contains("secret"));
}
