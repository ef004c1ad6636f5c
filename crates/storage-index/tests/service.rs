//! The index over real loopback: sessions, snapshots, refusals, restart with a real state file.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)] // Tests meet the real machine, and may panic.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sp_net::{Env, client, sized, status};
use sp_proto::v1::index_client::IndexClient;
use sp_proto::v1::index_query_client::IndexQueryClient;
use sp_proto::v1::{self, index_fact, index_scheduler_message, index_worker_command, index_worker_message};
use sp_proto::{PROTOCOL_MINOR, v1::index_fact::Body as Fact};
use sp_state::{Memory, Redb, State};
use sp_types::ErrorCode;
use storage_index::{Options, SCHEMA_VERSION, Service};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Status, Streaming};

const PATIENCE: Duration = Duration::from_secs(20);

struct Index {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Index {
    async fn start(state: Arc<dyn State>, change: impl FnOnce(&mut Options)) -> Self {
        let mut options = Options::new("test", "127.0.0.1:0".parse().unwrap());
        change(&mut options);
        let running = Service::new(Env::real(), state, options).unwrap().bind().await.unwrap();
        let address = running.address();
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(async move {
            running.serve(Box::pin(async { drop(stopped.await) })).await.unwrap();
        });
        Self { address, stop, task }
    }

    fn client(&self) -> IndexClient<Channel> {
        sized!(IndexClient::new(client::channel(&Env::real(), &self.address.to_string()).unwrap()))
    }

    /// Without a drain, as kill -9 does it as far as peers and state can see.
    async fn kill(self) {
        self.task.abort();
        assert!(self.task.await.unwrap_err().is_cancelled());
    }
}

/// One side of a session.
struct Session<Out, In> {
    sender: mpsc::Sender<Out>,
    messages: Streaming<In>,
}

type Worker = Session<v1::IndexWorkerMessage, v1::IndexWorkerCommand>;
type Scheduler = Session<v1::IndexSchedulerMessage, v1::IndexFact>;

impl<Out, In> Session<Out, In> {
    async fn next(&mut self) -> Result<In, Status> {
        let message = tokio::time::timeout(PATIENCE, self.messages.message()).await.expect("bounded")?;
        message.ok_or_else(|| Status::cancelled("ended"))
    }
}

async fn worker_as(index: &Index, hello: v1::IndexHello) -> Result<Worker, Status> {
    let (sender, receiver) = mpsc::channel(64);
    let session = Session {
        sender,
        messages: {
            let hello = v1::IndexWorkerMessage { body: Some(index_worker_message::Body::Hello(hello)) };
            let first = tokio_stream::StreamExt::chain(tokio_stream::once(hello), ReceiverStream::new(receiver));
            index.client().worker_session(first).await?.into_inner()
        },
    };
    Ok(session)
}

fn hello(name: &str) -> v1::IndexHello {
    v1::IndexHello {
        worker_id: name.into(),
        session_id: "s".into(),
        cluster: "test".into(),
        data_url: format!("http://{name}"),
        protocol_minor: PROTOCOL_MINOR,
    }
}

impl Worker {
    async fn connect(index: &Index, name: &str) -> Self {
        let mut worker = worker_as(index, hello(name)).await.unwrap();
        assert!(matches!(worker.command().await, index_worker_command::Body::Welcome(w) if w.health_ms == 10_000));
        worker
    }

    /// Connects, attaches the store and declares these replicas as all there is.
    async fn with_store(index: &Index, name: &str, store: &str, replicas: Vec<v1::Replica>) -> Self {
        let mut worker = Self::connect(index, name).await;
        worker.attach(store).await;
        assert_eq!(worker.declare(1, replicas, None).await, None);
        worker
            .send(index_worker_message::Body::DeclareEnd(v1::DeclareEnd { store: store.into(), ..Default::default() }))
            .await;
        worker
    }

