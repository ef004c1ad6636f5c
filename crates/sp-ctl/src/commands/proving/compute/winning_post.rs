//! `proving compute winning-post`: proves one sector now, as a block would need it.

use std::time::Duration;

use sp_proto::v1::ComputeWinningPostRequest;

use super::report;
use crate::context::{Context, within};
use crate::error::CommandError;

/// Prove one sector as if this miner had won the epoch.
///
/// `--json` prints what `sp-ctl verify -` reads.
#[derive(Debug, clap::Args)]
pub(crate) struct WinningPost {
    /// Give up after this long; the scheduler gives up before, and says why.
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = humantime::parse_duration)]
    timeout: Duration,
}

impl WinningPost {
    pub(crate) async fn run(self, context: &Context) -> Result<(), CommandError> {
        let ask = within(self.timeout, ComputeWinningPostRequest {});
        let reply = context.scheduler().await?.compute_winning_post(ask).await?.into_inner();
        report::show(context, reply)
    }
}
