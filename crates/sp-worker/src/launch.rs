//! Starts a real worker process: limits, data directory, leftovers, executor children, then the worker itself.
// Main wiring of both binaries: it reads the machine so that nothing below it has to.
#![allow(clippy::disallowed_methods)]

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use sp_net::config::Size;
use sp_net::lock::DataDir;
use sp_net::{Env, host, limits, shutdown};
use sp_proto::v1::exec_request::Op;
use sp_proto::v1::{self, ExecRequest, ExecWarm};
use sp_types::{HostId, RegisteredSealProof, ResourceTable, SealFeature, SectorSize, TaskKind};
use tokio_util::sync::CancellationToken;

use crate::children::{ChildConfig, ChildExecutor, end_leftovers};
use crate::disks::{DiskChildren, Disks};
use crate::executor::{Executor, Job, Role};
use crate::settings::Shared;
use crate::{Options, Transfers, Worker, hardware, requirements, upstream_env};

/// Variable of a test hook: every proof comes out wrong. Honoured on network dev only.
pub const WRONG_PROOF_ENV: &str = "SP_TEST_WRONG_PROOF";

/// Variables that say how many threads upstream's pools have.
const THREADS_ENV: [&str; 2] = ["RAYON_NUM_THREADS", "EC_GPU_NUM_THREADS"];

/// A variable for the children; none takes it away.
type Variable = (OsString, Option<OsString>);

/// How long children may take to get ready at the start: the largest parameters come from a disk first.
const WARM_WITHIN: Duration = Duration::from_secs(600);

/// What distinguishes one worker binary from the other.
pub struct Launch {
    /// Name of the binary.
    pub service: &'static str,
    /// Settings of both.
    pub shared: Shared,
    /// Tasks that it accepts.
    pub tasks: Vec<TaskKind>,
    /// Sector sizes that it handles.
    pub sizes: Vec<SectorSize>,
    /// Directory of the proof parameters.
    pub parameters: PathBuf,
    /// Children by role.
    pub pools: Vec<(Role, usize)>,
    /// Do not register before the prover has its parameters and the reader runs.
    pub warm: bool,
    /// The executors compute on GPUs.
    pub gpus_usable: bool,
    /// Challenge reads at once; 0 for no limit.
    pub post_parallel_reads: usize,
    /// Limit of one challenge read; zero for the task's.
    pub post_read_timeout: Duration,
}

/// Sector sizes of a setting, or those that fit the network.
pub fn sector_sizes(shared: &Shared) -> anyhow::Result<Vec<SectorSize>> {
    let default = if shared.network == "dev" { "2KiB" } else { "32GiB" };
    let text = shared.sector_size.as_deref().unwrap_or(default);
    text.split(',').map(|size| size.parse().context("--sector-size")).collect()
}

/// Says which variables of Lotus and upstream are set and do nothing; `others` are those of this kind of worker alone.
pub fn warn_of_useless_variables(others: &[(&str, &str)]) {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    for line in upstream_env::remarks(is_set, others) {
        tracing::warn!("{line}");
    }
}

/// Cores of this machine that this worker may use.
pub fn cores(shared: &Shared) -> anyhow::Result<usize> {
    Ok(hardware::cores(shared)? as usize)
}

/// Runs the worker until it is asked to stop.
pub async fn launch(launch: Launch) -> anyhow::Result<()> {
    let Launch {
        service,
        shared,
        tasks,
        sizes,
        parameters,
        pools,
        warm,
        gpus_usable,
        post_parallel_reads,
        post_read_timeout,
    } = launch;
    let (scheduler, index) = addresses(&shared)?;
    limits::raise_file_limit(&shared.network)?;
    let data_dir = std::path::absolute(shared.data_dir.clone().map_or_else(|| default_data_dir(service), Ok)?)?;
    let lock = DataDir::open(&data_dir)?;
    let leftovers = data_dir.clone();
    let left_behind = tokio::task::spawn_blocking(move || end_leftovers(&leftovers)).await??;
    let disks = Disks::new(
        shared.disk_children,
        DiskChildren {
            program: "/proc/self/exe".into(),
            arguments: vec!["disk".into()],
            data_dir: data_dir.clone(),
            left_behind,
        },
    )?;
    let settings = shared.clone();
    let hardware = tokio::task::spawn_blocking(move || hardware::open(&settings, gpus_usable)).await??;
    for line in requirements::remarks(&tasks, &sizes, &(hardware.capacity)()) {
        tracing::warn!("{line}");
    }
    let executor: Arc<dyn Executor> = Arc::new(ChildExecutor::new(ChildConfig {
        program: "/proc/self/exe".into(),
        arguments: vec!["executor".into()],
        environment: environment(&shared, &parameters)?,
        data_dir: data_dir.clone(),
        own_tmpdir: std::env::var_os("TMPDIR").is_none(),
        pools,
        computes_on_gpus: gpus_usable,
    })?);
    let mut stop = Box::pin(shutdown::signal()?);
    if warm {
        tokio::select! {
            warmed = warm_up(executor.as_ref(), &tasks, &sizes) => warmed?,
            () = &mut stop => return Ok(()),
        }
    }
    let resources = ResourceTable::with_env(
        std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))),
    )?;
    let options = Options {
        service,
        name: shared.name.clone().unwrap_or_else(host::host_name),
        cluster: shared.cluster.clone(),
        scheduler,
        index,
        data_dir,
        home: std::env::var_os("HOME").map_or_else(|| "/".into(), PathBuf::from),
        listen: shared.listen.unwrap_or_else(|| ([127, 0, 0, 1], 0).into()),
        metrics: shared.metrics,
        announce: true,
        local_storage: !shared.no_local_storage,
        parallel_fetch_limit: shared.parallel_fetch_limit.unwrap_or(5),
        transfers: transfers(&shared),
        tasks,
        seal_proofs: seal_proofs(&sizes),
        resources,
        builtin: shared.builtin,
        post_parallel_reads,
        post_read_timeout,
        host: host_id(&shared)?,
        pid: std::process::id(),
        build: env!("CARGO_PKG_VERSION").to_owned(),
        capacity: hardware.capacity,
        limits: hardware.limits,
    };
    let worker = Worker::open(Env::real(), Arc::new(disks), executor, options).await?;
    worker.run(stop).await?;
    drop(lock);
    Ok(())
}

