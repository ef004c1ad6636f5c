//! The rules, event by event.

use super::*;
use sp_state::{Memory, State};
use sp_types::{AttemptId, FileKind, Filters, ReplicaId, Soundness, TaskId, WorkerId};

pub(super) const W1: ConnId = ConnId(1);
pub(super) const W2: ConnId = ConnId(2);
pub(super) const SCHEDULER: ConnId = ConnId(100);
pub(super) const SECTOR: SectorId = SectorId { miner: 1000, number: 7 };
pub(super) const GIB: u64 = 1 << 30;

pub(super) struct Index {
    pub(super) core: Core,
    now: u64,
    state: Memory,
}

pub(super) fn store_id(name: &str) -> StoreId {
    StoreId::new(name).unwrap()
}

pub(super) fn settings(name: &str) -> Settings {
    Settings {
        id: store_id(name),
        weight: 10,
        can_seal: true,
        can_store: false,
        max_storage_bytes: 0,
        groups: vec!["g".into()],
        allow_to: vec![],
        filters: Filters::default(),
        local_path: "/p".into(),
    }
}

pub(super) fn health(available: u64, used: u64) -> Health {
    Health { capacity_bytes: 100 * GIB, fs_available_bytes: available, used_bytes: used, ..Health::default() }
}

pub(super) fn replica(store: &str, kind: FileKind, root: u8) -> ReplicaInfo {
    let id = ReplicaId { sector: SECTOR, kind, store: store_id(store), root: [root; 32] };
    ReplicaInfo { id, size_bytes: 2048, primary: true, origin: None, soundness: Soundness::Unknown }
}

pub(super) fn hello(worker: &str) -> WorkerHello {
    WorkerHello { worker: WorkerId::new(worker).unwrap(), data_url: format!("http://{worker}") }
}

fn end(store: &str) -> DeclareEnd {
    DeclareEnd { store: store_id(store), keep_missing: false, request: 0, unread: vec![] }
}

pub(super) fn attempt(text: &str) -> AttemptId {
    text.parse().unwrap()
}

pub(super) fn item(store: &str, size_bytes: u64) -> ReserveItem {
    ReserveItem { store: store_id(store), sector: SECTOR, kind: FileKind::Sealed, size_bytes }
}

impl Index {
    pub(super) fn new() -> Self {
        Self { core: Core::new(Timing::default()), now: 1000, state: Memory::new() }
    }

    /// One worker with one empty store, and a scheduler that has its snapshot.
    pub(super) fn with_store() -> Self {
        let mut index = Self::new();
        index.core.worker_open(index.time(), W1, hello("w1"));
        index.from(W1, FromWorker::Attach(settings("a"), health(10 * GIB, GIB)));
        index.from(W1, FromWorker::DeclareEnd(end("a")));
        index.core.scheduler_open(index.time(), SCHEDULER);
        index.effects();
        index
    }

    pub(super) fn time(&self) -> Monotonic {
        Monotonic(self.now)
    }

    pub(super) fn from(&mut self, conn: ConnId, message: FromWorker) -> Vec<Effect> {
        self.core.worker(self.time(), conn, message);
        self.effects()
    }

    pub(super) fn scheduler(&mut self, message: FromScheduler) -> Vec<Effect> {
        self.core.scheduler(self.time(), SCHEDULER, message);
        self.effects()
    }

    pub(super) fn pass(&mut self, ms: u64) -> Vec<Effect> {
        self.now += ms;
        self.core.tick(self.time());
        self.effects()
    }

    /// Takes the effects; keeps the rows as a state would.
    pub(super) fn effects(&mut self) -> Vec<Effect> {
        let (rows, effects) = self.core.take();
        self.state.commit(crate::rows::batch(&rows)).unwrap();
        effects
    }

    pub(super) fn durable(&self) -> Vec<Stored> {
        let mut rows = Vec::new();
        crate::rows::open(&self.state, "test", |row| rows.push(row)).unwrap();
        rows
    }

    /// The service dies and comes back with what was durable.
    pub(super) fn restart(&mut self) {
        self.core = Core::new(Timing::default());
        self.durable().into_iter().for_each(|row| self.core.restore(row));
    }

