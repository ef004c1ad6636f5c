//! `verify FILE|-`: the upstream verifier's word on a proof.

use std::ffi::OsString;

use crate::context::Context;
use crate::error::CommandError;
use crate::sibling;

/// Check a proof, as `sectors proof N --json` or `proving compute ... --json` print it.
#[derive(Debug, clap::Args)]
pub(crate) struct Verify {
    /// File with the JSON, or `-` for standard input; options of `sp-verify verify` are passed on.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "FILE")]
    arguments: Vec<OsString>,
}

impl Verify {
    #[cfg(test)]
    pub(crate) fn arguments(&self) -> &[OsString] {
        &self.arguments
    }

    pub(crate) fn run(self, context: &Context) -> Result<(), CommandError> {
        sibling::become_verify("verify", self.arguments, context.json())
    }
}
