//! What every verb gets: the connection to the scheduler, its time limits, and how to print.

use std::time::Duration;

use serde::Serialize;
use sp_proto::MESSAGE_BYTES_MAX;
use sp_proto::v1::data_plane_client::DataPlaneClient;
use sp_proto::v1::scheduler_client::SchedulerClient;
use tonic::transport::{Channel, Endpoint};

use crate::cli::Global;
use crate::error::{CommandError, Exit};
use crate::layout::{Paint, go_duration};
use crate::output;

/// Limit of a call that only reads or records something.
const CALL_LIMIT: Duration = Duration::from_secs(30);
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// A client of the scheduler.
pub(crate) type Scheduler = SchedulerClient<Channel>;
/// A client of a worker's data port.
pub(crate) type DataPlane = DataPlaneClient<Channel>;

/// What every verb gets.
#[derive(Debug)]
pub(crate) struct Context {
    global: Global,
    pub(crate) paint: Paint,
}

impl Context {
    pub(crate) fn new(global: Global) -> Self {
        Self { global, paint: Paint::for_stdout() }
    }

    /// Was `--json` given?
    pub(crate) fn json(&self) -> bool {
        self.global.json
    }

    /// Connects to the scheduler.
    pub(crate) async fn scheduler(&self) -> Result<Scheduler, CommandError> {
        scheduler_at(&self.global.scheduler).await
    }

    /// Says that what follows is not how it is now. Programs read it too: standard output stays what it is.
    pub(crate) fn note_stale(&self, stale_ms: u64) {
        if stale_ms > 0 {
            let ago = go_duration(stale_ms);
            output::note(&format!(
                "note: the scheduler's loop does not answer; this is how it was {ago} ago. Is its disk full or slow? Its \
                 log says more"
            ));
        }
    }

    /// Prints a listing: JSON when asked for, else the text that `text` makes.
    pub(crate) fn show<T: Serialize>(&self, data: &T, text: impl FnOnce(&Paint) -> String) -> Result<(), CommandError> {
        if self.json() { output::print_json(data) } else { output::print(&text(&self.paint)) }
    }
}

/// Connects to the scheduler at `url`.
pub(crate) async fn scheduler_at(url: &str) -> Result<Scheduler, CommandError> {
    let channel = connect(url, "scheduler").await.map_err(|failure| {
        failure.hint("is sp-scheduler running there? name another one with --scheduler URL or SP_CTL_SCHEDULER")
    })?;
    Ok(SchedulerClient::new(channel)
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX))
}

/// Connects to the data port of a worker.
pub(crate) async fn data_plane(url: &str) -> Result<DataPlane, CommandError> {
    let channel = connect(url, "data port").await?;
    Ok(DataPlaneClient::new(channel)
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX))
}

async fn connect(url: &str, what: &str) -> Result<Channel, CommandError> {
    let usage = |reason: String| {
        CommandError::new(Exit::Usage, format!("`{url}` is not the address of a {what}: {reason}"))
            .hint("write it as http://HOST:PORT")
    };
    if !url.starts_with("http://") {
        return Err(usage("it does not begin with http://".to_owned()));
    }
    let endpoint = Endpoint::from_shared(url.to_owned()).map_err(|e| usage(e.to_string()))?;
    // A peer that is gone without a word is noticed within half a minute, also in the middle of a long call.
    let endpoint = endpoint
        .connect_timeout(CONNECT_LIMIT)
        .http2_keep_alive_interval(Duration::from_secs(15))
        .keep_alive_timeout(Duration::from_secs(15));
    endpoint.connect().await.map_err(|cause| {
        CommandError::new(Exit::Unavailable, anyhow::Error::new(cause).context(format!("no {what} answers at {url}")))
    })
}

/// A request under the usual limit.
pub(crate) fn request<T>(message: T) -> tonic::Request<T> {
    within(CALL_LIMIT, message)
}

/// A request under a limit of its own.
pub(crate) fn within<T>(limit: Duration, message: T) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    request.set_timeout(limit);
    request
}
