//! Storage paths that come and go: detached and read again by an operator, unmounted, hanging, well again.

use sp_proto::v1::worker_command::Body;
use sp_proto::v1::{DetachStore, RedeclareStores, StoresChanged};
use sp_sectors::read_all;

use super::*;
use crate::support::HangingDisk;

async fn changed(fakes: &Fakes, body: Body) -> StoresChanged {
    fakes.command(body).await;
    eventually("an answer", || fakes.said.changes.lock().unwrap().pop()).await
}

async fn detach(fakes: &Fakes, store: &str) -> StoresChanged {
    changed(fakes, Body::DetachStore(DetachStore { request: 7, store: store.into() })).await
}

/// A second path, attached; its id.
pub(super) async fn second_path(fakes: &Fakes) -> String {
    let attach = v1::AttachStore { request: 5, path: "/more".into(), init: true, store: true, ..Default::default() };
    fakes.command(Body::AttachStore(attach)).await;
    let reply = eventually("a reply", || fakes.said.replies.lock().unwrap().pop()).await;
    let Some(v1::attach_reply::Outcome::Store(store)) = reply.outcome else { panic!("{reply:?}") };
    assert_eq!(fakes.registered(2).await.stores.len(), 2);
    store
}

pub(super) async fn trouble(fakes: &Fakes, store: &str, wanted: impl Fn(&str) -> bool) -> String {
    let error = || fakes.said.health.lock().unwrap().get(store).map(|health| health.error.clone());
    eventually("news of the store", || error().filter(|error| wanted(error))).await
}

#[tokio::test]
async fn a_detached_path_leaves_index_and_list_and_keeps_its_files() {
    let fakes = Fakes::start().await;
    let mut machine = Machine::new(&fakes, &ALL);
    let sealed = machine.publish(FileKind::Sealed, &[7; 3000]);
    machine.start();
    let store = fakes.store().await;

    // Waits for its piece, so that it works there as long as the test likes.
    let mut waiting = pledge("5.1", &store);
    let (ticket, data_digest) = ("t".to_owned(), vec![1; 32]);
    let upload = v1::AddPieceParams { data_bytes: 100, ticket, data_digest, padded_bytes: 2048, pieces: vec![] };
    waiting.params = Some(Params::AddPiece(upload));
    fakes.assign(waiting).await;
    eventually("the attempt", || (!fakes.said.progress.lock().unwrap().is_empty()).then_some(())).await;
    let refused = detach(&fakes, &store).await;
    let reason = refused.failed.unwrap();
    assert!(reason.code == "SP-WRONG-STATE" && reason.message.contains("5.1"), "{reason:?}");
    fakes
        .command(Body::Cancel(v1::Cancel { attempt: Some(v1::AttemptId { task: 5, number: 1 }), reason: "x".into() }))
        .await;
    clean(&machine).await;

    let detached = detach(&fakes, "/data/storage").await;
    assert_eq!((detached.request, detached.failed.as_ref()), (7, None), "{detached:?}");
    assert_eq!((detached.changes[0].store.as_str(), detached.changes[0].replicas), (store.as_str(), 1));
    assert_eq!(fakes.said.detached.lock().unwrap()[0].store, store);
    assert!(fakes.registered(2).await.stores.is_empty(), "the scheduler learns of it too");
    let list = read_all(&machine.disk, "/data/storage.json".as_ref(), 10_000).unwrap();
    assert!(!String::from_utf8(list).unwrap().contains("/data/storage"));
    let unknown = detach(&fakes, &store).await.failed.unwrap();
    assert_eq!(unknown.code, "SP-NOT-FOUND");

    machine.kill();
    machine.start();
    assert!(fakes.registered(3).await.stores.is_empty());
    machine.store().verify(&sealed.id).unwrap();
}

#[tokio::test]
async fn a_path_read_again_has_its_new_settings_and_says_what_is_missing() {
    let fakes = Fakes::start().await;
    let mut machine = Machine::new(&fakes, &ALL);
    machine.publish(FileKind::Sealed, &[7; 3000]);
    machine.start();
    let store = fakes.store().await;
    fakes.said.attached.lock().unwrap().clear();
    let mut meta = (*machine.store().meta()).clone();
    meta.weight = 77;
    meta.write(&machine.disk, "/data/storage/sectorstore.json".as_ref()).unwrap();

    let order = RedeclareStores { request: 9, stores: vec![store.clone()], drop_missing: true };
    let answer = changed(&fakes, Body::RedeclareStores(order)).await;
    assert_eq!((answer.request, answer.failed.as_ref()), (9, None), "{answer:?}");
    assert_eq!((answer.changes[0].replicas, answer.changes[0].missing), (1, 2), "{answer:?}");
    assert_eq!(fakes.said.attached.lock().unwrap().last().unwrap().weight, 77);
    assert!(!fakes.said.ends.lock().unwrap().last().unwrap().keep_missing);
    let all = changed(&fakes, Body::RedeclareStores(RedeclareStores { request: 10, ..Default::default() })).await;
    assert_eq!((all.changes.len(), all.changes[0].error.as_str()), (1, ""));
    assert!(fakes.said.ends.lock().unwrap().last().unwrap().keep_missing);
    let order = RedeclareStores { request: 11, stores: vec!["/none".into()], drop_missing: false };
    assert_eq!(changed(&fakes, Body::RedeclareStores(order)).await.failed.unwrap().code, "SP-NOT-FOUND");
}

