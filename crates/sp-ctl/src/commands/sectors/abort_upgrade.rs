//! `sectors abort-upgrade N`: drops an update that does not count yet.

use sp_proto::v1::AbortUpgradeRequest;

use super::moved::Moved;
use crate::context::{Context, request};
use crate::error::CommandError;

/// Drop an update that is not accepted yet, or take an Available sector back to Proving.
#[derive(Debug, clap::Args)]
pub(crate) struct AbortUpgrade {
    /// Sector number.
    number: u64,
    /// Accepted for those who know it from Lotus; changes nothing.
    #[arg(long, hide = true)]
    really_do_it: bool,
}

impl AbortUpgrade {
    pub(crate) async fn run(self, context: &Context) -> Result<(), CommandError> {
        let Self { number, really_do_it: _ } = self;
        let reply =
            context.scheduler().await?.abort_upgrade(request(AbortUpgradeRequest { number })).await?.into_inner();
        Moved::new(number, reply).show(context)
    }
}
