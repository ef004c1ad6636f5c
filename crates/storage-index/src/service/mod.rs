//! The index as a service: start, listen, stop.

mod actor;
mod api;
mod query;
mod session;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::registry::Registry;
use sp_env::{BoxFuture, StopOnDrop};
use sp_net::metrics::{MetricsPort, page_of};
use sp_net::refusals::Refusals;
use sp_net::server::{Server, Services};
use sp_net::{Env, NetError, sized};
use sp_proto::v1::index_query_server::IndexQueryServer;
use sp_proto::v1::index_server::IndexServer;
use sp_state::{CommitError, State};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::core::{Core, Timing};
use crate::rows::{self, RowError};
use actor::{Actor, Input};
use api::Api;

/// Name of the binary, in logs and in the announcement.
const NAME: &str = "sp-storage-index";

/// Messages that wait for the actor, each of up to a thousand replicas; a session that has more waits with them.
const INPUTS: usize = 256;

/// How the index runs.
#[derive(Debug, Clone)]
pub struct Options {
    /// Name of the cluster; peers of another one are refused.
    pub cluster: String,
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Directory that gets `listen.json`; none: the address is not announced.
    pub data_dir: Option<PathBuf>,
    /// Workers report the health of their stores this often.
    pub health_every: Duration,
    /// A store without a report for this long is unhealthy.
    pub stale_after: Duration,
    /// A delete without an answer is sent again after this long.
    pub delete_retry: Duration,
    /// Where metrics are answered; nowhere by default.
    pub metrics: Option<SocketAddr>,
}

impl Options {
    /// A report every 10 s, as Lotus has it; unhealthy after 30 s, when three are missing.
    pub fn new(cluster: impl Into<String>, listen: SocketAddr) -> Self {
        Self {
            cluster: cluster.into(),
            listen,
            data_dir: None,
            health_every: Duration::from_secs(10),
            stale_after: Duration::from_secs(30),
            delete_retry: Duration::from_secs(10),
            metrics: None,
        }
    }
}

/// The index cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its state cannot be used.
    #[error(transparent)]
    Rows(#[from] RowError),
    /// It cannot listen.
    #[error(transparent)]
    Net(#[from] NetError),
}

/// The index has stopped by itself.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The transport failed.
    #[error(transparent)]
    Net(#[from] NetError),
    /// A batch could not be made durable: what is durable now is unknown, so it must start again.
    #[error("the index stops, since its state cannot be written: {0}")]
    State(#[from] CommitError),
    /// A bug.
    #[error("the index has stopped in the middle of its work; this is a bug, see the log")]
    Died,
}

/// An index that does not listen yet.
pub struct Service {
    env: Env,
    options: Options,
    inputs: mpsc::Sender<Input>,
    ended: oneshot::Receiver<Result<(), CommitError>>,
    actor: StopOnDrop,
    api: Api,
    refusals: Refusals,
}

/// An index that has its port.
pub struct Running {
    service: Service,
    server: Server,
    metrics: Option<MetricsPort>,
}

impl Service {
    /// Reads the state and starts to think; nobody can reach it yet. Blocks while it reads.
    pub fn new(env: Env, state: Arc<dyn State>, options: Options) -> Result<Self, StartError> {
        let timing = Timing {
            stale_ms: options.stale_after.as_millis() as u64,
            delete_retry_ms: options.delete_retry.as_millis() as u64,
            ..Timing::default()
        };
        let (inputs, receiver) = mpsc::channel(INPUTS);
        let (end, ended) = oneshot::channel();
        let health_ms = options.health_every.as_millis() as u64;
        let mut core = Core::new(timing);
        if rows::open(&*state, &options.cluster, |row| core.restore(row))? {
            core.await_locks();
        }
        let refusals = Refusals::new(&env);
        let actor = Actor::new(env.clone(), state, core, inputs.downgrade(), receiver, health_ms, refusals.clone());
        let task = Box::pin(async move {
            // Nobody waits for the end of an index that is being dropped.
            let _ = end.send(actor.run().await);
        });
        let actor = StopOnDrop(env.tasks.spawn("index", task));
        let api = Api::new(env.clone(), options.cluster.clone(), inputs.clone());
        Ok(Self { env, options, inputs, ended, actor, api, refusals })
    }

    /// Its gRPC services.
    pub fn routes(&self) -> Services {
        let query = sized!(IndexQueryServer::new(self.api.clone()));
        Services::new().with(sized!(IndexServer::new(self.api.clone()))).with(query)
    }

    /// Takes the port. Boxed, as `serve` is: it is compiled here once, and not into every program that starts an index.
    pub fn bind(self) -> BoxFuture<Result<Running, StartError>> {
        Box::pin(self.bound())
    }

    async fn bound(self) -> Result<Running, StartError> {
        let mut builder = Server::builder(&self.env, NAME, self.options.listen).refusals(&self.refusals);
        if self.options.data_dir.is_some() {
            builder = builder.announce(self.options.data_dir.clone());
        }
        let server = builder.bind().await?;
        let metrics = match self.options.metrics {
            None => None,
            Some(address) => Some(MetricsPort::bind(&self.env, address).await?),
        };
        Ok(Running { service: self, server, metrics })
    }
}

impl Running {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Where metrics are answered.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics.as_ref().map(MetricsPort::address)
    }

    /// Serves until `shutdown` completes; then sessions are told, and calls may end.
    pub fn serve(self, shutdown: BoxFuture<()>) -> BoxFuture<Result<(), RunError>> {
        Box::pin(self.served(shutdown))
    }

    async fn served(self, shutdown: BoxFuture<()>) -> Result<(), RunError> {
        let Self { service, server, metrics } = self;
        let routes = service.routes();
        let Service { env, inputs, ended, actor, api, refusals, .. } = service;
        drop(api);
        let stopping = CancellationToken::new();
        let _stop = stopping.clone().drop_guard();
        if let Some(port) = metrics {
            let mut registry = Registry::with_prefix("sp_index");
            refusals.register(&mut registry);
            drop(env.tasks.spawn("metrics", Box::pin(port.serve(page_of(registry), stopping))));
        }
        let stop = async move {
            shutdown.await;
            // An actor that has ended needs no telling.
            let _ = inputs.send(Input::Stop).await;
        };
        let serving = std::pin::pin!(server.serve(routes, stop));
        let result = match futures_util::future::select(serving, ended).await {
            futures_util::future::Either::Left((served, _)) => served.map_err(RunError::from),
            futures_util::future::Either::Right((Ok(Err(error)), _)) => Err(error.into()),
            futures_util::future::Either::Right((Ok(Ok(())) | Err(_), _)) => Err(RunError::Died),
        };
        drop(actor);
        result
    }
}
