//! What reaches the driver: events for the core, streams that open and close, questions.

use sp_proto::v1;
use sp_sched_core::Core;
use sp_sched_core::effect::Reply;
use sp_sched_core::event::{ChainReply, Event, Failure, Registration, Request};
use sp_sched_core::model::UnixMs;
use sp_sched_core::proving::call::{ProvingId, ProvingReply};
use sp_types::{AttemptId, SessionId, WorkerId};
use tokio::sync::oneshot;
use tonic::Status;

use super::index_port::IndexStream;
use super::registry::Outgoing;
use super::store_order::{StoreAnswered, StoreOrder};

/// A question that only reads: it runs on the driver's task, after the rows of everything before it are durable.
pub(crate) type Query = Box<dyn FnOnce(&Core, UnixMs) + Send>;

/// Something for the driver.
pub(crate) enum Input {
    /// An event as it stands.
    Event(Event),
    /// An operator's request and who waits for its reply.
    Request(Request, oneshot::Sender<Reply>),
    /// A worker opened a session that has been admitted.
    WorkerOpened(Box<Registration>, Outgoing),
    /// The stream of this connection ended.
    WorkerClosed { worker: WorkerId, connection: u64, reason: String },
    /// A lease renewal, and who waits for the answer.
    Renewal { worker: WorkerId, session: SessionId, event: Event, answer: oneshot::Sender<v1::RenewReply> },
    /// A renewal that makes no sense, and what is wrong with it.
    RenewalRefused { worker: WorkerId, session: SessionId, reason: Status },
    /// Have a worker do something with its stores; the worker by id or name.
    StoreOrder { worker: String, order: StoreOrder, answer: oneshot::Sender<StoreAnswered> },
    /// The worker's answer to that, by the number of the order.
    StoreAnswered { request: u64, answer: StoreAnswered },
    /// The index's stream is open: commands go here.
    IndexOpened(IndexStream),
    /// The index has answered a delete, by the number it was asked under.
    DeleteAnswered { request: u64, failed: Option<Failure> },
    /// The index's stream ended.
    IndexClosed { connection: u64, reason: String },
    /// The verifier has answered about an attempt.
    Verified { attempt: AttemptId, verdict: Result<bool, String> },
    /// The chain has answered call number `call`.
    ChainAnswered { sector: u64, call: u64, reply: ChainReply },
    /// The chain has answered call number `call` about proving.
    ProvingAnswered { id: ProvingId, call: u64, reply: ProvingReply },
    /// Look at the core.
    Query(Query),
}
