//! `sectors remove N --really-do-it`: deletes every file of a sector, for good.

use sp_proto::v1::RemoveSectorRequest;

use super::moved::{Moved, said_so};
use crate::context::{Context, request};
use crate::error::CommandError;

/// Delete every file of a sector, for good. A sector that is proven loses its power with them.
#[derive(Debug, clap::Args)]
pub(crate) struct Remove {
    /// Sector number.
    number: u64,
    /// You do not need its data or its power any more.
    #[arg(long)]
    really_do_it: bool,
}

impl Remove {
    pub(crate) async fn run(self, context: &Context) -> Result<(), CommandError> {
        let Self { number, really_do_it } = self;
        said_so(really_do_it, || format!("`sp-ctl sectors status {number}` shows what would be lost"))?;
        let reply =
            context.scheduler().await?.remove_sector(request(RemoveSectorRequest { number })).await?.into_inner();
        Moved::new(number, reply).show(context)
    }
}
