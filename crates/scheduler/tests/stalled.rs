//! Status and figures while the scheduling loop hangs in a commit: answered at once, with nothing that is not durable.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test over real sockets")]

mod cluster;

use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use cluster::{FakeIndex, FakeVerifier, FakeWorker, Running, register};
use sp_net::Env;
use sp_proto::v1;
use sp_proto::v1::task_done::Output;
use sp_state::{Batch, CommitError, Memory, Row, State, StateError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A state whose disk can hang.
#[derive(Clone, Default)]
struct Hanging {
    state: Memory,
    hangs: Arc<(Mutex<bool>, Condvar)>,
}

impl Hanging {
    fn hang(&self, hangs: bool) {
        *self.hangs.0.lock().unwrap() = hangs;
        self.hangs.1.notify_all();
    }
}

/// A test that fails while the disk hangs ends all the same.
struct Unhang(Hanging);

impl Drop for Unhang {
    fn drop(&mut self) {
        self.0.hang(false);
    }
}

impl State for Hanging {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        self.state.get(key)
    }

    fn scan(&self, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<Vec<Row>, StateError> {
        self.state.scan(prefix, after, limit)
    }

    fn commit(&self, batch: Batch) -> Result<(), CommitError> {
        drop(self.hangs.1.wait_while(self.hangs.0.lock().unwrap(), |hangs| *hangs).unwrap());
        self.state.commit(batch)
    }
}

async fn page(scheduler: &Running) -> String {
    let mut stream = tokio::net::TcpStream::connect(scheduler.metrics).await.unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("# EOF\n"), "{answer}");
    answer
}

/// The value of a figure, by its name and labels as they are printed.
fn figure(page: &str, name: &str) -> Option<f64> {
    page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}

/// A scheduler that has made one sector, and whose worker has done AP and has PC1.
async fn busy(env: &Env, state: &Hanging) -> (Running, FakeWorker, FakeIndex) {
    let (index, address) = FakeIndex::start(env).await;
    let state = Arc::new(state.clone());
    let mut scheduler = Running::start_on(env, state, Arc::new(FakeVerifier::default()), address).await;
    scheduler.index_connected(env).await;
    let mut worker = FakeWorker::connect(env, scheduler.address, register("run-1")).await;
    worker.registered().await;
    scheduler.operators.pledge_sectors(v1::PledgeSectorsRequest { count: 1, priority: None }).await.unwrap();
    let first = worker.assigned().await;
    let pieces = vec![v1::Piece { padded_bytes: 2048, commitment: vec![1; 32] }];
    worker.finish(&index, &first, Output::AddPiece(v1::AddPieceOutput { pieces, comm_d: vec![2; 32] })).await;
    assert_eq!(worker.assigned().await.task, v1::TaskKind::PreCommit1 as i32);
    (scheduler, worker, index)
}

#[tokio::test(flavor = "multi_thread")]
async fn status_answers_while_the_loop_hangs_and_shows_only_what_is_durable() {
    let (env, state) = (Env::real(), Hanging::default());
    let (mut scheduler, _worker, _index) = busy(&env, &state).await;
    // Until a board shows the worker.
    env.clock.sleep(Duration::from_millis(1_500)).await;
    let _unhang = Unhang(state.clone());
    state.hang(true);
    let mut other = scheduler.operators.clone();
    let pledge =
        tokio::spawn(async move { other.pledge_sectors(v1::PledgeSectorsRequest { count: 1, priority: None }).await });
    env.clock.sleep(Duration::from_millis(300)).await;

    let operators = &mut scheduler.operators;
    let began = env.clock.monotonic();
    let info = operators.info(v1::InfoRequest {}).await.unwrap().into_inner();
    assert!(info.stale_ms > 0 && info.sealing_workers == 1 && info.sectors[0].state == "PreCommit1", "{info:?}");
    let workers = operators.list_workers(v1::ListWorkersRequest {}).await.unwrap().into_inner();
    assert!(workers.stale_ms > 0 && workers.workers[0].worker_id == "worker-1");
    let jobs = operators.list_jobs(v1::ListJobsRequest {}).await.unwrap().into_inner();
    assert!(jobs.stale_ms > 0 && jobs.jobs.len() == 1 && jobs.jobs[0].task == v1::TaskKind::PreCommit1 as i32);
    let sectors = operators.list_sectors(v1::ListSectorsRequest {}).await.unwrap().into_inner();
    assert!(sectors.stale_ms > 0 && sectors.sectors.len() == 1, "the second one is not durable: {sectors:?}");
    let status = v1::SectorStatusRequest { number: 0, log: true };
    let status = operators.sector_status(status).await.unwrap().into_inner();
    assert!(status.stale_ms > 0 && !status.log.is_empty() && status.summary.unwrap().waiting.contains("not answer"));
    let missing = operators.sector_status(v1::SectorStatusRequest { number: 1, log: false }).await;
    assert_eq!(missing.unwrap_err().code(), tonic::Code::NotFound);
    let history = operators.list_history(v1::ListHistoryRequest::default()).await.unwrap().into_inner();
    assert_eq!(history.attempts.len(), 1);
    assert!(figure(&page(&scheduler).await, "sp_scheduler_board_age_seconds").unwrap() > 0.3);
    let took_ms = env.clock.monotonic().since_ms(began);
    assert!(took_ms < 12_000, "eight answers took {took_ms} ms");
    assert!(!pledge.is_finished(), "what is not durable is not acknowledged");

    state.hang(false);
    assert_eq!(pledge.await.unwrap().unwrap().into_inner().sectors, [1]);
    let sectors = scheduler.operators.list_sectors(v1::ListSectorsRequest {}).await.unwrap().into_inner();
    assert_eq!((sectors.stale_ms, sectors.sectors.len()), (0, 2));
    scheduler.stop(&env).await;
}

