//! The real executor: resident child processes of this binary, pooled by role, expendable.
// What the simulation replaces whole: it starts processes and threads and reads the clock of the machine.
#![allow(clippy::disallowed_methods)]

mod child;
mod pool;
mod record;
mod serve;
mod spawner;

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sp_env::BoxFuture;
use sp_proto::v1::exec_response::Outcome;

use crate::executor::{ExecError, Executor, Job, Role};
use pool::Pool;
pub use record::{LeftoverError, end_leftovers};
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
    /// How many children each role may have.
    pub pools: Vec<(Role, usize)>,
}

/// Children by role.
pub struct ChildExecutor {
    pools: HashMap<Role, Arc<Pool>>,
}

impl ChildExecutor {
    /// Starts no child yet: each comes with the first request that needs it.
    pub fn new(config: ChildConfig) -> std::io::Result<Self> {
        std::fs::create_dir_all(config.data_dir.join(record::DIRECTORY))?;
        let pools = config.pools.clone();
        let spawner = Arc::new(Spawner::start(config)?);
        let pools = pools.into_iter().map(|(role, size)| (role, Arc::new(Pool::new(role, size, spawner.clone()))));
        Ok(Self { pools: pools.collect() })
    }
}

impl Executor for ChildExecutor {
    fn run(&self, job: Job) -> BoxFuture<Result<Outcome, ExecError>> {
        let Some(pool) = self.pools.get(&job.role).cloned() else {
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