fn host_id(shared: &Shared) -> anyhow::Result<HostId> {
    match &shared.host_id {
        Some(id) => HostId::new(id).context("--host-id"),
        None => Ok(host::host_id()?),
    }
}

fn transfers(shared: &Shared) -> Transfers {
    let rate = |size: Option<Size>| size.map_or(0, |Size(bytes)| bytes.0);
    let streams = shared.fetch_streams.map_or(Transfers::default().streams, |streams| streams.get() as usize);
    Transfers { streams, send_bytes_per_s: rate(shared.send_rate), fetch_bytes_per_s: rate(shared.fetch_rate) }
}

fn addresses(shared: &Shared) -> anyhow::Result<(String, String)> {
    let missing = |what: &str| {
        let mut text = format!("no address of the {what}; give --{what} http://HOST:PORT, or `{what}` under [worker]");
        if what == "scheduler" && std::env::var_os("MINER_API_INFO").is_some() {
            text.push_str(" (MINER_API_INFO is Lotus's; --scheduler URL takes its place)");
        }
        anyhow::anyhow!(text)
    };
    let scheduler = shared.scheduler.clone().ok_or_else(|| missing("scheduler"))?;
    Ok((scheduler, shared.index.clone().ok_or_else(|| missing("index"))?))
}

fn default_data_dir(service: &str) -> anyhow::Result<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let base = set("XDG_DATA_HOME").filter(|dir| dir.is_absolute());
    match base.or_else(|| set("HOME").map(|home| home.join(".local/share"))) {
        Some(base) => Ok(base.join("sp-cluster").join(service)),
        None => bail!("no home directory to keep the state in; give --data-dir DIR"),
    }
}

/// Everything of ours and upstream's is inherited; this comes on top.
fn environment(shared: &Shared, parameters: &Path) -> anyhow::Result<Vec<Variable>> {
    let network = &shared.network;
    let mut variables = vec![("FIL_PROOFS_PARAMETER_CACHE".into(), Some(parameters.into()))];
    if shared.cpus.is_some() {
        // What a worker may take it must not exceed: upstream's pools have a thread per core of the machine otherwise.
        let cores = OsString::from(hardware::cores(shared)?.to_string());
        let unset = THREADS_ENV.into_iter().filter(|name| std::env::var_os(name).is_none());
        variables.extend(unset.map(|name| (name.into(), Some(cores.clone()))));
    }
    if std::env::var_os(WRONG_PROOF_ENV).is_some() {
        if network == "dev" {
            tracing::error!("{WRONG_PROOF_ENV} is set: EVERY PROOF OF THIS WORKER IS WRONG ON PURPOSE (a test)");
        } else {
            tracing::error!("{WRONG_PROOF_ENV} is set; it is ignored on network {network}");
            variables.push((WRONG_PROOF_ENV.into(), None));
        }
    }
    Ok(variables)
}

fn seal_proofs(sizes: &[SectorSize]) -> Vec<RegisteredSealProof> {
    let features = [SealFeature::V1_1, SealFeature::Synthetic, SealFeature::NonInteractive];
    sizes.iter().flat_map(|&size| features.map(|feature| RegisteredSealProof { size, feature })).collect()
}

/// Whoever is given a PoSt has to be able to make it at once: nobody is told of this worker before prover and reader are
/// prepared.
async fn warm_up(executor: &dyn Executor, tasks: &[TaskKind], sizes: &[SectorSize]) -> anyhow::Result<()> {
    let all = sizes.iter().flat_map(|size| [(Role::Reader, *size), (Role::Prover, *size)]);
    let all = all.map(async |(role, size)| {
        let tasks = if role == Role::Prover { tasks } else { &[] };
        let tasks = tasks.iter().map(|task| v1::TaskKind::from(*task) as i32).collect();
        let seal_proof = RegisteredSealProof::v1_1(size).id();
        let op = Some(Op::Warm(ExecWarm { tasks }));
        let request = ExecRequest { seal_proof, op, ..Default::default() };
        let job = Job { role, request, limit: WARM_WITHIN, cancel: CancellationToken::new(), gpus: vec![] };
        let began = Instant::now();
        executor.run(job).await.with_context(|| format!("{role:?} for {size} sectors cannot be made ready"))?;
        tracing::info!(?role, %size, took_ms = began.elapsed().as_millis() as u64, "ready");
        anyhow::Ok(())
    });
    futures_util::future::try_join_all(all).await.map(drop)
}
