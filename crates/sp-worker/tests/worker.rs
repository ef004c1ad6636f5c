//! A whole worker among fakes: attempts from assignment to acknowledgement, over crashes at every step.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, unreachable_pub)]

#[path = "worker/data_cid.rs"]
mod data_cid;
#[path = "worker/hostile.rs"]
mod hostile;
#[path = "worker/hung.rs"]
mod hung;
#[path = "worker/paths.rs"]
mod paths;
#[path = "worker/post.rs"]
mod post;
#[path = "worker/proxy.rs"]
mod proxy;
#[path = "worker/scrub.rs"]
mod scrub;
#[path = "worker/snap.rs"]
mod snap;
mod support;
#[path = "worker/transfer.rs"]
mod transfer;
#[path = "worker/trim.rs"]
mod trim;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sp_proto::v1;
use sp_proto::v1::assign::Params;
use sp_proto::v1::data_plane_client::DataPlaneClient;
use sp_proto::v1::task_done::Output;
use sp_proto::v1::task_result::Outcome;
use sp_sectors::{Disk, exists};
use sp_types::{FileKind, HostCapacity, ReplicaInfo, TaskKind, WorkerLimits};
use support::{DATA_DIR, Fakes, Machine, SECTOR, assign, eventually, pledge, with_input, with_output};

const ALL: [TaskKind; 4] = [TaskKind::AddPiece, TaskKind::PreCommit2, TaskKind::Commit2, TaskKind::GenerateWindowPost];

fn done(result: &v1::TaskResult) -> &v1::TaskDone {
    match &result.outcome {
        Some(Outcome::Done(done)) => done,
        other => panic!("not done: {other:?}"),
    }
}

fn failed(result: &v1::TaskResult) -> &v1::Failure {
    match &result.outcome {
        Some(Outcome::Failed(failure)) => failure,
        other => panic!("not failed: {other:?}"),
    }
}

