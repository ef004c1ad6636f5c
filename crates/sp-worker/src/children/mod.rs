//! The real executor: resident child processes of this binary, pooled by role, expendable.
// What the simulation replaces whole: it starts processes and threads and reads the clock of the machine.
#![allow(clippy::disallowed_methods)]

mod child;
mod gpus;
mod memory;
mod pool;
pub(crate) mod record;
mod serve;
mod spawner;

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sp_env::BoxFuture;
use sp_types::{GpuId, GpuShare};

use crate::executor::{Answer, ExecError, Executor, Job, Role};
use pool::Pool;
pub use record::{LeftBehind, LeftoverError, end_leftovers};
pub use serve::serve;
use spawner::Spawner;

/// How children are started.
#[derive(Debug, Clone)]
pub struct ChildConfig {
    /// The program: this binary.
    pub program: PathBuf,
    /// Its arguments, the hidden subcommand first; the parent's process id is appended.
    pub arguments: Vec<OsString>,
    /// Variables to set; None removes one.
    pub environment: Vec<(OsString, Option<OsString>)>,
    /// Where process records and temporary directories lie.
    pub data_dir: PathBuf,
    /// Give each child a temporary directory of its own: upstream's GPU locks lie there.
    pub own_tmpdir: bool,
    /// How many children each role may have: so many without GPUs, and so many for each set of GPUs that tasks are given.
    pub pools: Vec<(Role, usize)>,
    /// The children compute on GPUs: each sees those of its tasks, and none where they were given none.
    pub computes_on_gpus: bool,
}

/// One pool for each role and set of devices.
type Pools = HashMap<(Role, Vec<GpuId>), Arc<Pool>>;

/// Children by role and by the GPUs that they see: what a process sees of them is settled when it starts.
pub struct ChildExecutor {
    sizes: HashMap<Role, usize>,
    computes_on_gpus: bool,
    spawner: Arc<Spawner>,
    pools: Mutex<Pools>,
}

impl ChildExecutor {
    /// Starts no child yet: each comes with the first request that needs it.
    pub fn new(config: ChildConfig) -> std::io::Result<Self> {
        std::fs::create_dir_all(config.data_dir.join(record::DIRECTORY))?;
        let (sizes, computes_on_gpus) = (config.pools.iter().copied().collect(), config.computes_on_gpus);
        Ok(Self { sizes, computes_on_gpus, spawner: Arc::new(Spawner::start(config)?), pools: Mutex::default() })
    }

    /// The pool for such a task; none: this worker has no children of that role.
    fn pool(&self, role: Role, gpus: &[GpuShare]) -> Option<Arc<Pool>> {
        let size = *self.sizes.get(&role)?;
        let mut ids: Vec<GpuId> = gpus.iter().map(|gpu| gpu.id.clone()).collect();
        ids.sort();
        let new = || {
            let variables = gpus::variables(gpus, self.computes_on_gpus);
            Arc::new(Pool::new(role, size, variables, self.spawner.clone()))
        };
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        Some(pools.entry((role, ids)).or_insert_with(new).clone())
    }
}

impl Executor for ChildExecutor {
    fn run(&self, job: Job) -> BoxFuture<Result<Answer, ExecError>> {
        let Some(pool) = self.pool(job.role, &job.gpus) else {
            let role = job.role;
            return Box::pin(async move { Err(ExecError::Crashed(format!("this worker has no {role:?} child"))) });
        };
        // A task of its own: a caller that goes away must not leave a child in the middle of a request.
        let running = tokio::spawn(async move { pool.run(job).await });
        Box::pin(async move {
            running.await.unwrap_or_else(|e| Err(ExecError::Crashed(format!("the supervising task ended: {e}"))))
        })
    }
}

/// How long a child may take to stop after it was asked, before it is killed.
pub(crate) const CANCEL_GRACE: Duration = Duration::from_secs(2);
