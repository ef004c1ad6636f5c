//! `proving`: deadlines, proofs of spacetime, and the workers that compute them.

mod check;
mod compute;
mod deadline;
mod deadlines;
mod faults;
mod history;
mod info;
mod recover_faults;

use clap::Subcommand;

use crate::commands::workers::{Half, Workers, list};
use crate::context::Context;
use crate::error::CommandError;

#[derive(Debug, Subcommand)]
pub(crate) enum Proving {
    /// List the window and winning PoSt workers.
    Workers(Workers),
    /// List the deadlines of the proving period.
    Deadlines(deadlines::Deadlines),
    /// Show one deadline with its partitions.
    Deadline(deadline::Deadline),
    /// List the sectors that the chain holds for faulty.
    Faults(faults::Faults),
    /// Read faulty sectors, and declare those that can be proven to recover.
    RecoverFaults(recover_faults::RecoverFaults),
    /// Show what became of the newest openings of deadlines.
    History(history::History),
    /// Show where the proving period stands.
    Info(info::Info),
    /// Compute a proof now and print it.
    #[command(subcommand)]
    Compute(compute::Compute),
    /// Read one challenge of every sector of a deadline.
    Check(check::Check),
}

impl Proving {
    pub(crate) async fn run(self, context: &Context) -> Result<(), CommandError> {
        match self {
            Self::Workers(Workers {}) => list(context, Half::Proving).await,
            Self::Deadlines(verb) => verb.run(context).await,
            Self::Deadline(verb) => verb.run(context).await,
            Self::Faults(verb) => verb.run(context).await,
            Self::RecoverFaults(verb) => verb.run(context).await,
            Self::History(verb) => verb.run(context).await,
            Self::Info(verb) => verb.run(context).await,
            Self::Compute(verb) => verb.run(context).await,
            Self::Check(verb) => verb.run(context).await,
        }
    }
}
