//! What a piece is sent for, and how whoever sends it asks where to: for a sector, or for its commitment alone.

use std::fmt;
use std::time::Duration;

use sp_proto::v1::{Failure, GetDataCidReply, GetDataCidRequest, GetUploadReply, GetUploadRequest, Piece};

use crate::context::{Scheduler, request};
use crate::error::{CommandError, Exit};

/// While a piece is sent for its commitment, the scheduler is told so often that somebody still waits for that.
const ASK_INTERVAL: Duration = Duration::from_secs(10);

/// What a piece is sent for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Purpose {
    /// A sector that is to hold it.
    Sector(u64),
    /// The task that computes its commitment.
    DataCid(u64),
}

/// What the scheduler says.
pub(super) enum Answer {
    /// Nothing to send any more; of a commitment the piece that it is of.
    Accepted(Option<Piece>),
    /// Nobody wants it for now.
    Waiting(String),
    /// It is wanted there.
    Send { data_url: String, ticket: String },
    /// It came to nothing.
    Failed(Failure),
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sector(number) => write!(f, "sector {number}"),
            Self::DataCid(task) => write!(f, "task {task}"),
        }
    }
}

impl Purpose {
    /// Asks where the piece is wanted.
    pub(super) async fn ask(self, scheduler: &mut Scheduler) -> Result<Answer, CommandError> {
        let (data_url, ticket, detail, failed, accepted) = match self {
            Self::Sector(sector) => {
                let GetUploadReply { data_url, ticket, accepted, detail, failed } =
                    scheduler.get_upload(request(GetUploadRequest { sector })).await?.into_inner();
                (data_url, ticket, detail, failed, accepted.then_some(None))
            }
            Self::DataCid(task_id) => {
                let GetDataCidReply { data_url, ticket, detail, piece, failed } =
                    scheduler.get_data_cid(request(GetDataCidRequest { task_id })).await?.into_inner();
                (data_url, ticket, detail, failed, piece.map(Some))
            }
        };
        Ok(match (accepted, failed) {
            (Some(piece), _) => Answer::Accepted(piece),
            (None, Some(failure)) => Answer::Failed(failure),
            (None, None) if data_url.is_empty() => Answer::Waiting(detail),
            (None, None) => Answer::Send { data_url, ticket },
        })
    }

    /// Ends when the piece is not wanted with this ticket any more. A sector waits without being asked about; a task that
    /// is for its client alone does not.
    pub(super) async fn elsewhere(self, scheduler: &mut Scheduler, ticket: &str) {
        if matches!(self, Self::Sector(_)) {
            return std::future::pending().await;
        }
        loop {
            tokio::time::sleep(ASK_INTERVAL).await;
            match self.ask(scheduler).await {
                Ok(Answer::Send { ticket: now, .. }) if now == ticket => {}
                // A scheduler that is away for a moment has said nothing.
                Err(failure) if failure.exit == Exit::Unavailable => {}
                _ => return,
            }
        }
    }
}
