//! Messages on their way to the scheduler: sent while there is a session, presented at the next one otherwise.

use std::sync::{Mutex, PoisonError};

use sp_proto::v1::worker_message::Body;
use sp_proto::v1::{TaskResult, WorkerMessage};
use tokio::sync::mpsc;

/// The open session's sender, if there is one, and what the scheduler at its other end speaks.
#[derive(Default)]
pub(crate) struct Outbox(Mutex<Option<(mpsc::Sender<WorkerMessage>, u32)>>);

impl Outbox {
    pub(crate) fn open(&self, sender: mpsc::Sender<WorkerMessage>, protocol_minor: u32) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((sender, protocol_minor));
    }

    /// Is there a session with a scheduler that speaks this minor or a later one?
    pub(crate) fn speaks(&self, minor: u32) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).as_ref().is_some_and(|(_, spoken)| *spoken >= minor)
    }

    pub(crate) fn close(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Sends, or drops the message when there is no session: results are presented again, other messages are answers
    /// to a session that is gone.
    pub(crate) async fn send(&self, body: Body) {
        let sender = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((sender, _)) = sender {
            // Closed: the session ends, and the next one makes up for it.
            let _ = sender.send(WorkerMessage { body: Some(body) }).await;
        }
    }

    pub(crate) async fn send_result(&self, result: TaskResult) {
        self.send(Body::Result(result)).await;
    }
}
