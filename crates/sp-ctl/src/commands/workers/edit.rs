//! What changes a worker: `workers cordon | uncordon | drain | stop | forget`, and `tasks enable | disable`.

use serde::Serialize;
use sp_proto::v1::edit_worker_request::Edit;
use sp_proto::v1::{DrainWorker, EditWorkerRequest};

use crate::context::{Context, request};
use crate::error::CommandError;

/// One worker.
#[derive(Debug, clap::Args)]
pub(crate) struct Named {
    /// Id, the start of it, or name, as `workers` prints them.
    worker: String,
}

/// Cordon a worker so that it becomes empty.
#[derive(Debug, clap::Args)]
pub(crate) struct Drain {
    #[command(flatten)]
    named: Named,
    /// Let it go on with the sectors whose files it has.
    #[arg(long)]
    finish_pipelines: bool,
}

#[derive(Serialize)]
struct Edited<'a> {
    worker_id: String,
    result: &'a str,
}

impl Named {
    pub(crate) async fn edit(self, context: &Context, edit: Edit, result: &str) -> Result<(), CommandError> {
        change(context, self.worker, edit, result).await
    }
}

/// Asks for a change and says what came of it.
pub(crate) async fn change(context: &Context, worker: String, edit: Edit, result: &str) -> Result<(), CommandError> {
    let ask = EditWorkerRequest { worker, edit: Some(edit) };
    let worker_id = context.scheduler().await?.edit_worker(request(ask)).await?.into_inner().worker_id;
    let edited = Edited { worker_id, result };
    context.show(&edited, |_| format!("{}: {}\n", edited.worker_id, edited.result))
}

impl Drain {
    pub(crate) async fn run(self, context: &Context) -> Result<(), CommandError> {
        let Self { named, finish_pipelines } = self;
        let edit = Edit::Drain(DrainWorker { finish_pipelines });
        named.edit(context, edit, "is drained; `sp-ctl workers wait` says when it is empty").await
    }
}
