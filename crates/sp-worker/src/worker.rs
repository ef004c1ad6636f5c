//! A worker: put together from what its maker brings, then run until it is told to stop or cannot go on.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::registry::Registry;
use sp_env::{BoxFuture, StopOnDrop};
use sp_net::metrics::{MetricsPort, page_of};
use sp_net::refusals::Refusals;
use sp_net::server::{Limits, Server, Services};
use sp_net::{Env, NetError};
use sp_proto::v1;
use sp_proto::v1::worker_message::Body;
use sp_sectors::{Disk, StoreError, make_dirs, read_all, write_whole};
use sp_types::{AttemptId, StoreId, WorkerId};
use tokio_util::sync::CancellationToken;

use crate::executor::Executor;
use crate::ledger::{Ledger, LedgerError};
use crate::node::{Node, Parts};
use crate::options::Options;
use crate::stores::Stores;
use crate::{attempt, data_plane, index, leftovers, renew, scrub, session, stores, stray};

/// File in the data directory with the worker's id.
const ID_FILE: &str = "worker-id";

/// How long the farewell may take to reach the scheduler.
const FAREWELL: Duration = Duration::from_millis(200);

/// How long the index may take to let the stores go.
const LEAVE: Duration = Duration::from_secs(3);

/// A worker cannot start, or cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// `storage.json` cannot be read, or the first store not be made.
    #[error("the list of storage paths cannot be used: {0}")]
    Store(#[from] StoreError),
    /// The records in the data directory cannot be read.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The worker's id cannot be read or made.
    #[error("the worker's id in {path}: {reason}")]
    Id {
        /// The file.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// The data plane cannot listen.
    #[error(transparent)]
    Net(#[from] NetError),
    /// Scheduler or index refuse this worker for good.
    #[error("{0}")]
    Refused(String),
}

/// A worker that does not run yet.
pub struct Worker {
    node: Arc<Node>,
}

impl Worker {
    /// Opens the data directory and the stores and takes up what the last run left. Boxed, as `run` is: it is compiled here
    /// once, and not into every program that starts a worker.
    pub fn open(
        env: Env,
        disk: Arc<dyn Disk>,
        executor: Arc<dyn Executor>,
        options: Options,
    ) -> BoxFuture<Result<Self, WorkerError>> {
        Box::pin(Self::opened(env, disk, executor, options))
    }

    /// Serves, registers and works until `shutdown` completes. Attempts that are running then go on at the next start.
    pub fn run(self, shutdown: BoxFuture<()>) -> BoxFuture<Result<(), WorkerError>> {
        Box::pin(self.serve(shutdown))
    }

    async fn opened(
        env: Env,
        disk: Arc<dyn Disk>,
        executor: Arc<dyn Executor>,
        options: Options,
    ) -> Result<Self, WorkerError> {
        let ids = (env.uuid(), env.uuid());
        let (reading, directory) = (disk.clone(), options.clone());
        let read = env.blocking(move || read(reading, &directory, ids)).await?;
        stores::open_all(&env, &read.stores, &read.keep).await;
        let Read { worker_id, stores, ledger, keep: _ } = read;
        let making = env.clone();
        let node = move || Node::new(Parts { env: making, disk, executor, options, worker_id, stores, ledger });
        Ok(Self { node: Arc::new(env.blocking(node).await?) })
    }

    /// The worker's id.
    pub fn id(&self) -> &str {
        &self.node.worker_id
    }

    /// What it has refused.
    pub fn refusals(&self) -> Refusals {
        self.node.refusals.clone()
    }

    /// Brings the inputs of an assignment to where its task would read them, and does no more: for measurements. Says
    /// where they lie.
    #[doc(hidden)]
    pub async fn bring_inputs(&self, assign: v1::Assign) -> Result<Vec<PathBuf>, String> {
        attempt::bring_inputs(&self.node, assign).await.map_err(|failure| failure.to_string())
    }

    async fn serve(self, shutdown: BoxFuture<()>) -> Result<(), WorkerError> {
        let node = self.node;
        let options = &node.options;
        let mut builder = Server::builder(&node.env, options.service, options.listen).limits(Limits::DATA);
        if options.announce {
            builder = builder.announce(Some(options.data_dir.clone()));
        }
        let server = builder.refusals(&node.refusals).bind().await?;
        let metrics = match options.metrics {
            None => None,
            Some(address) => Some(MetricsPort::bind(&node.env, address).await?),
        };
        node.set_data_url(format!("http://{}", server.address()));
        let service = data_plane::Served::new(node.clone());
        let mut fatal = node.fatal.subscribe();
        let asked = node.stopping.clone();
        let (leaving, stop) = (node.clone(), async move {
            tokio::select! {
                () = shutdown => {}
                () = asked.cancelled() => {}
                // Never an error: the sender lives as long as the node.
                _ = fatal.wait_for(Option::is_some) => {}
            }
        });
        let stop = async move {
            stop.await;
            farewell(&leaving).await;
        };
        let (renewing, indexing, session, tidying, looking) =
            (node.clone(), node.clone(), node.clone(), node.clone(), node.clone());
        let tasks = &node.env.tasks;
        let _background = [
            tasks.spawn_isolated("leases", Box::new(move || Box::pin(renew::run(renewing)))),
            tasks.spawn("index", Box::pin(index::run(indexing))),
            tasks.spawn("session", Box::pin(session::run(session))),
            tasks.spawn("leftovers", Box::pin(leftovers::run(tidying))),
            tasks.spawn("stray work", Box::pin(stray::run(looking))),
        ]
        .map(StopOnDrop);
        let stopping = CancellationToken::new();
        let _stop = stopping.clone().drop_guard();
        if let Some(port) = metrics {
            let mut registry = Registry::with_prefix("sp_worker");
            node.refusals.register(&mut registry);
            drop(tasks.spawn("metrics", Box::pin(port.serve(page_of(registry), stopping))));
        }
        scrub::take_up(&node);
        server.serve(Services::new().with(service), stop).await?;
        let reason = node.fatal.borrow().clone();
        reason.map_or(Ok(()), |reason| Err(WorkerError::Refused(reason)))
    }
}

/// Says goodbye, so that the scheduler does not wait for the leases to end. A worker that an operator has stopped does
/// not come back by itself: its stores leave the index with it.
async fn farewell(node: &Node) {
    if node.stopping.is_cancelled() && !node.index.leave(&node.env, LEAVE).await {
        tracing::warn!(
            "the storage index was not reached: it goes on listing the stores of this worker, without a holder"
        );
    }
    let reason = "the worker was asked to stop".to_owned();
    node.outbox.send(Body::GoingAway(v1::GoingAway { reason })).await;
    node.env.clock.sleep(FAREWELL).await;
}

/// What the data directory holds.
struct Read {
    worker_id: String,
    stores: Arc<Stores>,
    ledger: Ledger,
    /// Attempts whose work directories stay.
    keep: BTreeSet<AttemptId>,
}

fn read(disk: Arc<dyn Disk>, options: &Options, new_ids: (String, String)) -> Result<Read, WorkerError> {
    let (new_worker_id, new_store_id) = new_ids;
    let data_dir = &options.data_dir;
    let worker_id = worker_id(&*disk, data_dir, &new_worker_id)?;
    let ledger = Ledger::open(disk.clone(), data_dir)?;
    let held = ledger.attempts()?.into_iter().filter_map(|assign| assign.attempt).map(AttemptId::from);
    // Work directories of finished attempts go with the acknowledgement of their results.
    let keep: BTreeSet<AttemptId> = held.chain(ledger.results()?.into_keys()).collect();
    let store_id = StoreId::new(new_store_id);
    let store_id = store_id.map_err(|e| WorkerError::Id { path: "a new store".into(), reason: e.to_string() })?;
    let stores = Stores::read(disk, data_dir, &worker_id, &options.home, options.local_storage, &store_id)?;
    Ok(Read { worker_id, stores: Arc::new(stores), ledger, keep })
}

/// The id in the data directory; made on the first run.
fn worker_id(disk: &dyn Disk, data_dir: &Path, new: &str) -> Result<String, WorkerError> {
    let path = data_dir.join(ID_FILE);
    let failed = |reason: String| WorkerError::Id { path: path.display().to_string(), reason };
    make_dirs(disk, data_dir).map_err(|e| failed(e.to_string()))?;
    match read_all(disk, &path, 1024) {
        Ok(bytes) => {
            let text = String::from_utf8(bytes).map_err(|e| failed(e.to_string()))?;
            let id = WorkerId::new(text.trim()).map_err(|e| failed(e.to_string()))?;
            Ok(id.to_string())
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            write_whole(disk, &path, format!("{new}\n").as_bytes()).map_err(|e| failed(e.to_string()))?;
            Ok(new.to_owned())
        }
        Err(error) => Err(failed(error.to_string())),
    }
}
