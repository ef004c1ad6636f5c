//! Waiting for a sector: until it is where it should be, has stopped, or nothing has changed for too long.

use std::time::{Duration, Instant};

use sp_proto::v1::{SectorStatusRequest, SectorSummary};

use crate::context::{Scheduler, request};
use crate::error::{CommandError, Exit};
use crate::output;

/// The state now. What was asked for is done: that nobody answers at this moment is no failure any more.
pub(super) async fn state_of(scheduler: &mut Scheduler, number: u64) -> String {
    let reply = scheduler.sector_status(request(SectorStatusRequest { number, log: false })).await;
    let summary = reply.ok().and_then(|reply| reply.into_inner().summary);
    summary.map_or_else(|| "unknown".to_owned(), |summary| summary.state)
}

/// Waits until `done`. Gives up when the sector waits for its operator, or when nothing has changed for `limit`.
pub(super) async fn wait_for(
    scheduler: &mut Scheduler,
    number: u64,
    limit: Duration,
    done: impl Fn(&SectorSummary) -> bool,
) -> Result<SectorSummary, CommandError> {
    let (mut last, mut since) = (String::new(), Instant::now());
    loop {
        let ask = SectorStatusRequest { number, log: false };
        match scheduler.sector_status(request(ask)).await.map_err(CommandError::from) {
            Ok(reply) => {
                let summary = reply.into_inner().summary.unwrap_or_default();
                if done(&summary) {
                    return Ok(summary);
                }
                if summary.stopped {
                    let text = format!("sector {number} stopped in {}: {}", summary.state, summary.last_error);
                    return Err(CommandError::failed(text).hint(format!(
                        "`sp-ctl sectors status {number} --log` shows what happened, `sp-ctl sectors retry {number}` \
                         goes on"
                    )));
                }
                let now = format!("{} {}", summary.state, summary.waiting);
                if now != last {
                    output::note(&format!("sector {number}: {now}"));
                    (last, since) = (now, Instant::now());
                }
            }
            Err(failure) if failure.may_pass() => {}
            Err(failure) => return Err(failure),
        }
        if since.elapsed() > limit {
            let text = format!("sector {number} has stood in {last} for {}", humantime::format_duration(limit));
            return Err(CommandError::new(Exit::Unavailable, text).hint(
                "`sp-ctl sealing jobs --reasons` shows what is waited for; the sector goes on without this command",
            ));
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}
