//! `sched`: the scheduler's decisions, looked at afterwards.

mod replay;

use clap::Subcommand;

use crate::context::Context;
use crate::error::CommandError;

#[derive(Debug, Subcommand)]
pub(crate) enum Sched {
    /// Feed a recording of a scheduler's events to the same core, and compare its decisions.
    Replay(replay::Replay),
}

impl Sched {
    pub(crate) fn run(self, context: &Context) -> Result<(), CommandError> {
        match self {
            Self::Replay(verb) => verb.run(context),
        }
    }
}
