//! How everybody else speaks with the driver.

use std::sync::Arc;
use std::time::Duration;

use sp_net::Env;
use sp_proto::v1;
use sp_sched_core::Core;
use sp_sched_core::effect::Reply;
use sp_sched_core::event::{Event, Request};
use sp_sched_core::model::UnixMs;
use sp_types::{SessionId, WorkerId};
use tokio::sync::{mpsc, oneshot};

use super::doing::Doing;
use super::input::Input;
use super::store_order::{StoreAnswered, StoreOrder};
use crate::board::{Board, BoardReader};

/// Why there was no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Gone {
    /// The driver has ended.
    #[error("the scheduler is stopping; try again once it is back")]
    Stopping,
    /// The driver has not said anything yet.
    #[error("the scheduler is starting; try again in a moment")]
    Starting,
    /// It took too long; what the driver is at, where that is why.
    #[error("no answer within {} s{busy}; look at `sp-ctl sealing jobs` and try again", .limit.as_secs())]
    TimedOut { limit: Duration, busy: String },
}

/// A cheap way to the driver.
#[derive(Clone)]
pub(crate) struct Handle {
    env: Env,
    inputs: mpsc::Sender<Input>,
    boards: BoardReader,
    doing: Doing,
}

/// A question to the core is answered within this, or the driver is stuck in a commit. Clients wait 30 s: they are to
/// read what it is stuck in.
const QUERY_LIMIT: Duration = Duration::from_secs(25);

/// A status is answered by the driver within this, or else from what it published last.
const STATUS_LIMIT: Duration = Duration::from_secs(1);

/// What a status goes by.
pub(crate) enum Seen<T> {
    /// What the driver said just now.
    Now(T),
    /// The driver does not answer; this is how the core was so long ago.
    Before(Arc<Board>, u64),
}

impl Handle {
    pub(super) fn new(env: Env, inputs: mpsc::Sender<Input>, boards: BoardReader, doing: Doing) -> Self {
        Self { env, inputs, boards, doing }
    }

    /// What is said where the driver does not answer soon enough, and nobody else can.
    pub(crate) fn stuck(&self) -> Gone {
        self.timed_out(STATUS_LIMIT)
    }

    fn timed_out(&self, limit: Duration) -> Gone {
        let waiting = self.inputs.max_capacity() - self.inputs.capacity();
        let busy = self.doing.in_words(self.env.clock.monotonic(), waiting);
        Gone::TimedOut { limit, busy: busy.map(|busy| format!(": {busy}")).unwrap_or_default() }
    }

    /// Hands something over; waits while the driver has too much to do.
    pub(crate) async fn send(&self, input: Input) -> Result<(), Gone> {
        self.inputs.send(input).await.map_err(|_| Gone::Stopping)
    }

    /// Hands an event over.
    pub(crate) async fn event(&self, event: Event) -> Result<(), Gone> {
        self.send(Input::Event(event)).await
    }

    /// Looks at the core.
    pub(crate) async fn query<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Core, UnixMs) -> T + Send + 'static,
    ) -> Result<T, Gone> {
        self.query_within(look, QUERY_LIMIT).await
    }

    /// Looks at the core if the driver answers soon; it may be stuck in a commit, and a status does not wait for that.
    pub(crate) async fn status<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Core, UnixMs) -> T + Send + 'static,
    ) -> Result<Seen<T>, Gone> {
        // One that is stuck already would only be given more to do.
        let stuck = self.doing.lasts_ms(self.env.clock.monotonic()) >= STATUS_LIMIT.as_millis() as u64;
        let answer = if stuck { Err(self.stuck()) } else { self.query_within(look, STATUS_LIMIT).await };
        match answer {
            Err(Gone::TimedOut { .. }) => {
                let board = self.boards.borrow().clone();
                let at = board.at.ok_or(Gone::Starting)?;
                let age_ms = self.env.clock.monotonic().since_ms(at);
                Ok(Seen::Before(board, age_ms))
            }
            seen => seen.map(Seen::Now),
        }
    }

    async fn query_within<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Core, UnixMs) -> T + Send + 'static,
        limit: Duration,
    ) -> Result<T, Gone> {
        let (answer, waiting) = oneshot::channel();
        let query = Box::new(move |core: &Core, now| {
            // Nobody waits any more when the caller has hung up: then there is no need to look either.
            if !answer.is_closed() {
                let _ = answer.send(look(core, now));
            }
        });
        self.ask(Input::Query(query), waiting, limit).await
    }

    /// Makes a request and waits at most `limit` for its reply. The request itself goes on if the wait ends.
    pub(crate) async fn request(&self, request: Request, limit: Duration) -> Result<Reply, Gone> {
        let (answer, waiting) = oneshot::channel();
        self.ask(Input::Request(request, answer), waiting, limit).await
    }

    /// Renews a worker's leases.
    pub(crate) async fn renew(
        &self,
        worker: WorkerId,
        session: SessionId,
        event: Event,
    ) -> Result<v1::RenewReply, Gone> {
        let (answer, waiting) = oneshot::channel();
        self.ask(Input::Renewal { worker, session, event, answer }, waiting, QUERY_LIMIT).await
    }

    /// Has a worker do something with its stores.
    pub(crate) async fn order(
        &self,
        worker: String,
        order: StoreOrder,
        limit: Duration,
    ) -> Result<StoreAnswered, Gone> {
        let (answer, waiting) = oneshot::channel();
        self.ask(Input::StoreOrder { worker, order, answer }, waiting, limit).await
    }

    async fn ask<T>(&self, input: Input, waiting: oneshot::Receiver<T>, limit: Duration) -> Result<T, Gone> {
        let answer = async {
            self.send(input).await?;
            waiting.await.map_err(|_| Gone::Stopping)
        };
        self.env.timeout(limit, answer).await.unwrap_or_else(|_| Err(self.timed_out(limit)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::doing::Work;
    use super::*;
    use crate::board::Publisher;

    #[tokio::test]
    async fn a_driver_that_does_not_answer_is_said_to_be_busy_with_what() {
        let (env, doing) = (Env::real(), Doing::default());
        let (inputs, _driver) = mpsc::channel(8);
        let (_publisher, boards) = Publisher::new();
        let handle = Handle::new(env.clone(), inputs, boards, doing.clone());
        doing.begin(Work::Commit(3), env.clock.monotonic());
        let abort = Request::Abort { id: "1".into(), reason: String::new() };
        let failed = handle.request(abort, Duration::from_millis(600)).await.unwrap_err().to_string();
        let words = "the scheduling loop has been making 3 rows durable for ";
        assert!(failed.contains(words) && failed.contains("1 things wait"), "{failed}");
    }
}
