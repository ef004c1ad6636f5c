//! What a disk would not let go of when its attempt was over: removed as soon as the disk is well again.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sp_types::AttemptId;
use tokio::sync::Notify;

use crate::node::Node;

/// How soon the disk is asked again.
const AGAIN_AFTER: Duration = Duration::from_secs(5);

/// Attempts that are over and of which something is still there.
#[derive(Default)]
pub(crate) struct Leftovers {
    attempts: Mutex<BTreeSet<AttemptId>>,
    more: Notify,
}

impl Leftovers {
    /// Something of the attempt could not be removed.
    pub(crate) fn add(&self, attempt: AttemptId) {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner).insert(attempt);
        self.more.notify_one();
    }

    fn take(&self) -> BTreeSet<AttemptId> {
        std::mem::take(&mut *self.attempts.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Tries for ever, while there is something to remove.
pub(crate) async fn run(node: Arc<Node>) {
    loop {
        node.leftovers.more.notified().await;
        node.env.clock.sleep(AGAIN_AFTER).await;
        for attempt in node.leftovers.take() {
            // It may have been assigned once more; then it is removed when that has ended.
            if node.attempt(attempt).is_none() {
                node.remove(attempt).await;
            }
        }
    }
}
