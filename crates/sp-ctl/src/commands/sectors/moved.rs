//! What verbs share that bring a sector into another state: the word that some want first, and what they print.

use serde::Serialize;
use sp_proto::v1::SectorStateReply;

use crate::context::Context;
use crate::error::{CommandError, Exit};

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

/// Verbs that cannot be undone want it said.
pub(in crate::commands) fn said_so(really_do_it: bool, hint: impl FnOnce() -> String) -> Result<(), CommandError> {
    if really_do_it {
        return Ok(());
    }
    // Lotus's words.
    let text = "pass --really-do-it to actually execute this action";
    Err(CommandError::new(Exit::Usage, text.to_owned()).hint(hint()))
}
