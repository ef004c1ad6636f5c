//! `proving compute window-post I`: proves all partitions of a deadline now.

use std::time::Duration;

use sp_proto::v1::ComputeWindowPostRequest;

use super::report;
use crate::context::{Context, within};
use crate::error::CommandError;

/// Prove all partitions of a deadline.
///
/// `--json` prints what `sp-ctl verify -` reads.
#[derive(Debug, clap::Args)]
pub(crate) struct WindowPost {
    /// Index of the deadline, 0 to 47.
    index: u32,
    /// Give up after this long; the scheduler gives up before, and says why.
    #[arg(long, value_name = "DURATION", default_value = "35m", value_parser = humantime::parse_duration)]
    timeout: Duration,
}

impl WindowPost {
    pub(crate) async fn run(self, context: &Context) -> Result<(), CommandError> {
        let ask = within(self.timeout, ComputeWindowPostRequest { deadline: self.index });
        let reply = context.scheduler().await?.compute_window_post(ask).await?.into_inner();
        report::show(context, reply)
    }
}
