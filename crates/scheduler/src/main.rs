//! `sp-scheduler`: options, state, verifier, built-in workers, signals.
#![forbid(unsafe_code)]
// The binary's wiring meets the real machine.
#![allow(clippy::disallowed_methods)]

mod options;
mod placement;

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use clap::{CommandFactory, Parser};
use scheduler::{
    BuiltinWorker, BuiltinWorkers, LocalChain, LocalChainOptions, SCHEMA_VERSION, Service, ServiceOptions, Troubles,
    VerifierOptions, VerifierProcesses, parameters_are_insecure, refuse_insecure_parameters,
};
use sp_net::lock::DataDir;
use sp_net::{Env, limits, logs, shutdown};
use sp_state::{Redb, State};

use crate::options::{Cli, Command, Settings};

fn main() -> ExitCode {
    let Command::Run(args) = Cli::parse().command;
    let run = || -> anyhow::Result<()> {
        logs::init("sp-scheduler")?;
        let settings = args.resolve(&Cli::command())?;
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        runtime.block_on(run(settings))
    };
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sp-scheduler: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(mut settings: Settings) -> anyhow::Result<()> {
    let asked_to_stop = shutdown::signal().context("cannot listen for signals")?;
    limits::raise_file_limit(&settings.network)?;
    let data_dir = DataDir::open(&settings.data_dir)?;
    let env = Env::real();
    look_at_parameters(&env, &mut settings).await?;
    let file = data_dir.path().join("scheduler.redb");
    let state = env.blocking(move || Redb::open(file, SCHEMA_VERSION)).await?;
    let state: Arc<dyn State> = Arc::new(state);
    let verifier = VerifierOptions {
        program: settings.verify_bin.clone(),
        parameters: settings.parameters.clone(),
        network: settings.network.clone(),
        sector_size: settings.sector_size,
    };
    let verifier = Arc::new(VerifierProcesses::start(&env, verifier));
    let chain = LocalChain::open(&env, state.clone(), verifier.clone(), chain_options(&settings)).await?;
    let options = service_options(&settings);
    let troubles = options.troubles.clone();
    let service = Service::open(env.clone(), state, verifier, Arc::new(chain), options).await?;
    let url = format!("http://{}", service.address());
    let builtin = BuiltinWorkers::start(&env, data_dir.path(), builtin_workers(&settings, &url), &troubles);
    let served = service.run(Box::pin(asked_to_stop)).await;
    match &served {
        Ok(()) => builtin.stop().await,
        // As after a crash: they go on, and the next scheduler adopts them.
        Err(_) => drop(builtin),
    }
    Ok(served?)
}

/// Development parameters are named as insecure on their own network and refused on any other, with and without their
/// marker.
async fn look_at_parameters(env: &Env, settings: &mut Settings) -> anyhow::Result<()> {
    let (program, parameters) = (&settings.verify_bin, &settings.parameters);
    if settings.network != "dev" {
        let refused = refuse_insecure_parameters(env, program, parameters, &settings.network).await;
        return refused.map_err(anyhow::Error::msg);
    }
    match parameters_are_insecure(env, program, parameters).await {
        Ok(insecure) => settings.insecure_parameters |= insecure,
        Err(reason) => tracing::warn!(reason, "only the marker tells whether the parameters are insecure"),
    }
    if settings.insecure_parameters {
        tracing::warn!(
            parameters = %settings.parameters.display(),
            "INSECURE development parameters: the proofs are worth nothing on a real network"
        );
    }
    Ok(())
}

fn chain_options(settings: &Settings) -> LocalChainOptions {
    LocalChainOptions {
        miner: settings.miner,
        epoch_ms: settings.epoch_ms,
        seed_delay_epochs: settings.seed_delay_epochs,
        sector_size: settings.sector_size,
        assignment: settings.assignment,
        win_one_in: settings.win_one_in,
    }
}

fn service_options(settings: &Settings) -> ServiceOptions {
    ServiceOptions {
        listen: settings.listen,
        index_url: settings.index.clone(),
        cluster: settings.cluster.clone(),
        network: settings.network.clone(),
        miner: settings.miner,
        sector_size: settings.sector_size,
        insecure_parameters: settings.insecure_parameters,
        lease_ms: settings.lease_ms,
        heartbeat_ms: settings.heartbeat_ms,
        sealing: settings.sealing,
        placement: settings.placement.clone(),
        announce: Some(settings.data_dir.clone()),
        troubles: Troubles::default(),
        metrics: settings.metrics,
        history_limit: settings.history_limit,
        recording: settings.recording.clone(),
        elections: settings.win_one_in > 0,
        rehearse_percent: settings.rehearse_percent,
        read_timeout_ms: settings.read_timeout_ms,
        partition_timeout_ms: settings.partition_timeout_ms,
        parallel_reads: settings.parallel_reads,
        check_laws: cfg!(debug_assertions),
    }
}

/// What runs on this host besides: the same binaries as everywhere, flagged built-in.
fn builtin_workers(settings: &Settings, url: &str) -> Vec<BuiltinWorker> {
    let worker = |name: &'static str, program: &std::path::Path, extra: Vec<String>| {
        let data_dir = settings.data_dir.join("builtin").join(name);
        let mut args = vec!["run".to_owned()];
        for (flag, value) in [
            ("--scheduler", url),
            ("--index", &settings.index),
            ("--data-dir", &data_dir.display().to_string()),
            ("--listen", "127.0.0.1:0"),
            ("--cluster", &settings.cluster),
            ("--network", &settings.network),
            // Both workers would else guess the size from the network.
            ("--sector-size", settings.sector_size.name()),
            ("--name", &format!("builtin-{name}")),
        ] {
            args.extend([flag.to_owned(), value.to_owned()]);
        }
        args.push("--builtin".into());
        args.extend(extra);
        // Every other FIL_PROOFS_* setting is inherited.
        let parameters = settings.parameters.display().to_string();
        let envs = vec![("FIL_PROOFS_PARAMETER_CACHE".to_owned(), parameters)];
        BuiltinWorker { name, program: program.to_owned(), args, envs }
    };
    let mut workers = Vec::new();
    if settings.builtin_window {
        workers.push(worker("window", &settings.post_worker_bin, vec!["--windowpost".into()]));
    }
    if settings.builtin_winning {
        workers.push(worker("winning", &settings.post_worker_bin, vec!["--winningpost".into()]));
    }
    if let Some(tasks) = &settings.builtin_sealing {
        let flags = tasks.iter().map(|(flag, on)| format!("--{flag}={on}")).collect();
        workers.push(worker("sealing", &settings.sealing_worker_bin, flags));
    }
    workers
}
