//! `run`: which tasks this worker takes, whether it can do them, and then the work.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use proofs_core::params::fetch::{FetchOptions, provide};
use proofs_core::params::{self, Kind};
use sp_net::config;
use sp_types::{SectorSize, TaskKind};
use sp_worker::executor::Role;
use sp_worker::launch::{self, Launch};
use sp_worker::settings::{Shared, Usage, lotus_flag, lotus_value};

/// What every sealing worker takes.
const ALWAYS: [TaskKind; 6] = [
    TaskKind::Commit1,
    TaskKind::Finalize,
    TaskKind::FinalizeUnsealed,
    TaskKind::ProveReplicaUpdate1,
    TaskKind::FinalizeReplicaUpdate,
    TaskKind::Fetch,
];

/// How often the log says how far a fetch of parameters is.
const FETCH_REPORT_EVERY: Duration = Duration::from_secs(10);

/// Prefix of this binary's environment variables.
pub(crate) const PREFIX: &str = "SP_SEALING_WORKER_";

/// Lotus's variables that only a PoSt worker has a use for.
const NOT_HERE: [(&str, &str); 2] = [
    ("LOTUS_WORKER_POST_PARALLEL_READS", "a sealing worker does no PoSt; sp-post-worker reads it"),
    ("LOTUS_WORKER_POST_READ_TIMEOUT", "a sealing worker does no PoSt; sp-post-worker reads it"),
];

sp_worker::worker_settings! {
    /// Settings of `run`.
    Settings, "SP_SEALING_WORKER_", {
        /// Take AP: write pieces into sectors [default: true]
        #[arg(long, env = "SP_SEALING_WORKER_ADDPIECE", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
        addpiece: bool,
        /// Take DC: compute commitments of pieces that are in no sector [default: as --addpiece]
        #[arg(long, env = "SP_SEALING_WORKER_DATA_CID", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
        data_cid: bool,
        /// Take PC1: label the layers [default: true]
        #[arg(long, env = "SP_SEALING_WORKER_PRECOMMIT1", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
        precommit1: bool,
        /// Take PC2: build the trees, encode [default: true]
        #[arg(long, env = "SP_SEALING_WORKER_PRECOMMIT2", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
        precommit2: bool,
        /// Take C2: prove [default: true]
        #[arg(long, env = "SP_SEALING_WORKER_COMMIT", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
        commit: bool,
        /// Take UNS: unseal [default: true]
        #[arg(long, env = "SP_SEALING_WORKER_UNSEAL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
        unseal: bool,
        /// Take RU: snap new data into sealed sectors [default: true]
        #[arg(long, env = "SP_SEALING_WORKER_REPLICA_UPDATE", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
        replica_update: bool,
        /// Take PR2: prove a snap [default: true]
        #[arg(long, env = "SP_SEALING_WORKER_PROVE_REPLICA_UPDATE2", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
        prove_replica_update2: bool,
        /// Take GSK: get the replica before a snap back out of its update [default: true]
        #[arg(long, env = "SP_SEALING_WORKER_REGEN_SECTOR_KEY", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
        regen_sector_key: bool,
        /// Take DL: download sectors that were sealed elsewhere to paths with --store [default: false]
        #[arg(long, env = "SP_SEALING_WORKER_DOWNLOAD", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
        download: bool,
        /// Take only the tasks that every sealing worker takes (C1, FIN, FUS, PR1, FRU, GET) and those asked for
        #[arg(long, env = "SP_SEALING_WORKER_NO_DEFAULT", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
        no_default: bool,
        /// Lotus's way to a PoSt worker
        #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
        windowpost: bool,
        /// Lotus's way to a PoSt worker
        #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
        winningpost: bool,
    }
}

/// Flags of `run`.
#[derive(Debug, clap::Args)]
pub(crate) struct Run {
    /// Configuration file (TOML, one table [worker], keys as the flags)
    #[arg(long, env = "SP_SEALING_WORKER_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    settings: Settings,
}

