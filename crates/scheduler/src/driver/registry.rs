//! The open control streams, one per worker: commands out, orders about stores that wait for their answer.

use std::collections::BTreeMap;

use sp_proto::v1;
use sp_sched_core::event::Failure;
use sp_types::{ErrorCode, SessionId, WorkerId};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::store_order::{StoreAnswered, StoreOrder};

/// Orders about stores that wait at once.
const ORDERS_MAX: usize = 64;

/// The scheduler's side of one worker's stream.
pub(crate) struct Outgoing {
    /// Tells two streams of the same session apart.
    pub(crate) connection: u64,
    /// Display name of the worker.
    pub(crate) name: String,
    /// Its session.
    pub(crate) session: SessionId,
    /// Commands; bounded, and whoever does not read them is disconnected.
    pub(crate) commands: mpsc::Sender<Result<v1::WorkerCommand, Status>>,
    /// Ends the inbound half.
    pub(crate) closed: CancellationToken,
}

/// An order on its way.
struct Ordered {
    worker: WorkerId,
    answer: oneshot::Sender<StoreAnswered>,
}

/// A command that could not be handed over, and why.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Undelivered {
    /// The worker has no stream; it learns what it must when it comes back.
    NotConnected,
    /// It had one until now.
    Dropped { session: SessionId, reason: String },
}

/// Every open stream.
#[derive(Default)]
pub(super) struct Registry {
    workers: BTreeMap<WorkerId, Outgoing>,
    orders: BTreeMap<u64, Ordered>,
    last_order: u64,
}

impl Registry {
    /// Puts a stream in place; an older one of the same worker is closed.
    pub(super) fn open(&mut self, worker: WorkerId, outgoing: Outgoing) {
        if let Some(old) = self.workers.insert(worker.clone(), outgoing) {
            self.fail_orders(&worker, "the worker connected anew");
            // The old stream may be full or dead: then it just ends.
            let replaced = Status::aborted("a newer session of this worker has taken over");
            let _ = old.commands.try_send(Err(replaced));
            old.closed.cancel();
        }
    }

    /// Forgets a stream; none when a newer one has replaced it.
    pub(super) fn close(&mut self, worker: &WorkerId, connection: u64, reason: &str) -> Option<SessionId> {
        if self.workers.get(worker)?.connection != connection {
            return None;
        }
        self.drop_worker(worker, reason)
    }

    /// Ends a session with a reason; none when it is not the one that is connected.
    pub(super) fn refuse(&mut self, worker: &WorkerId, session: &SessionId, reason: &Status) -> Option<SessionId> {
        let outgoing = self.workers.get(worker).filter(|o| o.session == *session)?;
        // The stream may be full or dead: then it just ends.
        let _ = outgoing.commands.try_send(Err(reason.clone()));
        self.drop_worker(worker, reason.message())
    }

    /// Is this the session that is connected?
    pub(super) fn is_session(&self, worker: &WorkerId, session: &SessionId) -> bool {
        self.workers.get(worker).is_some_and(|o| o.session == *session)
    }

    /// Hands a command to a worker.
    pub(super) fn send(&mut self, worker: &WorkerId, command: v1::WorkerCommand) -> Result<(), Undelivered> {
        let outgoing = self.workers.get(worker).ok_or(Undelivered::NotConnected)?;
        let reason = match outgoing.commands.try_send(Ok(command)) {
            Ok(()) => return Ok(()),
            Err(mpsc::error::TrySendError::Full(_)) => "it does not read its commands",
            Err(mpsc::error::TrySendError::Closed(_)) => "its stream is closed",
        };
        match self.drop_worker(worker, reason) {
            Some(session) => Err(Undelivered::Dropped { session, reason: reason.to_owned() }),
            None => Err(Undelivered::NotConnected),
        }
    }

    /// Gives a worker, by id or name, an order about its stores. An undelivered one is answered at once; the second half
    /// of the result names the worker whose stream was lost by that.
    pub(super) fn order(
        &mut self,
        wanted: &str,
        order: StoreOrder,
        answer: oneshot::Sender<StoreAnswered>,
    ) -> Option<(WorkerId, Undelivered)> {
        let worker = match self.find(wanted) {
            Ok(worker) => worker,
            Err(failure) => {
                let _ = answer.send(Err(failure));
                return None;
            }
        };
        if self.orders.len() >= ORDERS_MAX {
            let _ = answer.send(Err(unavailable("too many orders about stores wait; try again later".into())));
            return None;
        }
        self.last_order += 1;
        self.orders.insert(self.last_order, Ordered { worker: worker.clone(), answer });
        let undelivered = self.send(&worker, order.command(self.last_order)).err()?;
        self.fail_orders(&worker, "its stream has just been lost");
        Some((worker, undelivered))
    }

    /// Passes a worker's answer on.
    pub(super) fn answered(&mut self, request: u64, answered: StoreAnswered) {
        if let Some(Ordered { answer, .. }) = self.orders.remove(&request) {
            // Nobody waits any more when the operator has hung up.
            let _ = answer.send(answered);
        }
    }

    /// Forgets requests whose operators have hung up, so that a silent worker cannot pile them up.
    pub(super) fn tidy(&mut self) {
        self.orders.retain(|_, order| !order.answer.is_closed());
    }

    fn find(&self, wanted: &str) -> Result<WorkerId, Failure> {
        let by_id = self.workers.keys().find(|id| id.as_str() == wanted);
        let mut by_name = self.workers.iter().filter(|(_, o)| o.name == wanted).map(|(id, _)| id);
        match (by_id, by_name.next(), by_name.next()) {
            (Some(id), _, _) | (None, Some(id), None) => Ok(id.clone()),
            (None, None, _) => Err(Failure {
                code: ErrorCode::NotFound,
                message: format!("no connected worker has the id or name `{wanted}`; see `sp-ctl workers`"),
            }),
            (None, Some(_), Some(_)) => Err(Failure {
                code: ErrorCode::BadRequest,
                message: format!("several workers are named `{wanted}`; give the id, see `sp-ctl workers --json`"),
            }),
        }
    }

    fn drop_worker(&mut self, worker: &WorkerId, reason: &str) -> Option<SessionId> {
        let gone = self.workers.remove(worker)?;
        gone.closed.cancel();
        self.fail_orders(worker, reason);
        Some(gone.session)
    }

    fn fail_orders(&mut self, worker: &WorkerId, reason: &str) {
        let lost: Vec<u64> = self.orders.iter().filter(|(_, a)| a.worker == *worker).map(|(id, _)| *id).collect();
        for id in lost {
            if let Some(Ordered { answer, .. }) = self.orders.remove(&id) {
                let _ = answer.send(Err(unavailable(format!("worker {worker} is gone: {reason}"))));
            }
        }
    }
}

fn unavailable(message: String) -> Failure {
    Failure { code: ErrorCode::Unavailable, message }
}
