//! What an operator has a worker do with its storage paths, and the worker's answer.

use sp_proto::v1;
use sp_proto::v1::{attach_reply::Outcome, worker_command::Body};
use sp_sched_core::event::Failure;
use sp_types::ErrorCode;

use crate::wire;

/// One order. Its `request` is given when it is sent.
pub(crate) enum StoreOrder {
    /// Attach a directory.
    Attach(v1::AttachStore),
    /// Let go of a store.
    Detach(v1::DetachStore),
    /// Read stores again.
    Redeclare(v1::RedeclareStores),
    /// Begin, end or tell of scrubs.
    Scrub(v1::ScrubStores),
}

/// What a worker says to an order.
#[derive(Debug)]
pub(crate) enum StoreAnswer {
    /// What has become of each store.
    Changes(Vec<v1::StoreChange>),
    /// How far the scrub of each store is.
    Scrubs(Vec<v1::StoreScrub>),
}

/// The answer, or why there is none.
pub(crate) type StoreAnswered = Result<StoreAnswer, Failure>;

impl StoreOrder {
    /// As the worker gets it, under this number.
    pub(super) fn command(self, request: u64) -> v1::WorkerCommand {
        let body = match self {
            Self::Attach(order) => Body::AttachStore(v1::AttachStore { request, ..order }),
            Self::Detach(order) => Body::DetachStore(v1::DetachStore { request, ..order }),
            Self::Redeclare(order) => Body::RedeclareStores(v1::RedeclareStores { request, ..order }),
            Self::Scrub(order) => Body::ScrubStores(v1::ScrubStores { request, ..order }),
        };
        v1::WorkerCommand { body: Some(body) }
    }
}

/// The answer to an attach: the number of the order and what has become of it.
pub(crate) fn attached(reply: v1::AttachReply) -> (u64, StoreAnswered) {
    let v1::AttachReply { request, outcome } = reply;
    let changes = match outcome {
        Some(Outcome::Store(store)) => Ok(StoreAnswer::Changes(vec![v1::StoreChange { store, ..Default::default() }])),
        Some(Outcome::Failed(failed)) => Err(wire::failure(failed)),
        None => Err(Failure { code: ErrorCode::Internal, message: "the worker's answer is empty".into() }),
    };
    (request, changes)
}

/// The answer to a detach, or to stores that were read again.
pub(crate) fn changed(reply: v1::StoresChanged) -> (u64, StoreAnswered) {
    let v1::StoresChanged { request, changes, failed } = reply;
    (request, failed.map_or(Ok(StoreAnswer::Changes(changes)), |failed| Err(wire::failure(failed))))
}

/// The answer about scrubs.
pub(crate) fn scrubbed(report: v1::ScrubReport) -> (u64, StoreAnswered) {
    let v1::ScrubReport { request, scrubs, failed } = report;
    (request, failed.map_or(Ok(StoreAnswer::Scrubs(scrubs)), |failed| Err(wire::failure(failed))))
}
