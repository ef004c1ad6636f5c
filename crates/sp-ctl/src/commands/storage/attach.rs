//! `storage attach PATH`: makes a directory of a worker's machine a storage path.

use std::time::Duration;

use serde::Serialize;
use sp_proto::v1::{AttachStorageRequest, AttachStore};
use sp_types::{ByteSize, ErrorCode};

use super::PATH_LIMIT;
use crate::context::{Context, within};
use crate::error::{CommandError, Exit};

/// How often it is tried when the worker is not to be reached, and what lies between.
const TRIES: usize = 4;
const PAUSE: Duration = Duration::from_secs(1);

/// Attach a directory of a worker's machine as a storage path.
#[derive(Debug, clap::Args)]
pub(crate) struct Attach {
    /// The directory, as the worker's machine names it.
    path: String,
    /// Id or name of the worker.
    #[arg(long, value_name = "WORKER")]
    worker: String,
    /// Create the directory and its sectorstore.json.
    #[arg(long)]
    init: bool,
    /// (with --init) For sectors that are being sealed.
    #[arg(long, requires = "init")]
    seal: bool,
    /// (with --init) For sectors that are sealed.
    #[arg(long, requires = "init")]
    store: bool,
    /// (with --init) The larger, the more it is preferred.
    #[arg(long, default_value_t = 10, requires = "init")]
    weight: u64,
    /// (with --init) Use no more than this; no limit by default.
    #[arg(long, value_name = "SIZE", requires = "init")]
    max_storage: Option<ByteSize>,
    /// (with --init) Groups that the path belongs to, separated by commas.
    #[arg(long, value_name = "GROUPS", value_delimiter = ',', requires = "init")]
    groups: Vec<String>,
    /// (with --init) Groups that may fetch from the path, separated by commas; everybody by default.
    #[arg(long, value_name = "GROUPS", value_delimiter = ',', requires = "init")]
    allow_to: Vec<String>,
}

#[derive(Serialize)]
struct Attached {
    store: String,
    worker: String,
    path: String,
}

impl Attach {
    pub(crate) async fn run(self, context: &Context) -> Result<(), CommandError> {
        if self.init && !self.seal && !self.store {
            let error = CommandError::new(Exit::Usage, "a new path must be for something");
            return Err(error.hint("add --seal, --store or both"));
        }
        let attach = AttachStore {
            request: 0,
            path: self.path.clone(),
            init: self.init,
            seal: self.seal,
            store: self.store,
            weight: self.weight,
            max_storage_bytes: self.max_storage.map_or(0, |size| size.0),
            groups: self.groups,
            allow_to: self.allow_to,
        };
        let ask = AttachStorageRequest { worker: self.worker.clone(), attach: Some(attach) };
        let store = attach_patiently(context, ask).await?;
        let attached = Attached { store, worker: self.worker, path: self.path };
        context.show(&attached, |_| {
            format!("Attached {} of worker {} as {}\n", attached.path, attached.worker, attached.store)
        })
    }
}

/// A worker registers anew when a path of it has changed, and for that moment nobody reaches it.
async fn attach_patiently(context: &Context, mut ask: AttachStorageRequest) -> Result<String, CommandError> {
    let mut scheduler = context.scheduler().await?;
    let mut tries = 0;
    loop {
        let error = match scheduler.attach_storage(within(PATH_LIMIT, ask.clone())).await {
            Ok(reply) => return Ok(reply.into_inner().store),
            Err(status) => CommandError::from(status),
        };
        let again = match error.code {
            Some(ErrorCode::Unavailable) => true,
            // It may have been made by a try whose answer was lost: what is a store by now is attached as it is.
            Some(ErrorCode::BadRequest) if tries > 0 => {
                ask.attach.as_mut().is_some_and(|attach| std::mem::take(&mut attach.init))
            }
            _ => false,
        };
        tries += 1;
        if !again || tries == TRIES {
            return Err(error);
        }
        tokio::time::sleep(PAUSE).await;
    }
}