    fn fact(&self, store: &str) -> StoreFact {
        self.core.list_stores().into_iter().find(|f| f.settings.id == store_id(store)).unwrap()
    }
}

/// Attempts with durable reservations.
fn reserved(index: &Index) -> Vec<AttemptId> {
    let of = |row| if let Stored::Reservation(attempt, _) = row { Some(attempt) } else { None };
    index.durable().into_iter().filter_map(of).collect()
}

pub(super) fn facts(effects: &[Effect]) -> Vec<&Fact> {
    let of =
        |effect| if let &Effect::Scheduler(SCHEDULER, ref facts) = effect { facts.iter().collect() } else { vec![] };
    effects.iter().flat_map(of).collect()
}

/// Space without a lock.
pub(super) fn reserve(id: &str, items: Vec<ReserveItem>) -> FromScheduler {
    FromScheduler::Reserve(Wish { attempt: attempt(id), items, lock: None, is_presented: false })
}

pub(super) fn reserve_reply(effects: &[Effect]) -> Option<ErrorCode> {
    match facts(effects).last() {
        Some(Fact::ReserveReply { refused, .. }) => refused.as_ref().map(|r| r.code),
        other => panic!("no reply: {other:?}"),
    }
}

#[test]
fn declared_replicas_are_durable_told_and_found() {
    let mut index = Index::with_store();
    let sealed = replica("a", FileKind::Sealed, 1);
    let declare = |replica: &ReplicaInfo| FromWorker::Declare {
        request: 5,
        replicas: vec![replica.clone()],
        attempt: Some(attempt("3.1")),
    };
    let effects = index.from(W1, declare(&sealed));
    assert_eq!(facts(&effects), [&Fact::Replica(sealed.clone())]);
    assert_eq!(effects.last(), Some(&Effect::Worker(W1, ToWorker::DeclareAck { request: 5, refused: None })));
    // Again: acknowledged, and nothing new.
    let effects = index.from(W1, declare(&sealed));
    assert_eq!(effects, [Effect::Worker(W1, ToWorker::DeclareAck { request: 5, refused: None })]);
    // Another root takes its place.
    let trimmed = replica("a", FileKind::Sealed, 2);
    let effects = index.from(W1, declare(&trimmed));
    assert_eq!(facts(&effects), [&Fact::ReplicaGone(sealed.clone()), &Fact::Replica(trimmed.clone())]);
    index.restart();
    assert_eq!(index.core.find_sector(SECTOR), std::slice::from_ref(&trimmed));
    index.core.worker_open(index.time(), W1, hello("w1"));
    index.from(W1, FromWorker::Attach(settings("a"), health(GIB, 0)));
    // One that names the old root changes nothing.
    index.from(W1, FromWorker::Undeclare(vec![sealed]));
    assert_eq!(index.core.find_sector(SECTOR), std::slice::from_ref(&trimmed));
    index.from(W1, FromWorker::Undeclare(vec![trimmed]));
    assert_eq!(index.core.find_sector(SECTOR), []);
}

#[test]
fn what_a_worker_does_not_declare_is_gone() {
    let mut index = Index::with_store();
    let (sealed, cache) = (replica("a", FileKind::Sealed, 1), replica("a", FileKind::Cache, 2));
    let both = vec![sealed.clone(), cache.clone()];
    index.from(W1, FromWorker::Declare { request: 1, replicas: both, attempt: None });
    index.core.closed(index.time(), W1);
    assert!(index.fact("a").unhealthy.is_some_and(|r| r.contains("no connected worker")));
    index.core.worker_open(index.time(), W2, hello("w1"));
    index.from(W2, FromWorker::Attach(settings("a"), health(GIB, 0)));
    index.from(W2, FromWorker::Declare { request: 1, replicas: vec![cache.clone()], attempt: None });
    let effects = index.from(W2, FromWorker::DeclareEnd(end("a")));
    assert_eq!(facts(&effects), [&Fact::ReplicaGone(sealed)]);
    assert_eq!(index.core.find_sector(SECTOR), [cache]);
}

