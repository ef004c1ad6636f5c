//! What verbs print that bring a sector into another state.

use serde::Serialize;
use sp_proto::v1::SectorStateReply;

use crate::context::Context;
use crate::error::CommandError;

/// A sector and the state that it is in now.
#[derive(Debug, Serialize)]
pub(super) struct Moved {
    sector: u64,
    state: String,
}

impl Moved {
    pub(super) fn new(sector: u64, reply: SectorStateReply) -> Self {
        Self { sector, state: reply.state }
    }

    pub(super) fn show(&self, context: &Context) -> Result<(), CommandError> {
        context.show(self, |_| format!("Sector {} is {}\n", self.sector, self.state))
    }
}
