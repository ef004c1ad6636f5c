//! The two directions of a stream that passes through a relay.

use tokio::sync::mpsc;
use tonic::{Response, Status, Streaming};

use super::habits::Habit;
use super::meddler::Meddler;

/// Messages that may wait on either side.
pub(super) const QUEUE: usize = 64;

/// Upwards, until the stream ends.
pub(super) async fn listen<M: Clone + Send + 'static>(
    meddler: Meddler,
    mut said: Streaming<M>,
    habit: fn(&M) -> Habit,
    up: mpsc::Sender<M>,
) {
    while let Ok(Some(message)) = said.message().await {
        let habit = habit(&message);
        if !meddler.pass(message, habit, &up).await {
            return;
        }
    }
}

/// Downwards, with the reason for the end. A service may want to hear something before it answers, so this side is
/// answered before the service has.
pub(super) async fn speak<M: Clone + Send + 'static>(
    meddler: Meddler,
    answering: impl Future<Output = Result<Response<Streaming<M>>, Status>>,
    habit: fn(&M) -> Habit,
    down: mpsc::Sender<Result<M, Status>>,
) {
    let mut heard = match answering.await {
        Ok(response) => response.into_inner(),
        Err(status) => return drop(down.send(Err(status)).await),
    };
    loop {
        let message = match heard.message().await {
            Ok(Some(message)) => message,
            Ok(None) => return,
            Err(status) => {
                // Whoever listens may have gone.
                let _ = down.send(Err(status)).await;
                return;
            }
        };
        let habit = habit(&message);
        if !meddler.pass(Ok(message), habit, &down).await {
            return;
        }
    }
}
