//! `sectors retry N`: goes on with what failed, now and with all its tries.

use sp_proto::v1::RetrySectorRequest;

use super::moved::Moved;
use crate::context::{Context, request};
use crate::error::CommandError;

/// Go on with what failed or waits, now and with all its tries.
#[derive(Debug, clap::Args)]
pub(crate) struct Retry {
    /// Sector number.
    number: u64,
}

impl Retry {
    pub(crate) async fn run(self, context: &Context) -> Result<(), CommandError> {
        let Self { number } = self;
        let reply = context.scheduler().await?.retry_sector(request(RetrySectorRequest { number })).await?.into_inner();
        Moved::new(number, reply).show(context)
    }
}
