//! `sectors mark-for-update N`: makes a proven CC sector Available.

use sp_proto::v1::MarkForUpdateRequest;

use super::moved::Moved;
use crate::context::{Context, request};
use crate::error::CommandError;

/// Make a proven CC sector Available, so that it can be updated with data.
#[derive(Debug, clap::Args)]
pub(crate) struct MarkForUpdate {
    /// Sector number.
    number: u64,
}

impl MarkForUpdate {
    pub(crate) async fn run(self, context: &Context) -> Result<(), CommandError> {
        let Self { number } = self;
        let reply =
            context.scheduler().await?.mark_for_update(request(MarkForUpdateRequest { number })).await?.into_inner();
        Moved::new(number, reply).show(context)
    }
}
