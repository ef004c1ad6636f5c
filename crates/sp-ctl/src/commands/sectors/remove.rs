//! `sectors remove N`: deletes every file of a sector, for good.

use sp_proto::v1::RemoveSectorRequest;

use super::moved::Moved;
use crate::context::{Context, request};
use crate::error::CommandError;

/// Delete every file of a sector, for good. A sector that is proven loses its power with them.
#[derive(Debug, clap::Args)]
pub(crate) struct Remove {
    /// Sector number.
    number: u64,
    /// Accepted for those who know it from Lotus; changes nothing.
    #[arg(long, hide = true)]
    really_do_it: bool,
}

impl Remove {
    pub(crate) async fn run(self, context: &Context) -> Result<(), CommandError> {
        let Self { number, really_do_it: _ } = self;
        let reply =
            context.scheduler().await?.remove_sector(request(RemoveSectorRequest { number })).await?.into_inner();
        Moved::new(number, reply).show(context)
    }
}
