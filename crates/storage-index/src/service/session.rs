//! One connected peer: the queue towards it, and the task that reads what it says.

use std::sync::Arc;

use sp_env::StopOnDrop;
use sp_net::{Env, status};
use sp_proto::v1;
use tokio::sync::mpsc;
use tonic::{Status, Streaming};

use super::actor::Input;
use crate::core::{ConnId, Fact, Refusal, ToWorker};
use crate::wire;

/// Commands that may wait for a worker. One that lets them pile up beyond this is disconnected.
pub(super) const WORKER_QUEUE: usize = 4096;

/// Messages that may wait for the scheduler; a snapshot is one.
pub(super) const SCHEDULER_QUEUE: usize = 16_384;

pub(super) type WorkerQueue = mpsc::Sender<Result<v1::IndexWorkerCommand, Status>>;
pub(super) type SchedulerQueue = mpsc::Sender<Result<Facts, Status>>;

/// Facts on their way, put on the wire one by one as the scheduler takes them: a snapshot may be millions.
pub(super) struct Facts {
    facts: Vec<Fact>,
    session_id: Arc<str>,
}

impl Facts {
    pub(super) fn into_wire(self) -> impl Iterator<Item = v1::IndexFact> {
        let Self { facts, session_id } = self;
        facts.into_iter().map(move |fact| wire::fact(fact, &session_id))
    }
}

/// Dropping it ends the session.
pub(super) struct Session {
    queue: Queue,
    _reader: StopOnDrop,
}

enum Queue {
    Worker(WorkerQueue),
    Scheduler(SchedulerQueue),
}

impl Session {
    pub(super) fn worker(queue: WorkerQueue, reader: StopOnDrop) -> Self {
        Self { queue: Queue::Worker(queue), _reader: reader }
    }

    pub(super) fn scheduler(queue: SchedulerQueue, reader: StopOnDrop) -> Self {
        Self { queue: Queue::Scheduler(queue), _reader: reader }
    }

    /// False when the peer is gone or does not keep up.
    pub(super) fn command(&self, message: ToWorker, session_id: &str, health_ms: u64) -> bool {
        match &self.queue {
            Queue::Worker(queue) => queue.try_send(Ok(wire::to_worker(message, session_id, health_ms))).is_ok(),
            Queue::Scheduler(_) => false,
        }
    }

    /// False when the peer is gone or does not keep up.
    pub(super) fn facts(&self, facts: Vec<Fact>, session_id: &Arc<str>) -> bool {
        match &self.queue {
            Queue::Scheduler(queue) => queue.try_send(Ok(Facts { facts, session_id: session_id.clone() })).is_ok(),
            Queue::Worker(_) => false,
        }
    }

    /// Ends it and says why, if there is room to say so.
    pub(super) fn close(self, reason: Refusal) {
        let last = status::to_status(reason.code, reason.message);
        let told = match self.queue {
            Queue::Worker(queue) => queue.try_send(Err(last)).is_ok(),
            Queue::Scheduler(queue) => queue.try_send(Err(last)).is_ok(),
        };
        if !told {
            tracing::debug!("a peer was disconnected without being told why");
        }
    }
}

/// Reads a peer's messages into the actor's queue until it ends or says something that makes no sense.
pub(super) fn read<M: Send + 'static>(
    env: &Env,
    conn: ConnId,
    mut messages: Streaming<M>,
    inputs: mpsc::Sender<Input>,
    parse: impl Fn(M) -> Result<Input, sp_proto::convert::WireError> + Send + 'static,
) -> StopOnDrop {
    let reading = async move {
        let reason = loop {
            match messages.message().await {
                Ok(Some(message)) => match parse(message) {
                    Ok(input) => {
                        if inputs.send(input).await.is_err() {
                            return;
                        }
                    }
                    Err(e) => break Some(Refusal::new(sp_types::ErrorCode::BadRequest, e.to_string())),
                },
                Ok(None) => break None,
                Err(error) => {
                    tracing::info!(conn = conn.0, error = status::message_of(&error), "a session broke");
                    break None;
                }
            }
        };
        // The actor is gone: so is the session.
        let _ = inputs.send(Input::Closed(conn, reason)).await;
    };
    StopOnDrop(env.tasks.spawn("index-session", Box::pin(reading)))
}
