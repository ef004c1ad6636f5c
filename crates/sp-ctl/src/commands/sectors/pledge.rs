//! `sectors pledge`: makes CC sectors.

use serde::Serialize;
use sp_proto::v1::PledgeSectorsRequest;

use crate::context::{Context, request};
use crate::error::CommandError;

/// Make CC sectors: sealed, with nothing but zeros in them.
#[derive(Debug, clap::Args)]
pub(crate) struct Pledge {
    /// How many.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    count: u32,
    /// Of their tasks; higher goes first [default: 0, sectors with data have 1024].
    #[arg(long, allow_negative_numbers = true)]
    priority: Option<i64>,
}

#[derive(Serialize)]
struct Pledged {
    sectors: Vec<u64>,
}

impl Pledge {
    pub(crate) async fn run(self, context: &Context) -> Result<(), CommandError> {
        let ask = PledgeSectorsRequest { count: self.count, priority: self.priority };
        let reply = context.scheduler().await?.pledge_sectors(request(ask)).await?.into_inner();
        let pledged = Pledged { sectors: reply.sectors };
        context.show(&pledged, |_| pledged.sectors.iter().map(|n| format!("Created CC sector:  {n}\n")).collect())
    }
}
