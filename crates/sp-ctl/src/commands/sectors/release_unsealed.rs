//! `sectors release-unsealed N`: deletes the unsealed copy; the sealed file keeps the data.

use serde::Serialize;
use sp_proto::v1::ReleaseUnsealedRequest;

use crate::context::{Context, request};
use crate::error::CommandError;

/// Delete the unsealed copy of a sector that is proving.
#[derive(Debug, clap::Args)]
pub(crate) struct ReleaseUnsealed {
    /// Sector number.
    number: u64,
}

#[derive(Serialize)]
struct Released {
    sector: u64,
    replicas: u32,
}

impl ReleaseUnsealed {
    pub(crate) async fn run(self, context: &Context) -> Result<(), CommandError> {
        let ask = ReleaseUnsealedRequest { number: self.number };
        let reply = context.scheduler().await?.release_unsealed(request(ask)).await?.into_inner();
        let released = Released { sector: self.number, replicas: reply.replicas };
        context.show(&released, |_| {
            format!("Ordered the deletion of {} unsealed copies of sector {}\n", released.replicas, released.sector)
        })
    }
}