#[tokio::test]
async fn a_path_whose_disk_is_gone_is_put_aside_and_taken_up_again() {
    let fakes = Fakes::start().await;
    let mut machine = Machine::new(&fakes, &ALL);
    machine.start();
    fakes.registered(1).await;
    let more = second_path(&fakes).await;
    let first = fakes.registered(2).await.stores.into_iter().find(|store| *store != more).unwrap();

    machine.disk.rename("/more".as_ref(), "/away".as_ref()).unwrap();
    machine.disk.create_dir_all("/more".as_ref()).unwrap();
    let why = trouble(&fakes, &more, |error| !error.is_empty()).await;
    assert!(why.contains("mount its disk"), "{why}");
    fakes.assign(pledge("1.1", &more)).await;
    let failure = failed(&fakes.result("1.1").await).clone();
    assert!(failure.code == "SP-UNAVAILABLE" && failure.message.contains("put aside"), "{failure:?}");
    fakes.assign(pledge("2.1", &first)).await;
    done(&fakes.result("2.1").await);

    // Also when the worker starts without it: its name is known, and its files are not declared gone.
    machine.disk.sync_dir("/".as_ref()).unwrap();
    machine.kill();
    fakes.said.ends.lock().unwrap().clear();
    machine.start();
    let stores = fakes.registered(3).await.stores;
    assert!(stores.contains(&more), "{stores:?}");
    trouble(&fakes, &more, |error| error.contains("no sector store")).await;
    assert!(fakes.said.ends.lock().unwrap().iter().all(|end| end.store != more));

    machine.disk.remove_dir_all("/more".as_ref()).unwrap();
    machine.disk.rename("/away".as_ref(), "/more".as_ref()).unwrap();
    trouble(&fakes, &more, str::is_empty).await;
    let declared = || fakes.said.ends.lock().unwrap().iter().any(|end| end.store == more).then_some(());
    eventually("its files to be declared", declared).await;
    fakes.assign(pledge("3.1", &more)).await;
    done(&fakes.result("3.1").await);
}

#[tokio::test]
async fn a_path_that_hangs_is_put_aside_and_the_others_do_not_feel_it() {
    let fakes = Fakes::start().await;
    let mut machine = Machine::new(&fakes, &ALL);
    let disk = HangingDisk::new(machine.disk.clone(), "/more");
    machine.start_on(Arc::new(disk.clone()));
    fakes.registered(1).await;
    let more = second_path(&fakes).await;
    let first = fakes.registered(2).await.stores.into_iter().find(|store| *store != more).unwrap();

    disk.hang(true);
    let why = trouble(&fakes, &more, |error| !error.is_empty()).await;
    assert!(why.contains("not answered"), "{why}");
    for id in ["1.1", "2.1", "3.1"] {
        fakes.assign(pledge(id, &first)).await;
        done(&fakes.result(id).await);
    }
    fakes.said.health.lock().unwrap().remove(&first);
    trouble(&fakes, &first, str::is_empty).await;
    let answer = detach(&fakes, &more).await;
    assert_eq!(answer.failed, None, "a path that hangs can be let go");

    disk.hang(false);
    let attach = v1::AttachStore { request: 6, path: "/more".into(), ..Default::default() };
    fakes.command(Body::AttachStore(attach)).await;
    trouble(&fakes, &more, str::is_empty).await;
}

