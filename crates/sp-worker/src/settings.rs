//! Settings that both workers take: flags, environment, configuration file, and Lotus's names as second ones.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;

use sp_net::config::{ConfigError, Size, second_flag, second_value};
use sp_net::host::gpu::GpuChoice;

/// Declares the settings of a worker binary: the shared ones and its own, each a flag, a variable and a key.
///
/// The fields of its own bring their attributes. `or` takes what is set from the left, the rest from the right.
#[macro_export]
macro_rules! worker_settings {
    ($(#[$doc:meta])* $name:ident, $prefix:literal, { $($(#[$attribute:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Default, clap::Args, serde::Deserialize)]
        #[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
        struct $name {
            /// Address of the scheduler, http://HOST:PORT
            #[arg(long, env = concat!($prefix, "SCHEDULER"), value_name = "URL")]
            scheduler: Option<String>,
            /// Address of the storage index, http://HOST:PORT
            #[arg(long, env = concat!($prefix, "INDEX"), value_name = "URL")]
            index: Option<String>,
            /// Where this worker keeps its state; one process per directory
            #[arg(long, env = concat!($prefix, "DATA_DIR"), value_name = "DIR")]
            data_dir: Option<std::path::PathBuf>,
            /// Where the data plane listens [default: 127.0.0.1:0]
            #[arg(long, env = concat!($prefix, "LISTEN"), value_name = "ADDRESS")]
            listen: Option<std::net::SocketAddr>,
            /// Answer metrics for Prometheus here, at /metrics, for example 127.0.0.1:9790 [default: nowhere]
            #[arg(long, env = concat!($prefix, "METRICS"), value_name = "ADDRESS")]
            metrics: Option<std::net::SocketAddr>,
            /// Name of the cluster; another cluster's services refuse this worker [default: dev]
            #[arg(long, env = concat!($prefix, "CLUSTER"))]
            cluster: Option<String>,
            /// Network; any other than dev refuses development parameters [default: dev]
            #[arg(long, env = concat!($prefix, "NETWORK"))]
            network: Option<String>,
            /// Display name [default: the host name]
            #[arg(long, env = concat!($prefix, "NAME"))]
            name: Option<String>,
            /// What tells this host from others: workers of one host share its memory, cores and GPUs. Give it to hosts that
            /// were cloned with their machine id [default: machine id and boot id]
            #[arg(long, env = concat!($prefix, "HOST_ID"), value_name = "ID")]
            host_id: Option<String>,
            /// Which paths have their file operations done by a child process of their own, so that one that hangs holds up
            /// nothing else: auto (those on file systems of a network or served by a process), always, never [default: auto]
            #[arg(long, env = concat!($prefix, "DISK_CHILDREN"), value_name = "PATHS")]
            disk_children: Option<$crate::disks::DiskChildrenFor>,
            /// Do not make a store in the data directory on the first run
            #[arg(long, env = concat!($prefix, "NO_LOCAL_STORAGE"), num_args = 0..=1, require_equals = true, default_missing_value = "true")]
            no_local_storage: Option<bool>,
            /// Report no swap
            #[arg(long, env = concat!($prefix, "NO_SWAP"), num_args = 0..=1, require_equals = true, default_missing_value = "true")]
            no_swap: Option<bool>,
            /// Cores that this worker may take of its host [default: all that this process may use]
            #[arg(long, env = concat!($prefix, "CPUS"), value_name = "N")]
            cpus: Option<std::num::NonZeroU32>,
            /// Memory that this worker may take of its host, such as 64GiB [default: all that this process may use]
            #[arg(long, env = concat!($prefix, "MEMORY"), value_name = "SIZE")]
            memory: Option<sp_net::config::Size>,
            /// GPUs that this worker may take: all, none, a number of them, or a list of indices and UUIDs such as
            /// 0,1 or GPU-8932f937 (one index alone: device=0) [default: all that this process sees]
            #[arg(long, env = concat!($prefix, "GPUS"), value_name = "GPUS")]
            gpus: Option<sp_net::host::gpu::GpuChoice>,
            /// Files fetched at once [default: 5]
            #[arg(long, env = concat!($prefix, "PARALLEL_FETCH_LIMIT"), value_name = "N")]
            parallel_fetch_limit: Option<usize>,
            /// Streams that one file is fetched over [default: 4]
            #[arg(long, env = concat!($prefix, "FETCH_STREAMS"), value_name = "N")]
            fetch_streams: Option<std::num::NonZeroU32>,
            /// What all fetches together take per second at most, such as 500MiB [default: no limit]
            #[arg(long, env = concat!($prefix, "FETCH_RATE"), value_name = "SIZE")]
            fetch_rate: Option<sp_net::config::Size>,
            /// What the data plane sends per second at most, such as 500MiB [default: no limit]
            #[arg(long, env = concat!($prefix, "SEND_RATE"), value_name = "SIZE")]
            send_rate: Option<sp_net::config::Size>,
            /// Sector sizes to prove, separated by commas [default: 2KiB on network dev, else 32GiB]
            #[arg(long, env = concat!($prefix, "SECTOR_SIZE"), value_name = "SIZES")]
            sector_size: Option<String>,
            /// Directory of the proof parameters [default: FIL_PROOFS_PARAMETER_CACHE, else our own]
            #[arg(long, env = concat!($prefix, "PARAMETERS"), value_name = "DIR")]
            parameters: Option<std::path::PathBuf>,
            /// On networks other than dev: do not fetch the published parameters that are missing at the start, from the
            /// gateway that IPFS_GATEWAY names or https://proofs.filecoin.io/ipfs/, nor digest those that are new here
            #[arg(long, env = concat!($prefix, "NO_PARAM_FETCH"), num_args = 0..=1, require_equals = true, default_missing_value = "true")]
            no_param_fetch: Option<bool>,
            /// A child of the scheduler's host, last in choice
            #[arg(long, hide = true, env = concat!($prefix, "BUILTIN"), num_args = 0..=1, require_equals = true, default_missing_value = "true")]
            builtin: Option<bool>,
            $($(#[$attribute])* $field: Option<$type>,)*
        }

        impl $name {
            /// What is set here, else what is set there.
            fn or(self, other: Self) -> Self {
                Self {
                    scheduler: self.scheduler.or(other.scheduler),
                    index: self.index.or(other.index),
                    data_dir: self.data_dir.or(other.data_dir),
                    listen: self.listen.or(other.listen),
                    metrics: self.metrics.or(other.metrics),
                    cluster: self.cluster.or(other.cluster),
                    network: self.network.or(other.network),
                    name: self.name.or(other.name),
                    host_id: self.host_id.or(other.host_id),
                    disk_children: self.disk_children.or(other.disk_children),
                    no_local_storage: self.no_local_storage.or(other.no_local_storage),
                    no_swap: self.no_swap.or(other.no_swap),
                    cpus: self.cpus.or(other.cpus),
                    memory: self.memory.or(other.memory),
                    gpus: self.gpus.or(other.gpus),
                    parallel_fetch_limit: self.parallel_fetch_limit.or(other.parallel_fetch_limit),
                    fetch_streams: self.fetch_streams.or(other.fetch_streams),
                    fetch_rate: self.fetch_rate.or(other.fetch_rate),
                    send_rate: self.send_rate.or(other.send_rate),
                    sector_size: self.sector_size.or(other.sector_size),
                    parameters: self.parameters.or(other.parameters),
                    no_param_fetch: self.no_param_fetch.or(other.no_param_fetch),
                    builtin: self.builtin.or(other.builtin),
                    $($field: self.$field.or(other.$field),)*
                }
            }

            /// The settings that both workers take.
            fn shared(&self) -> $crate::settings::Shared {
                $crate::settings::Shared {
                    scheduler: self.scheduler.clone(),
                    index: self.index.clone(),
                    data_dir: self.data_dir.clone(),
                    listen: self.listen,
                    metrics: self.metrics,
                    cluster: self.cluster.clone().unwrap_or_else(|| "dev".to_owned()),
                    network: self.network.clone().unwrap_or_else(|| "dev".to_owned()),
                    name: self.name.clone(),
                    host_id: self.host_id.clone(),
                    disk_children: self.disk_children.unwrap_or_default(),
                    no_local_storage: self.no_local_storage.unwrap_or(false),
                    no_swap: self.no_swap.unwrap_or(false),
                    cpus: self.cpus,
                    memory: self.memory,
                    gpus: self.gpus.clone().unwrap_or_default(),
                    parallel_fetch_limit: self.parallel_fetch_limit,
                    fetch_streams: self.fetch_streams,
                    fetch_rate: self.fetch_rate,
                    send_rate: self.send_rate,
                    sector_size: self.sector_size.clone(),
                    parameters: self.parameters.clone(),
                    no_param_fetch: self.no_param_fetch.unwrap_or(false),
                    builtin: self.builtin.unwrap_or(false),
                }
            }
        }

        /// The configuration file: one table.
        #[derive(Debug, Default, serde::Deserialize)]
        #[serde(default, deny_unknown_fields)]
        struct File {
            worker: $name,
        }
    };
}

/// Settings that both workers take, merged.
#[derive(Debug, Clone, Default)]
pub struct Shared {
    /// Address of the scheduler.
    pub scheduler: Option<String>,
    /// Address of the storage index.
    pub index: Option<String>,
    /// State of the worker.
    pub data_dir: Option<PathBuf>,
    /// Address of the data plane.
    pub listen: Option<SocketAddr>,
    /// Address of the metrics.
    pub metrics: Option<SocketAddr>,
    /// Name of the cluster.
    pub cluster: String,
    /// Network.
    pub network: String,
    /// Display name.
    pub name: Option<String>,
    /// What tells this host from others.
    pub host_id: Option<String>,
    /// Which paths have their file operations done by a child of their own.
    pub disk_children: crate::disks::DiskChildrenFor,
    /// No store on the first run.
    pub no_local_storage: bool,
    /// Report no swap.
    pub no_swap: bool,
    /// Cores that this worker may take.
    pub cpus: Option<NonZeroU32>,
    /// Memory that this worker may take.
    pub memory: Option<Size>,
    /// GPUs that this worker may take.
    pub gpus: GpuChoice,
    /// Files fetched at once.
    pub parallel_fetch_limit: Option<usize>,
    /// Streams of one fetch.
    pub fetch_streams: Option<NonZeroU32>,
    /// Bytes per second of all fetches.
    pub fetch_rate: Option<Size>,
    /// Bytes per second that the data plane sends.
    pub send_rate: Option<Size>,
    /// Sector sizes, separated by commas.
    pub sector_size: Option<String>,
    /// Directory of the proof parameters.
    pub parameters: Option<PathBuf>,
    /// Do not fetch parameters that are missing.
    pub no_param_fetch: bool,
    /// A child of the scheduler's host.
    pub builtin: bool,
}

/// Settings that make no sense together, with what to give instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Usage(pub String);

impl Usage {
    /// As an error with its text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

/// Reads a Lotus variable as the second name of one of ours. `prefix` is ours, `key` the common rest.
pub fn lotus_value<T: std::str::FromStr>(prefix: &str, key: &str) -> Result<Option<T>, ConfigError>
where
    T::Err: std::fmt::Display,
{
    second_value(&format!("{prefix}{key}"), &format!("LOTUS_WORKER_{key}"))
}

/// As [`lotus_value`], for a switch.
pub fn lotus_flag(prefix: &str, key: &str) -> Result<Option<bool>, ConfigError> {
    second_flag(&format!("{prefix}{key}"), &format!("LOTUS_WORKER_{key}"))
}
