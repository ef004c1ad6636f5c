//! Commands to the index, in order, while its stream is open; the core repeats what was lost when it opens again.

use sp_proto::v1;
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};

/// The scheduler's side of one stream of the index.
pub(crate) struct IndexStream {
    /// Tells one stream from the next.
    pub(crate) connection: u64,
    /// Commands; bounded.
    pub(crate) commands: mpsc::Sender<v1::IndexSchedulerMessage>,
    /// Ends the inbound half.
    pub(crate) closed: CancellationToken,
}

/// The stream that is open, if any.
#[derive(Default)]
pub(super) struct IndexPort {
    open: Option<(IndexStream, DropGuard)>,
}

impl IndexPort {
    pub(super) fn open(&mut self, stream: IndexStream) {
        let guard = stream.closed.clone().drop_guard();
        self.open = Some((stream, guard));
    }

    /// False when a newer stream has replaced this one.
    pub(super) fn close(&mut self, connection: u64) -> bool {
        let ours = self.open.as_ref().is_some_and(|(open, _)| open.connection == connection);
        if ours {
            self.open = None;
        }
        ours
    }

    /// False when the stream was lost by this command: it is closed or takes too little.
    pub(super) fn send(&mut self, command: v1::IndexSchedulerMessage) -> bool {
        let Some((stream, _)) = &self.open else { return true };
        if let Err(error) = stream.commands.try_send(command) {
            tracing::warn!(%error, "the index does not take its commands; connecting anew");
            // The client opens another stream, and the core repeats what it needs.
            self.open = None;
            return false;
        }
        true
    }
}