/// A scheduler as `busy` makes it, with more AP than its worker and the windows take, whose disk hangs.
async fn hanging(env: &Env, state: &Hanging) -> (Running, FakeWorker, FakeIndex, Unhang) {
    let (mut scheduler, worker, index) = busy(env, state).await;
    scheduler.operators.pledge_sectors(v1::PledgeSectorsRequest { count: 60, priority: None }).await.unwrap();
    // Until a board shows them.
    env.clock.sleep(Duration::from_millis(1_500)).await;
    state.hang(true);
    // Something that has to be made durable.
    let mut other = scheduler.operators.clone();
    drop(tokio::spawn(
        async move { other.pledge_sectors(v1::PledgeSectorsRequest { count: 1, priority: None }).await },
    ));
    env.clock.sleep(Duration::from_millis(300)).await;
    (scheduler, worker, index, Unhang(state.clone()))
}

#[tokio::test(flavor = "multi_thread")]
async fn reasons_tables_storage_and_deadlines_do_not_wait_for_the_loop_either() {
    let (env, state) = (Env::real(), Hanging::default());
    let (mut scheduler, _worker, index, _unhang) = hanging(&env, &state).await;
    let operators = &mut scheduler.operators;
    let began = env.clock.monotonic();

    let resources = v1::ListResourcesRequest { worker: "one".into() };
    let resources = operators.list_resources(resources).await.unwrap().into_inner();
    assert!(resources.stale_ms > 0 && !resources.rows.is_empty(), "{resources:?}");
    let nobody = operators.list_resources(v1::ListResourcesRequest { worker: "nobody".into() }).await;
    assert_eq!(nobody.unwrap_err().code(), tonic::Code::NotFound);

    let jobs = operators.list_jobs(v1::ListJobsRequest {}).await.unwrap().into_inner().jobs;
    let of = |state: &str| jobs.iter().find(|job| job.state == state).unwrap_or_else(|| panic!("{state}: {jobs:?}"));
    let (running, bound, queued) = (of("waiting"), of("assigned(2)"), of("queued"));
    let explain = |job: &v1::Job| v1::ExplainTaskRequest { task_id: job.task_id };
    let told = operators.explain_task(explain(running)).await.unwrap().into_inner();
    assert!(told.stale_ms > 0 && told.place == "granted" && told.worker == "one" && told.attempt > 0, "{told:?}");
    let told = operators.explain_task(explain(bound)).await.unwrap().into_inner();
    assert!((told.place.as_str(), told.window, told.worker.as_str()) == ("window", 2, "one"), "{told:?}");
    assert!(told.reason.contains("0 of 16 free"), "{told:?}");
    let told = operators.explain_task(explain(queued)).await.unwrap().into_inner();
    assert!(told.stale_ms > 0 && told.place == "queue" && told.task == v1::TaskKind::AddPiece as i32, "{told:?}");
    assert!(told.verdicts.len() == 1 && told.verdicts[0].name == "one", "{told:?}");
    assert!(!told.verdicts[0].reason.is_empty() && told.general.is_empty(), "{told:?}");
    let missing = operators.explain_task(v1::ExplainTaskRequest { task_id: 9_999 }).await;
    assert_eq!(missing.unwrap_err().code(), tonic::Code::NotFound);

    let listed = operators.list_storage(v1::ListStorageRequest {}).await.unwrap().into_inner();
    assert_eq!((listed.stores.len(), listed.counts.is_empty()), (1, false));
    let found = operators.find_storage(v1::FindStorageRequest { sector: 0 }).await.unwrap().into_inner();
    assert!(found.replicas[0].store.is_some(), "{found:?}");

    let deadlines = operators.list_deadlines(v1::ListDeadlinesRequest { all: true }).await.unwrap().into_inner();
    assert!(deadlines.stale_ms > 0 && deadlines.deadlines.len() == 48);
    let deadline = operators.get_deadline(v1::GetDeadlineRequest { index: 0 }).await.unwrap().into_inner();
    assert!(deadline.stale_ms > 0 && deadline.summary.is_some());
    assert!(operators.proving_info(v1::ProvingInfoRequest {}).await.unwrap().into_inner().stale_ms > 0);
    let unproven = operators.sector_proof(v1::SectorProofRequest { number: 0 }).await.unwrap_err();
    assert!(unproven.message().contains("no accepted proof yet"), "{unproven:?}");

    index.mute.store(true, Ordering::SeqCst);
    let stuck = operators.list_storage(v1::ListStorageRequest {}).await.unwrap_err();
    let says = |text| assert!(stuck.message().contains(text), "{stuck:?}");
    ["rows durable for", "the index was asked instead: Unavailable: the index is mute"].into_iter().for_each(says);
    let took_ms = env.clock.monotonic().since_ms(began);
    assert!(took_ms < 8_000, "sixteen answers took {took_ms} ms");
    state.hang(false);
    scheduler.stop(&env).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn figures_count_what_happened() {
    let (env, state) = (Env::real(), Hanging::default());
    let (scheduler, _worker, _index) = busy(&env, &state).await;
    env.clock.sleep(Duration::from_millis(1_500)).await;
    let page = page(&scheduler).await;
    let is = |name: &str, value: f64| assert_eq!(figure(&page, name), Some(value), "{name} in\n{page}");
    is("sp_scheduler_attempts_total{task=\"AP\",result=\"done\"}", 1.0);
    is("sp_scheduler_attempts_total{task=\"PC1\",result=\"failed\"}", 0.0);
    is("sp_scheduler_queue_wait_seconds_count{task=\"AP\"}", 1.0);
    is("sp_scheduler_queue_wait_seconds_count{task=\"PC1\"}", 1.0);
    is("sp_scheduler_lease_losses_total{task=\"PC1\"}", 0.0);
    is("sp_scheduler_event_handling_seconds_count{event=\"result\"}", 1.0);
    is("sp_scheduler_event_handling_seconds_count{event=\"registration\"}", 1.0);
    is("sp_scheduler_sectors{state=\"PreCommit1\"}", 1.0);
    is("sp_scheduler_workers{class=\"Seal\",connected=\"yes\"}", 1.0);
    assert!(figure(&page, "sp_scheduler_commit_seconds_count").unwrap() >= 3.0);
    scheduler.stop(&env).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_says_for_what() {
    let (env, state) = (Env::real(), Hanging::default());
    let (_, address) = FakeIndex::start(&env).await;
    let mut scheduler = Running::start_on(&env, Arc::new(state), Arc::new(FakeVerifier::default()), address).await;
    scheduler.index_connected(&env).await;
    scheduler.operators.pledge_sectors(v1::PledgeSectorsRequest { count: 3, priority: None }).await.unwrap();
    env.clock.sleep(Duration::from_millis(2_500)).await;
    let page = page(&scheduler).await;
    let waiting = "sp_scheduler_waiting_tasks{task=\"AP\",reason=\"nobody\"}";
    assert_eq!(figure(&page, waiting), Some(3.0), "{page}");
    assert_eq!(figure(&page, "sp_scheduler_queued_tasks{task=\"AP\",where=\"queue\"}"), Some(3.0), "{page}");
    scheduler.stop(&env).await;
}
