//! `sp-post-worker`: proves window or winning PoSt, never both, never with sealing. Options and wiring only.
#![forbid(unsafe_code)]

mod executor;
mod run;

use clap::{CommandFactory, Parser, Subcommand};

/// Proves window or winning PoSt for sp-cluster.
#[derive(Debug, Parser)]
#[command(name = "sp-post-worker", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Connect to a scheduler and a storage index and prove
    Run(Box<run::Run>),
    /// The arithmetic: started by `run`, speaks over its pipes
    #[command(hide = true)]
    Executor {
        /// Process id of the worker
        parent: u32,
    },
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Run(run) => {
            sp_net::logs::init("sp-post-worker")?;
            sp_net::config::refuse_unknown_env(run::PREFIX, &sp_net::config::env_names(&Cli::command()))?;
            run::run(*run)
        }
        Command::Executor { parent } => executor::serve(parent),
    }
}