#[test]
fn a_store_attached_twice_at_once_loses_nothing() {
    let mut index = Index::with_store();
    let sealed = replica("a", FileKind::Sealed, 1);
    let declare = || FromWorker::Declare { request: 1, replicas: vec![sealed.clone()], attempt: None };
    let attach = || FromWorker::Attach(settings("a"), health(10 * GIB, GIB));
    for message in [attach(), declare(), attach()] {
        index.from(W1, message);
    }
    for named in [vec![], vec![declare()]] {
        named.into_iter().for_each(|message| drop(index.from(W1, message)));
        assert_eq!(index.from(W1, FromWorker::DeclareEnd(end("a"))), []);
    }
    assert_eq!(index.core.find_sector(SECTOR), [sealed]);
}

#[test]
fn reservations_are_all_or_nothing_and_idempotent() {
    let mut index = Index::with_store();
    let effects = index.scheduler(reserve("1.1", vec![item("a", 6 * GIB), item("a", 2 * GIB)]));
    assert_eq!(reserve_reply(&effects), None);
    let told = facts(&effects);
    assert!(matches!(told[0], Fact::Store(fact) if fact.reserved_bytes == 8 * GIB && fact.available_bytes == 2 * GIB));
    // The same again is granted and counts once; something else is not.
    assert_eq!(reserve_reply(&index.scheduler(reserve("1.1", vec![item("a", 6 * GIB), item("a", 2 * GIB)]))), None);
    assert_eq!(index.fact("a").reserved_bytes, 8 * GIB);
    assert_eq!(reserve_reply(&index.scheduler(reserve("1.1", vec![item("a", 1)]))), Some(ErrorCode::BadRequest));
    // Too much: refused whole, after a fresh fact.
    let effects = index.scheduler(reserve("2.1", vec![item("a", GIB), item("a", 2 * GIB)]));
    assert_eq!(reserve_reply(&effects), Some(ErrorCode::NoSpace));
    assert!(matches!(facts(&effects)[0], Fact::Store(_)));
    assert_eq!(index.fact("a").reserved_bytes, 8 * GIB);
    // Sums do not wrap around.
    let huge = vec![item("a", u64::MAX), item("a", u64::MAX)];
    assert_eq!(reserve_reply(&index.scheduler(reserve("2.1", huge))), Some(ErrorCode::NoSpace));
    index.restart();
    assert_eq!(index.fact("a").reserved_bytes, 8 * GIB);
    index.core.scheduler_open(index.time(), SCHEDULER);
    index.effects();
    index.scheduler(FromScheduler::Release(attempt("1.1")));
    assert_eq!(index.fact("a").reserved_bytes, 0);
    assert_eq!(reserved(&index), []);
}

#[test]
fn a_fence_ends_reservations_and_refuses_new_ones() {
    let mut index = Index::with_store();
    let reserve = |id: &str| super::tests::reserve(id, vec![item("a", GIB)]);
    for id in ["1.1", "1.2", "2.1"] {
        assert_eq!(reserve_reply(&index.scheduler(reserve(id))), None);
    }
    let effects = index.scheduler(FromScheduler::Fence { task: TaskId(1), up_to: 1 });
    assert!(matches!(facts(&effects)[0], Fact::Store(fact) if fact.reserved_bytes == 2 * GIB));
    assert_eq!(reserve_reply(&index.scheduler(reserve("1.1"))), Some(ErrorCode::AttemptEnded));
    assert_eq!(reserve_reply(&index.scheduler(reserve("1.2"))), None);
    assert_eq!(reserved(&index), [attempt("1.2"), attempt("2.1")]);
}

