//! `sectors`: make sectors, look at them, get their data back.

mod add;
mod history;
mod list;
mod pledge;
mod proof;
mod release_unsealed;
mod status;
mod unseal;

use clap::Subcommand;

use crate::context::Context;
use crate::error::CommandError;

#[derive(Debug, Subcommand)]
pub(crate) enum Sectors {
    /// Make CC sectors: sealed, with nothing but zeros in them.
    Pledge(pledge::Pledge),
    /// Make a sector out of a file: sends it to the worker that packs it.
    Add(add::Add),
    /// List sectors with their states.
    List(list::List),
    /// Show one sector: commitments, ticket, seed, and what happened to it.
    Status(status::Status),
    /// Show the accepted seal proof and everything needed to verify it.
    Proof(proof::Proof),
    /// Get the data of a sector back, decoding the sealed file where no unsealed copy exists.
    Unseal(unseal::Unseal),
    /// Delete the unsealed copy of a sector that is proving.
    ReleaseUnsealed(release_unsealed::ReleaseUnsealed),
}

impl Sectors {
    pub(crate) async fn run(self, context: &Context) -> Result<(), CommandError> {
        match self {
            Self::Pledge(verb) => verb.run(context).await,
            Self::Add(verb) => verb.run(context).await,
            Self::List(verb) => verb.run(context).await,
            Self::Status(verb) => verb.run(context).await,
            Self::Proof(verb) => verb.run(context).await,
            Self::Unseal(verb) => verb.run(context).await,
            Self::ReleaseUnsealed(verb) => verb.run(context).await,
        }
    }
}
