//! `demo`: a whole cluster on this machine. It seals, proves, loses workers and recovers, with real processes.
//!
//! Every service is a process of its own on loopback, on a port that the system chooses, with its own data directory
//! below one fresh directory. What a user would type is run as a command and printed; only waiting looks at the
//! scheduler directly.

mod cluster;
mod commands;
mod error;
mod launch;
mod parameters;
mod process;
mod progress;
mod record;
mod stage;
mod steps;
mod teardown;

use std::path::PathBuf;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::error::CommandError;
use crate::output;
use cluster::Cluster;
use error::DemoError;
use stage::Stage;

/// Run a whole cluster on this machine: seal, prove, lose workers, recover.
///
/// Starts a scheduler, a storage index, two sealing workers and three PoSt workers, seals three 2 KiB sectors, proves
/// them, and stops everything. Takes some minutes. Ctrl-C cleans up at any moment.
#[derive(Debug, clap::Args)]
pub(crate) struct Demo {
    /// Leave the cluster up at the end and print commands to try.
    #[arg(long)]
    keep: bool,
    /// Where the processes keep their data, an empty or new directory; by default a fresh one that is removed at the end.
    #[arg(long, value_name = "DIR", conflicts_with = "stop")]
    dir: Option<PathBuf>,
    /// The file that becomes a piece: at most 2032 bytes; by default a licence text.
    #[arg(long, value_name = "FILE", conflicts_with = "stop")]
    file: Option<PathBuf>,
    /// Stop a cluster that was left up, and remove its directory.
    #[arg(long, value_name = "DIR", conflicts_with = "keep")]
    stop: Option<PathBuf>,
}

/// The signals that end the demo.
pub(super) struct Interrupts {
    int: Signal,
    term: Signal,
    /// None under nohup: a terminal that goes away is then no reason to stop.
    hangup: Option<Signal>,
}

impl Interrupts {
    fn new() -> Result<Self, CommandError> {
        let open = |kind| signal(kind).map_err(|e| CommandError::failed(format!("cannot watch for signals: {e}")));
        let (int, term) = (open(SignalKind::interrupt())?, open(SignalKind::terminate())?);
        let hangup = if process::ignores_hangup() { None } else { Some(open(SignalKind::hangup())?) };
        Ok(Self { int, term, hangup })
    }

    /// Waits for one of them; gives the exit code that tells of it.
    pub(super) async fn next(&mut self) -> u8 {
        let Self { int, term, hangup } = self;
        let hung_up = async {
            match hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = int.recv() => 130,
            _ = term.recv() => 143,
            _ = hung_up => 129,
        }
    }
}

impl Demo {
    pub(crate) async fn run(self) -> Result<(), CommandError> {
        // From here on a signal cleans up instead of ending the process.
        let mut interrupts = Interrupts::new()?;
        if let Some(directory) = &self.stop {
            return teardown::stop_recorded(directory, &mut interrupts).await;
        }
        let stage = Stage::new();
        let mut cluster = Cluster::create(self.dir.as_deref()).map_err(DemoError::into_plain)?;
        let outcome = tokio::select! {
            outcome = steps::all(&mut cluster, &stage, self.file.as_deref()) => Ok(outcome),
            code = interrupts.next() => Err(code),
        };
        stage.clear();
        match outcome {
            Ok(Ok(())) if self.keep => steps::keep::show(&cluster),
            Ok(Ok(())) => {
                stage.line("stopping every process");
                teardown::stop(&mut cluster, &mut interrupts).await?;
                cluster.remove_directory().await?;
                stage.line("the demo is done: everything worked");
                Ok(())
            }
            Ok(Err(failure)) => {
                let failed = failure.report(&cluster, &stage);
                if let Err(left) = teardown::stop(&mut cluster, &mut interrupts).await {
                    output::note(&format!("besides: {}", left.line()));
                }
                Err(failed)
            }
            Err(code) => {
                output::note("interrupted: stopping every process (once more to kill them)");
                teardown::stop(&mut cluster, &mut interrupts).await?;
                cluster.remove_directory().await?;
                output::note("every process has ended");
                Err(CommandError::silent(code))
            }
        }
    }
}
