//! `storage detach PATH`: a worker lets go of a storage path.

use serde::Serialize;
use sp_proto::v1::{DetachStorageReply, DetachStorageRequest, StoreChange};

use super::PATH_LIMIT;
use crate::context::{Context, within};
use crate::error::CommandError;

/// Let go of a storage path. Its files stay where they are, and it can be attached again.
#[derive(Debug, clap::Args)]
pub(crate) struct Detach {
    /// The path's ID, or with --worker its directory as the worker's machine names it.
    path: String,
    /// Id or name of the worker; not needed when only one has the path.
    #[arg(long, value_name = "WORKER", default_value = "")]
    worker: String,
    /// Also when sectors have files on this path only, which then cannot be proven.
    #[arg(long)]
    really_do_it: bool,
}

#[derive(Serialize)]
struct Detached {
    store: String,
    local_path: String,
    files: u64,
}

impl Detach {
    pub(crate) async fn run(self, context: &Context) -> Result<(), CommandError> {
        let ask = DetachStorageRequest { worker: self.worker, store: self.path, really: self.really_do_it };
        let reply = context.scheduler().await?.detach_storage(within(PATH_LIMIT, ask)).await?.into_inner();
        let DetachStorageReply { change } = reply;
        let StoreChange { store, local_path, replicas, .. } = change.unwrap_or_default();
        let detached = Detached { store, local_path, files: replicas };
        context.show(&detached, |_| {
            let Detached { store, local_path, files } = &detached;
            format!("Detached {store} ({local_path}); the index forgot {files} files, all are still there\n")
        })
    }
}
