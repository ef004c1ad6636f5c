//! `sp-storage-index`: flags, configuration and wiring of the storage index.
#![forbid(unsafe_code)]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use clap::{Args, CommandFactory, Parser, Subcommand};
use serde::Deserialize;
use sp_net::lock::DataDir;
use sp_net::{Env, config, limits, logs, shutdown};
use sp_state::Redb;
use storage_index::{Options, SCHEMA_VERSION, Service};

const ENV_PREFIX: &str = "SP_STORAGE_INDEX_";

#[derive(Parser)]
#[command(name = "sp-storage-index", version, about = "Which file of which sector lies where, and who may put more")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the storage index
    Run(Run),
}

#[derive(Args)]
struct Run {
    /// TOML file with the settings below; flags and environment win over it
    #[arg(long, env = "SP_STORAGE_INDEX_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    settings: Settings,
}

#[derive(Args, Deserialize, Default)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
struct Settings {
    /// Where the state lies; made if missing
    #[arg(long, env = "SP_STORAGE_INDEX_DATA_DIR", value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Address to listen on, port 0 for any free one [default: 127.0.0.1:1789]
    #[arg(long, env = "SP_STORAGE_INDEX_LISTEN", value_name = "HOST:PORT")]
    listen: Option<SocketAddr>,
    /// Name of the cluster; peers of another one are refused [default: dev]
    #[arg(long, env = "SP_STORAGE_INDEX_CLUSTER", value_name = "NAME")]
    cluster: Option<String>,
    /// Filecoin network that the cluster works for [default: dev]
    #[arg(long, env = "SP_STORAGE_INDEX_NETWORK", value_name = "NAME")]
    network: Option<String>,
    /// Workers report the health of their stores this often [default: 10s]
    #[arg(long, env = "SP_STORAGE_INDEX_HEALTH_EVERY", value_name = "TIME")]
    health_every: Option<config::Duration>,
    /// A store without a report for this long takes no data [default: 30s]
    #[arg(long, env = "SP_STORAGE_INDEX_STALE_AFTER", value_name = "TIME")]
    stale_after: Option<config::Duration>,
    /// Answer metrics for Prometheus here, at /metrics, for example 127.0.0.1:9789 [default: nowhere]
    #[arg(long, env = "SP_STORAGE_INDEX_METRICS", value_name = "ADDRESS")]
    metrics: Option<SocketAddr>,
}

impl Settings {
    fn over(self, file: Self) -> Self {
        Self {
            data_dir: self.data_dir.or(file.data_dir),
            listen: self.listen.or(file.listen),
            cluster: self.cluster.or(file.cluster),
            network: self.network.or(file.network),
            health_every: self.health_every.or(file.health_every),
            stale_after: self.stale_after.or(file.stale_after),
            metrics: self.metrics.or(file.metrics),
        }
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let Cli { command: Command::Run(arguments) } = Cli::parse();
    match run(arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sp-storage-index: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Run) -> anyhow::Result<()> {
    logs::init("sp-storage-index")?;
    config::refuse_unknown_env(ENV_PREFIX, &config::env_names(&Cli::command()))?;
    let settings = arguments.settings.over(config::load(arguments.config.as_deref())?);
    let network = settings.network.unwrap_or_else(|| "dev".to_owned());
    limits::raise_file_limit(&network)?;
    let data_dir = settings.data_dir.context("no data directory; name one with --data-dir")?;
    let data_dir = DataDir::open(data_dir)?;
    let state = Redb::open(data_dir.path().join("index.redb"), SCHEMA_VERSION)?;

    let listen = settings.listen.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 1789)));
    let mut options = Options::new(settings.cluster.unwrap_or_else(|| "dev".to_owned()), listen);
    options.data_dir = Some(data_dir.path().to_owned());
    options.metrics = settings.metrics;
    if let Some(every) = settings.health_every {
        options.health_every = every.0;
    }
    if let Some(after) = settings.stale_after {
        options.stale_after = after.0;
    }
    let stop = shutdown::signal().context("cannot listen for signals")?;
    let running = Service::new(Env::real(), Arc::new(state), options)?.bind().await?;
    running.serve(Box::pin(stop)).await?;
    Ok(())
}