#[test]
fn reservations_are_refused_with_the_reason() {
    let mut index = Index::with_store();
    let reserve = |index: &mut Index, store: &str| {
        let items = vec![item(store, 1)];
        reserve_reply(&index.scheduler(reserve("1.1", items)))
    };
    assert_eq!(reserve(&mut index, "unknown"), Some(ErrorCode::NotFound));
    let filters = Filters { deny_types: vec!["sealed".into()], ..Filters::default() };
    let attach = |s: Settings| FromWorker::Attach(s, health(10 * GIB, GIB));
    index.from(W1, attach(Settings { filters, ..settings("filtered") }));
    assert_eq!(reserve(&mut index, "filtered"), Some(ErrorCode::BadRequest));
    index.from(W1, attach(Settings { can_seal: false, ..settings("read-only") }));
    assert_eq!(reserve(&mut index, "read-only"), Some(ErrorCode::BadRequest));
    index.from(W1, attach(Settings { max_storage_bytes: GIB, ..settings("full") }));
    assert_eq!(reserve(&mut index, "full"), Some(ErrorCode::NoSpace));
    let error = Health { error: "I/O error".into(), ..health(GIB, 0) };
    index.from(W1, FromWorker::Health(store_id("a"), error));
    assert_eq!(reserve(&mut index, "a"), Some(ErrorCode::Unavailable));
    index.from(W1, FromWorker::Health(store_id("a"), health(GIB, 0)));
    assert_eq!(reserve(&mut index, "a"), None);
}

#[test]
fn a_store_without_reports_grows_stale_and_recovers() {
    let mut index = Index::with_store();
    assert_eq!(index.pass(30_000), []);
    let effects = index.pass(1);
    assert!(matches!(facts(&effects)[..], [Fact::Store(fact)] if fact.unhealthy.is_some()));
    assert_eq!(index.pass(1000), [], "told once");
    let effects = index.from(W1, FromWorker::Health(store_id("a"), health(10 * GIB, GIB)));
    assert!(matches!(facts(&effects)[..], [Fact::Store(fact)] if fact.unhealthy.is_none()));
    index.core.closed(index.time(), W1);
    let effects = index.effects();
    assert!(matches!(facts(&effects)[..], [Fact::Store(fact)] if fact.holders.is_empty() && fact.unhealthy.is_some()));
}

#[test]
fn space_is_the_smaller_of_file_system_and_limit() {
    let mut index = Index::with_store();
    let limited = Settings { max_storage_bytes: 4 * GIB, ..settings("a") };
    index.from(W1, FromWorker::Attach(limited, health(10 * GIB, GIB)));
    assert_eq!(index.fact("a").available_bytes, 3 * GIB);
    index.scheduler(reserve("1.1", vec![item("a", GIB)]));
    assert_eq!(index.fact("a").available_bytes, 2 * GIB);
    index.from(W1, FromWorker::Health(store_id("a"), health(GIB, GIB)));
    assert_eq!(index.fact("a").available_bytes, 0);
}

#[test]
fn what_an_attempt_has_written_is_not_kept_free_for_it_again() {
    let mut index = Index::with_store();
    let report = |free: u64, work: &[(&str, u64)]| {
        let work = work.iter().map(|(attempt, bytes)| (attempt.parse().unwrap(), *bytes)).collect();
        FromWorker::Health(store_id("a"), Health { work, ..health(free, 0) })
    };
    let room = |index: &Index| (index.fact("a").reserved_bytes / GIB, index.fact("a").available_bytes / GIB);
    index.scheduler(reserve("1.1", vec![item("a", 4 * GIB), item("a", 2 * GIB)]));
    index.scheduler(reserve("2.1", vec![item("a", GIB)]));
    assert_eq!(room(&index), (7, 3));
    index.from(W1, report(5 * GIB, &[("1.1", 5 * GIB), ("9.9", 3 * GIB)]));
    assert_eq!(room(&index), (2, 3), "of 6 it has 5; others have reserved nothing");
    index.from(W1, report(3 * GIB, &[("1.1", 7 * GIB)]));
    assert_eq!(room(&index), (1, 2), "more than was reserved is nobody else's");
    index.scheduler(FromScheduler::Release(attempt("1.1")));
    assert_eq!(room(&index), (1, 2));
    index.from(W1, report(10 * GIB, &[]));
    assert_eq!(room(&index), (1, 9));
    // A limit knows only what is published: there a reservation counts whole.
    let limited = Settings { max_storage_bytes: 4 * GIB, ..settings("a") };
    let work = [(attempt("2.1"), GIB)].into_iter().collect();
    index.from(W1, FromWorker::Attach(limited, Health { work, ..health(10 * GIB, GIB) }));
    assert_eq!(room(&index), (0, 2));
}