    async fn send(&self, body: index_worker_message::Body) {
        self.sender.send(v1::IndexWorkerMessage { body: Some(body) }).await.unwrap();
    }

    async fn command(&mut self) -> index_worker_command::Body {
        self.next().await.unwrap().body.unwrap()
    }

    async fn attach(&self, store: &str) {
        let health = v1::StoreHealth {
            store: store.into(),
            capacity_bytes: 2000,
            fs_available_bytes: 1000,
            ..Default::default()
        };
        let attached = v1::AttachedStore {
            store: store.into(),
            can_seal: true,
            weight: 10,
            health: Some(health),
            ..Default::default()
        };
        self.send(index_worker_message::Body::Attach(attached)).await;
    }

    /// Declares; gives the code of the refusal.
    async fn declare(
        &mut self,
        request: u64,
        replicas: Vec<v1::Replica>,
        attempt: Option<v1::AttemptId>,
    ) -> Option<String> {
        let declare = v1::Declare { request, replicas, attempt };
        self.send(index_worker_message::Body::Declare(declare)).await;
        loop {
            if let index_worker_command::Body::DeclareAck(ack) = self.command().await {
                assert_eq!(ack.request, request);
                return ack.failed.map(|f| f.code);
            }
        }
    }
}

impl Scheduler {
    async fn connect(index: &Index) -> Self {
        let (sender, receiver) = mpsc::channel(64);
        let hello = v1::IndexSchedulerHello {
            cluster: "test".into(),
            scheduler_session: "s".into(),
            protocol_minor: PROTOCOL_MINOR,
        };
        let first = v1::IndexSchedulerMessage { body: Some(index_scheduler_message::Body::Hello(hello)) };
        let stream = tokio_stream::StreamExt::chain(tokio_stream::once(first), ReceiverStream::new(receiver));
        let messages = index.client().scheduler_session(stream).await.unwrap().into_inner();
        Session { sender, messages }
    }

    async fn send(&self, body: index_scheduler_message::Body) {
        self.sender.send(v1::IndexSchedulerMessage { body: Some(body) }).await.unwrap();
    }

    async fn fact(&mut self) -> Fact {
        self.next().await.unwrap().body.unwrap()
    }

    /// Facts until one fits.
    async fn wait<T>(&mut self, fits: impl Fn(&Fact) -> Option<T>) -> T {
        loop {
            if let Some(found) = fits(&self.fact().await) {
                return found;
            }
        }
    }

    /// The snapshot: stores and replicas.
    async fn snapshot(&mut self) -> (Vec<v1::StoreFact>, Vec<v1::Replica>) {
        assert!(matches!(self.fact().await, Fact::SnapshotBegin(_)));
        let (mut stores, mut replicas) = (vec![], vec![]);
        loop {
            match self.fact().await {
                Fact::Store(store) => stores.push(store),
                Fact::Replica(replica) => replicas.push(replica),
                Fact::SnapshotEnd(_) => return (stores, replicas),
                other => panic!("{other:?} in a snapshot"),
            }
        }
    }

