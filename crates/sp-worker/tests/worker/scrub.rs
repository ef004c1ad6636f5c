//! Scrubs of a worker's stores: what they find, how they go on after a stop, a crash, a path that hangs.
#![allow(clippy::single_range_in_vec_init, reason = "one range is what is meant")]

use sp_proto::v1::worker_command::Body;
use sp_proto::v1::{
    ScrubAction, ScrubCheck, ScrubOutcome, ScrubReport, ScrubResult, ScrubState, ScrubStores, StoreScrub,
};

use sp_sectors::Filled;

use super::*;
use crate::support::HangingDisk;

const MIB: usize = 1 << 20;

async fn ask(fakes: &Fakes, order: ScrubStores) -> ScrubReport {
    fakes.command(Body::ScrubStores(ScrubStores { request: 3, ..order })).await;
    let report = eventually("a report", || fakes.said.scrubs.lock().unwrap().pop()).await;
    assert_eq!(report.request, 3);
    report
}

fn start() -> ScrubStores {
    ScrubStores { action: ScrubAction::Start as i32, ..Default::default() }
}

async fn now(fakes: &Fakes, action: ScrubAction) -> StoreScrub {
    let order = ScrubStores { action: action as i32, results: true, ..Default::default() };
    let mut report = ask(fakes, order).await;
    assert_eq!(report.failed, None);
    report.scrubs.remove(0)
}