#[tokio::test]
async fn what_was_replaced_on_a_path_that_is_away_comes_back_with_the_path() {
    let fakes = Fakes::start().await;
    let mut machine = Machine::new(&fakes, &ALL);
    let sealed = machine.publish(FileKind::Sealed, b"plaintext of the sector");
    fakes.said.ack_results.store(false, Ordering::SeqCst);
    machine.executor.hold();
    machine.start();
    let store = fakes.store().await;
    let pc2 = assign("5.1", TaskKind::PreCommit2, Params::PreCommit2(v1::PreCommit2Params { phase1: vec![] }));
    let pc2 = with_output(with_input(pc2, &sealed, &[]), FileKind::Sealed, &store);
    fakes.assign(with_output(pc2, FileKind::Cache, &store)).await;
    eventually("the executor", || (machine.executor.starts("PC2") == 1).then_some(())).await;
    machine.disk.create_dir_all(format!("{DATA_DIR}/storage/.sp/work/5.1/cache/s-t01000-3").as_ref()).unwrap();
    machine.executor.release();
    done(&fakes.result("5.1").await);

    machine.kill();
    let (path, away) = (format!("{DATA_DIR}/storage"), format!("{DATA_DIR}/away"));
    machine.disk.rename(path.as_ref(), away.as_ref()).unwrap();
    machine.disk.sync_dir(DATA_DIR.as_ref()).unwrap();
    machine.start();
    fakes.registered(2).await;
    trouble(&fakes, &store, |error| !error.is_empty()).await;
    let attempt = Some(v1::AttemptId { task: 5, number: 1 });
    fakes.command(Body::ResultAck(v1::ResultAck { attempt, refused: true, counting: vec![] })).await;
    // Its word is kept: the path cannot be let go of before it is done.
    let refused = detach(&fakes, &store).await.failed.unwrap();
    assert!(refused.code == "SP-WRONG-STATE" && refused.message.contains("5.1"), "{refused:?}");

    machine.disk.rename(away.as_ref(), path.as_ref()).unwrap();
    let read = || sp_sectors::read_all(&machine.disk, format!("{path}/sealed/s-t01000-3").as_ref(), 1000).unwrap();
    eventually("the old one", || (read() == b"plaintext of the sector").then_some(())).await;
    clean(&machine).await;
    machine.store().verify(&sealed.id).unwrap();
}

#[tokio::test]
async fn work_of_a_worker_that_is_gone_is_told_and_removed_when_the_scheduler_says_so() {
    let fakes = Fakes::start().await;
    let mut machine = Machine::new(&fakes, &ALL);
    let sealed = machine.publish(FileKind::Sealed, b"plaintext of the sector");
    // Another worker has this path too. It has put its own in the place of what counts, and then its machine was lost.
    let path = format!("{DATA_DIR}/storage");
    let keep = std::collections::BTreeSet::new();
    let disk: Arc<dyn Disk> = Arc::new(machine.disk.clone());
    let theirs = sp_sectors::Store::open_as(disk, path.as_ref(), "lost", &keep).unwrap();
    let attempt: sp_types::AttemptId = "9.1".parse().unwrap();
    let work = theirs.work(attempt).unwrap();
    machine.disk.create_new(&work.path(SECTOR, FileKind::Sealed)).unwrap().write_at(b"another", 0).unwrap();
    theirs.publish(attempt, &[(SECTOR, FileKind::Sealed)]).unwrap();

    fakes.said.ack_results.store(false, Ordering::SeqCst);
    machine.start();
    fakes.registered(1).await;
    let stray = || fakes.said.stray.lock().unwrap().first().cloned();
    let found = eventually("word of the other's work", stray).await;
    assert_eq!((found.attempt, found.worker_id.as_str()), (Some(attempt.into()), "lost"));
    assert!(machine.disk.metadata(format!("{path}/.sp/work/9.1").as_ref()).is_ok(), "nothing goes unasked");

    fakes.command(Body::SweepWork(v1::SweepWork { attempts: vec![attempt.into()] })).await;
    // What stands in the place of something is asked for first.
    done(&fakes.result("9.1").await);
    let attempt = Some(attempt.into());
    fakes.command(Body::ResultAck(v1::ResultAck { attempt, refused: true, counting: vec![] })).await;
    clean(&machine).await;
    machine.store().verify(&sealed.id).unwrap();
    let owners = machine.disk.list(format!("{path}/.sp/owners").as_ref()).unwrap();
    assert!(owners.is_empty(), "{owners:?}");
}

#[tokio::test]
async fn a_path_that_has_become_read_only_is_read_and_said_to_be_so() {
    let fakes = Fakes::start().await;
    let mut machine = Machine::new(&fakes, &[TaskKind::Fetch]);
    let sealed = machine.publish(FileKind::Sealed, b"plaintext of the sector");
    machine.start();
    fakes.registered(1).await;
    let more = second_path(&fakes).await;
    let first = fakes.registered(2).await.stores.into_iter().find(|store| *store != more).unwrap();
    let get = |id: &str, from: &ReplicaInfo, to: &str| {
        let get = assign(id, TaskKind::Fetch, Params::Fetch(v1::FetchParams {}));
        with_output(with_input(get, from, &[]), FileKind::Sealed, to)
    };
    fakes.assign(get("1.1", &sealed, &more)).await;
    let moved = ReplicaInfo::try_from(done(&fakes.result("1.1").await).replicas[0].clone()).unwrap();
    machine.store().delete(&sealed.id).unwrap();

    machine.disk.set_read_only(Some("/more".as_ref()));
    let why = trouble(&fakes, &more, |error| !error.is_empty()).await;
    assert!(why.contains("read-only"), "{why}");
    // Its files are still handed out.
    fakes.assign(get("2.1", &moved, &first)).await;
    done(&fakes.result("2.1").await);
    machine.store().verify(&sealed.id).unwrap();

    machine.disk.set_read_only(None);
    trouble(&fakes, &more, str::is_empty).await;
}
