//! `sectors update-state N STATE --really-do-it`: puts a sector into a state by force.

use sp_proto::v1::UpdateSectorStateRequest;
use sp_types::SectorState;

use super::moved::{Moved, said_so};
use crate::context::{Context, request};
use crate::error::CommandError;

/// Put a sector into a state by force, whatever state it is in. For repairs: what it did until then ends.
#[derive(Debug, clap::Args)]
pub(crate) struct UpdateState {
    /// Sector number.
    number: u64,
    /// The state, for example `PreCommit1` or `FinalizeSector`.
    state: SectorState,
    /// You know what the sector has and what that state needs.
    #[arg(long)]
    really_do_it: bool,
}

impl UpdateState {
    pub(crate) async fn run(self, context: &Context) -> Result<(), CommandError> {
        let Self { number, state, really_do_it } = self;
        said_so(really_do_it, || format!("to try again what failed, `sp-ctl sectors retry {number}` is enough"))?;
        let ask = UpdateSectorStateRequest { number, state: state.to_string() };
        let reply = context.scheduler().await?.update_sector_state(request(ask)).await?.into_inner();
        Moved::new(number, reply).show(context)
    }
}
