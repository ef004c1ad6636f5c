//! `params ...`: what sp-verify does with proof parameters.

use std::ffi::OsString;

use crate::context::Context;
use crate::error::CommandError;
use crate::sibling;

/// Proof parameters on this machine: generate, check, list, fetch.
#[derive(Debug, clap::Args)]
pub(crate) struct Params {
    /// A verb of `sp-verify params` and its options; `--help` lists them.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "VERB")]
    arguments: Vec<OsString>,
}

impl Params {
    #[cfg(test)]
    pub(crate) fn arguments(&self) -> &[OsString] {
        &self.arguments
    }

    pub(crate) fn run(self, context: &Context) -> Result<(), CommandError> {
        sibling::become_verify("params", self.arguments, context.json())
    }
}
