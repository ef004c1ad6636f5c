//! What a worker is told when it is made.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sp_types::{HostCapacity, HostId, RegisteredSealProof, ResourceTable, TaskKind, WorkerLimits};

/// Reads what the host has, live.
pub type ReadCapacity = Arc<dyn Fn() -> HostCapacity + Send + Sync>;

/// Settings of one worker. Everything that a machine would be asked for is passed in, so that a simulation can choose.
#[derive(Clone)]
pub struct Options {
    /// Name of the service, for logs and the announcement.
    pub service: &'static str,
    /// Display name.
    pub name: String,
    /// Name of the cluster.
    pub cluster: String,
    /// Address of the scheduler.
    pub scheduler: String,
    /// Address of the storage index.
    pub index: String,
    /// Absolute path of the data directory.
    pub data_dir: PathBuf,
    /// Home directory, for `~` in `storage.json`.
    pub home: PathBuf,
    /// Where the data plane listens.
    pub listen: SocketAddr,
    /// Where metrics are answered; nowhere by default.
    pub metrics: Option<SocketAddr>,
    /// Print the address and write `listen.json`.
    pub announce: bool,
    /// On the first run, make a store in the data directory.
    pub local_storage: bool,
    /// Files fetched at once.
    pub parallel_fetch_limit: usize,
    /// How it sends and fetches.
    pub transfers: Transfers,
    /// Tasks that it accepts.
    pub tasks: Vec<TaskKind>,
    /// Proofs that it can handle.
    pub seal_proofs: Vec<RegisteredSealProof>,
    /// What tasks need here.
    pub resources: ResourceTable,
    /// A child of the scheduler's host, last in choice.
    pub builtin: bool,
    /// Challenge reads at once; 0 for no limit.
    pub post_parallel_reads: usize,
    /// Limit of one challenge read; a task's shorter one goes before it. Zero for the task's, or [`READ_TIMEOUT`].
    pub post_read_timeout: Duration,
    /// The machine.
    pub host: HostId,
    /// Process id, for people.
    pub pid: u32,
    /// Version of the build.
    pub build: String,
    /// What the host has now.
    pub capacity: ReadCapacity,
    /// What this worker may take of it.
    pub limits: WorkerLimits,
}

/// How a worker sends and fetches sector files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transfers {
    /// Streams of one fetch.
    pub streams: usize,
    /// Most bytes per second that the data plane sends; 0 for no limit.
    pub send_bytes_per_s: u64,
    /// Most bytes per second that all fetches together take; 0 for no limit.
    pub fetch_bytes_per_s: u64,
}

impl Default for Transfers {
    fn default() -> Self {
        Self { streams: 4, send_bytes_per_s: 0, fetch_bytes_per_s: 0 }
    }
}

/// A challenge read is given up after this long when nobody says otherwise: no wait is without a bound.
pub const READ_TIMEOUT: Duration = Duration::from_secs(300);

/// An attempt without a limit of its own ends after this long.
pub(crate) const TIME_LIMIT_LONGEST: Duration = Duration::from_secs(7 * 24 * 3600);
