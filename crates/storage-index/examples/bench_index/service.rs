//! The service over real gRPC with a real state file: the rebuild from declarations, questions, a restart.

use std::error::Error;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use sp_net::{Env, client, sized};
use sp_proto::PROTOCOL_MINOR;
use sp_proto::v1::index_client::IndexClient;
use sp_proto::v1::index_query_client::IndexQueryClient;
use sp_proto::v1::{self, index_worker_command, index_worker_message::Body};
use sp_state::{OpenError, Redb};
use storage_index::{Options as Settings, SCHEMA_VERSION, Service};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::Channel;

use crate::figures::{Line, Promise, Table, percentile};
use crate::heap;
use crate::options::Options;
use crate::plan::{DECLARED_AT_ONCE, Dice, KINDS, Plan, SECTOR_SIZE, replicas_on, store_id, worker_id};

/// The promises.
const SECTORS_PER_SECOND: f64 = 50_000.0;
const FIND_US: f64 = 1_000.0;
const ALLOC_US: f64 = 2_000.0;
const FACTOR: f64 = 2.0;

/// A worker that has declared everything.
type Session = (mpsc::Sender<v1::IndexWorkerMessage>, Streaming<v1::IndexWorkerCommand>);

type AnyError = Box<dyn Error + Send + Sync>;

/// Measures and prints.
pub(crate) fn measure(options: &Options, table: &mut Table) -> Result<(), Box<dyn Error>> {
    let Options { stores, sectors, .. } = *options;
    let plan = Plan { stores, sectors };
    table.heading(&format!("the service over gRPC, {stores} paths of {} workers, {sectors} sectors", plan.workers()));
    let runtime = Runtime::new()?;
    let (mut rates, mut costs) = (Vec::new(), Vec::new());
    let mut last: Option<(Index, TempDir, Vec<Session>)> = None;
    // Of the first run: what the others leave behind is not known at once.
    let mut memory = None;
    // What is rebuilt is large: a run of it is long enough to tell.
    for _ in 0..options.runs.min(3) {
        if let Some((index, ..)) = last.take() {
            index.stop(&runtime);
        }
        let dir = tempfile::tempdir()?;
        let (heap, resident) = (heap::live(), heap::resident());
        let (begin, processor) = (Instant::now(), processor_us());
        let index = Index::start(&runtime, dir.path())?;
        let sessions = runtime.block_on(declare_all(index.address, plan)).map_err(|e| e.to_string())?;
        rates.push(sectors as f64 / begin.elapsed().as_secs_f64());
        costs.push((processor_us() - processor) / sectors as f64);
        memory.get_or_insert((heap::live() - heap, heap::resident() - resident));
        last = Some((index, dir, sessions));
    }
    let (Some((index, dir, sessions)), Some((heap, resident))) = (last, memory) else { return Ok(()) };
    let rate = Line::new("sectors declared, acknowledged as durable", "1/s", rates);
    table.show(rate.promised(Promise::AtLeast(SECTORS_PER_SECOND)).note("(clients in the same process)"));
    let cost = Line::new("processor time of a sector, service and clients", "us", costs);
    table.show(cost.note("(both replicas, all threads)"));
    let each = |bytes: i64| vec![bytes as f64 / sectors as f64];
    table.show(
        Line::new("heap of the process for a sector", "bytes", each(heap)).note("(64 MiB cache of the state in)"),
    );
    table.show(Line::new("resident memory of the process for a sector", "bytes", each(resident)));
    let (find, alloc) = runtime.block_on(ask_all(options, sectors, index.address)).map_err(|e| e.to_string())?;
    find.show(table, "find, over gRPC", FIND_US);
    alloc.show(table, "best allocation, the first 16, over gRPC", ALLOC_US);
    drop(sessions);
    index.stop(&runtime);
    let few = find_among(options, &runtime, (sectors / 10).max(1))?;
    let ratio = find.middle() / few.middle();
    table.show(Line::new("find, over gRPC, 10 x sectors, p50", "x", vec![ratio]).promised(Promise::AtMost(FACTOR)));
    let file = std::fs::metadata(dir.path().join("index.redb"))?.len() as i64;
    table.show(Line::new("state file for a sector", "bytes", each(file)));
    let begin = Instant::now();
    let index = Index::start(&runtime, dir.path())?;
    table.show(Line::new("start with that state", "s", vec![begin.elapsed().as_secs_f64()]));
    index.stop(&runtime);
    Ok(())
}

