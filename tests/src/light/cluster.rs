//! A scheduler in this process, with its state on a real disk and light workers around it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::{Context, Result};
use scheduler::{
    Assignment, LocalChain, LocalChainOptions, Question, SCHEMA_VERSION, Service, ServiceOptions, Verifier,
};
use sp_env::BoxFuture;
use sp_net::{Env, client, sized};
use sp_proto::v1;
use sp_proto::v1::scheduler_client::SchedulerClient;
use sp_state::{Memory, Redb};
use sp_types::SectorSize;
use tokio::sync::{mpsc, oneshot};
use tonic::transport::Channel;

use super::counting::Counting;
use super::index::LightIndex;
use super::tally::Tally;
use super::worker::{Duty, LightWorker, Mark, Shared, connect_all};

/// Name of the cluster.
pub const NAME: &str = "bench";

/// Nothing here takes longer.
const LIMIT: Duration = Duration::from_secs(600);

/// Sectors of one request.
const PLEDGE_MAX: u64 = 500;

/// What is to be started.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// Light workers that seal.
    pub workers: usize,
    /// The core checks its laws, as builds with debug assertions do and releases do not.
    pub check_laws: bool,
    /// Which deadline sectors come to.
    pub assignment: Assignment,
    /// Length of an epoch.
    pub epoch_ms: u64,
}

impl Setting {
    /// So many workers, sectors spread over the day, short epochs.
    pub fn sealing(workers: usize, check_laws: bool) -> Self {
        Self { workers, check_laws, assignment: Assignment::Network, epoch_ms: 20 }
    }
}

/// Everything that runs.
pub struct Cluster {
    /// Where the scheduler listens.
    pub address: SocketAddr,
    /// Counts events.
    pub tally: Arc<Tally>,
    /// The scheduler's rows.
    pub state: Arc<Counting<Redb>>,
    /// The index.
    pub index: LightIndex,
    /// The workers.
    pub workers: Vec<LightWorker>,
    /// Steps of tasks, as they happen.
    pub marks: mpsc::UnboundedReceiver<Mark>,
    /// Do workers answer at once?
    pub answering: Arc<AtomicBool>,
    /// Asks the scheduler.
    pub operators: SchedulerClient<Channel>,
    env: Env,
    shared: Shared,
    stop: oneshot::Sender<()>,
    ended: oneshot::Receiver<Result<(), scheduler::ServiceError>>,
    _dir: tempfile::TempDir,
}

/// Says yes.
struct Yes(Arc<Tally>);

impl Verifier for Yes {
    fn verify(&self, _: Question) -> BoxFuture<Result<bool, String>> {
        Tally::count(&self.0.verdicts);
        Box::pin(async { Ok(true) })
    }
}

impl Cluster {
    /// Starts everything and waits until it is connected.
    pub async fn start(setting: Setting) -> Result<Self> {
        let Setting { workers, check_laws, assignment, epoch_ms } = setting;
        let (env, tally) = (Env::real(), Arc::new(Tally::default()));
        let base = std::env::var_os("SP_TEST_DIR").map_or_else(std::env::temp_dir, Into::into);
        let dir = tempfile::Builder::new().prefix("sp-bench-").tempdir_in(base)?;
        let state = Arc::new(Counting::new(Redb::open(dir.path().join("scheduler.redb"), SCHEMA_VERSION)?));
        let (index, index_address) = LightIndex::start(&env, workers, tally.clone()).await?;
        // The chain's own rows are no matter of the scheduler's and are not counted.
        let chain = LocalChainOptions {
            miner: 1000,
            epoch_ms,
            seed_delay_epochs: 1,
            sector_size: SectorSize::KiB2,
            assignment,
            win_one_in: 0,
        };
        let verifier = Arc::new(Yes(tally.clone()));
        let chain = Arc::new(LocalChain::open(&env, Arc::new(Memory::new()), verifier.clone(), chain).await?);
        let mut options = ServiceOptions::new("127.0.0.1:0".parse()?, format!("http://{index_address}"));
        options.cluster = NAME.into();
        options.check_laws = check_laws;
        let service = Service::open(env.clone(), state.clone(), verifier, chain, options).await?;
        let address = service.address();
        let ((stop, stopped), (sender, ended)) = (oneshot::channel::<()>(), oneshot::channel());
        tokio::spawn(async move {
            let shutdown = async move {
                // Dropped or told: both mean to stop.
                let _ = stopped.await;
            };
            let _ = sender.send(service.run(Box::pin(shutdown)).await);
        });
        let operators = sized!(SchedulerClient::new(client::channel(&env, &address.to_string())?));
        let (mark, marks) = mpsc::unbounded_channel();
        let answering = Arc::new(AtomicBool::new(true));
        let shared = Shared { tally: tally.clone(), index: index.clone(), answering: answering.clone(), marks: mark };
        let workers = connect_all(&env, address, workers, &shared).await?;
        let mut cluster = Self {
            address,
            tally,
            state,
            index,
            workers,
            marks,
            answering,
            operators,
            env,
            shared,
            stop,
            ended,
            _dir: dir,
        };
        cluster.wait_for_index().await?;
        Ok(cluster)
    }

    async fn wait_for_index(&mut self) -> Result<()> {
        for _ in 0..400 {
            if self.operators.info(v1::InfoRequest {}).await?.into_inner().index_connected {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        anyhow::bail!("the index never connected")
    }

    /// Connects a worker that proves partitions and has no store, over this address of the scheduler.
    pub async fn connect_prover(&self, number: usize, scheduler: SocketAddr) -> Result<LightWorker> {
        LightWorker::connect(&self.env, scheduler, number, Duty::Prove, self.shared.clone()).await
    }

    /// Makes so many sectors.
    pub async fn pledge(&mut self, count: u64) -> Result<Vec<u64>> {
        let (mut sectors, mut left) = (Vec::new(), count);
        while left > 0 {
            let count = left.min(PLEDGE_MAX);
            let request = v1::PledgeSectorsRequest { count: u32::try_from(count)?, priority: None };
            sectors.extend(self.operators.pledge_sectors(request).await?.into_inner().sectors);
            left -= count;
        }
        Ok(sectors)
    }

    /// Waits until so many sectors are sealed in all.
    pub async fn wait_sealed(&self, sectors: u64) -> Result<()> {
        let sealed = async {
            while Tally::read(&self.tally.sealed) < sectors {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let waited = tokio::time::timeout(LIMIT, sealed).await;
        let so_far = Tally::read(&self.tally.sealed);
        waited.with_context(|| format!("{so_far} of {sectors} sectors are sealed after {LIMIT:?}"))
    }

    /// Stops the scheduler, in order.
    pub async fn stop(self) -> Result<()> {
        // Fails only when it has stopped already.
        let _ = self.stop.send(());
        drop(self.workers);
        tokio::time::timeout(LIMIT, self.ended).await.context("it does not drain")???;
        Ok(())
    }
}
