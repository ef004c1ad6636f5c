//! What a disk would not let go of when its attempt was over: removed as soon as the disk is well again.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sp_types::AttemptId;
use tokio::sync::Notify;

use crate::node::{Fate, Node};

/// How soon the disk is asked again.
const AGAIN_AFTER: Duration = Duration::from_secs(5);

/// Attempts that are over and of which something is still there.
#[derive(Default)]
pub(crate) struct Leftovers {
    attempts: Mutex<BTreeMap<AttemptId, Fate>>,
    more: Notify,
}

impl Leftovers {
    /// Something of the attempt could not be removed.
    pub(crate) fn add(&self, attempt: AttemptId, fate: Fate) {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner).insert(attempt, fate);
        self.more.notify_one();
    }

    /// Attempts of which something is still there.
    pub(crate) fn list(&self) -> Vec<AttemptId> {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner).keys().copied().collect()
    }

    fn take(&self) -> BTreeMap<AttemptId, Fate> {
        std::mem::take(&mut *self.attempts.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Tries for ever, while there is something to remove.
pub(crate) async fn run(node: Arc<Node>) {
    loop {
        node.leftovers.more.notified().await;
        node.env.clock.sleep(AGAIN_AFTER).await;
        for (attempt, fate) in node.leftovers.take() {
            // It may have been assigned once more; then it is removed when that has ended.
            if node.attempt(attempt).is_none() {
                // False: it is asked for, and forgotten with the answer.
                let _ = node.remove(attempt, fate).await;
            }
        }
    }
}