/// Questions to an index with other sectors.
fn find_among(options: &Options, runtime: &Runtime, sectors: usize) -> Result<Runs, Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let index = Index::start(runtime, dir.path())?;
    let plan = Plan { stores: options.stores, sectors };
    let sessions = runtime.block_on(declare_all(index.address, plan)).map_err(|e| e.to_string())?;
    let (find, _) = runtime.block_on(ask_all(options, sectors, index.address)).map_err(|e| e.to_string())?;
    drop(sessions);
    index.stop(runtime);
    Ok(find)
}

/// Microseconds on processors, all threads of this process.
fn processor_us() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 * 1e6 + time.tv_nsec as f64 / 1e3
}

// === the index ===

struct Index {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    task: tokio::task::JoinHandle<()>,
}

impl Index {
    fn start(runtime: &Runtime, dir: &Path) -> Result<Self, Box<dyn Error>> {
        let state = Arc::new(open(&dir.join("index.redb"))?);
        let mut settings = Settings::new("bench", SocketAddr::from(([127, 0, 0, 1], 0)));
        // Nobody reports here.
        settings.stale_after = Duration::from_secs(3_600);
        let running = runtime.block_on(async { Service::new(Env::real(), state, settings)?.bind().await })?;
        let (address, (stop, stopped)) = (running.address(), oneshot::channel::<()>());
        let task = runtime.spawn(async move {
            let served = running.serve(Box::pin(async { drop(stopped.await) })).await;
            served.expect("the index serves until it is told to stop");
        });
        Ok(Self { address, stop, task })
    }

    fn stop(self, runtime: &Runtime) {
        // Gone already: then there is nothing to stop.
        let _ = self.stop.send(());
        runtime.block_on(self.task).expect("the index stops in good order");
    }
}

/// Whoever stopped before may still be letting go of it.
fn open(path: &Path) -> Result<Redb, OpenError> {
    let begin = Instant::now();
    loop {
        match Redb::open(path, SCHEMA_VERSION) {
            Err(OpenError::Taken { .. }) if begin.elapsed() < Duration::from_secs(10) => {
                std::thread::sleep(Duration::from_millis(10));
            }
            opened => return opened,
        }
    }
}

fn channel(address: SocketAddr) -> Result<Channel, AnyError> {
    Ok(client::channel(&Env::real(), &address.to_string())?)
}

// === light workers ===

/// Every worker declares everything that it has; done once all of it is acknowledged and counted.
async fn declare_all(address: SocketAddr, plan: Plan) -> Result<Vec<Session>, AnyError> {
    let workers: Vec<_> = (0..plan.workers()).map(|worker| tokio::spawn(declare(address, plan, worker))).collect();
    // They stay connected, as workers do: nothing is put on a path that nobody has.
    let mut connected = Vec::new();
    for worker in workers {
        connected.push(worker.await??);
    }
    let listed = sized!(IndexClient::new(channel(address)?)).list_stores(v1::ListStoresRequest {}).await?.into_inner();
    let count: u64 = listed.counts.iter().map(|c| c.count).sum();
    if count != (plan.sectors * KINDS.len()) as u64 || listed.stores.len() != plan.stores {
        return Err(format!("{count} replicas on {} paths are not all", listed.stores.len()).into());
    }
    Ok(connected)
}

async fn declare(address: SocketAddr, plan: Plan, worker: usize) -> Result<Session, AnyError> {
    let (sender, receiver) = mpsc::channel(4);
    let send = async |body| sender.send(v1::IndexWorkerMessage { body: Some(body) }).await;
    let hello = v1::IndexHello {
        worker_id: worker_id(worker).to_string(),
        session_id: "bench".into(),
        cluster: "bench".into(),
        data_url: format!("http://worker-{worker}.example:1790"),
        protocol_minor: PROTOCOL_MINOR,
    };
    send(Body::Hello(hello)).await?;
    let mut client = sized!(IndexClient::new(channel(address)?));
    let mut commands = client.worker_session(ReceiverStream::new(receiver)).await?.into_inner();
    let telling = async {
        let mut request = 0;
        for store in plan.stores_of(worker) {
            send(Body::Attach(attached(store))).await?;
            let mut replicas = replicas_on(plan, store).map(v1::Replica::from).peekable();
            while replicas.peek().is_some() {
                request += 1;
                let replicas = replicas.by_ref().take(DECLARED_AT_ONCE).collect();
                send(Body::Declare(v1::Declare { request, replicas, attempt: None })).await?;
            }
            let end = v1::DeclareEnd { store: store_id(store).to_string(), ..Default::default() };
            send(Body::DeclareEnd(end)).await?;
        }
        // The last one says when all of them are acknowledged: they are answered in order.
        send(Body::Declare(v1::Declare { request: u64::MAX, replicas: vec![], attempt: None })).await?;
        Ok::<(), AnyError>(())
    };
    let hearing = async {
        while let Some(command) = commands.message().await? {
            if let Some(index_worker_command::Body::DeclareAck(ack)) = command.body {
                match ack {
                    v1::DeclareAck { failed: Some(failed), .. } => return Err(failed.message.into()),
                    v1::DeclareAck { request: u64::MAX, .. } => return Ok(()),
                    _ => {}
                }
            }
        }
        Err::<(), AnyError>("the index has ended the session".into())
    };
    tokio::try_join!(telling, hearing)?;
    Ok((sender, commands))
}