#[test]
fn a_delete_is_repeated_until_it_is_done() {
    let mut index = Index::with_store();
    let sealed = replica("a", FileKind::Sealed, 1);
    index.from(W1, FromWorker::Declare { request: 1, replicas: vec![sealed.clone()], attempt: None });
    let asked = |effects: &[Effect]| match effects {
        [Effect::Worker(conn, ToWorker::Delete { request, replica, .. })] => (*conn, *request, replica.clone()),
        other => panic!("{other:?}"),
    };
    let delete = |request| FromScheduler::Delete { request, replica: sealed.clone(), reason: "moved".into() };
    let (conn, number, named) = asked(&index.scheduler(delete(77)));
    assert_eq!((conn, &named), (W1, &sealed));
    let failed = Some(Refusal::new(ErrorCode::Internal, "busy"));
    assert_eq!(index.from(W1, FromWorker::DeleteDone { request: number, failed }), []);
    assert_eq!(asked(&index.pass(10_000)).1, number);
    // The worker goes and comes back: asked again. A new question of the scheduler joins the old one.
    index.core.closed(index.time(), W1);
    index.effects();
    assert_eq!(index.scheduler(delete(78)), []);
    index.core.worker_open(index.time(), W2, hello("w1"));
    index.effects();
    let effects = index.from(W2, FromWorker::Attach(settings("a"), health(GIB, 0)));
    assert_eq!(asked(&effects[..1]).0, W2);
    let effects = index.from(W2, FromWorker::DeleteDone { request: number, failed: None });
    let done = Fact::DeleteDone { request: 78, failed: None };
    assert_eq!(facts(&effects), [&Fact::ReplicaGone(sealed), &done]);
    assert_eq!(index.core.find_sector(SECTOR), []);
}

#[test]
fn a_delete_does_not_touch_another_root_and_gives_up_in_the_end() {
    let mut index = Index::with_store();
    let (old, new) = (replica("a", FileKind::Cache, 1), replica("a", FileKind::Cache, 2));
    index.from(W1, FromWorker::Declare { request: 1, replicas: vec![new.clone()], attempt: None });
    index.scheduler(FromScheduler::Delete { request: 1, replica: old.clone(), reason: String::new() });
    index.from(W1, FromWorker::DeleteDone { request: 1, failed: None });
    assert_eq!(index.core.find_sector(SECTOR), [new]);

    index.scheduler(FromScheduler::Delete { request: 2, replica: old.clone(), reason: String::new() });
    let mut last = vec![];
    for _ in 0..20 {
        index.from(W1, FromWorker::Health(store_id("a"), health(10 * GIB, GIB)));
        last = index.pass(10_000);
        if !facts(&last).is_empty() {
            break;
        }
    }
    assert!(matches!(facts(&last)[..], [Fact::DeleteDone { request: 2, failed: Some(_) }]), "{last:?}");
    index.scheduler(FromScheduler::Delete {
        request: 3,
        replica: replica("b", FileKind::Cache, 1),
        reason: String::new(),
    });
    let effects = index.pass(600_000);
    let failed = facts(&effects).into_iter().find(|f| matches!(f, Fact::DeleteDone { request: 3, failed: Some(_) }));
    assert!(failed.is_some(), "{effects:?}");
}

#[test]
fn newer_sessions_replace_older_ones_and_get_everything() {
    let mut index = Index::with_store();
    let sealed = replica("a", FileKind::Sealed, 1);
    index.from(W1, FromWorker::Declare { request: 1, replicas: vec![sealed.clone()], attempt: None });
    let newer = ConnId(101);
    index.core.scheduler_open(index.time(), newer);
    let effects = index.effects();
    assert!(matches!(effects[0], Effect::Close(SCHEDULER, _)));
    let Effect::Scheduler(conn, snapshot) = &effects[1] else { panic!("{effects:?}") };
    assert_eq!(*conn, newer);
    let begin = (&snapshot[0], &snapshot[2], &snapshot[3]);
    assert_eq!(begin, (&Fact::SnapshotBegin, &Fact::Replica(sealed), &Fact::SnapshotEnd));
    let fence = FromScheduler::Fence { task: TaskId(1), up_to: 1 };
    assert_eq!(index.scheduler(fence), [], "the old session has no say");

    index.core.worker_open(index.time(), W2, hello("w1"));
    let effects = index.effects();
    assert!(matches!(effects[0], Effect::Close(W1, _)));
    assert_eq!(index.from(W1, FromWorker::DeclareEnd(end("a"))), []);
}

