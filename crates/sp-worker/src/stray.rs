//! Work of others that lies in paths of this worker: the scheduler says what of it may go, for it knows who is gone.

use std::sync::Arc;
use std::time::Duration;

use sp_proto::v1;
use sp_proto::v1::worker_message::Body;
use sp_types::{AttemptId, TaskKind};

use crate::node::{Fate, Node};

/// How often it is looked for.
const LOOK_EVERY: Duration = Duration::from_secs(10 * 60);

/// The first look: the paths are open by then, as a rule.
const FIRST_LOOK: Duration = Duration::from_secs(5);

/// The minor of the protocol that has the message.
const SINCE_MINOR: u32 = 5;

/// Looks, and tells the scheduler, for ever.
pub(crate) async fn run(node: Arc<Node>) {
    node.env.clock.sleep(FIRST_LOOK).await;
    loop {
        // An older scheduler would take the message for none.
        let work = if node.outbox.speaks(SINCE_MINOR) { found(&node).await } else { vec![] };
        if !work.is_empty() {
            node.outbox.send(Body::StrayWork(v1::StrayWork { work })).await;
        }
        node.env.clock.sleep(LOOK_EVERY).await;
    }
}

async fn found(node: &Node) -> Vec<v1::StrayAttempt> {
    let mut work = Vec::new();
    for store in node.stores.all().into_iter().filter(|store| store.writable()) {
        let id = store.id().clone();
        match node.env.timeout(LOOK_EVERY, node.env.blocking(move || store.others_work())).await {
            Ok(Ok(others)) => work.extend(
                others
                    .into_iter()
                    .map(|(attempt, owner)| v1::StrayAttempt { attempt: Some(attempt.into()), worker_id: owner }),
            ),
            Ok(Err(error)) => tracing::warn!(store = %id, %error, "work of others cannot be looked for"),
            Err(_) => tracing::warn!(store = %id, "a store does not answer; work of others is not looked for"),
        }
    }
    work
}

/// Removes work of others that is over. What of it stands in the place of something is asked for first, as with attempts
/// of this worker.
pub(crate) async fn sweep(node: &Node, attempts: Vec<AttemptId>) {
    let kept = node.kept();
    for attempt in attempts.into_iter().filter(|attempt| !kept.contains(attempt)) {
        tracing::info!(%attempt, "work of a worker that is gone is removed");
        // Which task it was of nobody here knows, and of an attempt that is over nobody asks.
        node.remove(attempt, Fate::Open(TaskKind::Fetch)).await;
    }
}
