//! `run`: one kind of PoSt, its parameters checked, then the work.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use proofs_core::params;
use proofs_core::params::fetch::{FetchOptions, provide};
use sp_net::config;
use sp_types::{SectorSize, TaskKind};
use sp_worker::executor::Role;
use sp_worker::launch::{self, Launch};
use sp_worker::settings::{Shared, Usage, lotus_flag, lotus_value};

/// Prefix of this binary's environment variables.
pub(crate) const PREFIX: &str = "SP_POST_WORKER_";

/// Challenge reads at once.
const PARALLEL_READS: usize = 32;

/// How often the log says how far a fetch of parameters is.
const FETCH_REPORT_EVERY: Duration = Duration::from_secs(10);

/// Lotus's variables that only a sealing worker has a use for.
const NOT_HERE: [(&str, &str); 1] =
    [("LOTUS_WORKER_NO_DEFAULT", "a PoSt worker takes no task but the one that --windowpost or --winningpost names")];

sp_worker::worker_settings! {
    /// Settings of `run`.
    Settings, "SP_POST_WORKER_", {
        /// Prove window PoSt partitions
        #[arg(long, env = "SP_POST_WORKER_WINDOWPOST", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
        windowpost: bool,
        /// Prove winning PoSts
        #[arg(long, env = "SP_POST_WORKER_WINNINGPOST", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
        winningpost: bool,
        /// Challenge reads at once, 0 for no limit [default: 32]
        #[arg(long, env = "SP_POST_WORKER_POST_PARALLEL_READS", value_name = "N")]
        post_parallel_reads: usize,
        /// Limit of one challenge read, 0 for the task's; the shorter of both counts [default: 0]
        #[arg(long, env = "SP_POST_WORKER_POST_READ_TIMEOUT", value_name = "TIME")]
        post_read_timeout: config::Duration,
        /// A sealing task
        #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
        addpiece: bool,
        /// A sealing task
        #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
        precommit1: bool,
        /// A sealing task
        #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
        precommit2: bool,
        /// A sealing task
        #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
        commit: bool,
        /// A sealing task
        #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
        unseal: bool,
        /// A sealing task
        #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
        replica_update: bool,
        /// A sealing task
        #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
        prove_replica_update2: bool,
        /// A sealing task
        #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
        regen_sector_key: bool,
    }
}

/// Flags of `run`.
#[derive(Debug, clap::Args)]
pub(crate) struct Run {
    /// Configuration file (TOML, one table [worker], keys as the flags)
    #[arg(long, env = "SP_POST_WORKER_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    settings: Settings,
}

/// Runs the worker until it is asked to stop.
pub(crate) fn run(run: Run) -> anyhow::Result<()> {
    let file: File = config::load(run.config.as_deref())?;
    let settings = run.settings.or(lotus()?).or(file.worker);
    let (task, kind) = task(&settings)?;
    launch::warn_of_useless_variables(&NOT_HERE);
    let shared = settings.shared();
    let sizes = launch::sector_sizes(&shared)?;
    let parameters = shared.parameters.clone().map_or_else(params::default_dir, Ok)?;
    check_parameters(&shared.network, kind, &parameters, &sizes, fetch_options(&shared)?.as_ref())?;
    let readers = launch::cores(&shared)?.min(4);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("starting the runtime")?;
    runtime.block_on(launch::launch(Launch {
        service: "sp-post-worker",
        shared,
        tasks: vec![task],
        sizes,
        parameters,
        pools: vec![(Role::Prover, 1), (Role::Reader, readers)],
        warm: true,
        gpus_usable: sp_executor::COMPUTES_ON_GPUS,
        post_parallel_reads: settings.post_parallel_reads.unwrap_or(PARALLEL_READS),
        post_read_timeout: settings.post_read_timeout.map_or(Duration::ZERO, |timeout| timeout.0),
    }))
}