#[test]
fn a_worker_that_breaks_the_protocol_is_closed() {
    let mut index = Index::with_store();
    let effects = index.from(W1, FromWorker::Health(store_id("b"), health(1, 1)));
    assert!(matches!(effects[0], Effect::Close(W1, _)));
    assert!(index.fact("a").holders.is_empty());
}

#[test]
fn a_worker_that_leaves_takes_its_stores_out_of_the_index_and_brings_them_back() {
    let mut index = Index::with_store();
    let sealed = replica("a", FileKind::Sealed, 1);
    index.from(W1, FromWorker::Declare { request: 1, replicas: vec![sealed.clone()], attempt: None });

    let effects = index.from(W1, FromWorker::Leave);
    assert!(matches!(&effects[0], Effect::Close(W1, _)), "{effects:?}");
    assert_eq!(facts(&effects), [&Fact::ReplicaGone(sealed.clone()), &Fact::StoreGone(store_id("a"))]);
    assert!(index.core.list_stores().is_empty() && index.core.find_sector(SECTOR).is_empty());
    assert_eq!(index.durable(), []);
    // Nothing that was under way on the closed connection counts any more.
    assert_eq!(index.from(W1, FromWorker::Health(store_id("a"), health(GIB, GIB))), []);

    index.core.worker_open(index.time(), W2, hello("w1"));
    index.from(W2, FromWorker::Attach(settings("a"), health(10 * GIB, GIB)));
    let effects = index.from(W2, FromWorker::Declare { request: 1, replicas: vec![sealed.clone()], attempt: None });
    assert!(facts(&effects).contains(&&Fact::Replica(sealed)), "{effects:?}");
    assert_eq!(index.fact("a").unhealthy, None);
}

#[test]
fn a_store_that_another_worker_has_attached_too_stays() {
    let mut index = Index::with_store();
    index.core.worker_open(index.time(), W2, hello("w2"));
    index.from(W2, FromWorker::Attach(settings("a"), health(10 * GIB, GIB)));
    index.from(W1, FromWorker::Leave);
    assert_eq!(index.fact("a").holders.iter().map(|(w, _)| w.to_string()).collect::<Vec<_>>(), ["w2"]);
    assert!(matches!(index.durable()[..], [Stored::Store(_)]));
}

/// The same directory seen by two hosts: one store, several ways to it.
#[test]
fn a_store_that_is_well_on_one_of_its_hosts_is_well_and_reached_by_that_one() {
    let mut index = Index::with_store();
    index.core.worker_open(index.time(), W2, hello("w2"));
    index.from(W2, FromWorker::Attach(settings("a"), health(10 * GIB, GIB)));
    let ways = |index: &Index| index.fact("a").holders.iter().map(|(w, _)| w.to_string()).collect::<Vec<_>>();
    assert_eq!(ways(&index), ["w1", "w2"]);
    let sick = || Health { error: "it does not answer".into(), ..Health::default() };
    index.from(W1, FromWorker::Health(store_id("a"), sick()));
    assert_eq!((ways(&index), index.fact("a").unhealthy), (vec!["w2".to_owned()], None));
    assert_eq!(index.fact("a").available_bytes, 10 * GIB, "what a sick way says of its size is nothing");
    // Deletes go by the way that is well.
    let sealed = replica("a", FileKind::Sealed, 1);
    index.from(W2, FromWorker::Declare { request: 1, replicas: vec![sealed.clone()], attempt: None });
    let effects = index.scheduler(FromScheduler::Delete { request: 1, replica: sealed, reason: String::new() });
    assert!(matches!(effects[..], [Effect::Worker(W2, ToWorker::Delete { .. })]), "{effects:?}");
    // One that says nothing any more is no way either.
    index.pass(20_000);
    index.from(W1, FromWorker::Health(store_id("a"), health(10 * GIB, GIB)));
    index.pass(20_000);
    assert_eq!(ways(&index), ["w1"]);
    index.from(W1, FromWorker::Health(store_id("a"), sick()));
    assert_eq!(index.fact("a").unhealthy.as_deref(), Some("it does not answer"));
    assert_eq!(ways(&index), ["w1", "w2"], "nobody finds it well: these have it");
    index.core.closed(index.time(), W1);
    index.core.closed(index.time(), W2);
    assert!(index.core.reports.is_empty(), "{:?}", index.core.reports);
}

