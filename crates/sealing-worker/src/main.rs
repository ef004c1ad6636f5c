//! `sp-sealing-worker`: runs the sealing tasks: AP to FIN, UNS, and the snaps from RU to FRU. Options and wiring only.
#![forbid(unsafe_code)]

mod executor;
mod run;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use sp_worker::settings::Usage;

/// Seals sectors for sp-cluster.
#[derive(Debug, Parser)]
#[command(name = "sp-sealing-worker", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Connect to a scheduler and a storage index and work
    Run(Box<run::Run>),
    /// The arithmetic: started by `run`, speaks over its pipes
    #[command(hide = true)]
    Executor {
        /// Process id of the worker
        parent: u32,
    },
    /// File operations on one path: started by `run`, speaks over a socket
    #[command(hide = true)]
    Disk {
        /// Process id of the worker
        parent: u32,
    },
}

fn main() -> ExitCode {
    let Err(error) = serve(Cli::parse().command) else { return ExitCode::SUCCESS };
    eprintln!("error: {error:#}");
    // Settings that contradict each other are a usage error wherever they come from, as those of clap are.
    ExitCode::from(if error.is::<Usage>() { 2 } else { 1 })
}

fn serve(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Run(run) => {
            sp_net::logs::init("sp-sealing-worker")?;
            sp_net::config::refuse_unknown_env(run::PREFIX, &sp_net::config::env_names(&Cli::command()))?;
            run::run(*run)
        }
        Command::Executor { parent } => executor::serve(parent),
        Command::Disk { parent } => sp_worker::disks::serve(parent),
    }
}