/// Nothing of any attempt is left in the data directory or in the store.
async fn clean(machine: &Machine) {
    eventually("everything to be tidied up", || {
        let empty = |dir: &str| machine.disk.list(format!("{DATA_DIR}/{dir}").as_ref()).is_ok_and(|l| l.is_empty());
        ["attempts", "results", "storage/.sp/work", "storage/.sp/journal"].iter().all(|dir| empty(dir)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_attempt_is_published_declared_and_forgotten() {
    let fakes = Fakes::start().await;
    let mut machine = Machine::new(&fakes, &ALL);
    machine.start();
    let store = fakes.store().await;
    fakes.assign(pledge("1.1", &store)).await;
    fakes.assign(pledge("1.1", &store)).await;
    let result = fakes.result("1.1").await;
    let replica = ReplicaInfo::try_from(done(&result).replicas[0].clone()).unwrap();
    assert_eq!((replica.id.kind, replica.size_bytes, replica.primary), (FileKind::Unsealed, 2048, true));
    assert!(fakes.said.declared.lock().unwrap().iter().any(|r| r.root == replica.id.root));
    assert_eq!(machine.executor.starts("AP"), 1);
    assert!(exists(&machine.disk, format!("{DATA_DIR}/storage/unsealed/s-t01000-3").as_ref()).unwrap());
    clean(&machine).await;
}

#[tokio::test]
async fn work_that_a_crash_interrupts_is_done_again_from_its_inputs() {
    let fakes = Fakes::start().await;
    let mut machine = Machine::new(&fakes, &ALL);
    machine.executor.hold();
    machine.start();
    fakes.assign(pledge("1.1", &fakes.store().await)).await;
    eventually("the executor", || (machine.executor.starts("AP") == 1).then_some(())).await;
    eventually("a renewal", || (!fakes.said.progress.lock().unwrap().is_empty()).then_some(())).await;
    machine.kill();
    machine.start();
    let register = fakes.registered(2).await;
    assert_eq!(register.held.len(), 1);
    done(&fakes.result("1.1").await);
    assert_eq!(machine.executor.starts("AP"), 2);
    clean(&machine).await;
}

#[tokio::test]
async fn every_heartbeat_carries_fresh_figures_of_the_host_and_the_share() {
    let fakes = Fakes::start().await;
    let mut machine = Machine::new(&fakes, &ALL);
    let reads = Arc::new(AtomicU64::new(0));
    let counted = reads.clone();
    machine.options.capacity = Arc::new(move || HostCapacity {
        memory_bytes: 1 << 30,
        memory_used_bytes: counted.fetch_add(1, Ordering::Relaxed),
        cpus: 2,
        ..HostCapacity::default()
    });
    machine.options.limits = WorkerLimits { cpus: Some(1), memory_bytes: None, gpus: Some(vec![]) };
    machine.start();
    let limits = Some(v1::WorkerLimits { cpus: 1, no_gpus: true, ..Default::default() });
    assert_eq!(fakes.registered(1).await.limits, limits);
    eventually("heartbeats", || (fakes.said.heartbeats.lock().unwrap().len() >= 3).then_some(())).await;
    let seen = fakes.said.heartbeats.lock().unwrap()[..3].to_vec();
    assert!(seen.iter().all(|heartbeat| heartbeat.limits == limits), "{seen:?}");
    let used = seen.iter().map(|heartbeat| heartbeat.capacity.as_ref().unwrap().memory_used_bytes);
    assert_eq!(used.collect::<Vec<_>>(), [1, 2, 3], "one reading each, after that of the registration");
    machine.kill();
}

#[tokio::test]
async fn finished_work_is_not_run_again_while_the_index_is_silent() {
    let fakes = Fakes::start().await;
    fakes.said.ack_declares.store(false, Ordering::SeqCst);
    let mut machine = Machine::new(&fakes, &ALL);
    machine.start();
    fakes.assign(pledge("1.1", &fakes.store().await)).await;
    let published = format!("{DATA_DIR}/storage/unsealed/s-t01000-3");
    eventually("the publish", || exists(&machine.disk, published.as_ref()).unwrap().then_some(())).await;
    machine.kill();
    machine.start();
    fakes.registered(2).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(fakes.said.results.lock().unwrap().is_empty(), "no result before the index has it");
    fakes.said.ack_declares.store(true, Ordering::SeqCst);
    machine.kill();
    machine.start();
    assert_eq!(done(&fakes.result("1.1").await).replicas.len(), 1);
    assert_eq!(machine.executor.starts("AP"), 1);
    clean(&machine).await;
}

#[tokio::test]
async fn a_result_is_presented_until_it_is_acknowledged() {
    let fakes = Fakes::start().await;
    fakes.said.ack_results.store(false, Ordering::SeqCst);
    let mut machine = Machine::new(&fakes, &ALL);
    machine.start();
    fakes.assign(pledge("1.1", &fakes.store().await)).await;
    let first = fakes.result("1.1").await;
    machine.kill();
    fakes.said.ack_results.store(true, Ordering::SeqCst);
    machine.start();
    let register = fakes.registered(2).await;
    assert_eq!((register.held.len(), register.finished.len()), (0, 1));
    assert_eq!(fakes.result("1.1").await, first);
    assert_eq!(machine.executor.starts("AP"), 1);
    clean(&machine).await;
}

#[tokio::test]
async fn what_the_scheduler_does_not_keep_is_removed() {
    let fakes = Fakes::start().await;
    let mut machine = Machine::new(&fakes, &ALL);
    machine.executor.hold();
    machine.start();
    fakes.assign(pledge("1.1", &fakes.store().await)).await;
    eventually("the executor", || (machine.executor.starts("AP") == 1).then_some(())).await;
    machine.kill();
    fakes.said.keep_nothing.store(true, Ordering::SeqCst);
    machine.start();
    assert_eq!(fakes.registered(2).await.held.len(), 1);
    clean(&machine).await;
    assert_eq!(machine.executor.starts("AP"), 1);
    assert!(fakes.said.results.lock().unwrap().is_empty());
}

#[tokio::test]
async fn cancelled_and_fenced_attempts_end_without_a_result() {
    let fakes = Fakes::start().await;
    let mut machine = Machine::new(&fakes, &ALL);
    machine.executor.hold();
    machine.start();
    let store = fakes.store().await;
    fakes.assign(pledge("1.1", &store)).await;
    fakes.assign(pledge("2.1", &store)).await;
    eventually("the executor", || (machine.executor.starts("AP") == 2).then_some(())).await;
    let attempt = Some(v1::AttemptId { task: 1, number: 1 });
    let cancel = v1::Cancel { attempt, reason: "a test".into() };
    fakes.command(v1::worker_command::Body::Cancel(cancel)).await;
    fakes.fence(2, 1).await;
    clean(&machine).await;
    assert!(fakes.said.results.lock().unwrap().is_empty());
}

#[tokio::test]
async fn what_an_ended_attempt_has_published_and_not_declared_is_listed_all_the_same() {
    let fakes = Fakes::start().await;
    fakes.said.ack_declares.store(false, Ordering::SeqCst);
    let mut machine = Machine::new(&fakes, &ALL);
    machine.start();
    fakes.assign(pledge("1.1", &fakes.store().await)).await;
    let waits = |progress: &v1::AttemptProgress| progress.phase() == v1::AttemptPhase::Publishing;
    let published = format!("{DATA_DIR}/storage/unsealed");
    let is_there = || machine.disk.list(published.as_ref()).is_ok_and(|found| !found.is_empty());
    eventually("a file", || is_there().then_some(())).await;
    eventually("its report", || fakes.said.progress.lock().unwrap().iter().any(waits).then_some(())).await;
    assert!(fakes.said.declared.lock().unwrap().is_empty());
    fakes.fence(1, 1).await;
    let listed = || fakes.said.declared.lock().unwrap().first().cloned();
    let replica = eventually("the list", listed).await;
    assert_eq!(replica.kind(), v1::FileKind::Unsealed);
    clean(&machine).await;
}

#[tokio::test]
async fn what_the_disk_refuses_to_remove_is_removed_later() {
    let fakes = Fakes::start().await;
    let mut machine = Machine::new(&fakes, &ALL);
    machine.executor.hold();
    machine.start();
    fakes.assign(pledge("1.1", &fakes.store().await)).await;
    eventually("the executor", || (machine.executor.starts("AP") == 1).then_some(())).await;
    // A journal that cannot be read: nothing is removed as long as nobody knows what it needs.
    let journal = format!("{DATA_DIR}/storage/.sp/journal/damaged");
    machine.disk.create_new(journal.as_ref()).unwrap().write_at(b"?", 0).unwrap();
    fakes.fence(1, 1).await;
    let records = format!("{DATA_DIR}/attempts");
    eventually("its end", || machine.disk.list(records.as_ref()).unwrap().is_empty().then_some(())).await;
    let work = format!("{DATA_DIR}/storage/.sp/work/1.1");
    assert!(exists(&machine.disk, work.as_ref()).unwrap(), "it cannot be removed yet");
    machine.disk.remove_file(journal.as_ref()).unwrap();
    clean(&machine).await;
}

#[tokio::test]
async fn an_attempt_over_its_limit_fails_with_the_reason() {
    let fakes = Fakes::start().await;
    let mut machine = Machine::new(&fakes, &ALL);
    machine.executor.hold();
    machine.start();
    let assign = v1::Assign { time_limit_ms: 300, ..pledge("1.1", &fakes.store().await) };
    fakes.assign(assign).await;
    assert_eq!(failed(&fakes.result("1.1").await).code, "SP-TIMED-OUT");
    clean(&machine).await;
}

#[tokio::test]
async fn in_place_work_never_touches_the_published_replica() {
    let fakes = Fakes::start().await;
    let mut machine = Machine::new(&fakes, &ALL);
    let sealed = machine.publish(FileKind::Sealed, b"plaintext of the sector");
    machine.executor.hold();
    machine.start();
    let store = fakes.store().await;
    let pc2 = assign("5.1", TaskKind::PreCommit2, Params::PreCommit2(v1::PreCommit2Params { phase1: vec![] }));
    let pc2 = with_output(with_input(pc2, &sealed, &[]), FileKind::Sealed, &store);
    // The fake stage writes p_aux into the directory of the cache: any output directory will do.
    let pc2 = with_output(pc2, FileKind::Cache, &store);
    fakes.assign(pc2).await;
    eventually("the executor", || (machine.executor.starts("PC2") == 1).then_some(())).await;
    let published = format!("{DATA_DIR}/storage/sealed/s-t01000-3");
    let read = || sp_sectors::read_all(&machine.disk, published.as_ref(), 1000).unwrap();
    assert_eq!(read(), b"plaintext of the sector");
    machine.disk.create_dir_all(format!("{DATA_DIR}/storage/.sp/work/5.1/cache/s-t01000-3").as_ref()).unwrap();
    machine.executor.release();
    let result = fakes.result("5.1").await;
    assert_eq!(done(&result).replicas.len(), 2);
    assert_eq!(read(), b"encodedxt of the sector");
}

/// A PC2 has published over the sealed file that it encoded, and then its result does not count: by the scheduler's word, or
/// because the attempt is ended before there is a result.
#[tokio::test]
async fn what_a_result_has_replaced_comes_back_when_it_is_refused() {
    for refused in [true, false] {
        let fakes = Fakes::start().await;
        let mut machine = Machine::new(&fakes, &ALL);
        let sealed = machine.publish(FileKind::Sealed, b"plaintext of the sector");
        fakes.said.ack_results.store(false, Ordering::SeqCst);
        fakes.said.ack_declares.store(refused, Ordering::SeqCst);
        machine.start();
        let store = fakes.store().await;
        let pc2 = assign("5.1", TaskKind::PreCommit2, Params::PreCommit2(v1::PreCommit2Params { phase1: vec![] }));
        let pc2 = with_output(with_input(pc2, &sealed, &[]), FileKind::Sealed, &store);
        machine.executor.hold();
        fakes.assign(with_output(pc2, FileKind::Cache, &store)).await;
        eventually("the executor", || (machine.executor.starts("PC2") == 1).then_some(())).await;
        machine.disk.create_dir_all(format!("{DATA_DIR}/storage/.sp/work/5.1/cache/s-t01000-3").as_ref()).unwrap();
        machine.executor.release();
        let published = format!("{DATA_DIR}/storage/sealed/s-t01000-3");
        let read = || sp_sectors::read_all(&machine.disk, published.as_ref(), 1000).unwrap();
        eventually("the publish", || (read() == b"encodedxt of the sector").then_some(())).await;
        fakes.said.declared.lock().unwrap().clear();
        let attempt = Some(v1::AttemptId { task: 5, number: 1 });
        if !refused {
            let cancel = v1::Cancel { attempt, reason: "the test wants it".into() };
            fakes.command(v1::worker_command::Body::Cancel(cancel)).await;
        }
        // Also of one that was cancelled: only the scheduler knows what counts.
        done(&fakes.result("5.1").await);
        let ack = v1::ResultAck { attempt, refused: true, counting: vec![] };
        fakes.command(v1::worker_command::Body::ResultAck(ack)).await;
        eventually("the old one", || (read() == b"plaintext of the sector").then_some(())).await;
        let listed = || fakes.said.declared.lock().unwrap().iter().any(|r| r.root == sealed.id.root).then_some(());
        eventually("the index to know", listed).await;
        clean(&machine).await;
        machine.store().verify(&sealed.id).unwrap();
    }
}

/// Long enough for several chunks.
fn vanilla() -> Vec<u8> {
    (0..(5 << 20) / 2).map(|i: u32| (i * 7 % 251) as u8).collect()
}

fn commit_2(id: &str, replica: &ReplicaInfo, urls: &[&str]) -> v1::Assign {
    with_input(assign(id, TaskKind::Commit2, Params::Commit2(v1::Commit2Params {})), replica, urls)
}

#[tokio::test]
async fn wrong_chunks_are_fetched_from_the_next_source_or_fail_the_attempt() {
    let (a_fakes, b_fakes, c_fakes) = (Fakes::start().await, Fakes::start().await, Fakes::start().await);
    let mut a = Machine::new(&a_fakes, &ALL);
    let replica = a.publish(FileKind::Vanilla, &vanilla());
    // The same replica on another worker, in a store with the same id: shared sources of one replica.
    let mut b = Machine::new(&b_fakes, &ALL);
    b.disk = copy_of(&a, &b_fakes);
    let damaged = a.store().replica_path(SECTOR, FileKind::Vanilla);
    a.disk.open_write(&damaged).unwrap().write_at(b"!", (1 << 20) + 5).unwrap();
    a.start();
    b.start();
    let (a_url, b_url) = (a_fakes.registered(1).await.data_url, b_fakes.registered(1).await.data_url);
    let mut c = Machine::new(&c_fakes, &ALL);
    c.start();
    c_fakes.registered(1).await;
    c_fakes.assign(commit_2("7.1", &replica, &[&a_url, &b_url])).await;
    let result = c_fakes.result("7.1").await;
    assert!(matches!(&done(&result).output, Some(Output::Proof(p)) if p.proof == vanilla()[..4]));
    c_fakes.assign(commit_2("8.1", &replica, &[&a_url])).await;
    let result = c_fakes.result("8.1").await;
    assert_eq!(failed(&result).code, "SP-DIGEST-MISMATCH", "{:?}", failed(&result));
    assert_eq!(c.executor.starts("C2"), 1);
    clean(&c).await;
}

/// A disk with the same vanilla replica in a store of the same id.
fn copy_of(a: &Machine, fakes: &Fakes) -> sp_sectors::MemDisk {
    disk_with(a, fakes, FileKind::Vanilla, &vanilla())
}

/// A disk with this replica in a store of the same id as the other machine's.
fn disk_with(a: &Machine, fakes: &Fakes, kind: FileKind, bytes: &[u8]) -> sp_sectors::MemDisk {
    let b = Machine::new(fakes, &ALL);
    let id = a.store().id().clone();
    let meta = sp_sectors::StoreMeta::new(&id, true, true);
    let disk: std::sync::Arc<dyn Disk> = std::sync::Arc::new(b.disk.clone());
    let store = sp_sectors::Store::init(disk, format!("{DATA_DIR}/storage").as_ref(), &meta).unwrap();
    let attempt = "900.1".parse().unwrap();
    let path = store.work(attempt).unwrap().path(SECTOR, kind);
    b.disk.create_new(&path).unwrap().write_at(bytes, 0).unwrap();
    store.publish(attempt, &[(SECTOR, kind)]).unwrap();
    store.discard(attempt).unwrap();
    b.disk.clone()
}

#[tokio::test]
async fn a_move_publishes_what_it_brought_and_computes_nothing() {
    let (a_fakes, b_fakes) = (Fakes::start().await, Fakes::start().await);
    let mut a = Machine::new(&a_fakes, &ALL);
    let replica = a.publish(FileKind::Sealed, &vanilla());
    a.start();
    let url = a_fakes.registered(1).await.data_url;
    let mut b = Machine::new(&b_fakes, &[TaskKind::Fetch]);
    b.start();
    let store = b_fakes.store().await;
    let get = |id: &str| {
        let get = assign(id, TaskKind::Fetch, Params::Fetch(v1::FetchParams {}));
        with_output(with_input(get, &replica, &[&url]), FileKind::Sealed, &store)
    };
    b_fakes.assign(get("1.1")).await;
    let brought = b_fakes.result("1.1").await;
    let made = snap::replica_of(&brought, FileKind::Sealed);
    assert_eq!(
        (made.id.root, made.id.store.as_str(), made.size_bytes),
        (replica.id.root, store.as_str(), replica.size_bytes)
    );
    let path = format!("{DATA_DIR}/storage/sealed/s-t01000-3");
    assert_eq!(sp_sectors::read_all(&b.disk, path.as_ref(), vanilla().len() as u64).unwrap(), vanilla());
    assert_eq!(a.store().find(SECTOR, FileKind::Sealed).unwrap().map(|info| info.id), Some(replica.id.clone()));
    assert_eq!(b.executor.starts("GET"), 0);
    // Here already, in the store that it is to be in: nothing changes.
    b_fakes.assign(get("2.1")).await;
    assert_eq!(snap::replica_of(&b_fakes.result("2.1").await, FileKind::Sealed).id, made.id);
    clean(&b).await;
}

#[tokio::test]
async fn reads_of_ended_attempts_are_refused() {
    let fakes = Fakes::start().await;
    let mut machine = Machine::new(&fakes, &ALL);
    let replica = machine.publish(FileKind::Vanilla, &vanilla());
    machine.start();
    let mut client = DataPlaneClient::connect(fakes.registered(1).await.data_url).await.unwrap();
    let request = |number| v1::ReadManifestRequest {
        replica: Some(replica.clone().into()),
        attempt: Some(v1::AttemptId { task: 7, number }),
    };
    client.read_manifest(request(1)).await.unwrap();
    fakes.fence(7, 1).await;
    let refused = eventually_refused(&mut client, request(1)).await;
    assert_eq!(sp_net::status::code_of(&refused), Some(sp_types::ErrorCode::AttemptEnded));
    client.read_manifest(request(2)).await.unwrap();
}

async fn eventually_refused(
    client: &mut DataPlaneClient<tonic::transport::Channel>,
    request: v1::ReadManifestRequest,
) -> tonic::Status {
    for _ in 0..500 {
        match client.read_manifest(request.clone()).await {
            Err(status) => return status,
            Ok(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
    panic!("never refused");
}

fn add(id: &str, store: &str, data: &[u8]) -> v1::Assign {
    let params = v1::AddPieceParams {
        data_bytes: data.len() as u64,
        data_digest: blake2s_simd::blake2s(data).as_bytes().to_vec(),
        ticket: "secret".into(),
        padded_bytes: 2048,
        pieces: vec![],
    };
    with_output(assign(id, TaskKind::AddPiece, Params::AddPiece(params)), FileKind::Unsealed, store)
}

fn parts(ticket: &str, offset: u64, data: &[u8]) -> Vec<v1::UploadPart> {
    let part = |data: &[u8]| v1::UploadPart { data: data.to_vec().into(), ..Default::default() };
    let mut parts: Vec<_> = data.chunks(300).map(part).collect();
    parts[0].ticket = ticket.into();
    parts[0].offset = offset;
    parts
}

#[tokio::test]
async fn an_upload_goes_on_after_a_crash_and_only_its_ticket_opens_it() {
    let fakes = Fakes::start().await;
    let mut machine = Machine::new(&fakes, &ALL);
    machine.start();
    let data: Vec<u8> = (0..1500u32).map(|i| (i % 256) as u8).collect();
    fakes.assign(add("1.1", &fakes.store().await, &data)).await;
    let mut client = DataPlaneClient::connect(fakes.registered(1).await.data_url).await.unwrap();
    let upload = tokio_stream::iter(parts("guess", 0, &data));
    let refused = client.upload_piece(upload).await.unwrap_err();
    assert_eq!(sp_net::status::code_of(&refused), Some(sp_types::ErrorCode::BadTicket));
    let progress = || fakes.said.progress.lock().unwrap().iter().any(|p| p.detail.contains("upload")).then_some(());
    eventually("the attempt to wait", progress).await;
    let status = client.upload_piece(tokio_stream::iter(parts("secret", 0, &data[..600]))).await.unwrap().into_inner();
    assert_eq!((status.received_bytes, status.complete), (600, false));
    machine.kill();
    machine.start();
    let mut client = DataPlaneClient::connect(fakes.registered(2).await.data_url).await.unwrap();
    let ask = v1::UploadStatusRequest { ticket: "secret".into() };
    let at = client.upload_status(ask).await.unwrap().into_inner().received_bytes;
    assert!(at <= 600);
    let rest = parts("secret", at, &data[at as usize..]);
    assert!(client.upload_piece(tokio_stream::iter(rest)).await.unwrap().into_inner().complete);
    done(&fakes.result("1.1").await);
    let published = format!("{DATA_DIR}/storage/unsealed/s-t01000-3");
    assert_eq!(sp_sectors::read_all(&machine.disk, published.as_ref(), 4096).unwrap(), data);
    clean(&machine).await;
}

#[tokio::test]
async fn a_store_is_attached_and_known_at_the_next_start() {
    let fakes = Fakes::start().await;
    let mut machine = Machine::new(&fakes, &ALL);
    machine.start();
    fakes.registered(1).await;
    let attach =
        v1::AttachStore { request: 5, path: "/more".into(), init: true, store: true, weight: 3, ..Default::default() };
    fakes.command(v1::worker_command::Body::AttachStore(attach.clone())).await;
    let reply = eventually("a reply", || fakes.said.replies.lock().unwrap().pop()).await;
    assert!(matches!(reply.outcome, Some(v1::attach_reply::Outcome::Store(_))), "{reply:?}");
    eventually("the index to know", || fakes.said.attached.lock().unwrap().iter().any(|s| s.weight == 3).then_some(()))
        .await;
    assert_eq!(fakes.registered(2).await.stores.len(), 2, "the scheduler learns of it too");
    fakes.command(v1::worker_command::Body::AttachStore(attach)).await;
    let reply = eventually("a reply", || fakes.said.replies.lock().unwrap().pop()).await;
    assert!(matches!(reply.outcome, Some(v1::attach_reply::Outcome::Failed(_))), "{reply:?}");
    machine.kill();
    machine.start();
    assert_eq!(fakes.registered(3).await.stores.len(), 2);
}

#[tokio::test]
async fn a_worker_of_another_cluster_gives_up_and_says_why() {
    let fakes = Fakes::start().await;
    fakes.said.wrong_cluster.store(true, Ordering::SeqCst);
    let machine = Machine::new(&fakes, &ALL);
    let disk = std::sync::Arc::new(machine.disk.clone());
    let env = sp_net::Env::real();
    let worker = sp_worker::Worker::open(env, disk, machine.executor.clone(), machine.options.clone()).await.unwrap();
    let error =
        tokio::time::timeout(Duration::from_secs(10), worker.run(Box::pin(std::future::pending()))).await.unwrap();
    assert!(error.unwrap_err().to_string().contains("SP-WRONG-CLUSTER"));
}
