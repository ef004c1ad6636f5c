//! `demo`: a whole cluster on this machine, step by step.

use crate::error::CommandError;

/// Run a whole cluster on this machine: seal, prove, lose workers, recover.
#[derive(Debug, clap::Args)]
pub(crate) struct Demo {}

impl Demo {
    pub(crate) async fn run(self) -> Result<(), CommandError> {
        Ok(())
    }
}