async fn until(fakes: &Fakes, is: impl Fn(&StoreScrub) -> bool) -> StoreScrub {
    for _ in 0..1000 {
        let scrub = now(fakes, ScrubAction::Status).await;
        if is(&scrub) {
            return scrub;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("waited in vain: {:?}", now(fakes, ScrubAction::Status).await);
}

async fn done(fakes: &Fakes) -> StoreScrub {
    until(fakes, |scrub| scrub.state() == ScrubState::Done).await
}

/// Kind, check, outcome.
fn brief(result: &ScrubResult) -> (FileKind, ScrubCheck, ScrubOutcome) {
    let kind = sp_proto::convert::file_kind(result.replica.as_ref().unwrap().kind).unwrap();
    (kind, result.check(), result.outcome())
}

fn flip(machine: &Machine, kind: FileKind, at: u64) {
    let file = machine.disk.open_write(&machine.store().replica_path(SECTOR, kind)).unwrap();
    let mut byte = [0];
    file.read_at(&mut byte, at).unwrap();
    file.write_at(&[byte[0] ^ 1], at).unwrap();
    file.sync().unwrap();
}

#[tokio::test]
async fn a_scrub_names_the_chunk_and_a_foreign_file_gets_its_digests() {
    let fakes = Fakes::start().await;
    let mut machine = Machine::new(&fakes, &ALL);
    machine.publish(FileKind::Sealed, &vec![7; 3 * MIB]);
    machine.publish(FileKind::Cache, &[7; 64]);
    flip(&machine, FileKind::Sealed, 2 * MIB as u64 + 1);
    let foreign = machine.store().replica_path(SECTOR, FileKind::Unsealed);
    let file = machine.disk.create_new(&foreign).unwrap();
    file.write_at(&[5; 2048], 0).unwrap();
    file.sync().unwrap();
    machine.disk.sync_dir(foreign.parent().unwrap()).unwrap();
    machine.start();
    fakes.store().await;
    let never = now(&fakes, ScrubAction::Status).await;
    assert_eq!((never.state(), never.local_path.as_str()), (ScrubState::Unspecified, "/data/storage"));
    assert_eq!(ask(&fakes, start()).await.scrubs.len(), 1);
    let scrub = done(&fakes).await;
    let (checks, found) = (ScrubCheck::Digests, scrub.results.iter().map(brief).collect::<Vec<_>>());
    assert_eq!(found[0], (FileKind::Sealed, checks, ScrubOutcome::Faulty), "{scrub:?}");
    assert!(found.contains(&(FileKind::Unsealed, checks, ScrubOutcome::Adopted)), "{scrub:?}");
    assert!(found.contains(&(FileKind::Cache, checks, ScrubOutcome::Sound)), "{scrub:?}");
    let fault = &scrub.results[0];
    assert_eq!((fault.chunk, fault.offset, fault.bad_chunks), (Some(2), 2 * MIB as u64, 1));
    assert!(fault.reason.contains("chunk 2 (byte 2097152) differs"), "{fault:?}");
    assert_eq!((scrub.sound, scrub.faulty, scrub.replicas_done, scrub.bytes_done), (2, 1, 3, scrub.bytes));
    let adopted = machine.store().find(SECTOR, FileKind::Unsealed).unwrap().unwrap();
    eventually("the index to hear of its root", || {
        fakes.said.declared.lock().unwrap().iter().any(|replica| replica.root == adopted.id.root).then_some(())
    })
    .await;

    // The fault outlives the worker, and is gone when the file is well.
    machine.kill();
    machine.start();
    fakes.registered(2).await;
    assert_eq!(now(&fakes, ScrubAction::Status).await.results[0].chunk, Some(2));
    flip(&machine, FileKind::Sealed, 2 * MIB as u64 + 1);
    ask(&fakes, start()).await;
    let scrub = done(&fakes).await;
    assert_eq!((scrub.sound, scrub.faulty), (3, 0), "{scrub:?}");
    let wrong = ask(&fakes, ScrubStores { stores: vec!["/none".into()], ..start() }).await;
    assert_eq!(wrong.failed.unwrap().code, "SP-NOT-FOUND");
    assert_eq!(ask(&fakes, ScrubStores::default()).await.failed.unwrap().code, "SP-BAD-REQUEST");
}

#[tokio::test]
async fn a_scrub_goes_on_after_a_crash_and_after_a_stop_where_it_was() {
    let fakes = Fakes::start().await;
    let mut machine = Machine::new(&fakes, &ALL);
    machine.publish(FileKind::Unsealed, &vec![7; MIB]);
    machine.publish(FileKind::Sealed, &vec![7; 3 * MIB]);
    flip(&machine, FileKind::Unsealed, 0);
    machine.start();
    fakes.store().await;
    // Slow enough never to get through the second file.
    ask(&fakes, ScrubStores { bytes_per_s: 1000, ..start() }).await;
    let first = |scrub: &StoreScrub| scrub.replicas_done == 1;
    until(&fakes, first).await;
    eventually("its record", || {
        let saved = machine.disk.list("/data/scrubs".as_ref()).unwrap();
        (saved.len() == 1 && !saved[0].name.ends_with(".tmp")).then_some(())
    })
    .await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    machine.kill();
    flip(&machine, FileKind::Unsealed, 0);
    machine.start();
    fakes.registered(2).await;
    let scrub = until(&fakes, |scrub| first(scrub) && scrub.state() == ScrubState::Running).await;
    assert_eq!((scrub.faulty, scrub.bytes_per_s), (1, 1000), "what is behind it is not read again: {scrub:?}");
    let stopped = now(&fakes, ScrubAction::Stop).await;
    assert_eq!((stopped.state(), stopped.replicas_done), (ScrubState::Stopped, 1), "{stopped:?}");
    ask(&fakes, ScrubStores { bytes_per_s: 1000, ..start() }).await;
    until(&fakes, |scrub| first(scrub) && scrub.bytes_done > MIB as u64).await;
    // New bounds hold at once.
    ask(&fakes, start()).await;
    assert_eq!(done(&fakes).await.faulty, 1, "the file behind it was well again, and nobody has read it");
    ask(&fakes, ScrubStores { anew: true, ..start() }).await;
    assert_eq!(until(&fakes, |scrub| scrub.faulty == 0).await.replicas, 2);
}

#[tokio::test]
async fn a_path_that_hangs_holds_up_only_its_own_scrub() {
    let fakes = Fakes::start().await;
    let mut machine = Machine::new(&fakes, &ALL);
    machine.publish(FileKind::Sealed, &vec![7; 2 * MIB]);
    let disk = HangingDisk::new(machine.disk.clone(), "/data/storage/sealed");
    machine.start_on(Arc::new(disk.clone()));
    fakes.store().await;
    disk.hang(true);
    ask(&fakes, start()).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(now(&fakes, ScrubAction::Status).await.state(), ScrubState::Running);
    assert_eq!(now(&fakes, ScrubAction::Stop).await.state(), ScrubState::Stopped);
    let refused = ask(&fakes, start()).await.failed.unwrap();
    assert!(refused.code == "SP-UNAVAILABLE" && refused.message.contains("has not come back"), "{refused:?}");
    disk.hang(false);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(ask(&fakes, start()).await.failed, None);
    assert_eq!(done(&fakes).await.sound, 1);
}

#[tokio::test]
async fn a_deep_scrub_compares_commitments() {
    let fakes = Fakes::start().await;
    let mut machine = Machine::new(&fakes, &ALL);
    machine.publish(FileKind::Unsealed, &[1; 2048]);
    machine.publish(FileKind::Sealed, &[2; 2048]);
    machine.start();
    fakes.store().await;
    let of = |comm_d: u8, comm_r: u8| v1::SectorCommitments {
        miner: SECTOR.miner,
        sector: SECTOR.number,
        comm_d: vec![vec![comm_d; 32]],
        comm_r: vec![vec![9; 32], vec![comm_r; 32]],
    };
    let deep = |commitments| ScrubStores { deep: true, commitments, ..start() };
    let outcome = |scrub: &StoreScrub, kind| {
        let mut of =
            scrub.results.iter().map(brief).filter(|(k, check, _)| (*k, *check) == (kind, ScrubCheck::Commitment));
        of.next().map(|(.., outcome)| outcome)
    };
    ask(&fakes, deep(vec![])).await;
    let scrub = done(&fakes).await;
    assert_eq!(outcome(&scrub, FileKind::Unsealed), Some(ScrubOutcome::Skipped), "nothing is known of it");
    assert_eq!(outcome(&scrub, FileKind::Sealed), Some(ScrubOutcome::Skipped), "it has no cache");
    assert_eq!((scrub.sound, machine.executor.starts("commitment")), (4, 0));

    machine.publish(FileKind::Cache, &[2; 64]);
    ask(&fakes, deep(vec![of(1, 2)])).await;
    let scrub = done(&fakes).await;
    let kinds = [FileKind::Unsealed, FileKind::Sealed, FileKind::Cache];
    let expected = [Some(ScrubOutcome::Sound), Some(ScrubOutcome::Sound), None];
    assert_eq!(kinds.map(|kind| outcome(&scrub, kind)), expected, "{scrub:?}");
    ask(&fakes, deep(vec![of(7, 7)])).await;
    let scrub = until(&fakes, |scrub| scrub.state() == ScrubState::Done && scrub.faulty == 2).await;
    assert!(scrub.results[0].reason.contains("another commitment") && scrub.results[0].chunk.is_none(), "{scrub:?}");
}

#[tokio::test]
async fn a_copy_that_holds_a_part_of_its_data_has_no_commitment_to_compare() {
    let known =
        v1::SectorCommitments { miner: SECTOR.miner, sector: SECTOR.number, comm_d: vec![vec![1; 32]], comm_r: vec![] };
    let unsealed = |trailer: &[u8]| [&[1; 2048], trailer].concat();
    let part = Filled::of(2048, vec![1024..1152]).unwrap();
    let cases = [
        (unsealed(&part.trailer()), ScrubOutcome::Skipped, "partial: comm_d not checked"),
        (unsealed(&Filled::whole(2048).trailer()), ScrubOutcome::Sound, ""),
        (unsealed(&[1, 0, 0, 0]), ScrubOutcome::Faulty, "neither a sector nor one with a trailer"),
    ];
    for (bytes, outcome, reason) in cases {
        let fakes = Fakes::start().await;
        let mut machine = Machine::new(&fakes, &ALL);
        // As it comes with a path of Lotus.
        let path = machine.store().replica_path(SECTOR, FileKind::Unsealed);
        let file = machine.disk.create_new(&path).unwrap();
        file.write_at(&bytes, 0).unwrap();
        file.sync().unwrap();
        machine.disk.sync_dir(path.parent().unwrap()).unwrap();
        machine.start();
        fakes.store().await;
        ask(&fakes, ScrubStores { deep: true, commitments: vec![known.clone()], ..start() }).await;
        let scrub = done(&fakes).await;
        let found = |check| scrub.results.iter().find(|result| result.check() == check).unwrap();
        assert_eq!(found(ScrubCheck::Digests).outcome(), ScrubOutcome::Adopted, "{scrub:?}");
        let deep = found(ScrubCheck::Commitment);
        assert_eq!(deep.outcome(), outcome, "{scrub:?}");
        assert!(deep.reason.contains(reason), "{deep:?}");
    }
}

#[tokio::test]
async fn a_path_that_is_let_go_is_not_read_any_more() {
    let fakes = Fakes::start().await;
    let mut machine = Machine::new(&fakes, &ALL);
    machine.publish(FileKind::Sealed, &vec![7; 3 * MIB]);
    machine.start();
    let store = fakes.store().await;
    ask(&fakes, ScrubStores { bytes_per_s: 1000, ..start() }).await;
    until(&fakes, |scrub| scrub.bytes_done > 0).await;
    fakes.command(Body::DetachStore(v1::DetachStore { request: 7, store })).await;
    eventually("an answer", || fakes.said.changes.lock().unwrap().pop()).await;
    fakes.registered(2).await;
    let attach = v1::AttachStore { request: 5, path: "/data/storage".into(), ..Default::default() };
    fakes.command(Body::AttachStore(attach)).await;
    fakes.registered(3).await;
    assert_eq!(now(&fakes, ScrubAction::Status).await.state(), ScrubState::Stopped);
    ask(&fakes, start()).await;
    assert_eq!(done(&fakes).await.sound, 1);
}