    async fn reserve(&mut self, attempt: v1::AttemptId, size_bytes: u64) -> Option<String> {
        let item = v1::ReserveItem {
            store: "st".into(),
            kind: v1::FileKind::Sealed as i32,
            size_bytes,
            sector: 7,
            miner: 1000,
        };
        let reserve = v1::Reserve { attempt: Some(attempt), items: vec![item], ..Default::default() };
        self.send(index_scheduler_message::Body::Reserve(reserve)).await;
        self.wait(|fact| match fact {
            index_fact::Body::ReserveReply(reply) => {
                assert_eq!(reply.attempt, Some(attempt));
                Some(reply.failed.clone().map(|f| f.code))
            }
            _ => None,
        })
        .await
    }
}

fn replica(root: u8) -> v1::Replica {
    v1::Replica {
        miner: 1000,
        sector: 7,
        kind: v1::FileKind::Sealed as i32,
        store: "st".into(),
        root: vec![root; 32],
        size_bytes: 2048,
        primary: true,
        origin: 9,
        soundness: 0,
    }
}

fn attempt(task: u64, number: u32) -> v1::AttemptId {
    v1::AttemptId { task, number }
}

fn code(status: &Status) -> Option<ErrorCode> {
    status::code_of(status)
}

#[tokio::test]
async fn strangers_are_refused() {
    let index = Index::start(Arc::new(Memory::new()), |_| {}).await;
    let refused = |hello| async { worker_as(&index, hello).await.err().as_ref().and_then(code) };
    assert_eq!(refused(v1::IndexHello { cluster: "b".into(), ..hello("w") }).await, Some(ErrorCode::WrongCluster));
    let far = v1::IndexHello { protocol_minor: PROTOCOL_MINOR + 2, ..hello("w") };
    assert_eq!(refused(far).await, Some(ErrorCode::WrongProtocol));
    assert!(worker_as(&index, v1::IndexHello { protocol_minor: PROTOCOL_MINOR + 1, ..hello("w") }).await.is_ok());
    assert_eq!(refused(hello("no such/id")).await, Some(ErrorCode::BadRequest));
    let silent = index.client().worker_session(tokio_stream::once(v1::IndexWorkerMessage::default())).await;
    assert_eq!(code(&silent.unwrap_err()), Some(ErrorCode::BadRequest));
    // Junk in a session ends that session.
    let mut worker = Worker::connect(&index, "w").await;
    worker
        .send(index_worker_message::Body::DeclareEnd(v1::DeclareEnd { store: "../etc".into(), ..Default::default() }))
        .await;
    assert_eq!(code(&worker.next().await.unwrap_err()), Some(ErrorCode::BadRequest));
}

#[tokio::test]
async fn a_scheduler_sees_stores_replicas_and_what_changes() {
    let index = Index::start(Arc::new(Memory::new()), |_| {}).await;
    let mut worker = Worker::with_store(&index, "w1", "st", vec![replica(1)]).await;
    let mut scheduler = Scheduler::connect(&index).await;
    let (stores, replicas) = scheduler.snapshot().await;
    assert_eq!(replicas, [replica(1)]);
    assert!(stores[0].healthy && stores[0].available_bytes == 1000, "{stores:?}");
    assert_eq!(stores[0].holders, [v1::StoreHolder { worker_id: "w1".into(), data_url: "http://w1".into() }]);

    assert_eq!(scheduler.reserve(attempt(1, 1), 900).await, None);
    assert_eq!(scheduler.reserve(attempt(2, 1), 200).await.as_deref(), Some("SP-NO-SPACE"));
    assert_eq!(worker.declare(2, vec![replica(2)], Some(attempt(1, 1))).await, None);
    let gone = scheduler.wait(|f| if let Fact::ReplicaGone(r) = f { Some(r.clone()) } else { None }).await;
    assert_eq!(gone, replica(1));
    assert_eq!(scheduler.fact().await, Fact::Replica(replica(2)));

    let listed = index.client().list_stores(v1::ListStoresRequest {}).await.unwrap().into_inner();
    let counts: Vec<_> = listed.counts.iter().map(|c| (c.store.as_str(), c.kind, c.count)).collect();
    assert_eq!(counts, [("st", v1::FileKind::Sealed as i32, 1)]);

    let fence = v1::Fence { task: 1, up_to_number: 1 };
    scheduler.send(index_scheduler_message::Body::Fence(fence)).await;
    assert_eq!(worker.command().await, index_worker_command::Body::Fence(fence));
    assert_eq!(worker.declare(3, vec![replica(3)], Some(attempt(1, 1))).await.as_deref(), Some("SP-ATTEMPT-ENDED"));
    assert_eq!(scheduler.reserve(attempt(2, 1), 200).await, None, "the fence has freed the space");

    let delete = v1::DeleteReplica { request: 40, replica: Some(replica(2)), reason: "moved".into() };
    scheduler.send(index_scheduler_message::Body::Delete(delete)).await;
    let index_worker_command::Body::Delete(asked) = worker.command().await else { panic!("no delete") };
    assert_eq!(asked.replica, Some(replica(2)));
    worker.send(index_worker_message::Body::DeleteDone(v1::DeleteDone { request: asked.request, failed: None })).await;
    let done = scheduler.wait(|f| if let Fact::DeleteDone(d) = f { Some(d.clone()) } else { None }).await;
    assert_eq!(done, v1::DeleteDone { request: 40, failed: None });
    let found = index.client().find_sector(v1::FindSectorRequest { miner: 1000, sector: 7 }).await.unwrap();
    assert_eq!(found.into_inner().replicas, []);

    drop(worker);
    let lost = scheduler.wait(|f| match f {
        Fact::Store(store) if !store.healthy => Some(store.unhealthy_reason.clone()),
        _ => None,
    });
    assert!(lost.await.contains("no connected worker"));
    let listed = index.client().list_stores(v1::ListStoresRequest {}).await.unwrap().into_inner();
    assert!(!listed.stores[0].healthy && listed.stores[0].holders.is_empty());
    assert_eq!(listed.counts, [], "the only replica was deleted");
}

#[tokio::test]
async fn a_silent_store_grows_unhealthy() {
    let short = Duration::from_millis(500);
    let index = Index::start(Arc::new(Memory::new()), |options| options.stale_after = short).await;
    let _worker = Worker::with_store(&index, "w1", "st", vec![]).await;
    let mut scheduler = Scheduler::connect(&index).await;
    let reason = scheduler.wait(|f| match f {
        Fact::Store(store) if !store.healthy => Some(store.unhealthy_reason.clone()),
        _ => None,
    });
    assert!(reason.await.contains("no report"));
}

#[tokio::test]
async fn a_newer_session_replaces_the_old() {
    let index = Index::start(Arc::new(Memory::new()), |_| {}).await;
    let mut old = Scheduler::connect(&index).await;
    old.snapshot().await;
    let mut new = Scheduler::connect(&index).await;
    new.snapshot().await;
    assert_eq!(code(&old.next().await.unwrap_err()), Some(ErrorCode::Cancelled));
    let mut first = Worker::connect(&index, "w").await;
    let _second = Worker::connect(&index, "w").await;
    assert_eq!(code(&first.next().await.unwrap_err()), Some(ErrorCode::Cancelled));
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let open = |path: &Path| Arc::new(Redb::open(path.join("index.redb"), SCHEMA_VERSION).unwrap());
    let index = Index::start(open(dir.path()), |_| {}).await;
    let mut worker = Worker::with_store(&index, "w1", "st", vec![replica(1)]).await;
    let mut scheduler = Scheduler::connect(&index).await;
    scheduler.snapshot().await;
    assert_eq!(scheduler.reserve(attempt(5, 1), 300).await, None);
    let fence = v1::Fence { task: 6, up_to_number: 3 };
    scheduler.send(index_scheduler_message::Body::Fence(fence)).await;
    assert_eq!(worker.command().await, index_worker_command::Body::Fence(fence));
    index.kill().await;
    assert!(worker.next().await.is_err() && scheduler.next().await.is_err());

    let index = Index::start(open(dir.path()), |_| {}).await;
    let mut scheduler = Scheduler::connect(&index).await;
    let (stores, replicas) = scheduler.snapshot().await;
    assert_eq!(replicas, [replica(1)]);
    assert_eq!((stores[0].reserved_bytes, stores[0].healthy), (300, false));
    let mut worker = Worker::connect(&index, "w1").await;
    assert_eq!(worker.command().await, index_worker_command::Body::Fence(fence));
    worker.attach("st").await;
    assert_eq!(worker.declare(1, vec![replica(2)], Some(attempt(6, 3))).await.as_deref(), Some("SP-ATTEMPT-ENDED"));
    assert_eq!(scheduler.reserve(attempt(5, 1), 300).await, None, "asked again, answered the same");
    worker
        .send(index_worker_message::Body::DeclareEnd(v1::DeclareEnd { store: "st".into(), ..Default::default() }))
        .await;
    let gone = scheduler.wait(|f| if let Fact::ReplicaGone(r) = f { Some(r.clone()) } else { None }).await;
    assert_eq!(gone, replica(1), "a worker that has lost it says so by not declaring it");
}

#[tokio::test]
async fn a_stop_tells_the_sessions_and_ends_soon() {
    let index = Index::start(Arc::new(Memory::new()), |_| {}).await;
    let mut worker = Worker::connect(&index, "w").await;
    let begin = std::time::Instant::now();
    index.stop.send(()).unwrap();
    assert_eq!(code(&worker.next().await.unwrap_err()), Some(ErrorCode::Unavailable));
    drop(worker);
    tokio::time::timeout(PATIENCE, index.task).await.unwrap().unwrap();
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
}

/// A scheduler that reads nothing is cut off; the index and its other peers go on.
#[tokio::test]
async fn a_peer_that_does_not_keep_up_is_disconnected() {
    let index = Index::start(Arc::new(Memory::new()), |_| {}).await;
    let mut worker = Worker::with_store(&index, "w1", "st", vec![]).await;
    let mut scheduler = Scheduler::connect(&index).await;
    for round in 0..60u64 {
        let replicas = (0..500).map(|n| v1::Replica { sector: n, root: vec![round as u8 + 1; 32], ..replica(1) });
        assert_eq!(worker.declare(round + 2, replicas.collect(), None).await, None);
    }
    let mut facts = 0u64;
    let end = loop {
        match scheduler.next().await {
            Ok(_) => facts += 1,
            Err(end) => break end,
        }
    };
    assert!(facts < 59_500, "{facts} facts came before {end}");
    let mut scheduler = Scheduler::connect(&index).await;
    assert_eq!(scheduler.snapshot().await.1.len(), 500);
}

// === places ===

const KINDS: [v1::FileKind; 2] = [v1::FileKind::Sealed, v1::FileKind::Cache];

/// A store with 1 MiB free.
fn roomy(store: &str, group: &str) -> v1::AttachedStore {
    let health = v1::StoreHealth { store: store.into(), fs_available_bytes: 1 << 20, ..Default::default() };
    v1::AttachedStore {
        store: store.into(),
        can_seal: true,
        weight: 10,
        groups: vec![group.into()],
        allow_to: vec!["a".into()],
        health: Some(health),
        ..Default::default()
    }
}

#[tokio::test]
async fn files_are_found_with_stores_to_fetch_them_to_and_new_ones_are_placed() {
    let index = Index::start(Arc::new(Memory::new()), |_| {}).await;
    let mut worker = Worker::connect(&index, "w1").await;
    for (store, group) in [("st", ""), ("a", "a"), ("b", "b")] {
        worker.send(index_worker_message::Body::Attach(roomy(store, group))).await;
    }
    assert_eq!(worker.declare(1, vec![replica(1)], None).await, None);
    let mut query = sized!(IndexQueryClient::new(client::channel(&Env::real(), &index.address.to_string()).unwrap()));
    let find =
        v1::FindStoresRequest { miner: 1000, sector: 7, kinds: vec![], allow_fetch: true, sector_size: 2048, limit: 0 };
    let found = query.find_stores(find.clone()).await.unwrap().into_inner().stores;
    let named: Vec<_> = found.iter().map(|f| (f.store.as_str(), f.weight, f.held.clone(), f.healthy)).collect();
    assert_eq!(named, [("st", 10, vec![v1::FileKind::Sealed as i32], true), ("a", 0, vec![], true)]);
    assert_eq!(found[0].holders, [v1::StoreHolder { worker_id: "w1".into(), data_url: "http://w1".into() }]);

    let kinds = KINDS.map(|kind| kind as i32).to_vec();
    let path_use = v1::PathUse::Sealing as i32;
    let wanted = v1::BestAllocRequest { miner: 1000, kinds, sector_size: 2048, path_use, limit: 2 };
    let allocated = query.best_alloc(wanted.clone()).await.unwrap().into_inner();
    assert_eq!(allocated.stores.iter().map(|s| s.store.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    let stored = v1::BestAllocRequest { path_use: v1::PathUse::Storage as i32, ..wanted.clone() };
    let allocated = query.best_alloc(stored).await.unwrap().into_inner();
    assert_eq!((allocated.stores.len(), allocated.refused.len()), (0, 3));
    assert_eq!(allocated.refused[0].reason, "CanStore is off");

    let page = |after_sector| v1::ListReplicasRequest { store: "st".into(), after_miner: 1000, after_sector };
    let listed = query.list_replicas(page(None)).await.unwrap().into_inner();
    assert_eq!(listed, v1::ListReplicasReply { replicas: vec![replica(1)], more: false });
    let behind = query.list_replicas(page(Some(7))).await.unwrap().into_inner();
    assert_eq!(behind, v1::ListReplicasReply::default());

    for senseless in [
        v1::BestAllocRequest { path_use: 77, ..wanted.clone() },
        v1::BestAllocRequest { kinds: vec![99], ..wanted.clone() },
        v1::BestAllocRequest { kinds: vec![], ..wanted.clone() },
        v1::BestAllocRequest { sector_size: 2047, ..wanted },
    ] {
        assert_eq!(code(&query.best_alloc(senseless).await.unwrap_err()), Some(ErrorCode::BadRequest));
    }
    let no_size = v1::FindStoresRequest { sector_size: 0, ..find };
    assert_eq!(code(&query.find_stores(no_size).await.unwrap_err()), Some(ErrorCode::BadRequest));
}

/// Everything on a store: many sectors, in declarations of a part each.
fn content(store: &str, first: u64) -> Vec<v1::Replica> {
    let sectors = first..first + 500;
    let of_kind = |kind: v1::FileKind| {
        sectors.clone().map(move |sector| (sector, kind as i32)).map(|(sector, kind)| v1::Replica {
            sector,
            kind,
            store: store.into(),
            root: vec![(sector % 251) as u8 + 1; 32],
            primary: sector % 2 == 0,
            ..replica(1)
        })
    };
    KINDS.into_iter().flat_map(of_kind).collect()
}

/// Two workers with two stores each; sectors lie on one or on two of them.
async fn declare_everything(index: &Index) -> Vec<Worker> {
    let mut workers = Vec::new();
    for (name, stores) in [("w1", [("s1", 0), ("s2", 400)]), ("w2", [("s3", 800), ("s4", 0)])] {
        let mut worker = Worker::connect(index, name).await;
        for (request, (store, first)) in stores.into_iter().enumerate() {
            worker.attach(store).await;
            for (part, replicas) in content(store, first).chunks(300).enumerate() {
                assert_eq!(worker.declare((request * 10 + part) as u64 + 1, replicas.to_vec(), None).await, None);
            }
            let end = v1::DeclareEnd { store: store.into(), ..Default::default() };
            worker.send(index_worker_message::Body::DeclareEnd(end)).await;
        }
        workers.push(worker);
    }
    workers
}

#[tokio::test]
async fn an_index_without_its_state_comes_back_complete_from_what_workers_declare() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("index.redb");
    let open = || Arc::new(Redb::open(&path, SCHEMA_VERSION).unwrap());
    let index = Index::start(open(), |_| {}).await;
    let workers = declare_everything(&index).await;
    let before = Scheduler::connect(&index).await.snapshot().await;
    assert_eq!(before.1.len(), 4 * 500 * 2);
    let counts = index.client().list_stores(v1::ListStoresRequest {}).await.unwrap().into_inner().counts;
    drop(workers);
    index.kill().await;
    std::fs::remove_file(&path).unwrap();

    let index = Index::start(open(), |_| {}).await;
    let empty = Scheduler::connect(&index).await.snapshot().await;
    assert_eq!(empty, (vec![], vec![]));
    let workers = declare_everything(&index).await;
    assert_eq!(Scheduler::connect(&index).await.snapshot().await, before);
    let listed = index.client().list_stores(v1::ListStoresRequest {}).await.unwrap().into_inner();
    assert_eq!(listed.counts, counts);
    drop(workers);
    index.kill().await;

    // What was declared anew is durable anew.
    let index = Index::start(open(), |_| {}).await;
    assert_eq!(Scheduler::connect(&index).await.snapshot().await.1, before.1);
}

// === locks ===

fn lock(attempt: v1::AttemptId, presented: bool) -> index_scheduler_message::Body {
    index_scheduler_message::Body::Reserve(v1::Reserve {
        attempt: Some(attempt),
        items: Vec::new(),
        read: vec![v1::FileKind::Cache as i32],
        write: vec![v1::FileKind::Sealed as i32],
        sector: 7,
        miner: 1000,
        presented,
    })
}

#[tokio::test]
async fn locks_are_listed_with_their_owners_kept_over_a_kill_and_presented_after_a_loss() {
    let state = Memory::new();
    let index = Index::start(Arc::new(state.clone()), |_| {}).await;
    let mut scheduler = Scheduler::connect(&index).await;
    scheduler.snapshot().await;
    let reply = |fact: &Fact| match fact {
        Fact::ReserveReply(v1::ReserveReply { attempt: Some(id), failed }) => {
            Some((id.task, failed.as_ref().map(|f| f.code.clone())))
        }
        _ => None,
    };
    let ask = async |scheduler: &mut Scheduler, task, presented| {
        scheduler.send(lock(attempt(task, 1), presented)).await;
        scheduler.wait(reply).await
    };
    // The first start takes its empty state for a lost one.
    assert_eq!(ask(&mut scheduler, 2, false).await, (2, Some("SP-UNAVAILABLE".to_owned())));
    assert_eq!(ask(&mut scheduler, 1, true).await, (1, None));
    scheduler.send(index_scheduler_message::Body::Presented(v1::Presented {})).await;
    assert_eq!(ask(&mut scheduler, 2, false).await, (2, Some("SP-LOCKED".to_owned())));
    let list = async |index: &Index| {
        let channel = client::channel(&Env::real(), &index.address.to_string()).unwrap();
        let listed = sized!(IndexQueryClient::new(channel)).list_locks(v1::ListLocksRequest {}).await.unwrap();
        listed.into_inner().locks
    };
    let locks = list(&index).await;
    let owners: Vec<_> = locks.iter().map(|l| (l.attempt.map(|id| id.task), l.sector)).collect();
    assert_eq!(owners, [(Some(1), 7)]);
    assert_eq!(
        (&locks[0].read[..], &locks[0].write[..]),
        (&[v1::FileKind::Cache as i32][..], &[v1::FileKind::Sealed as i32][..])
    );
    assert!(locks[0].since_unix_ms > 1_600_000_000_000, "{locks:?}");
    index.kill().await;

    let index = Index::start(Arc::new(state), |_| {}).await;
    assert_eq!(list(&index).await, locks);
    let mut scheduler = Scheduler::connect(&index).await;
    scheduler.snapshot().await;
    assert_eq!(ask(&mut scheduler, 2, false).await, (2, Some("SP-LOCKED".to_owned())), "nothing to present");
    scheduler.send(index_scheduler_message::Body::Fence(v1::Fence { task: 1, up_to_number: 1 })).await;
    assert_eq!(ask(&mut scheduler, 2, false).await, (2, None));
    assert_eq!(ask(&mut scheduler, 1, true).await, (1, Some("SP-ATTEMPT-ENDED".to_owned())));
}
