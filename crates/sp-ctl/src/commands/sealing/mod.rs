//! `sealing`: the workers that seal and the jobs they do.

mod abort;
mod data_cid;
mod history;
mod jobs;
mod priority;
mod sched_diag;

use clap::Subcommand;

use crate::commands::workers::{Half, Workers, list};
use crate::context::Context;
use crate::error::CommandError;

#[derive(Debug, Subcommand)]
pub(crate) enum Sealing {
    /// List the sealing workers.
    Workers(Workers),
    /// List tasks that wait, run or return.
    Jobs(jobs::Jobs),
    /// List attempts that are over.
    History(history::History),
    /// End a running attempt or a queued task.
    Abort(abort::Abort),
    /// Change the priority of a task.
    Priority(priority::Priority),
    /// Compute the commitment of a file as a piece, without a sector.
    DataCid(data_cid::DataCid),
    /// Print the scheduler's queue and windows as JSON.
    SchedDiag(sched_diag::SchedDiag),
}

impl Sealing {
    pub(crate) async fn run(self, context: &Context) -> Result<(), CommandError> {
        match self {
            Self::Workers(Workers {}) => list(context, Half::Sealing).await,
            Self::Jobs(verb) => verb.run(context).await,
            Self::History(verb) => verb.run(context).await,
            Self::Abort(verb) => verb.run(context).await,
            Self::Priority(verb) => verb.run(context).await,
            Self::DataCid(verb) => verb.run(context).await,
            Self::SchedDiag(verb) => verb.run(context).await,
        }
    }
}
