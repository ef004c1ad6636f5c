//! `proving compute`: proofs now, outside the schedule; nothing is sent to a chain.

mod report;
mod window_post;
mod winning_post;

use clap::Subcommand;

use crate::context::Context;
use crate::error::CommandError;

#[derive(Debug, Subcommand)]
pub(crate) enum Compute {
    /// Prove all partitions of a deadline.
    #[command(alias = "windowed-post")]
    WindowPost(window_post::WindowPost),
    /// Prove one sector as if this miner had won the epoch.
    WinningPost(winning_post::WinningPost),
}

impl Compute {
    pub(crate) async fn run(self, context: &Context) -> Result<(), CommandError> {
        match self {
            Self::WindowPost(verb) => verb.run(context).await,
            Self::WinningPost(verb) => verb.run(context).await,
        }
    }
}