/// Runs the worker until it is asked to stop.
pub(crate) fn run(run: Run) -> anyhow::Result<()> {
    let file: File = config::load(run.config.as_deref())?;
    let settings = run.settings.or(lotus()?).or(file.worker);
    if settings.windowpost == Some(true) || settings.winningpost == Some(true) {
        bail!(Usage::new(
            "a sealing worker never does PoSt; start `sp-post-worker run --windowpost` (or --winningpost) beside it"
        ));
    }
    launch::warn_of_useless_variables(&NOT_HERE);
    let shared = settings.shared();
    let tasks = tasks(&settings);
    let sizes = launch::sector_sizes(&shared)?;
    let parameters = shared.parameters.clone().map_or_else(params::default_dir, Ok)?;
    check_parameters(&shared.network, &tasks, &parameters, &sizes, fetch_options(&shared)?.as_ref())?;
    let cores = launch::cores(&shared)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("starting the runtime")?;
    runtime.block_on(launch::launch(Launch {
        service: "sp-sealing-worker",
        shared,
        tasks,
        sizes,
        parameters,
        pools: vec![(Role::Task, cores), (Role::Prover, 1), (Role::Reader, cores.min(4))],
        warm: false,
        gpus_usable: sp_executor::COMPUTES_ON_GPUS,
        post_parallel_reads: 0,
        post_read_timeout: Duration::ZERO,
    }))
}

/// The tasks that are switched on, and those that every sealing worker takes.
fn tasks(settings: &Settings) -> Vec<TaskKind> {
    let default = !settings.no_default.unwrap_or(false);
    // As in Lotus: who packs pieces can say what they come to.
    let data_cid = settings.data_cid.or(settings.addpiece);
    let optional = [
        (data_cid, TaskKind::DataCid),
        (settings.addpiece, TaskKind::AddPiece),
        (settings.precommit1, TaskKind::PreCommit1),
        (settings.precommit2, TaskKind::PreCommit2),
        (settings.commit, TaskKind::Commit2),
        (settings.unseal, TaskKind::Unseal),
        (settings.replica_update, TaskKind::ReplicaUpdate),
        (settings.prove_replica_update2, TaskKind::ProveReplicaUpdate2),
        (settings.regen_sector_key, TaskKind::RegenSectorKey),
    ];
    let chosen = optional.into_iter().filter(|(asked, _)| asked.unwrap_or(default)).map(|(_, task)| task);
    // As in Lotus: only where it was asked for, since whoever downloads opens connections to others.
    let download = settings.download.unwrap_or(false).then_some(TaskKind::DownloadSector);
    chosen.chain(download).chain(ALWAYS).collect()
}

/// A proof without its parameters would fail hours into a sector: better not to start, or to fetch them first. A worker
/// that proves nothing needs none, but development parameters on a real network are a mistake on any worker: a proof is
/// one setting away. That comes first: nothing is fetched into their directory.
fn check_parameters(
    network: &str,
    tasks: &[TaskKind],
    dir: &Path,
    sizes: &[SectorSize],
    fetch: Option<&FetchOptions>,
) -> anyhow::Result<()> {
    if network != "dev" && params::is_insecure(dir) {
        bail!(
            "the parameters in {} are INSECURE development parameters; network {network} refuses them: give the \
             directory of the published ones with --parameters DIR",
            dir.display()
        );
    }
    let needs = [
        (TaskKind::Commit2, Kind::Porep, "C2 (--commit) needs the PoRep parameters"),
        (
            TaskKind::ProveReplicaUpdate2,
            Kind::Update,
            "PR2 needs the update parameters (--prove-replica-update2=false for a worker that proves no snaps)",
        ),
    ];
    for (task, kind, reason) in needs {
        for size in sizes.iter().filter(|_| tasks.contains(&task)) {
            provide(kind, *size, dir, fetch, &|progress| tracing::info!("parameters: {progress}")).context(reason)?;
        }
    }
    Ok(())
}

/// Published parameters are fetched where they are needed and wanted.
fn fetch_options(shared: &Shared) -> anyhow::Result<Option<FetchOptions>> {
    let wanted = shared.network != "dev" && !shared.no_param_fetch;
    Ok(wanted.then(|| FetchOptions::from_gateway(FETCH_REPORT_EVERY)).transpose()?)
}

