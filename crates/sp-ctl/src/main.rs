//! `sp-ctl`: the command line of sp-cluster. Asks the scheduler, and the data ports that it names; an audit looks at the disks here, too.
#![forbid(unsafe_code)]
// The command line is not a service: it has no simulated clock or disk, it uses the machine it runs on.
#![allow(clippy::disallowed_methods)]

mod cli;
mod commands;
mod context;
mod demo;
mod error;
mod layout;
mod output;
mod sibling;
mod transfer;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(cause) => {
            output::note(&format!("error: cannot start the async runtime: {cause}"));
            return ExitCode::from(1);
        }
    };
    let outcome = runtime.block_on(cli.run());
    // A worker thread may still sit in a blocking read; nothing of it is needed any more.
    runtime.shutdown_background();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