/// Exactly one kind of PoSt, and nothing else.
fn task(settings: &Settings) -> anyhow::Result<(TaskKind, params::Kind)> {
    let sealing = [
        (settings.addpiece, "addpiece"),
        (settings.precommit1, "precommit1"),
        (settings.precommit2, "precommit2"),
        (settings.commit, "commit"),
        (settings.unseal, "unseal"),
        (settings.replica_update, "replica-update"),
        (settings.prove_replica_update2, "prove-replica-update2"),
        (settings.regen_sector_key, "regen-sector-key"),
    ];
    if let Some((_, task)) = sealing.iter().find(|(asked, _)| *asked == Some(true)) {
        let variable = task.to_uppercase().replace('-', "_");
        bail!(Usage(format!(
            "--{task} (or LOTUS_WORKER_{variable}): a PoSt worker does only PoSt, so that sealing can never delay a \
             proof; start sp-sealing-worker"
        )));
    }
    match (settings.windowpost.unwrap_or(false), settings.winningpost.unwrap_or(false)) {
        (true, false) => Ok((TaskKind::GenerateWindowPost, params::Kind::Window)),
        (false, true) => Ok((TaskKind::GenerateWinningPost, params::Kind::Winning)),
        (true, true) => bail!(Usage::new(
            "a PoSt worker does either window or winning PoSt, never both; start one sp-post-worker with --windowpost \
             and another with --winningpost"
        )),
        (false, false) => {
            bail!(Usage::new("which PoSt? give --windowpost or --winningpost to this sp-post-worker"))
        }
    }
}

/// The network first: whoever named the wrong directory is not to be told how to complete it. With `fetch` what is
/// missing is fetched, in this process: it has nothing else to do before, and whatever ends it ends that too.
fn check_parameters(
    network: &str,
    kind: params::Kind,
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
    for size in sizes {
        provide(kind, *size, dir, fetch, &|progress| tracing::info!("parameters: {progress}"))
            .with_context(|| format!("proving needs the {kind} PoSt parameters"))?;
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
        windowpost: flag("WINDOWPOST")?,
        winningpost: flag("WINNINGPOST")?,
        post_parallel_reads: lotus_value(PREFIX, "POST_PARALLEL_READS")?,
        post_read_timeout: lotus_value(PREFIX, "POST_READ_TIMEOUT")?,
        addpiece: flag("ADDPIECE")?,
        precommit1: flag("PRECOMMIT1")?,
        precommit2: flag("PRECOMMIT2")?,
        commit: flag("COMMIT")?,
        unseal: flag("UNSEAL")?,
        replica_update: flag("REPLICA_UPDATE")?,
        prove_replica_update2: flag("PROVE_REPLICA_UPDATE2")?,
        regen_sector_key: flag("REGEN_SECTOR_KEY")?,
        ..Settings::default()
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        run: Run,
    }

    fn task_of(flags: &[&str]) -> Result<TaskKind, String> {
        let cli = Cli::parse_from(["x"].iter().chain(flags));
        task(&cli.run.settings).map(|(task, _)| task).map_err(|e| e.to_string())
    }

    #[test]
    fn exactly_one_kind_and_no_sealing() {
        assert_eq!(task_of(&["--windowpost"]), Ok(TaskKind::GenerateWindowPost));
        assert_eq!(task_of(&["--winningpost", "--precommit1=false"]), Ok(TaskKind::GenerateWinningPost));
        assert!(task_of(&[]).unwrap_err().contains("--windowpost or --winningpost"));
        assert!(task_of(&["--windowpost", "--winningpost"]).unwrap_err().contains("never both"));
        assert!(task_of(&["--windowpost", "--precommit1"]).unwrap_err().contains("does only PoSt"));
    }

    #[test]
    fn published_parameters_are_fetched_on_real_networks_unless_told_not_to() {
        let fetches = |flags: &[&str]| {
            let settings = Cli::parse_from(["x"].iter().chain(flags)).run.settings;
            fetch_options(&settings.shared()).unwrap().is_some()
        };
        assert!(fetches(&["--network", "mainnet"]));
        assert!(fetches(&["--network", "mainnet", "--no-param-fetch=false"]));
        assert!(!fetches(&["--network", "mainnet", "--no-param-fetch"]));
        assert!(!fetches(&[]) && !fetches(&["--no-param-fetch=false"]));
    }
}