/// Lotus's names of the same settings.
fn lotus() -> anyhow::Result<Settings> {
    let flag = |key| lotus_flag(PREFIX, key);
    Ok(Settings {
        name: lotus_value(PREFIX, "NAME")?,
        listen: lotus_value(PREFIX, "LISTEN")?,
        no_local_storage: flag("NO_LOCAL_STORAGE")?,
        no_swap: flag("NO_SWAP")?,
        parallel_fetch_limit: lotus_value(PREFIX, "PARALLEL_FETCH_LIMIT")?,
        addpiece: flag("ADDPIECE")?,
        data_cid: flag("DATA_CID")?,
        precommit1: flag("PRECOMMIT1")?,
        precommit2: flag("PRECOMMIT2")?,
        commit: flag("COMMIT")?,
        unseal: flag("UNSEAL")?,
        replica_update: flag("REPLICA_UPDATE")?,
        prove_replica_update2: flag("PROVE_REPLICA_UPDATE2")?,
        regen_sector_key: flag("REGEN_SECTOR_KEY")?,
        download: flag("SECTOR_DOWNLOAD")?,
        no_default: flag("NO_DEFAULT")?,
        windowpost: flag("WINDOWPOST")?,
        winningpost: flag("WINNINGPOST")?,
        ..Settings::default()
    })
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        run: Run,
    }

    fn chosen(flags: &[&str]) -> Vec<&'static str> {
        let cli = Cli::parse_from(["x"].iter().chain(flags));
        tasks(&cli.run.settings).into_iter().map(TaskKind::short).collect()
    }

    #[test]
    fn task_flags_switch_on_and_off() {
        let always = ["C1", "FIN", "FUS", "PR1", "FRU", "GET"];
        let with = |tasks: &[&'static str]| [tasks, &always].concat();
        assert_eq!(chosen(&[]), with(&["DC", "AP", "PC1", "PC2", "C2", "UNS", "RU", "PR2", "GSK"]));
        let off = ["--addpiece=false", "--commit=false", "--prove-replica-update2=false"];
        assert_eq!(chosen(&off), with(&["PC1", "PC2", "UNS", "RU", "GSK"]));
        assert_eq!(chosen(&["--no-default", "--precommit1"]), with(&["PC1"]));
        assert_eq!(chosen(&["--no-default", "--data-cid"]), with(&["DC"]));
        assert_eq!(chosen(&["--no-default", "--addpiece", "--data-cid=false"]), with(&["AP"]));
        let snap = ["--no-default", "--addpiece=true", "--replica-update", "--regen-sector-key"];
        assert_eq!(chosen(&snap), with(&["DC", "AP", "RU", "GSK"]));
        assert_eq!(chosen(&["--no-default", "--download"]), with(&["DL"]));
        assert!(ALWAYS.iter().all(|task| task.always_on()));
    }

    #[test]
    fn development_parameters_are_refused_on_real_networks_with_and_without_proofs() {
        let dir = tempfile::tempdir().unwrap();
        let check =
            |network, tasks: &[TaskKind]| check_parameters(network, tasks, dir.path(), &[SectorSize::KiB2], None);
        // None at all: only the proofs miss them.
        assert!(check("mainnet", &[TaskKind::Commit1, TaskKind::ProveReplicaUpdate1]).is_ok());
        for (task, words) in [
            (TaskKind::Commit2, "C2 (--commit) needs the PoRep parameters"),
            (TaskKind::ProveReplicaUpdate2, "needs the update parameters"),
        ] {
            let refused = check("dev", &[task]).unwrap_err().to_string();
            assert!(refused.contains(words), "{refused}");
        }
        std::fs::write(dir.path().join(params::INSECURE_MARKER), "").unwrap();
        assert!(check("dev", &[TaskKind::Commit1]).is_ok());
        let refused = check("mainnet", &[TaskKind::Commit1]).unwrap_err().to_string();
        assert!(refused.contains("INSECURE") && refused.contains("mainnet"), "{refused}");
    }

    #[test]
    fn flags_go_before_the_file_and_unknown_keys_are_errors() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.toml");
        let text = "[worker]\nname = 'file'\nno-swap = true\ncpus = 4\nmemory = '8GiB'\ngpus = 'none'\n";
        std::fs::write(&path, text).unwrap();
        let file: File = config::load(Some(&path)).unwrap();
        let flags = Cli::parse_from(["x", "--name", "flag", "--cpus", "2", "--gpus", "0,GPU-8932f937"]).run.settings;
        let merged = flags.or(file.worker.clone()).shared();
        assert_eq!((merged.name.as_deref(), merged.no_swap), (Some("flag"), true));
        assert_eq!((merged.cpus.map(|n| n.get()), merged.memory.map(|size| size.0.0)), (Some(2), Some(8 << 30)));
        assert_eq!((merged.gpus, file.worker.gpus), ("0,GPU-8932f937".parse().unwrap(), "none".parse().ok()));
        for bad in [["--cpus", "0"], ["--memory", "64"], ["--gpus", "MIG-1c2f"], ["--gpus", "0"]] {
            assert!(Cli::try_parse_from(["x"].iter().chain(&bad)).is_err(), "{bad:?}");
        }
        std::fs::write(&path, "[worker]\nnaem = 'x'\n").unwrap();
        assert!(config::load::<File>(Some(&path)).unwrap_err().to_string().contains("unknown"));
    }
}
