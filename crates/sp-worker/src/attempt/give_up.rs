//! Gives an attempt up whose paths do not answer any more, so that its task runs elsewhere.
//!
//! A call on a hung file system never comes back, and an executor that makes one cannot be killed before it does. Both are
//! left behind. What is finished is never given up: it is published when its path is back.

use std::pin::pin;
use std::time::Duration;

use sp_sectors::Store;
use sp_types::{ErrorCode, TaskKind};

use super::Attempt;
use crate::failure::Failure;
use crate::node::Node;

/// How often it is looked whether a path was put aside; looking asks nothing of the path.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How long what has been fetched or uploaded waits for a path: a stall of seconds must not cost a transfer of hours.
const FETCHING_WAITS: Duration = Duration::from_secs(60);

/// How long an executor may go on without a path that it works on: a server that starts again is worth the wait, and
/// the hours that were computed.
const COMPUTING_WAITS: Duration = Duration::from_secs(5 * 60);

/// What was asked to stop has this long to do so before it is left behind.
pub(super) const STOP_WITHIN: Duration = Duration::from_secs(5);

/// While it prepares: ends with a failure when one of its paths is put aside, at once if nothing is brought.
pub(super) async fn while_it_prepares<T>(
    node: &Node,
    attempt: &Attempt,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let downloads = attempt.assignment.task == TaskKind::DownloadSector;
    let brings_nothing = attempt.assignment.inputs.is_empty() && attempt.upload.is_none() && !downloads;
    let limit = if brings_nothing { Duration::ZERO } else { FETCHING_WAITS };
    unless_away_for(node, attempt, limit, work).await
}

/// While it computes: ends with a failure when one of its paths has been away for long.
pub(super) async fn while_it_computes<T>(
    node: &Node,
    attempt: &Attempt,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    unless_away_for(node, attempt, COMPUTING_WAITS, work).await
}

async fn unless_away_for<T>(
    node: &Node,
    attempt: &Attempt,
    limit: Duration,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let mut work = pin!(work);
    let reason = tokio::select! {
        done = &mut work => return done,
        reason = away_for(node, attempt, limit) => reason,
    };
    attempt.cancel.cancel();
    if let Ok(Ok(done)) = node.env.timeout(STOP_WITHIN, work).await {
        return Ok(done);
    }
    Err(Failure::new(ErrorCode::Unavailable, reason))
}

/// Returns when the path of a store is not put aside, a moment from now at the earliest.
pub(super) async fn until_back(node: &Node, store: &Store) -> Result<(), Failure> {
    loop {
        node.env.clock.sleep(LOOK_EVERY).await;
        if node.stores.away(&[store.id().to_string()]).is_none() {
            return Ok(());
        }
    }
}

/// Returns when one of the paths that it works on has been put aside for so long, with the reason.
async fn away_for(node: &Node, attempt: &Attempt, limit: Duration) -> String {
    let mut since = None;
    loop {
        node.env.clock.sleep(LOOK_EVERY).await;
        let Some(reason) = node.stores.away(&attempt.stores()) else {
            since = None;
            continue;
        };
        let now = node.env.clock.monotonic();
        if now.since_ms(*since.get_or_insert(now)) >= limit.as_millis() as u64 {
            return reason;
        }
    }
}
