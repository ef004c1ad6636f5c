//! `sectors regen-key N`: makes the replica of before an update anew.

use serde::Serialize;
use sp_proto::v1::RegenSectorKeyRequest;

use crate::context::{Context, request};
use crate::error::CommandError;

/// Make the sealed file of before an update anew, out of the update, its unsealed data and the cache of before (GSK).
///
/// It is not proven any more, but the data of an updated sector can be unsealed only with it.
#[derive(Debug, clap::Args)]
pub(crate) struct RegenKey {
    /// Sector number.
    number: u64,
}

#[derive(Serialize)]
struct Regenerating {
    sector: u64,
    ready: bool,
}

impl RegenKey {
    pub(crate) async fn run(self, context: &Context) -> Result<(), CommandError> {
        let Self { number } = self;
        let ask = RegenSectorKeyRequest { number };
        let reply = context.scheduler().await?.regen_sector_key(request(ask)).await?.into_inner();
        let regenerating = Regenerating { sector: number, ready: reply.ready };
        context.show(&regenerating, |_| match regenerating.ready {
            true => format!("Sector {number} has its sealed file and cache\n"),
            false => format!("Sector {number}: GSK is queued, see `sp-ctl sealing jobs`\n"),
        })
    }
}