fn attached(store: usize) -> v1::AttachedStore {
    let id = store_id(store).to_string();
    let health = v1::StoreHealth {
        store: id.clone(),
        capacity_bytes: 1 << 50,
        fs_available_bytes: (64 + store as u64 % 50) << 40,
        ..Default::default()
    };
    v1::AttachedStore {
        store: id.clone(),
        weight: 1 + store as u64 % 10,
        can_seal: true,
        can_store: true,
        groups: vec!["bench".into()],
        allow_to: vec!["bench".into()],
        allow_miners: vec!["t01000".into()],
        local_path: format!("/paths/{id}"),
        health: Some(health),
        ..Default::default()
    }
}

// === questions ===

async fn ask_all(options: &Options, sectors: usize, address: SocketAddr) -> Result<(Runs, Runs), AnyError> {
    let mut index = sized!(IndexClient::new(channel(address)?));
    let mut query = sized!(IndexQueryClient::new(channel(address)?));
    let (mut find, mut alloc) = (Runs::new(options), Runs::new(options));
    let mut dice = Dice::new(1);
    for _ in 0..=options.runs {
        for _ in 0..options.questions {
            let sector = dice.below(sectors);
            let begin = Begin::now();
            let found = index.find_sector(v1::FindSectorRequest { miner: 1000, sector }).await?.into_inner();
            find.took(begin);
            assert_eq!(found.replicas.len(), KINDS.len(), "sector {sector} is found whole");
            let wanted = v1::BestAllocRequest {
                miner: 1000,
                kinds: KINDS.map(|kind| v1::FileKind::from(kind) as i32).to_vec(),
                sector_size: SECTOR_SIZE,
                path_use: v1::PathUse::Sealing as i32,
                limit: 16,
            };
            let begin = Begin::now();
            let allocated = query.best_alloc(wanted).await?.into_inner();
            alloc.took(begin);
            assert!(!allocated.stores.is_empty(), "there is room: {:?}", allocated.refused.first());
        }
    }
    Ok((find, alloc))
}

/// When a question was asked, on the wall and on all processors.
struct Begin(Instant, f64);

/// What all questions cost, run after run, microseconds.
struct Runs {
    questions: usize,
    wall: Vec<f64>,
    /// Of service and client together: nobody else does anything in this process.
    processor: Vec<f64>,
}

impl Begin {
    fn now() -> Self {
        Self(Instant::now(), processor_us())
    }
}

impl Runs {
    fn new(options: &Options) -> Self {
        Self { questions: options.questions, wall: Vec::new(), processor: Vec::new() }
    }

    fn took(&mut self, Begin(wall, processor): Begin) {
        self.processor.push(processor_us() - processor);
        self.wall.push(wall.elapsed().as_secs_f64() * 1e6);
    }

    /// What half of the questions cost at most, on the processor.
    fn middle(&self) -> f64 {
        percentile(&mut self.processor[self.questions..].to_vec(), 0.5)
    }

    /// The promise is on the processor time: on a shared machine the wall says how often somebody else had the core.
    fn show(&self, table: &mut Table, what: &str, most: f64) {
        let each = |all: &[f64], part| -> Vec<f64> {
            // The first run warms caches and is thrown away.
            all.chunks(self.questions).skip(1).map(|run| percentile(&mut run.to_vec(), part)).collect()
        };
        table.show(Line::new(format!("{what}, p50 on the wall"), "us", each(&self.wall, 0.5)));
        table.show(Line::new(format!("{what}, p99 on the wall"), "us", each(&self.wall, 0.99)));
        let p99 = Line::new(format!("{what}, p99 on the processor"), "us", each(&self.processor, 0.99));
        table.show(p99.promised(Promise::AtMost(most)).note("(client in)"));
    }
}