#[test]
fn a_store_read_again_says_what_is_missing_and_drops_it_only_when_told() {
    let mut index = Index::with_store();
    let (sealed, cache) = (replica("a", FileKind::Sealed, 1), replica("a", FileKind::Cache, 2));
    let both = vec![sealed.clone(), cache.clone()];
    index.from(W1, FromWorker::Declare { request: 1, replicas: both.clone(), attempt: None });
    for (request, keep_missing) in [(5, true), (6, false), (7, false)] {
        index.from(W1, FromWorker::Attach(settings("a"), health(10 * GIB, GIB)));
        index.from(W1, FromWorker::Declare { request: 1, replicas: vec![cache.clone()], attempt: None });
        let effects = index.from(W1, FromWorker::DeclareEnd(DeclareEnd { keep_missing, request, ..end("a") }));
        let missing = u64::from(request < 7);
        assert!(effects.contains(&Effect::Worker(W1, ToWorker::StoreAck { request, missing })), "{effects:?}");
        let left = if keep_missing { both.clone() } else { vec![cache.clone()] };
        assert_eq!(index.core.find_sector(SECTOR), left);
    }
}

#[test]
fn what_cannot_be_read_is_not_taken_to_be_gone() {
    let mut index = Index::with_store();
    let (sealed, cache) = (replica("a", FileKind::Sealed, 1), replica("a", FileKind::Cache, 2));
    index.from(W1, FromWorker::Declare { request: 1, replicas: vec![sealed.clone(), cache], attempt: None });
    index.from(W1, FromWorker::Attach(settings("a"), health(10 * GIB, GIB)));
    let unread = vec![Place::of(&sealed)];
    let effects = index.from(W1, FromWorker::DeclareEnd(DeclareEnd { unread, request: 3, ..end("a") }));
    assert!(effects.contains(&Effect::Worker(W1, ToWorker::StoreAck { request: 3, missing: 1 })), "{effects:?}");
    assert_eq!(index.core.find_sector(SECTOR), [sealed]);
}

#[test]
fn a_detached_store_leaves_with_its_replicas_unless_somebody_else_has_it() {
    let mut index = Index::with_store();
    let sealed = replica("a", FileKind::Sealed, 1);
    index.from(W1, FromWorker::Declare { request: 1, replicas: vec![sealed.clone()], attempt: None });
    index.core.worker_open(index.time(), W2, hello("w2"));
    index.from(W2, FromWorker::Attach(settings("a"), health(10 * GIB, GIB)));
    let ack = |conn, request, missing| Effect::Worker(conn, ToWorker::StoreAck { request, missing });

    index.scheduler(FromScheduler::Delete { request: 1, replica: sealed.clone(), reason: String::new() });
    let effects = index.from(W1, FromWorker::Detach { store: store_id("a"), request: 3 });
    assert!(effects.contains(&ack(W1, 3, 0)), "{effects:?}");
    let asked = |e: &Effect| matches!(e, Effect::Worker(W2, ToWorker::Delete { .. }));
    assert!(effects.iter().any(asked), "the other one is asked to delete: {effects:?}");
    assert_eq!(index.core.find_sector(SECTOR), std::slice::from_ref(&sealed));
    assert_eq!(index.fact("a").holders.len(), 1);

    let effects = index.from(W2, FromWorker::Detach { store: store_id("a"), request: 4 });
    assert!(effects.contains(&ack(W2, 4, 1)), "{effects:?}");
    assert_eq!(facts(&effects), [&Fact::ReplicaGone(sealed), &Fact::StoreGone(store_id("a"))]);
    assert_eq!(index.durable(), []);
    let again = index.from(W2, FromWorker::Detach { store: store_id("a"), request: 5 });
    assert_eq!(again, [ack(W2, 5, 0)]);
}
