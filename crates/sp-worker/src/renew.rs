//! Lease renewals: on a thread and a connection of their own, so that nothing this worker computes can starve them.

use std::sync::Arc;
use std::time::Duration;

use sp_net::{client, sized};
use sp_proto::v1::worker_client::WorkerClient;
use sp_proto::v1::{RenewReply, RenewRequest};
use sp_types::AttemptId;
use tonic::transport::Channel;

use crate::node::Node;

/// A renewal that takes longer is of no use to the lease.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// Renews for ever, while there is a session.
pub(crate) async fn run(node: Arc<Node>) {
    let channel = match client::channel(&node.env, &node.options.scheduler) {
        Ok(channel) => channel,
        // The session says the same, and loudly.
        Err(error) => return tracing::error!(%error, "leases cannot be renewed"),
    };
    let mut client = sized!(WorkerClient::new(channel));
    let mut heartbeat = node.heartbeat.subscribe();
    loop {
        let Some(every_ms) = *heartbeat.borrow_and_update() else {
            if heartbeat.changed().await.is_err() {
                return;
            }
            continue;
        };
        renew(&node, &mut client).await;
        node.env.clock.sleep(Duration::from_millis(every_ms)).await;
    }
}

async fn renew(node: &Node, client: &mut WorkerClient<Channel>) {
    let request = RenewRequest {
        worker_id: node.worker_id.clone(),
        session_id: node.session_id.clone(),
        attempts: node.progress(),
        capacity: Some((node.options.capacity)().into()),
        limits: Some(node.options.limits.clone().into()),
    };
    match node.env.timeout(ANSWER_WITHIN, client.renew(request)).await {
        Ok(Ok(reply)) => heed(node, reply.into_inner()).await,
        // The session notices by itself when the scheduler is gone.
        Ok(Err(status)) => tracing::debug!(%status, "a lease was not renewed"),
        Err(elapsed) => tracing::debug!(%elapsed, "a lease was not renewed"),
    }
}

async fn heed(node: &Node, reply: RenewReply) {
    let RenewReply { known, ended } = reply;
    // Not while it registers anyway.
    if !known && node.heartbeat.borrow().is_some() {
        node.reconnect.notify_one();
    }
    for attempt in ended {
        node.cancel(AttemptId::from(attempt), "the scheduler ended it").await;
    }
}
